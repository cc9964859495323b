"""A plan is carried out: link by link, each noted before it is made, so that after a crash it is finished or undone.

Only what we made, and stands as we made it, is ever removed; what is the user's is a conflict.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from modelhub.core.deployment import (
    COPIES,
    NO_FILE,
    JournalStep,
    LinkFile,
    MakeLink,
    Plan,
    Registry,
    RemoveLink,
    WriteConfig,
)
from modelhub.core.errors import CannotLink, Conflict, ModelHubError, as_ours
from modelhub.core.events import Event, Problem, Progress, Result, Task
from modelhub.core.names import printable
from modelhub.core.places import HubPlaces
from modelhub.files import links, placements
from modelhub.services.audit import Audit
from modelhub.services.waiting import Tick, beside
from modelhub.store.journal import Journal
from modelhub.store.targets import Targets

_CHUNK = 2000
T = TypeVar("T")
Registries = Callable[[str], contextlib.AbstractContextManager[Registry]]
"""The registry of the running app at an address."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """Totals of one deployment or of its preview. `bytes_saved` is what copies would have cost, `bytes_copied` what
    copies do; `run` is what `deploy undo` takes back (0: nothing was changed).
    """

    made: int
    removed: int
    linked: int
    skipped: int
    conflicts: int
    problems: int
    bytes_saved: int
    dry_run: bool
    replaced: int = 0
    configs: int = 0
    bytes_copied: int = 0
    run: int = 0


@dataclass(slots=True)
class Count:
    """How far a run has come."""

    made: list[MakeLink] = field(default_factory=list)
    removed: int = 0
    configs: int = 0
    problems: int = 0
    done: int = 0
    total: int = 0


def totals(plan: Plan, count: Count, *, dry_run: bool, run: int = 0, noted: bool = False) -> Deployed:
    linked = sum(skip.code == "linked" for skip in plan.skips)
    return Deployed(
        made=len(count.made),
        removed=count.removed,
        linked=linked,
        skipped=len(plan.skips) - linked,
        conflicts=len(plan.conflicts),
        problems=count.problems,
        bytes_saved=sum(step.size for step in count.made if step.how not in COPIES),
        dry_run=dry_run,
        replaced=sum(step.replaces for step in count.made),
        configs=count.configs,
        bytes_copied=sum(step.size for step in count.made if step.how in COPIES),
        run=run if count.made or count.removed or count.configs or noted else 0,
    )


class Application:
    """Applies plans to one hub's targets, one at a time."""

    def __init__(
        self, places: HubPlaces, targets: Targets, journal: Journal, registries: Registries, audit: Audit
    ) -> None:
        self._places = places
        self._targets = targets
        self._journal = journal
        self._registries = registries
        self._audit = audit

    @contextlib.contextmanager
    def alone(self, what: str) -> Iterator[int]:
        """A run of its own in the journal, while no other changes what is deployed; raises Conflict if one does."""
        self._targets.require_writable()
        self._places.partial.mkdir(parents=True, exist_ok=True)
        with links.try_lock(self._places.partial / "deploy.lock") as free:
            if not free:
                told = "Another deployment is running on this hub."
                raise Conflict(told, hint="Run the same command when it is done.")
            for folder in self._journal.unfinished_folders():
                placements.sweep(folder)
            self._journal.settle()
            run = self._journal.begin(what)
            self._audit.note(what, state="begun", run=run)
            state = "interrupted"
            try:
                yield run
                state = "done"
            finally:
                self._journal.close(run)
                self._audit.note(what, state=state, run=run)

    def run(
        self, plan: Plan, before: Sequence[JournalStep] = (), finish: Callable[[], None] = lambda: None
    ) -> Task[Deployed]:
        """Do what the plan says. What changed meanwhile is left alone and told.

        `before` was done for it already, or will be by `finish` when all the rest is done.
        """
        ids = {target.name: target.id for target in self._targets.all()}
        count = Count(total=len(plan.removals) + len(plan.links))
        with self.alone(plan.what) as run, contextlib.ExitStack() as stack:
            self._journal.note(run, before)
            known = _Known(self._registries, stack)
            yield from self._configs([step for step in plan.configs if step.first], ids, run, count)
            for removals in _chunks(plan.removals):
                yield Progress("deploy", count.done, count.total, "links", removals[0].path)
                yield from self._remove(removals, ids, run, known, count)
            for making in _chunks(plan.links):
                yield Progress("deploy", count.done, count.total, "links", making[0].path)
                yield from self._make(making, ids, run, known, count)
            yield from self._configs([step for step in plan.configs if not step.first], ids, run, count)
            finish()
        yield Result(totals(plan, count, dry_run=False, run=run, noted=bool(before)))

    def _remove(
        self, removals: Sequence[RemoveLink], ids: Mapping[str, int], run: int, known: "_Known", count: Count
    ) -> Generator[Event, None, None]:
        self._journal.note(run, [step for one in removals for step in _removed_steps(one, ids[one.target])])
        gone = []
        for removal in removals:
            count.done += 1
            try:
                count.removed += _take_away(removal, known)
            except (ModelHubError, OSError) as error:
                yield Problem.of(as_ours(error, printable(removal.path)), item=removal.path)
                count.problems += 1
            else:
                gone.append((removal.model_id, ids[removal.target]))
        folders = _folders(file for one in removals for file in one.files)
        links.sync(folder for folder in folders if os.path.isdir(folder))
        self._targets.unmade(gone)

    def _make(
        self, steps: Sequence[MakeLink], ids: Mapping[str, int], run: int, known: "_Known", count: Count
    ) -> Generator[Event, None, None]:
        folders = _folders(file for step in steps for file in step.files)
        new = _missing(folders)
        self._targets.intend(steps, ids, run, new)
        done = []
        for step in steps:
            count.done += 1
            try:
                made = yield from _placed(step, known)
            except (ModelHubError, OSError) as error:
                yield Problem.of(as_ours(error, printable(step.path)), item=step.path, sha256=step.sha256)
                count.problems += 1
            else:
                done.append(made)
        above = (os.path.dirname(folder) for folder in new if os.path.isdir(folder))
        links.sync([*_folders(file for step in done for file in step.files), *above])
        self._targets.made(done, ids)
        count.made += done

    def _configs(
        self, steps: Sequence[WriteConfig], ids: Mapping[str, int], run: int, count: Count
    ) -> Generator[Event, None, None]:
        for step in steps:
            try:
                self._write_config(step, ids[step.target], run)
            except (ModelHubError, OSError) as error:
                yield Problem.of(as_ours(error, printable(step.path)), item=step.path)
                count.problems += 1
            else:
                count.configs += 1

    def _write_config(self, step: WriteConfig, target_id: int, run: int) -> None:
        before, _ = placements.read_config(step.path)
        if before is not None:
            self._keep(step, before)
        real = os.path.dirname(os.path.realpath(step.path))
        new = _missing([*step.folders, real])
        after = "" if step.content is None else hashlib.sha256(step.content).hexdigest()
        wrote = JournalStep("wrote", step.path, "", after, "write", before, target_id)
        self._journal.note(run, [*(JournalStep("folder", folder) for folder in new), wrote])
        for folder in step.folders:
            os.makedirs(folder, exist_ok=True)
        if step.content is None:
            placements.remove_written(step.path, step.before)
            if real in self._targets.made_folders():
                links.remove_if_empty(real)
        else:
            placements.write_over(step.path, step.content, step.before)
        self._targets.wrote(target_id, step.path, after, made=not step.before, root=step.root)

    def _keep(self, step: WriteConfig, before: bytes) -> None:
        """A copy of an app's configuration as it was, in the hub's backups."""
        folder = self._places.backups / "apps" / step.target
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{hashlib.sha256(before).hexdigest()[:12]}-{os.path.basename(step.path)}"
        (folder / name).write_bytes(before)


