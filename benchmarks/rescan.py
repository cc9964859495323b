"""Scanning again what has not changed, against a bare walk with one stat for each file."""

import os
import sys
from pathlib import Path

from benchmarks.measure import best, verdict, workplace
from modelhub.core import config
from modelhub.services.hub import Hub, open_hub
from tests import build

SIZES = (20_000, 100_000)
FOLDERS = 200


def walk_and_stat(root: str) -> None:
    for entry in os.scandir(root):
        if entry.is_dir(follow_symlinks=False):
            walk_and_stat(entry.path)
        else:
            entry.stat(follow_symlinks=False)


def fill(folder: Path, start: int, end: int) -> None:
    """Small models of their own content each, written once and copied byte-wise with another mark."""
    template = build.safetensors(folder / "template.safetensors", {"emb_params": (1, 8)}).read_bytes()
    (folder / "template.safetensors").unlink()
    for number in range(FOLDERS):
        (folder / str(number)).mkdir(parents=True, exist_ok=True)
    for number in range(start, end):
        (folder / str(number % FOLDERS) / f"{number}.safetensors").write_bytes(
            template[:-8] + number.to_bytes(8, "big")
        )


def scan(hub: Hub, folder: Path) -> None:
    for _ in hub.scan([str(folder)], adopt="reference"):
        pass


def main() -> bool:
    kept, before = True, 0
    costs: list[tuple[float, float]] = []
    with workplace() as place, open_hub(config.load({}, hub=str(place / "hub"))) as hub:
        for size in SIZES:
            fill(place / "in", before, size)
            before = size
            scan(hub, place / "in")
            bare = best(lambda: walk_and_stat(str(place / "in")))
            again = best(lambda: scan(hub, place / "in"))
            print(f"{size} files: walk and stat {bare:.2f} s, scan again {again:.2f} s")
            costs.append((bare, again))
        more = SIZES[1] - SIZES[0]
        bare, again = ((costs[1][side] - costs[0][side]) / more for side in (0, 1))
        print(f"each file from {SIZES[0]} to {SIZES[1]}: floor {bare * 1e6:.2f} us, ours {again * 1e6:.2f} us")
        kept &= verdict("re-scan, cost of each further file, ours/floor", again / bare, "<= 3", kept=again / bare <= 3)
    return kept


if __name__ == "__main__":
    sys.exit(not main())
