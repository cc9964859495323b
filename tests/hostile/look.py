"""`python -m tests.hostile.look FOLDER [FIRST STEP]`: inspects every STEP-th case there, and prints what came of it.

In a process of its own, so that its memory and time are those of the parsers alone.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from modelhub.classify import weigh
from modelhub.formats import openvino
from modelhub.formats.inspect import inspect
from modelhub.services.judge import Judge


def look(path: Path, kind: str, judge: Judge) -> dict[str, Any]:
    began, size = time.perf_counter(), os.path.getsize(path)
    with path.open("rb") as stream:
        found = openvino.inspect(stream, size, 16) if kind == "openvino" else inspect(stream, size, path.name)
    weigh.classify(found, path.name, judge.book, judge.threshold)
    return {
        "state": found.state, "code": found.code, "message": found.message, "container": found.container,
        "seconds": time.perf_counter() - began, "megabytes": _peak(),
    }  # fmt: skip


def _peak() -> float:
    """The most memory of this program in MB; the resource module would count what its parent had, too."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def _main(folder: Path, first: str = "0", step: str = "1") -> None:
    cases = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    judge = Judge(0.5)
    for case in cases[int(first) :: int(step)]:
        print(json.dumps({**case, **look(folder / case["file"], case["class"], judge)}), flush=True)  # noqa: T201


if __name__ == "__main__":
    _main(Path(sys.argv[1]), *sys.argv[2:])
