"""A batch of prepared files made durable: names, then rows, then links; only then it is said."""

import os
import time
from collections.abc import Iterator

from modelhub.core.errors import Changed, HashMismatch, ModelHubError, from_os_error
from modelhub.core.events import TROUBLE, Event, FileSeen, Outcome, Problem
from modelhub.core.names import printable
from modelhub.core.types import Stamp
from modelhub.files import digest, links
from modelhub.files.blobs import Blobs
from modelhub.services.intake import TAKES_PLACE, Prepared
from modelhub.store.found import FoundFiles, Rejected
from modelhub.store.recording import Brief, Entry

_FILES = 256
_BYTES = 1 << 30
_SECONDS = 2.0


class Batch:
    """Files waiting to be committed together, since a disk writes many as quickly as one."""

    def __init__(self, blobs: Blobs, found_files: FoundFiles) -> None:
        self._blobs = blobs
        self._found_files = found_files
        self._prepared: list[Prepared] = []
        self._started = 0.0
        self._rejected: list[Rejected] = []
        self._places: list[tuple[str, Stamp, str]] = []

    def add(self, prepared: Prepared) -> None:
        self._started = self._started or time.monotonic()
        self._prepared.append(prepared)

    def reject(self, rejected: Rejected) -> None:
        """Remember that this file is no model."""
        self._rejected.append(rejected)

    def note_link(self, path: str, stamp: Stamp, address: str) -> None:
        """Remember a link into the store that was there already."""
        self._places.append((path, stamp, address))

    def is_full(self) -> bool:
        return bool(self._prepared) and (
            len(self._prepared) >= _FILES
            or sum(one.found.size for one in self._prepared) >= _BYTES
            or time.monotonic() - self._started > _SECONDS
        )

    def commit(self, rules_digest: str) -> Iterator[Event]:
        """Write everything; a FileSeen for each file, and Problems for those left in their place."""
        prepared, self._prepared, self._started = self._prepared, [], 0.0
        rejected, self._rejected = self._rejected, []
        places, self._places = self._places, []
        self._found_files.note(rejected, places)
        if not prepared:
            return
        changed = self._blobs.publish([one.staged for one in prepared if one.staged])
        for one in prepared:
            if one.staged and one.staged.path in changed:
                yield failed(one.found.path, one.found.size, Changed("It was written to meanwhile."))
        whole = [one for one in prepared if not one.staged or one.staged.path not in changed]
        recorded = self._found_files.record([self._entry(one) for one in whole], rules_digest)
        events: list[Event] = []
        settled: list[tuple[str, Stamp]] = []
        for one, (outcome, brief) in zip(whole, recorded, strict=True):
            events.append(seen_event(one, outcome, brief))
            try:
                settled += self._take_place(one)
            except (OSError, ModelHubError) as error:
                events.append(_left_in_place(one.found.path, error))
        links.sync({os.path.dirname(path) for path, _ in settled})
        self._found_files.settle(settled)
        yield from events

    def _entry(self, prepared: Prepared) -> Entry:
        if prepared.digests is None:
            raise AssertionError
        stored = bool(prepared.staged or prepared.stored_at)
        path = self._blobs.find(prepared.digests.sha256, prepared.digests.size) if stored else prepared.found.path
        return Entry(
            path=prepared.found.path,
            name=os.path.basename(path or prepared.found.path),
            stamp=prepared.found.stamp,
            adopted=prepared.adopt,
            stored=stored,
            digests=prepared.digests,
            sample=prepared.sample,
            classified=prepared.classified,
            same_file=prepared.same_file,
        )

    def _take_place(self, prepared: Prepared) -> list[tuple[str, Stamp]]:
        """Put the link where the file was, or remove the file; the content is in the store for good."""
        path, stamp = prepared.found.path, prepared.found.stamp
        if prepared.adopt not in TAKES_PLACE or prepared.digests is None:
            return []
        stored = self._blobs.find(prepared.digests.sha256, prepared.digests.size)
        if stored is None:
            raise HashMismatch(f"{prepared.digests.sha256} is not in the store.", hint="Scan again.")
        know = {"inode": stamp.inode, "size": stamp.size, "mtime_ns": stamp.mtime_ns}
        if prepared.adopt == "move":
            if os.path.lexists(path):
                links.remove_file(path, stored, **know)
            return []
        if links.target_of(path) != stored:  # unless another scan put it there meanwhile
            links.replace_by_symlink(path, stored, **know)
        return [(path, digest.stamp(os.lstat(path)))]


def failed(path: str, size: int, error: ModelHubError) -> FileSeen:
    message = f"{error.message} {error.hint}".strip()
    return FileSeen(path, "failed", size=size, code=error.code, message=message)


def _left_in_place(path: str, error: OSError | ModelHubError) -> Problem:
    known = error if isinstance(error, ModelHubError) else from_os_error(error, printable(path))
    return Problem(known.code, f"Stored, but left in its place: {known.message}", known.hint, path)


def seen_event(prepared: Prepared, outcome: Outcome, brief: Brief) -> FileSeen:
    inspection = prepared.classified.inspection
    told = outcome in TROUBLE
    return FileSeen(
        path=prepared.found.path,
        outcome=outcome,
        sha256=prepared.digests.sha256 if prepared.digests else "",
        size=inspection.size,
        type=brief.type,
        base=brief.base,
        sub_type=brief.sub_type,
        confidence=brief.confidence,
        code=inspection.code if told else "",
        message=inspection.message if told else "",
    )
