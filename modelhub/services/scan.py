"""Scan: find files, know them, store each once.

The order makes a crash at any point lose nothing, and a second run finish: content is hashed, staged and
made durable; it gets its final name; its rows are committed; only then a link takes the original's place.
"""

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from modelhub.core.config import Settings
from modelhub.core.errors import Changed, HashMismatch, ModelHubError, from_os_error
from modelhub.core.events import Event, FileSeen, Outcome, Problem, Progress, Result, Task
from modelhub.core.names import printable
from modelhub.core.types import Adopt, Classified, Digests, Stamp
from modelhub.files import digest, links
from modelhub.files.blobs import Blobs, Staged, Staging
from modelhub.files.walk import Found, Unwalkable, walk
from modelhub.services.judge import Judge
from modelhub.store.found import Brief, Entry, FoundFiles, Rejected, Seen, perhaps_moved, same_file

_TICK_SECONDS = 0.1
_BATCH_FILES = 256
_BATCH_BYTES = 1 << 30
_BATCH_SECONDS = 2.0
_PARTIAL = {".part", ".partial", ".incomplete", ".crdownload", ".download", ".aria2", ".opdownload", ".tmp"}
_CONTROL_FILES = (".aria2", ".part", ".crdownload")
_CACHE_FOLDERS = ("blobs",)
_TAKES_PLACE: frozenset[Adopt] = frozenset({"symlink", "move"})


@dataclass(frozen=True, slots=True)
class ScanSummary:
    """Totals of one scan. Bytes are of files; `missing` counts models of which nothing can be reached."""

    files: int
    outcomes: Mapping[Outcome, int]
    bytes_stored: int
    bytes_duplicate: int
    missing: int
    seconds: float
    dry_run: bool


@dataclass
class _Tally:
    """What has happened so far."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    bytes_stored: int = 0
    bytes_duplicate: int = 0
    bytes_read: int = 0
    missing: int = 0

    def count(self, seen: FileSeen) -> FileSeen:
        self.outcomes[seen.outcome] += 1
        if seen.outcome == "duplicate":
            self.bytes_duplicate += seen.size
        elif seen.outcome == "added":
            self.bytes_stored += seen.size
        return seen


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One file after the slow work: judged and hashed, its content staged if the store lacks it."""

    found: Found
    source: str
    classified: Classified
    digests: Digests | None = None
    sample: str = ""
    adopt: Adopt = "reference"
    staged: Staged | None = None
    stored_at: str = ""
    same_file: bool = False
    damaged: str = ""


class Scanner:
    """Scans of one hub."""

    def __init__(self, settings: Settings, blobs: Blobs, found_files: FoundFiles, judge: Judge) -> None:
        self._settings = settings
        self._blobs = blobs
        self._found_files = found_files
        self._judge = judge

    def scan(
        self, roots: Sequence[str], *, adopt: Adopt, staging: Callable[[], Staging], dry_run: bool = False
    ) -> Task[ScanSummary]:
        """Take every model under `roots` (absolute paths that exist) into the hub.

        Yields Progress, one FileSeen for each file met, Problems, and a Result last.
        """
        run = _Run(self._settings, self._blobs, self._found_files, self._judge, adopt, dry_run)
        started = time.monotonic()
        with ExitStack() as stack:
            if not dry_run:
                run.staging = stack.enter_context(staging())
            try:
                for root in roots:
                    yield from run.root(root)
            finally:
                run.stop()
        yield Result(run.summary(time.monotonic() - started))


