"""Scan: find files, know them, store each once.

The order makes a crash at any point lose nothing, and a second run finish: content is hashed, staged and
made durable; it gets its final name; its rows are committed; only then a link takes the original's place.
"""

import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import ExitStack
from functools import partial

from modelhub.core.config import Settings
from modelhub.core.errors import HashMismatch, InvalidInput, ModelHubError, from_os_error
from modelhub.core.events import Event, FileSeen, Outcome, Problem, Progress, Result, Task
from modelhub.core.names import printable
from modelhub.core.types import Adopt
from modelhub.files import links
from modelhub.files.blobs import Blobs, Staging
from modelhub.files.walk import Found, StoreFolder, Unwalkable, inside_store, is_address, walk
from modelhub.services import candidates, known
from modelhub.services.batch import Batch, failed, seen_event
from modelhub.services.drives import Drives
from modelhub.services.held import Held
from modelhub.services.intake import Intake, Prepared
from modelhub.services.judge import Judge
from modelhub.services.known import PART, Known
from modelhub.services.logbook import DISCOVERY, Logbook, Page
from modelhub.services.tally import ScanSummary, Tally
from modelhub.services.units import HeldFile, Unit, Units, composite
from modelhub.store.found import FoundFiles, Rejected, Seen
from modelhub.store.recording import brief_of

_TICK_SECONDS = 0.1
_SAY_EVERY = 64
_CACHE_FOLDER = "blobs"
_LEFTOVER_NS = 60_000_000_000


class Scanner:
    """Scans of one hub."""

    def __init__(
        self,
        settings: Settings,
        blobs: Blobs,
        found_files: FoundFiles,
        judge: Judge,
        drives: Drives,
        logbook: Logbook,
    ) -> None:
        self.settings = settings
        self.blobs = blobs
        self.found_files = found_files
        self.judge = judge
        self.drives = drives
        self.logbook = logbook
        self.summary: ScanSummary | None = None

    def scan(
        self, roots: Sequence[str], *, adopt: Adopt, staging: Callable[[], Staging], dry_run: bool = False
    ) -> Task[ScanSummary]:
        """Take every model under `roots` (absolute paths that exist) into the hub.

        Yields Progress, one FileSeen for each file met, Problems, and a Result last.
        """
        for root in roots:
            store = inside_store(root)
            if store:
                raise InvalidInput(
                    f"{printable(root)} is or lies in a store ({printable(store)}).",
                    hint="Scan the places models come from.",
                )
        workers = self.settings.workers or min(2, os.cpu_count() or 1)
        if dry_run:
            workers = 1  # so that of two copies the first is foreseen as the one that is added
        run = _Run(self, adopt, workers)
        if not dry_run:
            run.page = self.logbook.page(DISCOVERY)
        started = time.monotonic()
        with ExitStack() as stack:
            stack.callback(run.stop)
            stack.callback(run.page.flush)
            if dry_run:
                run.foresee()
            else:
                run.intake.staging = stack.enter_context(staging())
                run.compare_store()
            for root in roots:
                yield from run.root(root)
            self.summary = run.tally.summary(time.monotonic() - started, dry_run=dry_run)
            if not dry_run:
                run.page.done(self.summary)
        yield Result(self.summary)


