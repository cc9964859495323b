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
from modelhub.store.found import Brief, FoundFiles, Seen, perhaps_moved, same_file, signed

_PLACES = {name: number for number, name in enumerate(Seen._fields)}
_FIELDS = len(_PLACES)
_SHA256, _ADOPTED, _PRESENT, _CODE, _MESSAGE, _INODE, _SIZE, _MTIME, _CTIME = (
    _PLACES[name]
    for name in ("sha256", "adopted", "present", "code", "message", "inode", "size", "mtime_ns", "ctime_ns")
)
_STATE, _DELETED = Brief._fields.index("state"), Brief._fields.index("deleted")


class Known:
    """Recorded places and models, read once at the start of a scan."""

    def __init__(self, found_files: FoundFiles, blobs: Blobs, adopt: Adopt) -> None:
        self._found_files = found_files
        self._adopt = adopt
        self._stored = blobs.addresses()
        self._seen = found_files.all()
        self._briefs = found_files.briefs()
        self._by_inode: dict[tuple[int, int], list[str]] | None = None

    def sizes(self) -> set[int]:
        """Sizes of all known contents, in bytes."""
        return {row[_SIZE] for row in self._seen.values() if row[_SHA256]}

    def at(self, path: str) -> Seen | None:
        row = self._seen.get(path)
        return None if row is None else Seen(*row[:_FIELDS])

    def model(self, sha256: str) -> Brief | None:
        """The model of this content; looks again, since another scan may have added it meanwhile."""
        if sha256 not in self._briefs:
            self._briefs = self._found_files.briefs()
        return self._brief(sha256)

    def _brief(self, sha256: str | None) -> Brief | None:
        row = self._briefs.get(sha256 or "")
        return None if row is None else Brief(*row[:-1])

    def unchanged(self, found: Found) -> FileSeen | None:  # noqa: PLR0911  (each return is a reason to look closer)
        """What the record says of a file with nothing left to do; None if it must be looked at.

        The way of nearly every file of a second scan: plain rows, and no object made but the answer.
        """
        row = self._seen.get(found.path)
        if row is None or found.kind != "file":
            return None
        status = found.status
        if row[_CTIME] != status.st_ctime_ns or row[_MTIME] != status.st_mtime_ns or row[_SIZE] != status.st_size:
            return None
        sha256 = row[_SHA256]
        if row[_INODE] != signed(status.st_ino) or not row[_PRESENT]:
            return None
        if sha256 is None:
            return FileSeen(found.path, "skipped", "", row[_SIZE], code=row[_CODE], message=row[_MESSAGE])
        brief = self._briefs.get(sha256)
        if brief is None or brief[_DELETED]:
            return None
        if brief[_STATE] != "ok":
            return event(found.path, sha256, row[_SIZE], Brief(*brief[:-1]))
        if self._unfinished(sha256, row[_ADOPTED]):
            return None
        return FileSeen(found.path, "known", sha256, row[_SIZE], brief[0], brief[1], brief[2], brief[3])

    def _unfinished(self, sha256: str | None, adopted: str) -> bool:
        """A crash kept the link from being made, or the file is wanted in the store now."""
        if adopted in TAKES_PLACE or (adopted == "copy" and self._adopt in TAKES_PLACE):
            return True
        return self._adopt != "reference" and sha256 not in self._stored

    def link(self, found: Found, seen: Seen) -> FileSeen | None:
        """As `unchanged`, for a link of ours."""
        brief = self._brief(seen.sha256)
        if not same_file(seen, found.status) or brief is None or brief.deleted or not os.path.exists(found.path):
            return None
        return event(found.path, seen.sha256 or "", seen.size, brief)

    def moved_here(self, found: Found, *, dry_run: bool) -> FileSeen | None:
        """A known file under a new name: recognised without reading it whole; its record follows it."""
        if self._by_inode is None:
            self._by_inode = {}
            for path, row in self._seen.items():
                self._by_inode.setdefault((row[_INODE], row[_SIZE]), []).append(path)
        for old in self._by_inode.get((signed(found.status.st_ino), found.size), ()):
            record = self.at(old)
            if record is None or not record.sha256 or not perhaps_moved(record, found.stamp) or os.path.lexists(old):
                continue
            brief = self._brief(record.sha256)
            if brief is None or brief.deleted or not _same_sample(found, record):
                continue
            if brief.state == "ok" and self._unfinished(record.sha256, record.adopted):
                continue
            if not dry_run:
                self._found_files.moved(record, found.path, found.stamp)
            del self._seen[old]
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
        for path, row in self._seen.items():
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