class _Run:
    """One scan on its way. Slow work runs in threads; the database and the places of files are touched here."""

    def __init__(
        self,
        settings: Settings,
        blobs: Blobs,
        found_files: FoundFiles,
        judge: Judge,
        adopt: Adopt,
        dry_run: bool,
    ) -> None:
        self._settings = settings
        self._blobs = blobs
        self._found_files = found_files
        self._judge = judge
        self._adopt = adopt
        self._dry_run = dry_run
        self.staging: Staging | None = None
        self._tally = _Tally()
        self._seen = found_files.all()
        self._briefs = found_files.briefs()
        self._stored = blobs.addresses()
        self._sizes = {seen.size for seen in self._seen.values() if seen.sha256}
        self._by_inode: dict[tuple[int, int], list[str]] | None = None
        self._cancelled = threading.Event()
        workers = settings.workers or min(2, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="modelhub-scan")
        self._waiting: deque[tuple[Found, Future[_Prepared]]] = deque()
        self._limit = workers * 4
        self._batch: list[_Prepared] = []
        self._batch_started = 0.0
        self._rejected: list[Rejected] = []
        self._places: list[tuple[str, Stamp, str]] = []
        self._files = 0

    def stop(self) -> None:
        self._cancelled.set()
        self._pool.shutdown(cancel_futures=True)

    def summary(self, seconds: float) -> ScanSummary:
        tally = self._tally
        return ScanSummary(
            files=self._files,
            outcomes=dict(tally.outcomes),
            bytes_stored=tally.bytes_stored,
            bytes_duplicate=tally.bytes_duplicate,
            missing=tally.missing,
            seconds=round(seconds, 3),
            dry_run=self._dry_run,
        )

    def root(self, root: str) -> Iterator[Event]:
        """Walk one root to its end, then note what is no longer there."""
        met: set[str] = set()
        unreadable: list[str] = []
        returned: list[int] = []
        last_said = 0.0
        for found in walk(root, exclude=self._settings.exclude, skip=(str(self._settings.hub),)):
            if isinstance(found, Unwalkable):
                unreadable.append(found.path)
                yield Problem(
                    "unreadable",
                    f"{printable(found.path)}: {found.reason}.",
                    "Check its permissions.",
                    found.path,
                )
                continue
            self._files += 1
            met.add(found.path)
            seen = self._seen.get(found.path)
            if seen is not None and not seen.present:
                returned.append(seen.id)
            yield from self._meet(found, seen)
            if time.monotonic() - last_said > _TICK_SECONDS:
                last_said = time.monotonic()
                yield self._progress(found.path)
        yield from self._drain(0)
        yield from self._flush()
        if not self._dry_run:
            gone = list(self._gone(root, met, unreadable))
            self._tally.missing = self._found_files.seen_again(root, gone, returned)

    def _progress(self, item: str) -> Progress:
        done = sum(self._tally.outcomes.values())
        return Progress("scan", done, 0, "files", item)

    def _gone(self, root: str, met: set[str], unreadable: Sequence[str]) -> Iterator[str]:
        """Recorded places under `root` where nothing stands any more; where we could not look, nothing is concluded."""
        inside = os.path.join(root, "")
        blind = tuple(os.path.join(path, "") for path in unreadable)
        for path, seen in self._seen.items():
            below = path.startswith(inside) or path == root
            if seen.present and below and path not in met and not path.startswith(blind) and not os.path.lexists(path):
                yield path

    # What a file is at first sight

    def _meet(self, found: Found, seen: Seen | None) -> Iterator[Event]:
        if found.kind == "file":
            if seen is not None and same_file(seen, found.stamp) and self._still_good(seen) and self._is_done(seen):
                yield self._tally.count(self._as_recorded(found, seen))
            else:
                yield from self._meet_file(found, seen)
        elif found.kind == "link":
            yield from self._meet_link(found, seen)
        else:
            yield self._skip(found, "not_a_file", f"A {found.kind} is no file.")

    def _still_good(self, seen: Seen) -> bool:
        """A record can be believed while its model is alive."""
        if seen.sha256 is None:
            return True
        brief = self._briefs.get(seen.sha256)
        return brief is not None and not brief.deleted

    def _is_done(self, seen: Seen) -> bool:
        """Nothing is left to do for an unchanged file: neither a link that a crash prevented, nor adopting it now."""
        if seen.sha256 is None:
            return True
        half_done = seen.adopted in _TAKES_PLACE
        wanted = self._adopt != "reference" and seen.sha256 not in self._stored
        return not half_done and not (wanted and self._briefs[seen.sha256].state == "ok")

    def _as_recorded(self, found: Found, seen: Seen) -> FileSeen:
        if seen.sha256 is None:
            return FileSeen(found.path, "skipped", size=seen.size, code=seen.code, message=seen.message)
        brief = self._briefs[seen.sha256]
        return _brief_event(found.path, seen.sha256, found.stamp.size, brief)

    def _meet_link(self, found: Found, seen: Seen | None) -> Iterator[Event]:
        if seen is not None and seen.sha256 in self._stored and same_file(seen, found.stamp) and self._still_good(seen):
            yield self._tally.count(self._as_recorded(found, seen))
            return
        target = os.path.realpath(found.path)
        address = self._blobs.contains(target)
        if address is not None:
            yield from self._meet_own_link(found, address)
        elif os.path.isfile(target) and os.path.basename(os.path.dirname(target)) in _CACHE_FOLDERS:
            yield from self._submit(replace(found, stamp=digest.stamp(os.stat(target))), target, "reference")
        elif os.path.exists(target):
            yield self._skip(found, "link", f"A link to {printable(target)}; scan that place to take what is there.")
        else:
            yield self._skip(found, "broken_link", f"A link to {printable(target)}, where nothing is.")

    def _meet_own_link(self, found: Found, address: str) -> Iterator[Event]:
        """A link into our store: of an earlier scan, or of the first version."""
        brief = self._briefs.get(address)
        stored = next(iter(self._blobs.files(address)), None)
        if brief is None or stored is None:
            what = "is not in the store" if stored is None else "is in the store but not in the library"
            message = f"A link to {address[:12]}…, which {what}."
            yield self._tally.count(FileSeen(found.path, "failed", address, code="blob_missing", message=message))
            return
        if brief.deleted:
            yield from self._submit(replace(found, stamp=digest.stamp(stored.stat())), stored.path, "reference")
            return
        self._places.append((found.path, found.stamp, address))
        yield self._tally.count(_brief_event(found.path, address, stored.stat().st_size, brief))

    def _meet_file(self, found: Found, seen: Seen | None) -> Iterator[Event]:
        reason = self._not_a_candidate(found.path)
        if reason:
            yield self._skip(found, *reason)
            return
        moved = None if seen is not None else self._moved_here(found)
        if moved is not None:
            yield self._tally.count(moved)
            return
        yield from self._submit(found, found.path, self._adopt)

    def _not_a_candidate(self, path: str) -> tuple[str, str] | None:
        name = os.path.basename(path)
        suffix = os.path.splitext(name)[1].lower()
        if suffix in _PARTIAL:
            return "partial_download", "An unfinished download."
        if suffix and suffix not in self._settings.extensions:
            return "extension", f"Files ending in {printable(suffix)} are not models."
        if any(os.path.lexists(path + control) for control in _CONTROL_FILES):
            return "partial_download", "A download that is still going on."
        return None

    def _moved_here(self, found: Found) -> FileSeen | None:
        """A known file under a new name: recognised without reading it whole, its record follows it."""
        if self._by_inode is None:
            self._by_inode = {}
            for path, seen in self._seen.items():
                self._by_inode.setdefault((seen.inode, seen.size), []).append(path)
        for old in self._by_inode.get((found.stamp.inode, found.stamp.size), ()):
            seen = self._seen[old]
            if seen.sha256 and perhaps_moved(seen, found.stamp) and not os.path.lexists(old) and self._still_good(seen):
                return self._follow(found, seen, old)
        return None

    def _follow(self, found: Found, seen: Seen, old: str) -> FileSeen | None:
        try:
            with digest.open_regular(found.path) as stream:
                if digest.sample(stream, found.stamp.size) != seen.sample:
                    return None
        except (OSError, Changed):
            return None
        if not self._dry_run:
            self._found_files.moved(seen, found.path, found.stamp)
        del self._seen[old]
        return self._as_recorded(found, seen)

    def _skip(self, found: Found, code: str, message: str) -> FileSeen:
        return self._tally.count(FileSeen(found.path, "skipped", size=found.stamp.size, code=code, message=message))

    # The slow work, in threads

    def _submit(self, found: Found, source: str, adopt: Adopt) -> Iterator[Event]:
        self._waiting.append((found, self._pool.submit(self._prepare, found, source, adopt)))
        yield from self._drain(self._limit)

    def _tick(self, count: int) -> None:
        self._tally.bytes_read += count
        if self._cancelled.is_set():
            raise Changed("The scan was cancelled.")

    def _prepare(self, found: Found, source: str, adopt: Adopt) -> _Prepared:
        with digest.open_regular(source) as stream:
            size = os.fstat(stream.fileno()).st_size
            name = os.path.basename(found.path)
            classified = self._judge.stream(stream, size, name)
            prepared = _Prepared(found, source, classified)
            if classified.inspection.state == "not_model":
                return prepared
            if self._dry_run and size not in self._sizes:
                self._sizes.add(size)
                return prepared
            digests = digest.digests(stream, tick=self._tick)
            prepared = replace(prepared, digests=digests, sample=digest.sample(stream, size))
            if self._dry_run or adopt == "reference" or classified.inspection.state != "ok":
                return prepared
            return self._stage(stream, replace(prepared, adopt=adopt), digests)

    def _stage(self, stream: BinaryIO, prepared: _Prepared, digests: Digests) -> _Prepared:
        """Bring the content towards the store, unless the store has it."""
        takes_place = prepared.adopt in _TAKES_PLACE
        folder = os.path.dirname(prepared.source)
        if takes_place and not os.access(folder, os.W_OK):
            raise PermissionError(13, "the folder cannot be written, so no link can be put there", folder)
        try:
            stored = self._blobs.find(digests.sha256, digests.size)
        except HashMismatch as error:
            return replace(prepared, damaged=error.message)
        if stored is None:
            if self.staging is None:
                raise AssertionError
            staged = self.staging.place(stream, prepared.source, digests, keep=not takes_place, tick=self._tick)
            return replace(prepared, staged=staged)
        with digest.open_regular(stored) as blob:
            same = os.path.sameopenfile(blob.fileno(), stream.fileno())
            if takes_place and not digest.same_content(stream, blob):
                return replace(
                    prepared, damaged=f"The stored file {digests.sha256} does not have its content any more."
                )
        return replace(prepared, stored_at=stored, same_file=same)

    # Results, in order

    def _drain(self, limit: int) -> Generator[Event, None, None]:
        """Take finished work until at most `limit` files are waiting."""
        while len(self._waiting) > limit:
            found, future = self._waiting[0]
            try:
                prepared = future.result(timeout=_TICK_SECONDS)
            except NotYet:
                yield Progress("scan", self._tally.bytes_read, 0, "bytes", found.path)
                continue
            except ModelHubError as error:
                self._waiting.popleft()
                yield self._failed(found, error)
                continue
            except OSError as error:
                self._waiting.popleft()
                yield self._failed(found, from_os_error(error, printable(found.path)))
                continue
            self._waiting.popleft()
            yield from self._take(prepared)
        if limit == 0 or self._batch_is_full():
            yield from self._flush()

    def _failed(self, found: Found, error: ModelHubError) -> FileSeen:
        message = f"{error.message} {error.hint}".strip()
        return self._tally.count(
            FileSeen(found.path, "failed", size=found.stamp.size, code=error.code, message=message)
        )

    def _take(self, prepared: _Prepared) -> Iterator[Event]:
        found, inspection = prepared.found, prepared.classified.inspection
        if inspection.state == "not_model":
            self._rejected.append(Rejected(found.path, found.stamp, inspection.code, inspection.message))
            yield self._skip(found, inspection.code, inspection.message)
        elif prepared.damaged:
            hint = "Run `modelhub verify`; your file was left where it is."
            yield self._failed(found, HashMismatch(prepared.damaged, hint=hint))
        elif self._dry_run:
            yield self._tally.count(_event(prepared, self._foreseen(prepared)))
        else:
            self._batch_started = self._batch_started or time.monotonic()
            self._batch.append(prepared)

    def _foreseen(self, prepared: _Prepared) -> Outcome:
        """What a real scan would say; a file of a size never met before cannot be a duplicate."""
        state = prepared.classified.inspection.state
        if state in ("broken", "unsafe"):
            return "broken" if state == "broken" else "unsafe"
        sha256 = prepared.digests.sha256 if prepared.digests else ""
        brief = self._briefs.get(sha256)
        if brief is not None:
            return "restored" if brief.deleted else "duplicate"
        if sha256:
            self._briefs[sha256] = _brief_of(prepared.classified)
        return "added"

    def _batch_is_full(self) -> bool:
        return bool(self._batch) and (
            len(self._batch) >= _BATCH_FILES
            or sum(one.found.stamp.size for one in self._batch) >= _BATCH_BYTES
            or time.monotonic() - self._batch_started > _BATCH_SECONDS
        )

    def _flush(self) -> Iterator[Event]:
        """Make a batch durable: names, then rows, then links; only then say so."""
        batch, self._batch, self._batch_started = self._batch, [], 0.0
        rejected, self._rejected = self._rejected, []
        places, self._places = self._places, []
        if not self._dry_run:
            self._found_files.note(rejected, places)
        if not batch:
            return
        self._blobs.publish([one.staged for one in batch if one.staged])
        outcomes = self._found_files.record([_entry(one) for one in batch], self._judge.book.digest)
        events: list[Event] = []
        settled: list[tuple[str, Stamp]] = []
        for prepared, outcome in zip(batch, outcomes, strict=True):
            events.append(self._tally.count(_event(prepared, outcome)))
            try:
                settled += self._take_place(prepared)
            except (OSError, ModelHubError) as error:
                events.append(_left_in_place(prepared.found.path, error))
            if prepared.digests:
                self._stored.add(prepared.digests.sha256)
        links.sync({os.path.dirname(path) for path, _ in settled})
        self._found_files.settle(settled)
        self._briefs |= {one.digests.sha256: _brief_of(one.classified) for one in batch if one.digests is not None}
        yield from events

    def _take_place(self, prepared: _Prepared) -> list[tuple[str, Stamp]]:
        """Put the link where the file was, or remove the file; the content is in the store for good."""
        path, stamp = prepared.found.path, prepared.found.stamp
        if prepared.adopt not in _TAKES_PLACE or prepared.digests is None:
            return []
        stored = self._blobs.find(prepared.digests.sha256, prepared.digests.size)
        if stored is None:
            raise HashMismatch(f"{prepared.digests.sha256} is not in the store.", hint="Scan again.")
        know = {"inode": stamp.inode, "size": stamp.size, "mtime_ns": stamp.mtime_ns}
        if prepared.adopt == "move":
            links.remove_file(path, **know)
            return []
        links.replace_by_symlink(path, stored, **know)
        return [(path, digest.stamp(os.lstat(path)))]