class _Run:
    """One scan on its way. Slow work runs in threads; the database and the places of files are touched here."""

    def __init__(self, scanner: Scanner, adopt: Adopt, workers: int) -> None:
        self._drives = scanner.drives
        self._settings = scanner.settings
        self._blobs = blobs = scanner.blobs
        self._found_files = found_files = scanner.found_files
        self._judge = judge = scanner.judge
        self.page = Page({}, "")
        self._adopt = adopt
        self._known = Known(found_files, blobs, adopt)
        self._batch = Batch(blobs, found_files)
        self._held = Held(self._known, blobs, found_files, self._batch)
        self.intake = Intake(judge, blobs)
        self.tally = Tally()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="modelhub-scan")
        self._waiting: deque[tuple[Found, Future[Prepared]]] = deque()
        self._most_waiting = workers * 4
        self._units = Units("")
        self._units_met: set[str] = set()

    @property
    def _dry_run(self) -> bool:
        return self.intake.staging is None

    def stop(self) -> None:
        self.intake.cancel()
        self._pool.shutdown(cancel_futures=True)

    def foresee(self) -> None:
        """A dry run hashes only files of a size that is known already."""
        self.intake.sizes |= self._found_files.sizes()

    def compare_store(self) -> None:
        self._known.compare_store(self._blobs)

    def root(self, root: str) -> Iterator[Event]:
        """Walk one root to its end, then note what is no longer there."""
        unreadable: list[str] = []
        returned: list[int] = []
        known_files = parts = others = recorded = 0
        before = self.tally.files
        self._units, self._units_met = Units(root), set()
        unchanged = self._known.unchanged()
        last_said = time.monotonic()
        yield Progress("scan", before, 0, "files", root)
        for found in walk(root, exclude=self._settings.exclude):
            if isinstance(found, Found):
                known_file = unchanged(found)
                if known_file is PART:
                    parts += 1
                elif known_file is not None:
                    known_files += 1
                    yield known_file
                else:
                    others += 1
                    seen = self._known.at(found.path)
                    if seen is not None and seen.present:
                        recorded += 1
                    elif seen is not None:
                        returned.append(seen.id)
                    yield from self._counted(self._meet(found, seen))
            else:
                yield from self._counted(self._pass_by(found, unreadable))
            if not (known_files + parts + others) % _SAY_EVERY and time.monotonic() - last_said > _TICK_SECONDS:
                last_said = time.monotonic()
                yield Progress("scan", before + known_files + parts + others, 0, "files", found.path)
        self.tally.files += known_files + parts + others
        self.tally.outcomes["known"] += known_files
        yield from self._counted(self._drain(0))
        if not self._dry_run:
            yield from self._counted(self._batch.commit(self._judge.book.digest))
            gone = self._known.gone(root, known_files + parts + recorded, unreadable)
            changed = any(count for name, count in self.tally.outcomes.items() if name not in ("known", "skipped"))
            away = self._drives.away(gone) if gone else {}
            yield from self._counted(self._drives.told(away))
            gone = [path for path in gone if path not in away]
            self.tally.missing = self._found_files.close_scan(gone, returned, changed=changed)
            self._drives.note(root, changed=changed)

    @staticmethod
    def _pass_by(folder: Unwalkable | StoreFolder, unreadable: list[str]) -> Iterator[Event]:
        """A folder that is not entered, and why."""
        if isinstance(folder, Unwalkable):
            unreadable.append(folder.path)
            message = f"{printable(folder.path)}: {folder.reason}."
            yield Problem("unreadable", message, "Check its permissions.", folder.path)
        else:
            yield FileSeen(folder.path, "skipped", code="store", message="A hub or store; its files stay its own.")

    def _counted(self, events: Iterator[Event]) -> Iterator[Event]:
        for event in events:
            if isinstance(event, FileSeen):
                self.tally.count(event)
            if not self._dry_run:
                self.page.tell(event)
            yield event

    # What a file is at first sight

    def _meet(self, found: Found, seen: Seen | None) -> Iterator[Event]:
        unit = self._units.of(found.path) if found.kind in ("file", "link") else None
        if unit is not None and unit.is_many and not links.is_leftover(os.path.basename(found.path)):
            if unit.lead not in self._units_met:
                self._units_met.add(unit.lead)
                yield from self._meet_unit(unit)
        elif found.kind == "file":
            event = self._known.as_recorded(found, seen) if seen is not None else None
            yield from (event,) if event is not None else self._meet_file(found, seen)
        elif found.kind == "link":
            yield from self._meet_link(found)
        else:
            yield _skipped(found, "not_a_file", f"A {found.kind} is no file.")

    def _meet_unit(self, unit: Unit) -> Iterator[Event]:
        """A model of several files, met by one of them: as recorded, or taken whole."""
        reason = None if unit.is_composite else candidates.refusal(unit.lead, self._settings.extensions)
        for name in unit.bundle.parts:
            reason = reason or candidates.going_on(unit.paths[name])
        elsewhere = next((path for path in unit.paths.values() if self._leads_elsewhere(path)), None)
        if elsewhere is not None and reason is None:
            target = printable(os.path.realpath(elsewhere))
            reason = "link", f"It has a link to {target}; scan that place to take what is there."
        if reason:
            yield FileSeen(unit.shown, "skipped", size=unit.size, code=reason[0], message=reason[1])
            return
        try:
            told, held, whole = self._as_recorded(unit)
            found = Found(unit.shown, "file", os.lstat(unit.lead))
        except OSError:
            yield FileSeen(unit.shown, "skipped", code="vanished", message="A file of it went while the scan ran.")
            return
        if told is not None:
            yield told
            return
        job = partial(self.intake.prepare_unit, unit, self._adopt, held, rest=whole)
        self._waiting.append((found, self._pool.submit(job)))
        yield from self._drain(self._most_waiting)

    def _as_recorded(self, unit: Unit) -> tuple[FileSeen | None, Mapping[str, HeldFile], bool]:
        """What is said of a unit with nothing left to do; else which of its files are done, and whether the rest
        belongs to a model that is recorded whole.
        """
        every = list(unit.files())
        recorded = self._held.files(unit)
        held = {path: file for path, file in recorded.items() if file.done}
        if len(recorded) == len(every):
            needed = {name: recorded[path].sha256 for name, path, role in every if role != "companion"}
            address = composite(needed) if unit.is_composite else needed[unit.bundle.parts[0]]
            brief = self._known.model(address)
            if brief is not None and not brief.deleted and (brief.state != "ok" or len(held) == len(every)):
                return known.event(unit.shown, address, unit.size, brief), held, False
        whole = self._held.part_of(unit) if unit.bundle.missing else ""
        if whole and len(held) == len(every) and (brief := self._known.model(whole)) is not None:
            return known.event(unit.shown, whole, unit.size, brief), held, True
        return None, held, bool(whole)

    def _leads_elsewhere(self, path: str) -> bool:
        """Whether a part is a link that is neither ours nor one of a Hugging Face cache."""
        if not os.path.islink(path):
            return False
        target = os.path.realpath(path)
        return self._blobs.contains(target) is None and os.path.basename(os.path.dirname(target)) != _CACHE_FOLDER

    def _meet_link(self, found: Found) -> Iterator[Event]:
        target = os.path.realpath(found.path)
        address = self._blobs.contains(target)
        if address is not None and links.is_leftover(os.path.basename(found.path)):
            if not self._dry_run and time.time_ns() - found.status.st_mtime_ns > _LEFTOVER_NS:
                links.remove_symlink(found.path, links.target_of(found.path) or "")
        elif address is not None:
            yield from self._meet_own_link(found, address)
        elif not os.path.exists(target):
            yield from self._meet_dangling_link(found, target)
        elif os.path.isfile(target) and os.path.basename(os.path.dirname(target)) == _CACHE_FOLDER:
            # a Hugging Face cache: name from the link, content from the blob, which stays where it is
            content = found._replace(status=os.stat(target))
            seen = self._known.at(found.path)
            event = self._known.as_recorded(content, seen, adoptable=False) if seen is not None else None
            yield from (event,) if event is not None else self._submit(content, target, "reference")
        else:
            yield _skipped(found, "link", f"A link to {printable(target)}; scan that place to take what is there.")

    def _meet_dangling_link(self, found: Found, target: str) -> Iterator[Event]:
        """A link of ours whose hub has moved is pointed to the content again; others are the user's."""
        address = os.path.basename(os.path.dirname(target))
        seen = self._known.at(found.path)
        stored = next(iter(self._blobs.files(address)), None) if is_address(address) else None
        if links.is_leftover(os.path.basename(found.path)):
            return
        if stored is None or seen is None or seen.sha256 != address:
            yield _skipped(found, "broken_link", f"A link to {printable(target)}, where nothing is.")
            return
        if not self._dry_run:
            links.replace_link(found.path, links.target_of(found.path) or "", stored.path)
        yield from self._meet_own_link(found._replace(status=os.lstat(found.path)), address)

    def _meet_own_link(self, found: Found, address: str) -> Iterator[Event]:
        """A link into our store: of an earlier scan, or of the first version."""
        brief = self._known.model(address)
        stored = next(iter(self._blobs.files(address)), None)
        if stored is None:
            message = f"A link to {address[:12]}…, which is not in the store."
            yield FileSeen(found.path, "failed", address, code="blob_missing", message=message)
        elif brief is None or brief.deleted:  # of a library that was restored, or deleted meanwhile: it comes back
            yield from self._submit(found._replace(status=stored.stat()), stored.path, "reference")
        else:
            self._batch.note_link(found.path, found.stamp, address)
            yield known.event(found.path, address, stored.stat().st_size, brief)

    def _meet_file(self, found: Found, seen: Seen | None) -> Iterator[Event]:
        reason = candidates.refusal(found.path, self._settings.extensions)
        if reason:
            yield _skipped(found, *reason)
            return
        moved = self._known.moved_here(found, dry_run=self._dry_run) if seen is None else None
        if moved is not None:
            yield moved
        else:
            yield from self._submit(found, found.path, self._adopt)

    # Results of the slow work, in order

    def _submit(self, found: Found, source: str, adopt: Adopt) -> Iterator[Event]:
        self._waiting.append((found, self._pool.submit(self.intake.prepare, found, source, adopt)))
        yield from self._drain(self._most_waiting)

    def _drain(self, limit: int) -> Iterator[Event]:
        """Take finished work until at most `limit` files are waiting."""
        while len(self._waiting) > limit:
            found, future = self._waiting[0]
            try:
                prepared = future.result(timeout=_TICK_SECONDS)
            except NotYet:
                yield Progress("scan", self.intake.bytes_read, 0, "bytes", found.path)
                continue
            except Exception as error:  # noqa: BLE001  (the job's thread: one bad file is not the end of a scan)
                self._waiting.popleft()
                yield from self._refused(found, error)
                continue
            self._waiting.popleft()
            yield from self._take(prepared)
            if self._batch.is_full():
                yield from self._batch.commit(self._judge.book.digest)

    def _refused(self, found: Found, error: Exception) -> Iterator[Event]:
        """A file that could not be taken: because another scan was quicker, or for good."""
        try:
            now = os.lstat(found.path)
        except OSError:
            yield _skipped(found, "vanished", "It went while the scan ran.")
            return
        if found.kind == "file" and stat.S_ISLNK(now.st_mode):
            yield from self._meet_link(Found(found.path, "link", now))
        elif isinstance(error, OSError):
            yield failed(found.path, found.size, from_os_error(error, printable(found.path)))
        elif isinstance(error, ModelHubError):
            yield failed(found.path, found.size, error)
        else:
            bug = ModelHubError(
                f"This is a bug in ModelHub: {type(error).__name__}: {error}.", hint="Please report it."
            )
            yield failed(found.path, found.size, bug)

    def _take(self, prepared: Prepared) -> Iterator[Event]:
        found, inspection = prepared.found, prepared.classified.inspection
        if inspection.state == "not_model":
            self._batch.reject(Rejected(found.path, found.stamp, inspection.code, inspection.message))
            yield _skipped(found, inspection.code, inspection.message)
        elif prepared.damaged:
            hint = "Run `modelhub verify`; your file was left where it is."
            yield failed(found.path, found.size, HashMismatch(prepared.damaged, hint=hint))
        elif self._dry_run:
            yield seen_event(prepared, self._foreseen(prepared), brief_of(prepared.classified))
        else:
            self._batch.add(prepared)

    def _foreseen(self, prepared: Prepared) -> Outcome:
        """What a real scan would say; a file of a size never met before cannot be a duplicate."""
        state = prepared.classified.inspection.state
        if state in ("broken", "unsafe"):
            return "broken" if state == "broken" else "unsafe"
        if prepared.digests is None:
            return "added"
        sha256 = prepared.digests.sha256
        brief = self._known.model(sha256)
        if brief is not None:
            return "restored" if brief.deleted else "duplicate"
        if sha256 in self.intake.hashed:
            return "duplicate"
        self.intake.hashed.add(sha256)
        return "added"


def _skipped(found: Found, code: str, message: str) -> FileSeen:
    return FileSeen(found.path, "skipped", size=found.size, code=code, message=message)
