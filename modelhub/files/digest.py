"""Identity of content: all digests in one read, with memory that does not grow with the file."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from typing import BinaryIO

from blake3 import blake3

from modelhub.core.errors import Changed
from modelhub.core.types import Digests, Sha256, Stamp

BLOCK = 1 << 20
_AUTOV1_START = 0x100000
_AUTOV1_BYTES = 0x10000
SAMPLE = 1 << 16
_ATTEMPTS = 4
_ZEROS = memoryview(bytes(BLOCK))


def stamp(result: os.stat_result) -> Stamp:
    return Stamp(result.st_dev, result.st_ino, result.st_size, result.st_mtime_ns, result.st_ctime_ns)


def digests(stream: BinaryIO, *, tick: Callable[[int], None] | None = None) -> Digests:
    """SHA-256, BLAKE3 and AutoV1 of an open file, in one read. `tick` is told every block's bytes.

    Raises Changed if the file was written to meanwhile: the same descriptor is asked before and after. Where
    only the ctime moved (a second scan links or chmods the same file), the content is read once more to be sure.
    """
    for _ in range(_ATTEMPTS):
        before = stamp(os.fstat(stream.fileno()))
        found = _one_read(stream, before.size, tick)
        after = stamp(os.fstat(stream.fileno()))
        if found.size != after.size or (before.size, before.mtime_ns) != (after.size, after.mtime_ns):
            break
        if before == after:
            return found
    raise Changed("It changed while it was being read.", hint="Scan again when nothing writes to it.")


def copy(source: BinaryIO, target: BinaryIO, tick: Callable[[int], None]) -> None:
    """What is left of one stream into another."""
    while block := source.read(BLOCK):
        target.write(block)
        tick(len(block))


def sha256_of(stream: BinaryIO, tick: Callable[[int], None]) -> str:
    """The SHA-256 of an open file alone, for a comparison; `tick` is told every block's bytes."""
    sha256 = hashlib.sha256()
    for block in _content(stream, os.fstat(stream.fileno()).st_size):
        sha256.update(block)
        tick(len(block))
    return sha256.hexdigest()


def _one_read(stream: BinaryIO, size: int, tick: Callable[[int], None] | None) -> Digests:
    """Reads no further than `size` and one block, or a file that grows would never end."""
    sha256, fast = hashlib.sha256(), blake3()
    position, autov1 = 0, ""
    for block in _content(stream, size):
        sha256.update(block)
        fast.update(block)
        if position == _AUTOV1_START and len(block) >= _AUTOV1_BYTES:
            autov1 = hashlib.sha256(block[:_AUTOV1_BYTES]).hexdigest()[:8]
        position += len(block)
        if tick is not None:
            tick(len(block))
    return Digests(Sha256(sha256.hexdigest()), fast.hexdigest(), autov1, position)


def _content(stream: BinaryIO, size: int) -> Iterator[memoryview]:
    """Block after block, each valid until the next; holes of a sparse file are not read."""
    stream.seek(0)
    view = memoryview(bytearray(BLOCK))
    position = 0
    while position <= size and (count := stream.readinto(view)):  # type: ignore[attr-defined]
        yield view[:count]
        position += count
        if view == _ZEROS:
            for _ in range((_end_of_hole(stream, position, size) - position) // BLOCK):
                yield _ZEROS
                position += BLOCK
            stream.seek(position)


def _end_of_hole(stream: BinaryIO, position: int, size: int) -> int:
    """Where the next data begins, as far as the file system knows; `position` itself if it has no holes."""
    if not hasattr(os, "SEEK_DATA"):
        return position
    try:
        return min(os.lseek(stream.fileno(), position, os.SEEK_DATA), size)
    except OSError as error:
        return size if error.errno == errno.ENXIO else position


def tensor_digest(path: str) -> str:
    """SHA-256 of a safetensors file without its header, as sites know it under edited headers; empty if it has none.

    Its first twelve digits are the AutoV3 of Civitai.
    """
    try:
        with open_regular(os.path.realpath(path)) as stream:
            size = os.fstat(stream.fileno()).st_size
            length = int.from_bytes(stream.read(8), "little")
            if 8 + length > size:
                return ""
            stream.seek(8 + length)
            digest = hashlib.sha256()
            while block := stream.read(BLOCK):
                digest.update(block)
            return digest.hexdigest()
    except (OSError, Changed):
        return ""


def tensor_bytes(path: str) -> int:
    """Bytes behind the header of a safetensors file; 0 if it is none, or cannot be read."""
    try:
        with open_regular(os.path.realpath(path)) as stream:
            size = os.fstat(stream.fileno()).st_size
            return max(0, size - 8 - int.from_bytes(stream.read(8), "little"))
    except (OSError, Changed):
        return 0


def sample(stream: BinaryIO, size: int) -> str:
    """A cheap look at content: BLAKE3 over head, middle and tail, 64 KiB each. Not an identity."""
    fast = blake3()
    for offset in sorted({0, max(0, size // 2 - SAMPLE // 2), max(0, size - SAMPLE)}):
        stream.seek(offset)
        fast.update(stream.read(SAMPLE))
    return fast.hexdigest()[:32]


def same_content(first: BinaryIO, second: BinaryIO) -> bool:
    """Byte for byte; True at once if both are the same file."""
    if os.path.sameopenfile(first.fileno(), second.fileno()):
        return True
    first.seek(0)
    second.seek(0)
    while True:
        left, right = first.read(BLOCK), second.read(BLOCK)
        if left != right:
            return False
        if not left:
            return True


def open_regular(path: str) -> BinaryIO:
    """Open a regular file for reading: never follows a link, never blocks on a FIFO.

    Raises OSError as the system says it, or Changed if something else stands there now.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:  # our own reading is no use of a model; only its owner may ask for that
        descriptor = os.open(path, flags | getattr(os, "O_NOATIME", 0))
    except PermissionError:
        descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Changed("It is no longer a regular file.", hint="Scan again.")
    return os.fdopen(descriptor, "rb", buffering=0)
