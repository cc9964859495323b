"""Finding duplicates among 50,000 files, against jdupes and against a plain size-then-hash in Python."""

import hashlib
import os
import random
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from benchmarks.measure import best, verdict, workplace
from modelhub.core import config
from modelhub.services.hub import open_hub

FILES = 50_000
COMMON = 18_000


def fill(folder: Path) -> None:
    """Nine of ten files have one size; every fifth is a copy of another."""
    chance = random.Random(1)
    originals: list[bytes] = []
    for number in range(FILES):
        size = COMMON if number % 10 else 16_000 + number % 4000
        if number % 5 == 4:
            content = chance.choice(originals[-200:])
        else:
            content = chance.randbytes(size)
            originals = [*originals[-200:], content]
        place = folder / str(number % 100)
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.bin").write_bytes(content)


def plain(folder: Path) -> int:
    sizes: defaultdict[int, list[str]] = defaultdict(list)
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            sizes[os.lstat(path).st_size].append(path)
    found: defaultdict[bytes, int] = defaultdict(int)
    for paths in sizes.values():
        for path in paths if len(paths) > 1 else ():
            with open(path, "rb") as stream:
                found[hashlib.sha256(stream.read()).digest()] += 1
    return sum(count > 1 for count in found.values())


def main() -> bool:
    with workplace() as place, open_hub(config.load({}, hub=str(place / "hub"))) as hub:
        fill(place / "in")
        bare = best(lambda: plain(place / "in"), rounds=2)
        ours = best(lambda: [*hub.duplicates.find([str(place / "in")])], rounds=2)
        print(f"{FILES} files: size and hash in Python {bare:.2f} s, ours {ours:.2f} s, ratio {bare / ours:.2f}")
        if shutil.which("jdupes") is None:
            print("duplicates against jdupes: not measured, it is not installed (apt install jdupes)")
            return True
        words = ["jdupes", "--recurse", "--quiet", str(place / "in")]
        theirs = best(lambda: subprocess.run(words, stdout=subprocess.DEVNULL, check=True), rounds=2)
        print(f"jdupes {theirs:.2f} s")
        return verdict("duplicates, jdupes/ours", theirs / ours, ">= 0.4", kept=theirs / ours >= 0.4)


if __name__ == "__main__":
    sys.exit(not main())
