"""Verification: every content read and compared with its address, damage set aside, and what it means told."""

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import BinaryIO

from modelhub.core.config import Settings
from modelhub.core.errors import InvalidInput, ModelHubError, Unreadable, as_ours
from modelhub.core.events import Event, Problem, Progress, Result, Task
from modelhub.core.names import printable
from modelhub.core.places import HubPlaces
from modelhub.files import digest, links
from modelhub.files.blobs import Blobs
from modelhub.services.audit import Audit
from modelhub.services.drives import Drives
from modelhub.services.judge import Judge
from modelhub.services.library import content_path
from modelhub.services.logbook import Logbook
from modelhub.services.trash import what_breaks
from modelhub.services.uses import Uses
from modelhub.store.contents import Contents
from modelhub.store.engine import now
from modelhub.store.found import FoundFiles
from modelhub.store.library import Content, Library
from modelhub.store.meta import Meta

HINT = "Run `modelhub repair`, with --from where a good copy may be, or scan one."
_BEGUN, _WHOLE = "verify_begun", "verified_whole_at"
_TICK_SECONDS = 0.1
_NOTED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Scope:
    """How much is looked at, and how.

    `quick` compares size and header only. `share` (0-1) takes those that were read longest ago, `part` (n, m) the
    n-th of m parts that never change. `resume` leaves out what an interrupted run has read. `rate` is the most bytes
    read in a second; 0: as fast as it goes.
    """

    quick: bool = False
    share: float | None = None
    part: tuple[int, int] | None = None
    resume: bool = False
    rate: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether every content is read in the end."""
        return not self.quick and self.share is None and self.part is None


@dataclass(frozen=True, slots=True)
class Verified:
    """Totals of a verification. `bytes_read` is 0 for a quick one, which reads headers only.

    `skipped` were read by the run that this one goes on with; `quarantined` were set aside; `offline` are on drives
    that are away.
    """

    contents: int
    good: int
    problems: int
    bytes_read: int
    quick: bool
    skipped: int = 0
    quarantined: int = 0
    offline: int = 0


def parse_subset(text: str) -> Scope:
    """``5%`` or ``2/7``."""
    share, slash, parts = text.partition("/")
    if slash and share.isdecimal() and parts.isdecimal() and 1 <= int(share) <= int(parts) <= 10_000:
        return Scope(part=(int(share), int(parts)))
    number = text.removesuffix("%").strip()
    if text.endswith("%") and number.replace(".", "", 1).isdecimal() and 0 < float(number) <= 100:
        return Scope(share=float(number) / 100)
    raise InvalidInput(f"{printable(text)!r} is no part of a library.", hint="Write 5%, or 2/7 for the second of 7.")


class Verifier:
    def __init__(
        self,
        settings: Settings,
        places: HubPlaces,
        library: Library,
        contents: Contents,
        found_files: FoundFiles,
        judge: Judge,
        uses: Uses,
        drives: Drives,
        meta: Meta,
        audit: Audit,
        logbook: Logbook,
    ) -> None:
        self._logbook = logbook
        self._drives = drives
        self._settings = settings
        self._places = places
        self._library = library
        self._contents = contents
        self._found_files = found_files
        self._judge = judge
        self._uses = uses
        self._meta = meta
        self._audit = audit
        self._blobs = Blobs(places)

    def begun_to_count(self) -> str:
        """When the oldest content came, in UTC; empty if there is none."""
        return self._contents.first_added()

    def last_whole(self) -> str:
        """When every content was last read whole, in UTC; empty if never."""
        return self._meta.get(_WHOLE)

    def verify(self, scope: Scope) -> Task[Verified]:
        """Read contents and compare them with their addresses; see `Scope`.

        Names what is damaged (and sets it aside, with the links that led to it), what is gone, and files in the store
        that no content accounts for. Interrupted, it goes on where it was with `resume`.
        """
        return self._logbook.validation(self._verify(scope))

    def _verify(self, scope: Scope) -> Task[Verified]:
        contents = {content.sha256: content for content in self._library.contents()}
        chosen, skipped = self._chosen(list(contents.values()), scope)
        if scope.is_whole and not skipped:
            self._remember(_BEGUN, now())
        run = _Run(self, scope, self._settings.workers or min(2, os.cpu_count() or 1))
        with contextlib.ExitStack() as stack:
            stack.callback(run.stop)
            yield from run.contents(chosen)
        foreign = 0
        for problem in self.foreign(set(contents) | self._found_files.stored()):
            foreign += 1
            yield problem
        if scope.is_whole:
            self._remember(_WHOLE, now())
            self._remember(_BEGUN, "")
        yield Result(
            Verified(
                contents=len(chosen),
                good=run.good,
                problems=run.problems + foreign,
                bytes_read=0 if scope.quick else run.bytes_read,
                quick=scope.quick,
                skipped=skipped,
                quarantined=run.quarantined,
                offline=run.offline,
            )
        )

    def _chosen(self, contents: Sequence[Content], scope: Scope) -> tuple[list[Content], int]:
        """What is to be looked at, and how much of it an earlier run has read."""
        chosen = list(contents)
        if scope.part is not None:
            number, parts = scope.part
            chosen = [one for one in chosen if int(one.sha256[:12], 16) % parts == number - 1]
        elif scope.share is not None:
            read_at = self._contents.verified_at()
            chosen.sort(key=lambda one: (read_at.get(one.sha256, ""), one.sha256))
            chosen = chosen[: max(1, round(len(chosen) * scope.share))]
        begun = self._meta.get(_BEGUN) if scope.resume else ""
        if not begun:
            return chosen, 0
        read_at = self._contents.verified_at()
        left = [one for one in chosen if read_at.get(one.sha256, "") < begun]
        return left, len(chosen) - len(left)

    def _remember(self, key: str, value: str) -> None:
        with contextlib.suppress(Unreadable):  # a hub that can only be read is verified all the same
            self._meta.set(key, value)

    def elsewhere(self) -> Mapping[str, str]:
        """Where contents that are not in the store were last seen."""
        return self._found_files.sources()

    def path_of(self, content: Content, elsewhere: Mapping[str, str]) -> str:
        return content_path(content, self._blobs, elsewhere)

    def note(self, good: Sequence[str], lost: Sequence[str]) -> None:
        with contextlib.suppress(Unreadable):
            self._contents.verified(good)
            if lost:
                self._found_files.restore_truth(lost, {})

    # One content

    def look(self, content: Content, path: str, scope: Scope, tick: Callable[[int], None]) -> Problem | None:
        """What is wrong with one content; None if nothing is."""
        try:
            with digest.open_regular(path) as stream:
                size = os.fstat(stream.fileno()).st_size
                if size != content.size:
                    told = f"{printable(content.name)} is damaged: {size} bytes where {content.size} are right."
                    return Problem("wrong_size", told, HINT, content.name, content.sha256)
                if scope.quick:
                    return self._look_at_header(content, stream, size)
                found = digest.sha256_of(stream, tick)
                if found == content.sha256 or digest.sha256_of(stream, tick) == content.sha256:
                    return None  # a read that went wrong once is no damage of what lies there
        except (OSError, ModelHubError) as error:
            return self._unreadable(content, path, error)
        told = f"{printable(content.name)} is damaged: its content has another SHA-256 ({found[:12]}…)."
        return Problem("hash_mismatch", told, HINT, content.name, content.sha256)

    def _look_at_header(self, content: Content, stream: BinaryIO, size: int) -> Problem | None:
        if os.path.splitext(content.name)[1].lower() not in self._settings.extensions:
            return None  # a describing file has no header
        judged = self._judge.stream(stream, size, content.name)
        if judged.inspection.state != "not_model":
            return None
        told = f"{printable(content.name)}: {judged.inspection.message}"
        return Problem("damaged", told, "Run `modelhub verify` to be sure.", content.name, content.sha256)

    def _unreadable(self, content: Content, path: str, error: OSError | ModelHubError) -> Problem:
        if content.sha256 in self._set_aside():
            told = f"{printable(content.name)} was found damaged, and is in quarantine."
            return Problem("quarantined", told, HINT, content.name, content.sha256)
        if self._drives.away([path] if path else ()):
            told = f"{printable(content.name)} is on a drive that is not there."
            return Problem("offline", told, "Connect it.", content.name, content.sha256)
        if not path or not os.path.lexists(path):
            return Problem("missing", f"{printable(content.name)} is gone.", HINT, content.name, content.sha256)
        known = as_ours(error, printable(path))
        return Problem(known.code, known.message, known.hint, content.name, content.sha256)

    def _set_aside(self) -> set[str]:
        try:
            return set(os.listdir(self._places.quarantine))
        except OSError:
            return set()

    def set_aside(self, content: Content, path: str, problem: Problem) -> tuple[Problem, bool]:
        """Move a damaged content out of the store, so that no app loads it; the problem, with the links it had."""
        uses = self._uses.of({content.sha256: [content.name]}).get(content.sha256, [])
        if uses:
            count = f"{len(uses)} place{'s' if len(uses) > 1 else ''} used it: {what_breaks(uses)}."
            problem = replace(problem, message=f"{problem.message} {count}")
        try:
            self._audit.note("quarantine", sha256=content.sha256, name=content.name, because=problem.code)
            links.rename_free(path, str(self._places.quarantine / content.sha256 / content.name))
            links.remove_if_empty(os.path.dirname(path))
            self._found_files.set_aside(content.sha256)
        except (OSError, ModelHubError):
            return problem, False  # it is told all the same
        return problem, True

    # What does not belong there

    def foreign(self, known: set[str]) -> Iterator[Problem]:
        """Files in the store that no row accounts for. They are reported, never removed."""
        for name, path in self._blobs.strangers():
            told = f"models/{printable(name)} is no content of the store."
            yield Problem("foreign", told, "Scan its original place again, or move it out.", path)
        for address in sorted(self._blobs.addresses()):
            files = self._blobs.files(address)
            if address not in known and files:
                names = ", ".join(printable(entry.name) for entry in files)
                told = f"models/{address}/ holds {names}, which is not in the library."
                hint = "Scan its original place again, move it out, or `modelhub prune --orphans`."
                yield Problem("foreign", told, hint, files[0].path, address)
            elif len(files) > 1 or self._blobs.folders_in(address):
                told = f"models/{address}/ holds more than the one file that belongs there."
                yield Problem("extra", told, "Move out what you put there.", self._blobs.folder(address), address)


class _Run:
    """One verification on its way: files are read in threads, what was found is noted here."""

    def __init__(self, verifier: Verifier, scope: Scope, workers: int) -> None:
        self._verifier = verifier
        self._scope = scope
        self._pace = _Pace(scope.rate)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="modelhub-verify")
        self._most_waiting = workers * 2
        self._waiting: deque[tuple[Content, str, Future[Problem | None]]] = deque()
        self._noted: list[str] = []
        self._lost: list[str] = []
        self._noted_at = time.monotonic()
        self.good = self.problems = self.quarantined = self.offline = 0

    @property
    def bytes_read(self) -> int:
        return self._pace.bytes

    def stop(self) -> None:
        self._pace.stop()
        self._pool.shutdown(cancel_futures=True)
        self._note()

    def contents(self, chosen: Sequence[Content]) -> Iterator[Event]:
        total = sum(content.size for content in chosen)
        elsewhere = self._verifier.elsewhere()
        for content in chosen:
            path = self._verifier.path_of(content, elsewhere)
            work = self._pool.submit(self._verifier.look, content, path, self._scope, self._pace.tick)
            self._waiting.append((content, path, work))
            yield from self._drain(self._most_waiting, total)
        yield from self._drain(0, total)

    def _drain(self, most: int, total: int) -> Iterator[Event]:
        while len(self._waiting) > most:
            content, path, future = self._waiting[0]
            yield Progress("verify", self._pace.bytes, 0 if self._scope.quick else total, "bytes", content.name)
            try:
                problem = future.result(_TICK_SECONDS)
            except NotYet:
                continue
            self._waiting.popleft()
            yield from self._met(content, path, problem)

    def _met(self, content: Content, path: str, problem: Problem | None) -> Iterator[Event]:
        if problem is None:
            self.good += 1
            if not self._scope.quick:
                self._noted.append(content.sha256)
            if time.monotonic() - self._noted_at > _NOTED_SECONDS:
                self._note()
            return
        if problem.code == "offline":
            self.offline += 1
            return
        self.problems += 1
        if content.stored and problem.code in ("hash_mismatch", "wrong_size"):
            problem, moved = self._verifier.set_aside(content, path, problem)
            self.quarantined += moved
        elif content.stored and problem.code == "missing":
            self._lost.append(content.sha256)
        yield problem

    def _note(self) -> None:
        good, lost, self._noted, self._lost, self._noted_at = self._noted, self._lost, [], [], time.monotonic()
        self._verifier.note(good, lost)


class _Pace:
    """Counts what is read by all threads together, slows it down to a rate, and ends it when asked to."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._started = time.monotonic()
        self.bytes = 0

    def stop(self) -> None:
        self._stopped.set()

    def tick(self, count: int) -> None:
        with self._lock:
            self.bytes += count
            ahead = self.bytes / self._rate - (time.monotonic() - self._started) if self._rate else 0.0
        if self._stopped.wait(max(0.0, ahead)) if ahead > 0 else self._stopped.is_set():
            raise CancelledError


def days_since(moment: str) -> int:
    """Whole days from a time as the databases write it until now."""
    then = datetime.strptime(moment, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    return (datetime.now(UTC) - then).days