def _left_in_place(path: str, error: OSError | ModelHubError) -> Problem:
    known = error if isinstance(error, ModelHubError) else from_os_error(error, printable(path))
    return Problem(known.code, f"Stored, but left in its place: {known.message}", known.hint, path)


def _entry(prepared: _Prepared) -> Entry:
    if prepared.digests is None:
        raise AssertionError
    return Entry(
        path=prepared.found.path,
        stamp=prepared.found.stamp,
        adopted=prepared.adopt,
        stored=bool(prepared.staged or prepared.stored_at),
        digests=prepared.digests,
        sample=prepared.sample,
        classified=prepared.classified,
        same_file=prepared.same_file,
    )


def _event(prepared: _Prepared, outcome: Outcome) -> FileSeen:
    verdict, inspection = prepared.classified.verdict, prepared.classified.inspection
    return FileSeen(
        path=prepared.found.path,
        outcome=outcome,
        sha256=prepared.digests.sha256 if prepared.digests else "",
        size=inspection.size,
        type=verdict.type,
        base=verdict.base,
        sub_type=verdict.sub_type,
        confidence=verdict.confidence,
        code=inspection.code if outcome in ("broken", "unsafe") else "",
        message=inspection.message if outcome in ("broken", "unsafe") else "",
    )


def _brief_of(classified: Classified) -> Brief:
    verdict, inspection = classified.verdict, classified.inspection
    return Brief(
        verdict.type,
        verdict.base,
        verdict.sub_type,
        verdict.confidence,
        inspection.state,
        inspection.code,
        inspection.message,
        False,
    )


def _brief_event(path: str, sha256: str, size: int, brief: Brief) -> FileSeen:
    outcome: Outcome = "broken" if brief.state == "broken" else "unsafe" if brief.state == "unsafe" else "known"
    told = outcome != "known"
    return FileSeen(
        path,
        outcome,
        sha256,
        size,
        brief.type,
        brief.base,
        brief.sub_type,
        brief.confidence,
        brief.code if told else "",
        brief.message if told else "",
    )
