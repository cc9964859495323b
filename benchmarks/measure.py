"""How the benchmarks measure: best of a few, both sides in the same run, one line each, the ratio last."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

MODELHUB = [sys.executable, "-m", "modelhub"]


def best(work: Callable[[], object], *, rounds: int = 3, before: Callable[[], object] = lambda: None) -> float:
    """Seconds of the quickest of `rounds`; `before` prepares each and is not counted."""
    times = []
    for _ in range(rounds):
        before()
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def run(*words: str | Path) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


def verdict(what: str, value: float, promise: str, *, kept: bool) -> bool:
    print(f"{what}: {value:.2f} (promised {promise}) {'kept' if kept else 'NOT KEPT'}", flush=True)
    return kept


@contextmanager
def workplace() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="modelhub-bench-") as folder:
        yield Path(folder)


def random_file(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        for _ in range(size >> 20):
            stream.write(os.urandom(1 << 20))
        stream.write(os.urandom(size & ((1 << 20) - 1)))
        stream.flush()
        os.fsync(stream.fileno())
    return path
