"""What earlier scans knew, as a scan asks it: one dictionary look-up and one stat for an unchanged file."""

import os
from collections.abc import Iterator, Sequence

from modelhub.core.errors import Changed
from modelhub.core.events import FileSeen, Outcome
from modelhub.core.types import Adopt
from modelhub.files import digest
from modelhub.files.blobs import Blobs
from modelhub.files.walk import Found
from modelhub.services.intake import TAKES_PLACE
from modelhub.store.found import Brief, FoundFiles, Kind, Place, Seen, perhaps_moved, same_file, signed

_SHA256, _PRESENT, _INODE, _SIZE = (Place._fields.index(name) for name in ("sha256", "present", "inode", "size"))
_STATE, _DELETED, _FILE_SIZE = (Kind._fields.index(name) for name in ("state", "deleted", "file_size"))


class Known:
    """Recorded places and models, read once at the start of a scan."""

    def __init__(self, found_files: FoundFiles, blobs: Blobs, adopt: Adopt) -> None:
        self._found_files = found_files
        self._adopt = adopt
        self._stored = blobs.addresses()
        self._places = found_files.all()
        self._kinds = found_files.kinds()
        self._by_inode: dict[tuple[int, int], list[str]] | None = None

    def sizes(self) -> set[int]:
        """Sizes of all known contents, in bytes."""
        return {row[_SIZE] for row in self._places.values() if row[_SHA256]}

    def at(self, path: str) -> Seen | None:
        return self._found_files.at(path) if path in self._places else None

    def model(self, sha256: str) -> Brief | None:
        """The model of this content, also one that another scan has added meanwhile."""
        return self._found_files.brief(sha256)

    def unchanged(self, found: Found) -> FileSeen | None:  # noqa: PLR0911  (each return is a reason to look closer)
        """What the record says of a known model with nothing left to do; None if it must be looked at.

        The way of nearly every file of a second scan: plain rows, and no object made but the answer.
        """
        row = self._places.get(found.path)
        if row is None:
            return None
        sha256, adopted, present, inode, size, mtime, ctime, _ = row
        status = found.status
        if ctime != status.st_ctime_ns or mtime != status.st_mtime_ns or size != status.st_size:
            return None
        kind = self._kinds.get(sha256)
        if kind is None or kind[_STATE] != "ok" or kind[_DELETED] or not present:
            return None
        if inode != status.st_ino and inode != signed(status.st_ino):
            return None
        if found.kind == "link":
            if not os.path.exists(found.path):
                return None
        elif found.kind != "file" or self._unfinished(sha256, adopted):
            return None
        told = (found.path, "known", sha256, kind[_FILE_SIZE], kind[0], kind[1], kind[2], kind[3], "", "")
        return tuple.__new__(FileSeen, told)  # half the price of calling it; one for each file on a disk

    def as_recorded(self, found: Found, seen: Seen, *, adoptable: bool = True) -> FileSeen | None:
        """As `unchanged`, for files that are no models, broken or unsafe ones, and those that are never adopted."""
        if not same_file(seen, found.status):
            return None
        if seen.sha256 is None:
            return FileSeen(found.path, "skipped", "", seen.size, code=seen.code, message=seen.message)
        brief = self.model(seen.sha256)
        if brief is None or brief.deleted:
            return None
        if adoptable and brief.state == "ok" and self._unfinished(seen.sha256, seen.adopted):
            return None
        return event(found.path, seen.sha256, seen.size, brief)

    def _unfinished(self, sha256: str | None, adopted: str) -> bool:
        """A crash kept the link from being made, or the file is wanted in the store now."""
        if adopted in TAKES_PLACE or (adopted == "copy" and self._adopt in TAKES_PLACE):
            return True
        return self._adopt != "reference" and sha256 not in self._stored

    def moved_here(self, found: Found, *, dry_run: bool) -> FileSeen | None:
        """A known file under a new name: recognised without reading it whole; its record follows it."""
        if self._by_inode is None:
            self._by_inode = {}
            for path, row in self._places.items():
                self._by_inode.setdefault((row[_INODE], row[_SIZE]), []).append(path)
        for old in self._by_inode.get((signed(found.status.st_ino), found.size), ()):
            record = self.at(old)
            if record is None or not record.sha256 or not perhaps_moved(record, found.stamp) or os.path.lexists(old):
                continue
            brief = self.model(record.sha256)
            if brief is None or brief.deleted or not _same_sample(found, record):
                continue
            if brief.state == "ok" and self._unfinished(record.sha256, record.adopted):
                continue
            if not dry_run:
                self._found_files.moved(record, found.path, found.stamp)
            del self._places[old]
            return event(found.path, record.sha256, found.size, brief)
        return None

    def compare_store(self, blobs: Blobs) -> None:
        """Contents that left the store behind our back are noted, and those that are back again."""
        stored = self._found_files.stored()
        lost = stored - self._stored
        there = self._found_files.known(self._stored - stored)
        files = {sha256: blobs.files(sha256) for sha256 in there}
        back = {sha256: found[0].name for sha256, found in files.items() if found}
        if lost or back:
            self._found_files.restore_truth(lost, back)

    def gone(self, root: str, met: set[str], unreadable: Sequence[str]) -> Iterator[str]:
        """Recorded places under `root` where nothing stands now; where we could not look, nothing is concluded."""
        inside = os.path.join(root, "")
        blind = tuple(os.path.join(path, "") for path in unreadable)
        for path, row in self._places.items():
            if path in met or not row[_PRESENT]:
                continue
            below = path.startswith(inside) or path == root
            if below and not path.startswith(blind) and not os.path.lexists(path):
                yield path


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