class _Known:
    """Registries of running apps, each opened once and only if it is needed."""

    def __init__(self, registries: Registries, stack: contextlib.ExitStack) -> None:
        self._registries = registries
        self._stack = stack
        self._open: dict[str, Registry] = {}

    def at(self, url: str) -> Registry:
        if url not in self._open:
            self._open[url] = self._stack.enter_context(self._registries(url))
        return self._open[url]


def _placed(step: MakeLink, known: _Known) -> Generator[Progress, None, MakeLink]:
    """The step with its files made, and the stamps of those that are no symlinks."""
    made: list[LinkFile] = []
    for file in reversed(step.files):  # the file that apps look for comes last
        if file.how == "entry":
            made.append(file)
        elif file.how == "register":
            for told in known.at(file.path.partition("#")[0]).register(file.source, os.path.basename(file.source)):
                yield Progress("deploy", 0, 0, "links", told)
            made.append(file)
        elif file.how in COPIES:
            work = partial(_make_one, file)
            made.append((yield from beside(work, "deploy", file.path, unit="bytes", total=step.size)))
        else:
            made.append(_make_one(file))
    return step._replace(files=tuple(reversed(made)))


def _make_one(file: LinkFile, tick: Tick | None = None) -> LinkFile:
    if file.was or not placements.stands(file):  # a run before us may have made it and not noted it
        try:
            placements.place(file, tick)
        except CannotLink:
            if file.how != "symlink":
                raise
            file = file._replace(how="hardlink", was="")
            placements.place(file, tick)
    return file._replace(stamp=placements.stamp_of(file))


def _take_away(removal: RemoveLink, known: _Known) -> bool:
    """Remove a model's files, and the folders that were made for them if nothing else is in them."""
    removed = []
    for file in removal.files:
        if file.how == "register":
            removed.append(known.at(file.path.partition("#")[0]).forget(file.source))
        elif file.how == "entry":
            removed.append(True)  # it goes with the rewriting of its file
        else:
            removed.append(placements.take_away(file))
    for folder in removal.folders:
        links.remove_if_empty(folder)
    return any(removed)


def _removed_steps(removal: RemoveLink, target_id: int) -> Iterator[JournalStep]:
    for file in removal.files:
        if file.how not in NO_FILE and not placements.stands(file):
            continue  # what is gone already is not to come back
        content = None
        if file.how == "write":
            content, _ = placements.read_config(file.path)
        yield JournalStep(
            "removed", file.path, file.source, file.sha256, file.how, content, target_id, removal.model_id
        )


def _folders(files: Iterable[LinkFile]) -> list[str]:
    return list(dict.fromkeys(os.path.dirname(file.path) for file in files if file.how not in NO_FILE))


def _missing(folders: Iterable[str]) -> list[str]:
    """Folders that are not there yet, the outer ones first."""
    missing = (one for folder in folders for one in placements.missing_folders(folder))
    return list(dict.fromkeys(missing))


def _chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
