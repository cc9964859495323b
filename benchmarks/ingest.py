"""Taking 3 x 256 MB into the store, against a minimal loop: the same digests in one read, fsync, rename."""

import hashlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

from blake3 import blake3

from benchmarks.measure import best, random_file, verdict, workplace
from modelhub.core import config
from modelhub.services.hub import Hub, open_hub

SIZE = 256 << 20
_PEAK = """
import sys
from modelhub.cli import run
assert run(sys.argv[1:]) == 0
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
FILES = 3


def model(path: Path, size: int) -> Path:
    header = json.dumps({"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    random_file(path, size)
    content = path.with_suffix(".raw")
    path.rename(content)
    with path.open("wb") as stream, content.open("rb") as data:
        stream.write(struct.pack("<Q", len(header)) + header)
        while block := data.read(1 << 20):
            stream.write(block)
        os.fsync(stream.fileno())
    content.unlink()
    return path


def floor(files: list[Path], store: Path) -> None:
    for path in files:
        sha256, fast, buffer = hashlib.sha256(), blake3(), bytearray(1 << 20)
        view = memoryview(buffer)
        with path.open("rb", buffering=0) as stream:
            while count := stream.readinto(view):
                sha256.update(view[:count])
                fast.update(view[:count])
            os.fsync(stream.fileno())
        folder = store / sha256.hexdigest()
        folder.mkdir(parents=True)
        path.rename(folder / path.name)
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def main() -> bool:
    kept = True
    with workplace() as place:
        files = [model(place / "in" / f"{number}.safetensors", SIZE) for number in range(FILES)]
        for path in files:
            path.read_bytes()  # both sides start with a warm page cache
        rounds = iter(range(100))
        floor_store = [place / "unused"]

        def back() -> None:
            number = next(rounds)
            for blob in [*place.glob("floor*/*/*"), *place.glob("hub*/models/*/*")]:
                (place / "in" / blob.name).unlink(missing_ok=True)
                blob.rename(place / "in" / blob.name)
                (place / "in" / blob.name).chmod(0o644)
            floor_store[0] = place / f"floor{number}"

        hubs: list[Hub] = []

        def new_hub(workers: int) -> None:
            back()
            settings = config.load({"MODELHUB_SCAN_WORKERS": str(workers)}, hub=str(place / f"hub{next(rounds)}"))
            hubs.append(open_hub(settings))

        def scan() -> None:
            for _ in hubs[-1].scan([str(place / "in")], adopt="symlink"):
                pass

        minimal = best(lambda: floor(files, floor_store[0]), before=back)
        one = best(scan, before=lambda: new_hub(1))
        two = best(scan, before=lambda: new_hub(2))
        for hub in hubs:
            hub.close()
        print(f"floor {minimal:.2f} s, one file at a time {one:.2f} s, two {two:.2f} s")
        kept &= verdict("ingest, one thread, floor/ours", minimal / one, ">= 0.9", kept=minimal / one >= 0.9)
        kept &= verdict("ingest, two files at once, floor/ours", minimal / two, ">= 1.1", kept=minimal / two >= 1.1)
    return kept & memory()


def memory() -> bool:
    """Peak memory of a scan of one sparse file of 4 GB."""
    with workplace() as place:
        size = 4 << 30
        header = json.dumps({"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
        path = place / "in/big.safetensors"
        path.parent.mkdir()
        path.write_bytes(struct.pack("<Q", len(header)) + header)
        os.truncate(path, 8 + len(header) + size)
        words = ["--hub", str(place / "hub"), "scan", str(place / "in"), "--quiet"]
        said = subprocess.run([sys.executable, "-c", _PEAK, *words], check=True, capture_output=True, text=True)
        peak = int(said.stdout) / 1024
        return verdict("peak memory of a 4 GB file, MB", peak, "<= 150", kept=peak <= 150)


if __name__ == "__main__":
    sys.exit(not main())
