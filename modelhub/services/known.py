"""What earlier scans knew, as a scan asks it: one dictionary look-up and one stat for an unchanged file."""

import os
from collections.abc import Callable, Sequence

from modelhub.core.errors import Changed
from modelhub.core.events import FileSeen, Outcome
from modelhub.core.types import Adopt
from modelhub.files import digest
from modelhub.files.blobs import Blobs
from modelhub.files.walk import Found
from modelhub.services.intake import TAKES_PLACE
from modelhub.store.found import FoundFiles, Seen, perhaps_moved, same_file
from modelhub.store.recording import Brief, signed

PART = FileSeen("", "known")
"""Stands for an unchanged file of which its model's leading file tells all."""


class Known:
    """Recorded places and models, read once at the start of a scan."""

    def __init__(self, found_files: FoundFiles, blobs: Blobs, adopt: Adopt) -> None:
        self._found_files = found_files
        self._stores = adopt != "reference"
        self._unfinished_ways = TAKES_PLACE | {"copy"} if adopt in TAKES_PLACE else TAKES_PLACE
        self._stored = blobs.addresses()
        self._places = found_files.present()
        self._absent = found_files.absent()
        self._kinds = found_files.kinds()
        self._by_inode: dict[tuple[int, int], list[str]] | None = None

    def at(self, path: str) -> Seen | None:
        return self._found_files.at(path) if path in self._places or path in self._absent else None

    def has_content(self, sha256: str) -> bool:
        """Whether this content has a row."""
        return sha256 in self._kinds or bool(self._found_files.known([sha256]))

    def model(self, sha256: str) -> Brief | None:
        """The model of this content, also one that another scan has added meanwhile."""
        return self._found_files.brief(sha256)

    def unchanged(self) -> Callable[[Found], FileSeen | None]:
        """A look at one found file: what the record says of it if nothing is left to do, None if it must be looked at.

        The way of nearly every file of a second scan, so the look holds all it needs, takes plain rows, and makes no
        object but the answer. For files of which their model's leading file tells all, that is `PART`.
        """
        place_of, kind_of = self._places.get, self._kinds.get
        unfinished, stores, stored = self._unfinished_ways, self._stores, self._stored
        new, stat = tuple.__new__, os.stat

        def look(found: Found) -> FileSeen | None:  # noqa: PLR0911  (each return is a reason to look closer)
            path, file_kind, status = found
            row = place_of(path)
            if row is None:
                return None
            sha256, adopted, inode, size, mtime, ctime, _ = row
            if ctime != status.st_ctime_ns or mtime != status.st_mtime_ns or size != status.st_size:
                return None
            kind = kind_of(sha256)
            if kind is None or (inode != status.st_ino and inode != signed(status.st_ino)):
                return None
            if file_kind == "link":
                try:
                    size = stat(path).st_size
                except OSError:
                    return None
            elif file_kind != "file" or adopted in unfinished or (stores and sha256 not in stored):
                return None
            if not kind:
                return PART
            kind, base, sub_type, confidence, sha256 = kind
            told = (path, "known", sha256, size, kind, base, sub_type, confidence, "", "")
            return new(FileSeen, told)  # half the price of calling it

        return look

    def as_recorded(self, found: Found, seen: Seen, *, adoptable: bool = True) -> FileSeen | None:
        """As `unchanged`, for files that are no models, broken or unsafe ones, and those that are never adopted."""
        if not same_file(seen, found.status):
            return None
        if seen.sha256 is None:
            return FileSeen(found.path, "skipped", "", seen.size, code=seen.code, message=seen.message)
        brief = self.model(seen.sha256)
        if brief is None or brief.deleted:
            return None
        if adoptable and brief.state == "ok" and self.unfinished(seen.sha256, seen.adopted):
            return None
        return event(found.path, seen.sha256, seen.size, brief)

    def unfinished(self, sha256: str | None, adopted: str) -> bool:
        """A crash kept the link from being made, or the file is wanted in the store now."""
        return adopted in self._unfinished_ways or (self._stores and sha256 not in self._stored)

    def moved_here(self, found: Found, *, dry_run: bool) -> FileSeen | None:
        """A known file under a new name: recognised without reading it whole; its record follows it."""
        if self._by_inode is None:
            self._by_inode = self._found_files.by_inode()
        for old in self._by_inode.get((signed(found.status.st_ino), found.size), ()):
            record = self.at(old)
            if record is None or not record.sha256 or not perhaps_moved(record, found.stamp) or os.path.lexists(old):
                continue
            brief = self.model(record.sha256)
            if brief is None or brief.deleted or not _same_sample(found, record):
                continue
            if brief.state == "ok" and self.unfinished(record.sha256, record.adopted):
                continue
            if not dry_run:
                self._found_files.moved(record, found.path, found.stamp)
            self._places.pop(old, None)
            return event(found.path, record.sha256, found.size, brief)
        return None

    def compare_store(self, blobs: Blobs) -> None:
        """Contents that left the store behind our back are noted, and those that are back again."""
        stored = self._found_files.stored()
        lost = stored - self._stored
        there = self._found_files.known(self._stored - stored)
        files = {sha256: blobs.files(sha256) for sha256 in there}
        back = {sha256: found[0].name for sha256, found in files.items() if found}
        blobs.settle(back)
        if lost or back:
            self._found_files.restore_truth(lost, back)

    def gone(self, root: str, recorded: int, unreadable: Sequence[str]) -> list[str]:
        """Recorded places under `root` where nothing stands now; where we could not look, nothing is concluded.

        `recorded`: how many recorded places the walk of `root` met; if it met all, no place is looked at again.
        """
        inside = os.path.join(root, "")
        below = [path for path in self._places if path.startswith(inside) or path == root]
        if len(below) == recorded:
            return []
        blind = tuple(os.path.join(path, "") for path in unreadable)
        return [path for path in below if not path.startswith(blind) and not os.path.lexists(path)]


def _same_sample(found: Found, seen: Seen) -> bool:
    try:
        with digest.open_regular(found.path) as stream:
            return digest.sample(stream, found.size) == seen.sample
    except (OSError, Changed):
        return False


def event(path: str, sha256: str, size: int, brief: Brief) -> FileSeen:
    """What is said about a file of a known model."""
    outcome: Outcome = "broken" if brief.state == "broken" else "unsafe" if brief.state == "unsafe" else "known"
    told = outcome != "known"
    return FileSeen(
        path=path,
        outcome=outcome,
        sha256=sha256,
        size=size,
        type=brief.type,
        base=brief.base,
        sub_type=brief.sub_type,
        confidence=brief.confidence,
        code=brief.code if told else "",
        message=brief.message if told else "",
    )
