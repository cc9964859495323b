"""What a deployment puts on disk: links, copies and small files of ours, each made at once and told from others.

Nothing here replaces or removes what does not stand as we made it.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO

from modelhub.core.deployment import How, LinkFile
from modelhub.core.errors import CannotLink, Changed, Conflict, InvalidInput
from modelhub.core.names import printable
from modelhub.core.types import Sha256
from modelhub.files import digest, links
from modelhub.files.digest import open_regular

_BLOCK = 1 << 20
Tick = Callable[[int], None]


def stands(file: LinkFile) -> bool:
    """Whether at its path is what we made there, and nothing else."""
    if file.how == "symlink":
        return links.target_of(file.path) == file.source
    found = links.lstat(file.path)
    if found is None or not stat.S_ISREG(found.st_mode):
        return False
    if file.how == "hardlink":
        source = links.lstat(file.source)
        same = source is not None and (source.st_dev, source.st_ino) == (found.st_dev, found.st_ino)
        return same or (source is None and file.stamp == _stamp(found, "hardlink"))
    if file.stamp and file.how != "write":
        now = _stamp(found, file.how)
        if now == file.stamp:
            return True
        if now.rpartition(":")[0] != file.stamp.rpartition(":")[0]:
            return False  # another file, or other content; only rights or names may have changed otherwise
    return _digest(file.path) == file.sha256


def stamp_of(file: LinkFile) -> str:
    """What tells a hard link or copy of ours from another file at its place; empty for links and files of ours."""
    if file.how not in ("hardlink", "copy", "reflink"):
        return ""
    found = links.lstat(file.path)
    return "" if found is None else _stamp(found, file.how)


def _stamp(found: os.stat_result, how: str) -> str:
    if how == "hardlink":
        return str(found.st_ino)
    return f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"


def place(file: LinkFile, tick: Tick | None = None) -> None:
    """Put it where it belongs, at once and complete; Conflict if anything stands there that is not ours.

    Raises CannotLink where the file system has no such link, Changed if a copy's source is not what it was.
    """
    if file.how != "write" and not os.path.exists(file.source):
        raise InvalidInput(f"{printable(file.source)} is gone.", hint="Run `modelhub verify`.")
    if file.how == "symlink":
        if file.was:
            links.replace_link(file.path, file.was, file.source)
        else:
            links.make_symlink(file.source, file.path)
        return
    os.makedirs(os.path.dirname(file.path), exist_ok=True)
    if file.how == "hardlink":
        _hard_link(file)
        return
    with _staged(file.path, partial(_fill, file, tick)) as temporary:
        if file.was and _digest(file.path) == file.was:
            os.replace(temporary, file.path)
        elif not links.publish(temporary, file.path):
            raise _taken(file.path)


@contextlib.contextmanager
def _staged(path: str, fill: Callable[[BinaryIO], object]) -> Iterator[str]:
    """Complete, durable content beside `path` under a temporary name, which is gone afterwards."""
    temporary = links.temporary_in(os.path.dirname(path))
    try:
        with open(temporary, "xb") as target:
            fill(target)
            target.flush()
            os.fsync(target.fileno())
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _fill(file: LinkFile, tick: Tick | None, target: BinaryIO) -> None:
    if file.how == "write":
        target.write(file.content)
    else:
        _copy(file, target, tick)


def _hard_link(file: LinkFile) -> None:
    try:
        made = links.hard_link(file.source, file.path)
    except FileExistsError as error:
        raise _taken(file.path) from error
    if not made:
        raise CannotLink(
            f"No hard link to the store can be made in {printable(os.path.dirname(file.path))}: it is on another file"
            " system, or this one has none.",
            hint="Use a folder on the hub's disk, or another method: `modelhub targets edit NAME --method symlink`.",
        )


def _taken(path: str) -> Conflict:
    return Conflict(f"{printable(path)} is taken by {links.what_stands_at(path)}.", hint="Move it away.")


def _copy(file: LinkFile, target: BinaryIO, tick: Tick | None) -> None:
    """Copy and prove: what was read must have the digest that the store promises."""
    with open_regular(file.source) as source:
        if file.how == "reflink":
            if not links.reflink(source, target):
                raise CannotLink(
                    f"The file system of {printable(os.path.dirname(file.path))} cannot share blocks with the store.",
                    hint="Use another method: `modelhub targets edit NAME --method symlink`.",
                )
            return
        read = hashlib.sha256()
        while block := source.read(_BLOCK):
            read.update(block)
            target.write(block)
            if tick is not None:
                tick(len(block))
    if read.hexdigest() != file.sha256:
        raise Changed(f"{printable(file.source)} is not what was stored.", hint="Run `modelhub verify`.")


def take_away(file: LinkFile) -> bool:
    """Remove what we made, if it stands as we made it; False if it is gone or somebody else's."""
    if not stands(file):
        return False
    try:
        os.unlink(file.path)
    except FileNotFoundError:
        return False
    return True


def write_over(path: str, content: bytes, before: str) -> None:
    """Give a file new content at once, if it still has the SHA-256 `before` (empty: if there is none).

    Its mode stays. A link is followed: the file it leads to is the one that is written. Raises Changed.
    """
    real = os.path.realpath(path)
    if read_config(real)[1] != before:
        raise Changed(f"{printable(path)} was changed meanwhile.", hint="Run the same command again.")
    os.makedirs(os.path.dirname(real), exist_ok=True)
    with _staged(real, lambda target: target.write(content)) as temporary:
        if before:
            os.chmod(temporary, stat.S_IMODE(os.stat(real).st_mode))
            os.replace(temporary, real)
        elif not links.publish(temporary, real):
            raise Changed(f"{printable(path)} was made meanwhile.", hint="Run the same command again.")
        links.sync([os.path.dirname(real)])


def remove_written(path: str, before: str) -> None:
    """Remove a file that is still what we wrote; raises Changed if it is not."""
    real = os.path.realpath(path)
    if read_config(real)[1] != before:
        raise Changed(f"{printable(path)} was changed meanwhile.", hint="Run the same command again.")
    if before:
        os.unlink(real)


def read_config(path: str) -> tuple[bytes | None, str]:
    """A small file and its SHA-256; None and an empty text if there is none."""
    try:
        with open_regular(os.path.realpath(path)) as file:
            content = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None, ""
    return content, hashlib.sha256(content).hexdigest()


def _digest(path: str) -> str:
    """The SHA-256 of a file; empty if it cannot be read."""
    try:
        with open_regular(path) as file:
            return digest.digests(file).sha256
    except (OSError, Changed):
        return ""


def missing_folders(folder: str) -> list[str]:
    """`folder` and those above it that would have to be made, the outermost first."""
    missing = []
    while folder and not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    return missing[::-1]


def sweep(folder: str) -> None:
    """Remove what a crash of ours left in a folder under a temporary name."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if links.is_leftover(entry.name) and not entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(entry.path)


def file_for_link(path: str, source: str, sha256: Sha256, how: How = "symlink") -> None:
    """Put a file of its own with the link's content where the link is, at once; blocks are shared where they can be."""

    def fill(target: BinaryIO) -> None:
        with open_regular(source) as content:
            shared = links.reflink(content, target)
        if not shared:
            _copy(LinkFile(path, source, sha256, "copy"), target, None)

    with _staged(path, fill) as temporary:
        if not links.leads_to(path, source, how):
            raise Changed(f"{printable(path)} was changed meanwhile.", hint="Run the same command again.")
        os.replace(temporary, path)
