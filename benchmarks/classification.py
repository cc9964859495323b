"""How well models are judged, against what their names alone tell; and how fast, on headers of real size."""

import gzip
import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.formats import for_each, open_with_library
from benchmarks.measure import best, verdict, workplace
from modelhub.classify import rulebook
from modelhub.core.events import Result
from modelhub.samples import writers
from modelhub.services.evaluate import Evaluation, evaluate
from modelhub.services.judge import Judge
from modelhub.store.engine import Database
from modelhub.store.rules import Rules
from tests import build

HEADERS = Path(__file__).parent.parent / "tests" / "corpus" / "headers"
SETS = ("development", "pictures", "language", "further")
FILES = 300
_MEGABYTE = 1 << 20


class NamesOnly(Judge):
    """The same rules without those that look into a file."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self.__dict__["book"] = replace(Judge(0.0).book, architectures=(), sizes={})


def measured(judge: Judge, name: str, *, blind: bool) -> Evaluation:
    task = evaluate(judge, HEADERS / f"{name}.jsonl.gz", blind=blind)
    return next(event.value for event in task if isinstance(event, Result))


def scores() -> bool:
    kept = True
    for name in SETS:
        for blind in (False, True):
            ours, names = measured(Judge(0.5), name, blind=blind), measured(NamesOnly(), name, blind=blind)
            kind = "blind" if blind else "informative"
            print(
                f"{name}, {ours.models} models, {kind} names: type {ours.type_right:.1%}, type and base"
                f" {ours.both_right:.1%} (names alone {names.both_right:.1%}); calibration error"
                f" {ours.calibration_error:.3f}, mean confidence of wrong answers {ours.confidence_wrong:.2f},"
                f" wrong at 0.8 or more: {ours.sure_and_wrong}"
            )
            aim = 0.95 if blind else 0.97
            kept &= verdict(f"{name}, {kind}: type", ours.type_right, f">= {aim}", kept=ours.type_right >= aim)
            error = ours.calibration_error
            kept &= verdict(f"{name}, {kind}: calibration error", error, "<= 0.05", kept=error <= 0.05)
    return kept


def real_files(place: Path) -> list[Path]:
    """Sparse files with the headers of the labelled safetensors, as large as they really are."""
    made: list[Path] = []
    for name in SETS[:3]:
        with gzip.open(HEADERS / f"{name}.jsonl.gz", "rt") as lines:
            for line in lines:
                record = json.loads(line)
                shapes = {key: tuple(shape) for key, (_, shape) in record["tensors"].items()}
                if record["container"] == "safetensors" and shapes and len(made) < FILES:
                    path = place / str(len(made)) / record["name"]
                    made.append(writers.safetensors(path, shapes, mark=str(len(made))))
    return made


def speed(place: Path) -> bool:
    files = real_files(place / "real")
    judge = Judge(0.5)
    for path in files[:20]:
        judge.named(str(path), path.name)
    times: list[float] = []
    for path in files:
        started = time.perf_counter()
        judge.named(str(path), path.name)
        times.append(time.perf_counter() - started)
    times.sort()
    rate = len(times) / sum(times)
    kept = verdict(f"safetensors headers of real size ({len(files)}), files/s", rate, ">= 400", kept=rate >= 400)
    library = best(lambda: for_each(open_with_library, files), rounds=1)
    ratio = library / sum(times)
    kept &= verdict(
        "safetensors.safe_open and keys of them / ours with classification", ratio, ">= 0.3", kept=ratio >= 0.3
    )
    late = times[int(0.99 * len(times))]
    kept &= verdict("the same, p99 in ms", late * 1e3, "< 50", kept=late < 0.05)
    return kept


def start(place: Path) -> bool:
    path = build.safetensors(place / "x.safetensors", build.SDXL_LORA)
    subprocess.run([sys.executable, "-m", "modelhub", "--hub", place / "hub", "scan", path, "--yes"], check=True)
    database = Database(place / "hub" / "classification.db")
    loaded = best(lambda: rulebook.build(*Rules(database).rows()))
    database.close()
    return verdict("rules loaded from a hub, ms", loaded * 1e3, "<= 60", kept=loaded <= 0.06)


def main() -> bool:
    with workplace() as place:
        kept = scores()
        kept &= speed(place)
        kept &= start(place)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _MEGABYTE
        print(f"peak memory of all this, labels included: {memory:.0f} MB")
    return kept


if __name__ == "__main__":
    sys.exit(not main())
