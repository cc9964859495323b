"""Links, durable renames and locks: the differences between platforms and file systems live here.

Nothing in here replaces or removes a thing that it has not looked at in the moment before.
"""

import contextlib
import errno
import os
import re
import stat
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from modelhub.core.errors import CannotLink, Changed, Conflict, Unreadable
from modelhub.core.names import printable

_FICLONE = 0x40049409
_TEMPORARY = re.compile(r"\.modelhub-[0-9a-f]{32}")
_SYNC_THREADS = 16
_WAIT_SECONDS = 0.02
_LOCK_AT, _LOCK_BYTES = 1 << 30, 1 << 20
_NO_HARD_LINK = {
    errno.EXDEV,
    errno.EPERM,
    errno.EOPNOTSUPP,
    errno.ENOTSUP,
    errno.EMLINK,
    errno.ENOSYS,
    errno.EACCES,
}
_NO_SYMLINK = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}
_NO_PRIVILEGE = 1314
"""Windows: making links needs Developer Mode or an administrator."""


def target_of(path: str) -> str | None:
    """What the link at `path` points to, as written in it; None if no link is there."""
    try:
        return os.readlink(path)
    except OSError:
        return None


def lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def what_stands_at(path: str) -> str:
    """For a conflict: what is in the way."""
    found = lstat(path)
    if found is None:
        return "nothing"
    if stat.S_ISLNK(found.st_mode):
        return f"a link to {printable(target_of(path) or '?')}"
    return "a folder" if stat.S_ISDIR(found.st_mode) else "a file"


def make_symlink(source: str, path: str) -> None:
    """A new symlink at `path`; Conflict if anything stands there. Parents are made."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        _symlink(source, path)
    except FileExistsError as error:
        raise Conflict(f"{printable(path)} is taken by {what_stands_at(path)}.", hint="Move it away.") from error


def _symlink(source: str, path: str) -> None:
    """`os.symlink`, with the reason in words where a system has no symlinks."""
    try:
        os.symlink(source, path)
    except OSError as error:
        if getattr(error, "winerror", None) == _NO_PRIVILEGE:
            raise Unreadable(
                "Windows does not let this account make symlinks.",
                hint="Switch on Developer Mode in the settings.",
            ) from error
        if error.errno in _NO_SYMLINK:
            raise CannotLink(
                f"No symlink can be made in {printable(os.path.dirname(path))}: its file system (exFAT, FAT, some"
                " network shares) has none.",
                hint="Use --adopt copy or reference, or a folder on another disk.",
            ) from error
        raise


def leads_to(path: str, source: str, how: str) -> bool:
    """Whether `path` is still the symlink or hard link to `source` that we made."""
    if how != "hardlink":
        return target_of(path) == source
    try:
        return os.path.samestat(os.lstat(path), os.lstat(source))
    except OSError:
        return False


def remove_symlink(path: str, expected: str) -> bool:
    """Remove the link at `path` if it still points to `expected`; False if it is gone or not as we left it."""
    if target_of(path) != expected:
        return False
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def remove_if_empty(folder: str) -> None:
    """Remove a folder in which nothing is left; anything else stays."""
    with contextlib.suppress(OSError):
        os.rmdir(folder)


def same_entry(first: str, second: str) -> bool:
    """Whether two paths are one and the same name in one and the same folder, by whatever way it is reached."""
    folders = os.stat(os.path.dirname(first)), os.stat(os.path.dirname(second))
    return os.path.basename(first) == os.path.basename(second) and os.path.samestat(*folders)


def is_leftover(name: str) -> bool:
    """A temporary link of ours that a crash left behind."""
    return _TEMPORARY.fullmatch(name) is not None


def temporary_in(folder: str) -> str:
    """A name for what is not complete yet, or only tried; `is_leftover` knows it."""
    return os.path.join(folder, f".modelhub-{uuid.uuid4().hex}")


def replace_link(path: str, expected: str, source: str) -> None:
    """Point our own link elsewhere, atomically, if it still points to `expected`."""
    temporary = temporary_in(os.path.dirname(path))
    _symlink(source, temporary)
    if target_of(path) == expected:
        os.replace(temporary, path)
    else:
        os.unlink(temporary)


def replace_by_symlink(path: str, source: str, *, inode: int, size: int, mtime_ns: int) -> None:
    """Put a link to `source` where a file stood, atomically, if it is still the file we know."""
    if same_entry(path, source):
        raise Conflict(f"{printable(path)} is the stored file itself.", hint="Do not scan a hub.")
    temporary = temporary_in(os.path.dirname(path))
    _symlink(source, temporary)
    _take_place(temporary, path, inode=inode, size=size, mtime_ns=mtime_ns)


def replace_by_hard_link(path: str, source: str, *, inode: int, size: int, mtime_ns: int) -> None:
    """Make `path` a second name of `source`, atomically, if it is still the file we know."""
    temporary = temporary_in(os.path.dirname(path))
    if not hard_link(source, temporary):
        told = f"No hard link can be made from {printable(source)} to {printable(path)}."
        raise CannotLink(told, hint="Use symlinks: --way symlink.")
    _take_place(temporary, path, inode=inode, size=size, mtime_ns=mtime_ns)


def _take_place(temporary: str, path: str, *, inode: int, size: int, mtime_ns: int) -> None:
    """Put what stands under a temporary name where a file stood, atomically, if that is still the file we know."""
    try:
        require_unchanged(path, inode=inode, size=size, mtime_ns=mtime_ns)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def remove_file(path: str, source: str, *, inode: int, size: int, mtime_ns: int) -> None:
    """Remove a file that lives on in the store at `source`, if it is still the file we know."""
    if same_entry(path, source):
        raise Conflict(f"{printable(path)} is the stored file itself.", hint="Do not scan a hub.")
    require_unchanged(path, inode=inode, size=size, mtime_ns=mtime_ns)
    os.unlink(path)


def require_unchanged(path: str, *, inode: int, size: int, mtime_ns: int) -> None:
    found = os.lstat(path)
    if (found.st_ino, found.st_size, found.st_mtime_ns) != (inode, size, mtime_ns):
        raise Changed(f"{printable(path)} was replaced or written to meanwhile.", hint="Scan again.")


def hard_link(source: str, target: str) -> bool:
    """A second name for the file; False where the file system or the distance does not allow one."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_HARD_LINK:
            return False
        raise
    return True


