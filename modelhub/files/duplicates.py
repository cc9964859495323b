"""Files with the same content: by size, then by a look at head and tail, then by all of their bytes."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from blake3 import blake3

from modelhub.files.digest import BLOCK

_SMALL = 64 << 10
"""Files up to so many bytes are read whole at once; of larger ones head and tail are compared before."""

_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Sized(NamedTuple):
    """One file as the walk saw it."""

    path: str
    size: int
    dev: int
    inode: int
    mtime_ns: int


class Reading(NamedTuple):
    """How far the comparison is: bytes read of those files that could be alike."""

    bytes: int
    total: int
    path: str


def candidates(files: Iterable[Sized]) -> list[list[Sized]]:
    """Files of equal size; names of one and the same file are one. Empty files are nobody's copies."""
    by_size: defaultdict[int, list[Sized]] = defaultdict(list)
    for file in files:
        if file.size:
            by_size[file.size].append(file)
    found = []
    for group in by_size.values():
        if len(group) > 1:
            names = {(file.dev, file.inode): file for file in reversed(group)}
            if len(names) > 1:
                found.append(sorted(names.values(), key=lambda file: file.path))
    return found


def same(groups: Sequence[Sequence[Sized]]) -> Iterator[Reading | list[Sized]]:
    """Lists of files with equal content, with words on how far it is between them; what cannot be read is left out."""
    done, total = 0, sum(file.size for group in groups for file in group)
    for group in groups:
        parts = [list(group)] if group[0].size <= _SMALL else _split(group)
        for part in parts:
            if len(part) < 2:
                continue
            by_content: defaultdict[bytes, list[Sized]] = defaultdict(list)
            for file in part:
                content = _whole(file.path, file.size)
                done += file.size
                if content is not None:
                    by_content[content].append(file)
                if file.size > BLOCK:
                    yield Reading(done, total, file.path)
            yield from (alike for alike in by_content.values() if len(alike) > 1)
        yield Reading(done, total, group[0].path)


def _split(group: Sequence[Sized]) -> list[list[Sized]]:
    by_ends: defaultdict[bytes, list[Sized]] = defaultdict(list)
    for file in group:
        ends = _ends(file.path, file.size)
        if ends is not None:
            by_ends[ends].append(file)
    return list(by_ends.values())


def _ends(path: str, size: int) -> bytes | None:
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return None
    try:
        head = os.read(descriptor, _SMALL // 8)
        os.lseek(descriptor, max(0, size - _SMALL // 8), os.SEEK_SET)
        return head + os.read(descriptor, _SMALL // 8)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _whole(path: str, size: int) -> bytes | None:
    """BLAKE3 of all that is in a file; None if it cannot be read, or has another size now."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return None
    try:
        if size <= _SMALL:
            content = os.read(descriptor, size + 1)
            return blake3(content).digest() if len(content) == size else None
        fast, read = blake3(), 0
        while block := os.read(descriptor, BLOCK):
            fast.update(block)
            read += len(block)
        return fast.digest() if read == size else None
    except OSError:
        return None
    finally:
        os.close(descriptor)
