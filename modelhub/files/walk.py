"""Every file under some folders, each met once, no link followed out of them."""

import fnmatch
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modelhub.core.types import Stamp
from modelhub.files.digest import stamp


@dataclass(frozen=True, slots=True)
class Found:
    """One directory entry that is no folder. `kind` is ``file``, ``link`` or what else it is."""

    path: str
    kind: str
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Unwalkable:
    """A folder that could not be listed: nothing may be concluded about what is in it."""

    path: str
    reason: str


def walk(root: str, *, exclude: Sequence[str] = (), skip: Sequence[str] = ()) -> Iterator[Found | Unwalkable]:
    """Files under `root` (or `root` itself) in order of name.

    `exclude`: shell patterns over a folder's name, or over its last parts if they hold a slash.
    `skip`: absolute paths that are not entered. Links to folders are not followed.
    """
    top = os.lstat(root)
    if not stat.S_ISDIR(top.st_mode):
        yield _found(root, top)
        return
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            yield Unwalkable(folder, (error.strerror or str(error)).lower())
            continue
        inner = []
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    if entry.path not in skip and not _excluded(entry.path, entry.name, exclude):
                        inner.append(entry.path)
                else:
                    yield _found(entry.path, entry.stat(follow_symlinks=False))
            except FileNotFoundError:
                continue  # it went while we looked
            except OSError as error:
                yield Unwalkable(entry.path, (error.strerror or str(error)).lower())
        waiting.extend(reversed(inner))


def _found(path: str, result: os.stat_result) -> Found:
    mode = result.st_mode
    if stat.S_ISREG(mode):
        kind = "file"
    elif stat.S_ISLNK(mode):
        kind = "link"
    elif stat.S_ISFIFO(mode):
        kind = "named pipe"
    elif stat.S_ISSOCK(mode):
        kind = "socket"
    else:
        kind = "device"
    return Found(path, kind, stamp(result))


def _excluded(path: str, name: str, patterns: Sequence[str]) -> bool:
    for pattern in patterns:
        if "/" in pattern:
            parts = pattern.count("/") + 1
            if fnmatch.fnmatchcase("/".join(path.split(os.sep)[-parts:]), pattern):
                return True
        elif fnmatch.fnmatchcase(name, pattern):
            return True
    return False
