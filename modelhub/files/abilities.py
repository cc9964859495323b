"""Which kinds of link a folder can have, found out by making one and taking it away at once."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from functools import cache

from modelhub.core.apps import Method
from modelhub.core.errors import ModelHubError, from_os_error
from modelhub.core.names import printable
from modelhub.files import links

_SANDBOXES = (
    ("/.var/app/", "Flatpak", "flatpak override --user --filesystem={hub}:ro {name}"),
    ("/snap/", "snap", "sudo snap connect {name}:removable-media (or keep the hub in your home folder, not hidden)"),
    ("/Library/Containers/", "sandboxed Mac app", "import the file in the app itself"),
)
_NAMES_AS_WINDOWS = {"vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk", "cifs", "smb3", "9p", "drvfs"}


def existing(folder: str) -> str:
    """The folder, or the nearest one above it that exists."""
    while folder and not os.path.isdir(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    return folder


def why_not(method: Method, folder: str, hub: str) -> str:
    """Why `method` cannot be used in `folder` for files of `hub`; empty if it can.

    It is tried in the nearest folder that exists, which looks as before afterwards.
    """
    place = existing(folder)
    if not os.access(place, os.W_OK):
        return f"{printable(place)} cannot be written"
    trial = links.temporary_in(place)
    try:
        with _time_kept(place):
            return _TRIALS[method](trial, hub) if method in _TRIALS else ""
    except OSError as error:
        return from_os_error(error, printable(place)).message.rstrip(".")
    except ModelHubError as error:
        return error.message.rstrip(".")


def _symlink(trial: str, hub: str) -> str:
    links.make_symlink(hub, trial)
    os.unlink(trial)
    return ""


def _hard_link(trial: str, hub: str) -> str:
    if os.stat(os.path.dirname(trial)).st_dev != os.stat(hub).st_dev:
        return "it lies on another file system than the hub"
    with _file_in(hub) as source:
        if not links.hard_link(source, trial):
            return "its file system has no hard links"
        os.unlink(trial)
    return ""


def _reflink(trial: str, hub: str) -> str:
    with _file_in(hub) as source, open(source, "rb") as content, open(trial, "xb") as target:
        shared = links.reflink(content, target)
        os.unlink(trial)
    return "" if shared else "its file system cannot share blocks with the hub's"


_TRIALS = {"symlink": _symlink, "hardlink": _hard_link, "reflink": _reflink}


@contextlib.contextmanager
def _file_in(hub: str) -> Iterator[str]:
    """A small file in the hub, for as long as a trial takes."""
    path = links.temporary_in(hub)
    with _time_kept(hub):
        with open(path, "xb") as file:
            file.write(b"trial" * 1000)
        try:
            yield path
        finally:
            os.unlink(path)


@contextlib.contextmanager
def _time_kept(folder: str) -> Iterator[None]:
    """Some apps look again at folders that are newer than when they last looked."""
    before = os.stat(folder)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))


def sandbox(folder: str, hub: str) -> str:
    """What one has to know if the app in `folder` is shut in and cannot follow links to `hub`; empty if it is not."""
    for mark, kind, remedy in _SANDBOXES:
        if mark in folder and mark not in hub:
            name = folder.split(mark, 1)[1].split("/", maxsplit=1)[0]
            told = remedy.format(hub=printable(hub), name=printable(name))
            return f"It is a {kind} and sees only its own folders, so links into the hub lead nowhere there: {told}."
    return ""


def names_as_windows(folder: str) -> bool:
    """Whether the file system of `folder` refuses the names that Windows refuses."""
    return sys.platform == "win32" or file_system(existing(folder)) in _NAMES_AS_WINDOWS


def file_system(folder: str) -> str:
    """The type of file system, as the system calls it; empty where it is not told."""
    best = ("", "")
    real = os.path.realpath(folder)
    for point, kind in _mounts():
        if (real == point or real.startswith(point.rstrip("/") + "/")) and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


@cache
def _mounts() -> tuple[tuple[str, str], ...]:
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
            rows = [line.split(" - ") for line in table]
    except OSError:
        return ()
    found = ((head.split()[4], tail.split()[0]) for head, tail in rows)
    return tuple((point.replace("\\040", " "), kind) for point, kind in found)


def free_bytes(folder: str) -> int | None:
    """Room on the folder's disk, in bytes; None where it is not told."""
    try:
        return shutil.disk_usage(existing(folder)).free
    except OSError:
        return None
