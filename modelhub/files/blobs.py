"""The store of contents: `models/<sha256>/<original file name>`.

A final name always means complete, verified, durable content: content is staged under `partial/`, made
durable there, and only then given its name, which never replaces anything.
"""

import contextlib
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

from modelhub.core.errors import CannotLink, Changed, Conflict, HashMismatch, from_os_error
from modelhub.core.names import printable
from modelhub.core.places import HubPlaces
from modelhub.core.types import Digests, Sha256
from modelhub.files import digest, links
from modelhub.files.walk import is_address

_WRITE_BITS = 0o222
_LARGEST_NOTE = 4096
Tick = Callable[[int], None]
How = Literal["second_name", "hardlink", "reflink", "copy"]
"""How content comes into the store; see Staging.place."""


@dataclass(frozen=True, slots=True)
class Staged:
    """Content in `partial/`, complete and verified, waiting for its name."""

    path: str
    sha256: Sha256
    name: str
    size: int
    mtime_ns: int
    mode: int

    def is_whole(self) -> bool:
        """False once somebody wrote to it: a second name of the user's file shares its content."""
        found = os.lstat(self.path)
        return (found.st_size, found.st_mtime_ns) == (self.size, self.mtime_ns)


class Blobs:
    """The contents of one hub."""

    def __init__(self, places: HubPlaces) -> None:
        self.root = str(places.models)
        self._partial = places.partial
        self._lock_file = places.lock

    def folder(self, sha256: str) -> str:
        return os.path.join(self.root, sha256)

    def addresses(self) -> set[str]:
        """Every SHA-256 that has a folder in the store."""
        try:
            return {entry.name for entry in os.scandir(self.root) if is_address(entry.name)}
        except FileNotFoundError:
            return set()

    def files(self, sha256: str) -> list[os.DirEntry[str]]:
        """The regular files of a blob's folder, without the `.hash` notes of the first version."""
        try:
            entries = sorted(os.scandir(self.folder(sha256)), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return []
        found = [entry for entry in entries if entry.is_file(follow_symlinks=False)]
        return [entry for entry in found if not _is_note(entry.name, found)]

    def clear(self, sha256: str) -> None:
        """Remove the notes of the first version from a folder that has no content any more."""
        if not self.files(sha256) or all(entry.name.endswith(".hash") for entry in self.files(sha256)):
            for entry in self.files(sha256):
                if entry.stat(follow_symlinks=False).st_size < _LARGEST_NOTE:
                    os.unlink(entry.path)

    def folders_in(self, sha256: str) -> list[str]:
        """What is neither a file nor belongs in a blob's folder: other folders, links."""
        try:
            return [entry.name for entry in os.scandir(self.folder(sha256)) if not entry.is_file(follow_symlinks=False)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def strangers(self) -> list[tuple[str, str]]:
        """Names and paths of what stands in the store and is no folder of a blob."""
        try:
            with os.scandir(self.root) as entries:
                found = [
                    (entry.name, entry.path)
                    for entry in entries
                    if not is_address(entry.name) or not entry.is_dir(follow_symlinks=False)
                ]
        except FileNotFoundError:
            return []
        return sorted(found)

    def find(self, sha256: str, size: int) -> str | None:
        """Path of the stored content, None if it is not here; HashMismatch if what is here cannot be it."""
        files = [entry for entry in self.files(sha256) if not entry.name.startswith(".")]
        sizes = [entry.stat(follow_symlinks=False).st_size for entry in files]
        if size in sizes:
            return files[sizes.index(size)].path
        if files:
            raise HashMismatch(
                f"The stored file {sha256} is damaged: {sizes[0]} bytes where {size} are right.",
                hint="Run `modelhub verify`; your file was left where it is.",
            )
        return None

    def publish(self, staged: Sequence[Staged]) -> set[str]:
        """Give staged contents their final names, durably: content first, then names, then folders.

        Paths of staged contents that were written to meanwhile are returned; they get no name.
        """
        changed = {one.path for one in staged if not one.is_whole()}
        for one in staged:
            if one.path not in changed:
                os.chmod(one.path, one.mode & ~_WRITE_BITS)
        links.sync(one.path for one in staged if one.path not in changed)
        for one in staged:
            if one.path not in changed and not one.is_whole():
                os.chmod(one.path, one.mode)  # the user's own file shares its mode
                changed.add(one.path)
        whole = [one for one in staged if one.path not in changed]
        if whole:
            links.make_folder(self.root)
        for one in whole:
            folder = self.folder(one.sha256)
            os.makedirs(folder, exist_ok=True)
            if self.find(one.sha256, one.size) or not links.publish(one.path, os.path.join(folder, one.name)):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(one.path)
        if whole:
            links.sync([*(self.folder(one.sha256) for one in whole), self.root])
        return changed

    def settle(self, addresses: Iterable[str]) -> None:
        """Make names durable that another process gave, which may have died before it did."""
        folders = [self.folder(sha256) for sha256 in addresses]
        if folders:
            links.sync([*folders, self.root])

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Nothing is removed from the store while this is held; any number of processes may hold it.

        Raises Conflict while contents are being removed.
        """
        with self._lock(shared=True) as free:
            if not free:
                raise Conflict("Files are being removed from this hub.", hint="Run the same command when it is done.")
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nothing comes into the store while this is held. Raises Conflict while anything works on it."""
        with self._lock(shared=False) as free:
            if not free:
                told = "A scan or another long task is running on this hub."
                raise Conflict(told, hint="Run the same command when it is done.")
            yield

    @contextlib.contextmanager
    def _lock(self, *, shared: bool) -> Iterator[bool]:
        try:
            self._partial.mkdir(parents=True, exist_ok=True)
            with links.try_lock(self._lock_file, shared=shared) as free:
                yield free
        except OSError as error:
            raise from_os_error(error, printable(self._partial)) from error

    def contains(self, path: str) -> str | None:
        """The address, if `path` names a file in the store of this hub."""
        prefix = self.root + os.sep
        if not path.startswith(prefix):
            return None
        address = path[len(prefix) :].split(os.sep, 1)[0]
        return address if is_address(address) else None


def _is_note(name: str, files: list[os.DirEntry[str]]) -> bool:
    """`model.hash` beside `model.safetensors`: a text file of the first version."""
    stem, extension = os.path.splitext(name)
    return extension == ".hash" and any(other.name != name and other.name.startswith(stem) for other in files)


class Staging:
    """A folder of this process under `partial/`, held by a lock, swept by the next one after a crash."""

    def __init__(self, places: HubPlaces) -> None:
        self._blobs = Blobs(places)
        self._partial = places.partial
        self._name = uuid.uuid4().hex
        self._exit = contextlib.ExitStack()
        self.folder = str(self._partial / self._name)

    def __enter__(self) -> Self:
        self._exit.enter_context(self._blobs.working())
        self._sweep()
        self._exit.enter_context(links.try_lock(self._lock_file(self._name)))
        os.mkdir(self.folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock_file(self._name).unlink(missing_ok=True)
        self._exit.close()

    def _lock_file(self, name: str) -> Path:
        return self._partial / f"{name}.lock"

    def _sweep(self) -> None:
        """Remove what processes that are gone left behind: only folders of ours, only if their lock is free."""
        for name in {path.stem for path in self._partial.glob(f"{'[0-9a-f]' * 32}*")}:  # a power cut may leave either
            folder, lock = self._partial / name, self._lock_file(name)
            with links.try_lock(lock) as free:
                if free:
                    shutil.rmtree(folder, ignore_errors=True)
                    lock.unlink(missing_ok=True)

    def place(self, stream: BinaryIO, source: str, digests: Digests, how: How, tick: Tick | None = None) -> Staged:
        """Stage the content of the open file `stream` that stands at `source`.

        ``copy`` shares blocks where the file system can; ``second_name`` makes a hard link, or else a copy. The
        strict ways ``hardlink`` and ``reflink`` raise CannotLink where the file system has no such thing.
        """
        target = os.path.join(self.folder, uuid.uuid4().hex)
        known = os.fstat(stream.fileno())
        if how in ("second_name", "hardlink") and links.hard_link(source, target):
            mine = os.lstat(target)
            if (mine.st_dev, mine.st_ino) != (known.st_dev, known.st_ino):
                os.unlink(target)
                raise Changed("It was replaced by another file meanwhile.", hint="Scan again.")
        elif how == "hardlink":
            raise CannotLink(
                "No hard link can be made from its place to the hub: they are on different file systems, or this one"
                " has no hard links.",
                hint="Use --adopt copy, symlink or reference.",
            )
        else:
            _copy(stream, target, digests, tick, must_share=how == "reflink")
            known = os.lstat(target)
        staged = Staged(
            path=target,
            sha256=digests.sha256,
            name=os.path.basename(source),
            size=digests.size,
            mtime_ns=known.st_mtime_ns,
            mode=stat.S_IMODE(known.st_mode),
        )
        if not staged.is_whole():
            raise Changed("It was written to meanwhile.", hint="Scan again when nothing writes to it.")
        return staged


def _copy(stream: BinaryIO, target: str, digests: Digests, tick: Tick | None, *, must_share: bool) -> None:
    """Copy and verify: what was written is read back and must have the digest. A failed copy takes no room."""
    try:
        with open(target, "xb", buffering=0) as copy:
            stream.seek(0)
            if not links.reflink(stream, copy):
                _refuse_copy(must_share=must_share)
                for block in _blocks(stream):
                    _write(copy, block)
                    if tick is not None:
                        tick(len(block))
                copy.truncate(digests.size)
        _require_digest(target, digests)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target)
        raise


def _refuse_copy(*, must_share: bool) -> None:
    if must_share:
        raise CannotLink(
            "This file system cannot share blocks between files (Btrfs and XFS can), or its place is on another one"
            " than the hub.",
            hint="Use --adopt copy, symlink or reference.",
        )


def _require_digest(path: str, expected: Digests) -> None:
    with digest.open_regular(path) as written:
        if digest.digests(written).sha256 != expected.sha256:
            raise Changed("Its copy has other content: it was written to meanwhile.", hint="Scan again.")


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(digest.BLOCK):
        yield block


def _write(copy: BinaryIO, block: bytes) -> None:
    """Blocks of zeros stay holes, so that a sparse file stays sparse."""
    if not block.strip(b"\0"):
        copy.seek(len(block), os.SEEK_CUR)
        return
    view = memoryview(block)
    while view:
        view = view[copy.write(view) :]
