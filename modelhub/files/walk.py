"""Every file under some folders, each met once, no link followed out of them."""

import contextlib
import fnmatch
import operator
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from modelhub.core.errors import Changed
from modelhub.core.types import Stamp
from modelhub.files.digest import open_regular, stamp

_HEX = frozenset("0123456789abcdef")


class Found(NamedTuple):
    """One directory entry that is no folder. `kind` is ``file``, ``link`` or what else it is."""

    path: str
    kind: str
    status: os.stat_result

    @property
    def stamp(self) -> Stamp:
        return stamp(self.status)

    @property
    def size(self) -> int:
        return self.status.st_size


@dataclass(frozen=True, slots=True)
class StoreFolder:
    """A hub, or a folder of a content-addressed store: what is in it belongs to that store and is not taken."""

    path: str


@dataclass(frozen=True, slots=True)
class Unwalkable:
    """A folder that could not be listed: nothing may be concluded about what is in it."""

    path: str
    reason: str


def walk(root: str, *, exclude: Sequence[str] = ()) -> Iterator[Found | Unwalkable | StoreFolder]:
    """Files under `root` (or `root` itself) in order of name.

    `exclude`: shell patterns over a folder's name, or over its last parts if they hold a slash.
    Links to folders are not followed. Hubs and folders named by a SHA-256 are told and not entered, by whatever
    path they are reached: a file of a store must never be taken for one that was found.
    """
    top = os.lstat(root)
    if not stat.S_ISDIR(top.st_mode):
        yield Found(root, _KINDS.get(stat.S_IFMT(top.st_mode), "device"), top)
        return
    waiting, kinds = [root], _KINDS.get
    while waiting:
        folder = waiting.pop()
        entries = _listing(folder)
        if not isinstance(entries, list):
            yield entries
            continue
        inner: list[str] = []
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
                kind = kinds(status.st_mode & _FORMAT, "device")
                if kind != "folder":
                    yield _new(Found, (entry.path, kind, status))
                elif is_address(entry.name):
                    yield StoreFolder(entry.path)
                elif not _excluded(entry.path, entry.name, exclude):
                    inner.append(entry.path)
            except FileNotFoundError:
                continue  # it went while we looked
            except OSError as error:
                yield Unwalkable(entry.path, (error.strerror or str(error)).lower())
        waiting.extend(reversed(inner))


def names_under(folder: str, *, deep: bool = True, most: int = 20_000) -> dict[str, int]:
    """Files under `folder` and their bytes, by relative name with slashes; links to files count as files.

    Empty if there are more than `most`, or if nothing can be read. Hidden folders are not entered.
    """
    found: dict[str, int] = {}
    waiting = [("", folder)]
    while waiting:
        prefix, here = waiting.pop()
        try:
            entries = list(os.scandir(here))
        except OSError:
            continue
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_file():
                    found[prefix + entry.name] = entry.stat().st_size
                elif deep and entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                    waiting.append((f"{prefix}{entry.name}/", entry.path))
        if len(found) > most:
            return {}
    return found


def links_under(folder: str, *, most: int) -> Iterator[str]:
    """Paths of links to files under `folder`, `most` at the most; links to folders are not followed."""
    waiting, met = [folder], 0
    while waiting and met < most:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        met += 1
                        yield entry.path
                    elif entry.is_dir(follow_symlinks=False) and not is_address(entry.name):
                        waiting.append(entry.path)
        except OSError:
            continue


def read_text(path: str, *, most: int = 1 << 20) -> str:
    """The text of a small regular file; empty if it is large, or cannot be read."""
    try:
        with open_regular(os.path.realpath(path)) as stream:
            if os.fstat(stream.fileno()).st_size > most:
                return ""
            return stream.read(most).decode("utf-8", "replace")
    except (OSError, Changed):
        return ""


def is_hub(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, "modelhub.db")) and os.path.isdir(os.path.join(folder, "models"))


def is_address(name: str) -> bool:
    """Whether a folder's name is a SHA-256, as in a store."""
    return len(name) == 64 and _HEX.issuperset(name)


def inside_store(path: str) -> str:
    """The hub or store folder that `path` is or lies in, by its real place; empty if none."""
    place = os.path.realpath(path)
    while True:
        if is_hub(place) or is_address(os.path.basename(place)):
            return place
        parent = os.path.dirname(place)
        if parent == place:
            return ""
        place = parent


def _listing(folder: str) -> list[os.DirEntry[str]] | Unwalkable | StoreFolder:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=_name)
    except OSError as error:
        return Unwalkable(folder, (error.strerror or str(error)).lower())
    return StoreFolder(folder) if is_hub(folder) else entries


_name = operator.attrgetter("name")
_FORMAT = stat.S_IFMT(0xFFFF)
_KINDS = {
    stat.S_IFREG: "file", stat.S_IFLNK: "link", stat.S_IFDIR: "folder", stat.S_IFIFO: "named pipe",
    stat.S_IFSOCK: "socket",
}  # fmt: skip


_new = tuple.__new__
"""Makes a named tuple at half the price of calling it; worth it only where there is one for each file on a disk."""


def _excluded(path: str, name: str, patterns: Sequence[str]) -> bool:
    for pattern in patterns:
        if "/" in pattern:
            parts = pattern.count("/") + 1
            if fnmatch.fnmatchcase("/".join(path.split(os.sep)[-parts:]), pattern):
                return True
        elif fnmatch.fnmatchcase(name, pattern):
            return True
    return False
