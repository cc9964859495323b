"""Verifying 4 x 256 MB in the store, against one thread that only reads and hashes the same files."""

import hashlib
import os
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.ingest import model
from benchmarks.measure import best, verdict, workplace
from modelhub.core import config
from modelhub.services.hub import open_hub
from modelhub.services.verify import Scope

SIZE = 256 << 20
FILES = 4


def floor(files: list[Path]) -> None:
    buffer = bytearray(1 << 20)
    view = memoryview(buffer)
    for path in files:
        sha256 = hashlib.sha256()
        with path.open("rb", buffering=0) as stream:
            while count := stream.readinto(view):
                sha256.update(view[:count])


def main() -> bool:
    with workplace() as place:
        for number in range(FILES):
            model(place / f"in/{number}.safetensors", SIZE)
        settings = config.load({}, hub=str(place / "hub"))
        with open_hub(settings) as hub:
            for _ in hub.scan([str(place / "in")], adopt="move"):
                pass
        files = sorted((place / "hub/models").glob("*/*"))
        bare = best(lambda: floor(files))
        taken = {}
        for workers in (1, 2):
            with open_hub(replace(settings, workers=workers)) as hub:
                taken[workers] = best(lambda hub=hub: [*hub.verifier.verify(Scope())])  # type: ignore[misc]
    print(f"{FILES} x {SIZE >> 20} MB: hash floor {bare:.2f} s, one thread {taken[1]:.2f} s, two {taken[2]:.2f} s")
    kept = verdict("verify, one thread, floor/ours", bare / taken[1], ">= 0.9", kept=bare / taken[1] >= 0.9)
    load = os.getloadavg()[0]
    print(f"verify, two threads, floor/ours: {bare / taken[2]:.2f} (load average {load:.1f})")
    return kept


if __name__ == "__main__":
    sys.exit(not main())