def publish(staged: str, final: str) -> bool:
    """Give complete content its final name; False if the name was taken meanwhile (nothing is replaced)."""
    try:
        os.link(staged, final, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_HARD_LINK:
            raise
        if os.path.lexists(final):
            return False
        os.rename(staged, final)
        return True
    os.unlink(staged)
    return True


def rename_free(path: str, final: str) -> None:
    """Give a file another name in the same file system; Conflict if the name is taken, CannotLink on another one."""
    os.makedirs(os.path.dirname(final), exist_ok=True)
    try:
        if not publish(path, final):
            raise Conflict(f"{printable(final)} is taken by {what_stands_at(final)}.", hint="Move it away.")
    except OSError as error:
        if error.errno == errno.EXDEV:
            told = f"{printable(final)} lies on another file system than {printable(path)}."
            raise CannotLink(told, hint="Move it by hand.") from error
        raise


def reflink(source: BinaryIO, target: BinaryIO) -> bool:
    """Share the content copy-on-write, where the file system can (btrfs, xfs, bcachefs on Linux)."""
    if not sys.platform.startswith("linux"):
        return False
    import fcntl  # noqa: PLC0415  (POSIX only)

    try:
        fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
    except OSError:
        return False
    return True


def sync(paths: Iterable[str]) -> None:
    """Make files or folders durable. Many at once, since a journal writes them together."""
    unique = list(dict.fromkeys(paths))
    if len(unique) == 1:
        sync_one(unique[0])
    elif unique:
        with ThreadPoolExecutor(min(_SYNC_THREADS, len(unique))) as pool:
            list(pool.map(sync_one, unique))


def sync_one(path: str) -> None:
    """Make one file or folder durable."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except PermissionError:
        if os.name == "nt":  # folders cannot be opened there, and need not be
            return
        raise
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: str) -> None:
    """Make a folder and those above it that are missing, each durable: what is in it lasts only if its names do."""
    if not os.path.isdir(path):
        above = os.path.dirname(path)
        make_folder(above)
        os.makedirs(path, exist_ok=True)
        sync_one(above)


@contextlib.contextmanager
def try_lock(path: Path, *, shared: bool = False) -> Iterator[bool]:
    """Hold a lock on `path` while the block runs; yields False if another process holds one that forbids it.

    Several may hold a `shared` one. The lock is the kernel's and dies with the process: the file itself means nothing.
    """
    with _open_lock(path) as descriptor:
        yield _lock(descriptor, shared=shared)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[int]:
    """Wait for an exclusive lock on `path` and hold it while the block runs; its descriptor, open for both ways."""
    with _open_lock(path) as descriptor:
        while not _lock(descriptor):
            time.sleep(_WAIT_SECONDS)
        yield descriptor


@contextlib.contextmanager
def _open_lock(path: Path) -> Iterator[int]:
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, shared: bool = False) -> bool:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415

        # far behind the end of any content; a shared lock is a byte of its own, the other one is all of them
        os.lseek(descriptor, _LOCK_AT + (os.getpid() % _LOCK_BYTES if shared else 0), os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1 if shared else _LOCK_BYTES)
        except OSError:
            return False
        return True
    import fcntl  # noqa: PLC0415

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
