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
from modelhub.store.found import Brief, FoundFiles, Seen, perhaps_moved, same_file


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
        return {seen.size for seen in self._seen.values() if seen.sha256}

    def at(self, path: str) -> Seen | None:
        return self._seen.get(path)

    def model(self, sha256: str) -> Brief | None:
        """The model of this content; looks again, since another scan may have added it meanwhile."""
        if sha256 not in self._briefs:
            self._briefs = self._found_files.briefs()
        return self._briefs.get(sha256)

    def file(self, found: Found, seen: Seen) -> FileSeen | None:
        """What the record says of an unchanged file with nothing left to do; None if it must be looked at."""
        if not same_file(seen, found.stamp):
            return None
        if seen.sha256 is None:
            return FileSeen(found.path, "skipped", size=seen.size, code=seen.code, message=seen.message)
        brief = self._briefs.get(seen.sha256)
        if brief is None or brief.deleted or self._unfinished(seen, brief):
            return None
        return event(found.path, seen.sha256, found.stamp.size, brief)

    def _unfinished(self, seen: Seen, brief: Brief) -> bool:
        """A crash kept the link from being made, or the file is wanted in the store now."""
        wanted = self._adopt != "reference" and seen.sha256 not in self._stored
        replaced = seen.adopted in TAKES_PLACE or (seen.adopted == "copy" and self._adopt in TAKES_PLACE)
        return brief.state == "ok" and (wanted or replaced)

    def link(self, found: Found, seen: Seen) -> FileSeen | None:
        """As `file`, for a link of ours."""
        brief = self._briefs.get(seen.sha256 or "")
        if not same_file(seen, found.stamp) or brief is None or brief.deleted or not os.path.exists(found.path):
            return None
        return event(found.path, seen.sha256 or "", seen.size, brief)

    def moved_here(self, found: Found, *, dry_run: bool) -> FileSeen | None:
        """A known file under a new name: recognised without reading it whole; its record follows it."""
        if self._by_inode is None:
            self._by_inode = {}
            for path, seen in self._seen.items():
                self._by_inode.setdefault((seen.inode, seen.size), []).append(path)
        for old in self._by_inode.get((found.stamp.inode, found.stamp.size), ()):
            record = self._seen.get(old)
            if record is None or not record.sha256 or not perhaps_moved(record, found.stamp) or os.path.lexists(old):
                continue
            brief = self._briefs.get(record.sha256)
            if brief is None or brief.deleted or self._unfinished(record, brief) or not _same_sample(found, record):
                continue
            if not dry_run:
                self._found_files.moved(record, found.path, found.stamp)
            del self._seen[old]
            return event(found.path, record.sha256, found.stamp.size, brief)
        return None

    def compare_store(self, blobs: Blobs) -> None:
        """Contents that left the store behind our back are noted, and those that are back again."""
        rows = self._found_files.stored()
        lost = [sha256 for sha256, stored in rows.items() if stored and sha256 not in self._stored]
        there = [sha256 for sha256, stored in rows.items() if not stored and sha256 in self._stored]
        files = {sha256: blobs.files(sha256) for sha256 in there}
        back = {sha256: found[0].name for sha256, found in files.items() if found}
        if lost or back:
            self._found_files.restore_truth(lost, back)

    def gone(self, root: str, met: set[str], unreadable: Sequence[str]) -> Iterator[str]:
        """Recorded places under `root` where nothing stands now; where we could not look, nothing is concluded."""
        inside = os.path.join(root, "")
        blind = tuple(os.path.join(path, "") for path in unreadable)
        for path, seen in self._seen.items():
            below = path.startswith(inside) or path == root
            if seen.present and below and path not in met and not path.startswith(blind) and not os.path.lexists(path):
                yield path


def _same_sample(found: Found, seen: Seen) -> bool:
    try:
        with digest.open_regular(found.path) as stream:
            return digest.sample(stream, found.stamp.size) == seen.sample
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
