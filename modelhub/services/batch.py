"""A batch of prepared files made durable: names, then rows, then links; only then it is said."""

import os
import time
from collections.abc import Iterator, Sequence

from modelhub.core.errors import Changed, HashMismatch, ModelHubError, as_ours
from modelhub.core.events import TROUBLE, Event, FileSeen, Outcome, Problem
from modelhub.core.names import printable
from modelhub.core.types import Stamp
from modelhub.files import digest, links
from modelhub.files.blobs import Blobs
from modelhub.services.intake import TAKES_PLACE, Prepared
from modelhub.store.found import FoundFiles, Rejected
from modelhub.store.recording import Brief, Entry, FileEntry

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
        self._settled: set[str] | None = None

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
        pieces = [piece for one in self._prepared for piece in one.pieces]
        return bool(pieces) and (
            len(pieces) >= _FILES
            or sum(piece.found.size for piece in pieces) >= _BYTES
            or time.monotonic() - self._started > _SECONDS
        )

    def commit(self, rules_digest: str) -> Iterator[Event]:
        """Write everything; a FileSeen for each model, and Problems for files left in their place."""
        prepared, self._prepared, self._started = self._prepared, [], 0.0
        rejected, self._rejected = self._rejected, []
        places, self._places = self._places, []
        self._found_files.note(rejected, places)
        if not prepared:
            return
        self._settle(prepared)
        changed = self._blobs.publish([piece.staged for one in prepared for piece in one.pieces if piece.staged])
        whole = []
        for one in prepared:
            if any(piece.staged and piece.staged.path in changed for piece in one.pieces):
                yield failed(one.found.path, one.found.size, Changed("It was written to meanwhile."))
            else:
                whole.append(one)
        recorded = self._found_files.record([self._entry(one) for one in whole], rules_digest)
        events: list[Event] = []
        settled: list[tuple[str, Stamp]] = []
        for one, (outcome, brief, sha256) in zip(whole, recorded, strict=True):
            events.append(seen_event(one, outcome, brief)._replace(sha256=sha256))
            for piece in one.pieces:
                try:
                    settled += self._take_place(piece)
                except (OSError, ModelHubError) as error:
                    events.append(_left_in_place(piece.found.path, error))
        links.sync({os.path.dirname(path) for path, _ in settled})
        self._found_files.settle(settled)
        yield from events

    def _settle(self, prepared: Sequence[Prepared]) -> None:
        """What is in the store without a row saying so may have a name that is not durable yet."""
        found = {piece.digests.sha256 for one in prepared for piece in one.pieces if piece.stored_at and piece.digests}
        if not found:
            return
        if self._settled is None:
            self._settled = self._found_files.stored()
        self._blobs.settle(found - self._settled)
        self._settled |= found

    def _entry(self, prepared: Prepared) -> Entry:
        if prepared.digests is None:
            raise AssertionError
        return Entry(
            name=prepared.name or os.path.basename(prepared.found.path),
            digests=prepared.digests,
            classified=prepared.classified,
            files=tuple(self._file(piece) for piece in prepared.pieces),
            same_file=all(piece.same_file or piece.kept for piece in prepared.pieces),
        )

    def _file(self, piece: Prepared) -> FileEntry:
        if piece.digests is None:
            raise AssertionError
        stored = bool(piece.staged or piece.stored_at)
        path = self._blobs.find(piece.digests.sha256, piece.digests.size) if stored else piece.found.path
        return FileEntry(
            path=piece.found.path,
            name=piece.name or os.path.basename(piece.found.path),
            role=piece.role,
            stamp=piece.found.stamp,
            adopted=piece.kept or ("companion" if piece.role == "companion" else piece.adopt),
            stored=stored,
            stored_name=os.path.basename(path or piece.found.path),
            digests=piece.digests,
            sample=piece.sample,
            recorded=bool(piece.kept),
        )

    def _take_place(self, piece: Prepared) -> list[tuple[str, Stamp]]:
        """Put the link where the file was, or remove the file; the content is in the store for good."""
        path, stamp = piece.found.path, piece.found.stamp
        if piece.kept:
            return []
        if piece.adopt == "hardlink" and piece.staged:
            return [(path, digest.stamp(os.lstat(path)))]  # its link count and mode are other ones now
        if piece.adopt not in TAKES_PLACE or piece.digests is None or piece.found.kind == "link":
            return []
        stored = self._blobs.find(piece.digests.sha256, piece.digests.size)
        if stored is None:
            raise HashMismatch(f"{piece.digests.sha256} is not in the store.", hint="Scan again.")
        know = {"inode": stamp.inode, "size": stamp.size, "mtime_ns": stamp.mtime_ns}
        if piece.adopt == "move":
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
    known = as_ours(error, printable(path))
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
