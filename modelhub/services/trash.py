"""The trash: models deleted softly, brought back with their links, and removed for good only when asked to be."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from modelhub.core.deployment import JournalStep, Plan
from modelhub.core.errors import InvalidInput, ModelHubError, as_ours
from modelhub.core.events import Problem, Progress, Result, Task
from modelhub.core.names import printable
from modelhub.core.places import HubPlaces
from modelhub.core.types import Model, Sha256
from modelhub.files import links
from modelhub.files.blobs import Blobs
from modelhub.services.applying import Deployed
from modelhub.services.audit import Audit
from modelhub.services.deploy import Deployment
from modelhub.services.uses import Use, Uses
from modelhub.store.backups import contents_of
from modelhub.store.found import FoundFiles
from modelhub.store.journal import Journal
from modelhub.store.library import Library
from modelhub.store.trash import Deleted, Trash

_FORM = "%Y-%m-%d %H:%M:%S"
_NEEDED = ("link", "entry", "foreign")
"""Uses that keep a content from being removed."""


@dataclass(frozen=True, slots=True)
class Trashed:
    """What went into the trash, or came out of it. `bytes` stay on the disk until they are pruned."""

    models: int
    links: int
    problems: int
    bytes: int
    run: int
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Doomed:
    """One content that pruning would remove, and the links that would lead nowhere then.

    `frees` is less than `size` where the file has other names on the disk.
    """

    sha256: Sha256
    path: str
    size: int
    frees: int
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """One model or file that is not removed, and why."""

    name: str
    sha256: str
    because: str


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What pruning would remove for good. Computing it touches nothing."""

    models: tuple[Deleted, ...]
    contents: tuple[Doomed, ...]
    orphans: tuple[Doomed, ...]
    quarantined: tuple[Doomed, ...]
    kept: tuple[Kept, ...]

    @property
    def removals(self) -> tuple[Doomed, ...]:
        return (*self.contents, *self.orphans, *self.quarantined)

    @property
    def frees(self) -> int:
        return sum(one.frees for one in self.removals)


@dataclass(frozen=True, slots=True)
class Pruned:
    """Totals. `frees` in bytes; what has other names on the disk frees nothing."""

    models: int
    files: int
    links: int
    frees: int
    kept: int
    problems: int
    dry_run: bool


class TrashDesk:
    def __init__(
        self,
        places: HubPlaces,
        library: Library,
        trash: Trash,
        found_files: FoundFiles,
        deployment: Deployment,
        journal: Journal,
        uses: Uses,
        audit: Audit,
    ) -> None:
        self._places = places
        self._library = library
        self._trash = trash
        self._found_files = found_files
        self._deployment = deployment
        self._journal = journal
        self._uses = uses
        self._audit = audit
        self._blobs = Blobs(places)

    def all(self) -> list[Deleted]:
        """What is in the trash, the longest there first."""
        return self._trash.all()

    def find(self, names: Sequence[str]) -> list[Deleted]:
        """The models in the trash that these names, ids or digests name; raises NotFound or Ambiguous."""
        ids = [self._library.resolve(name, deleted=True).id for name in names]
        return self._trash.all(ids)

    # In and out

    def plan_delete(self, models: Sequence[Model]) -> Plan:
        """The links that would go with the models."""
        return self._deployment.plan_removal((), models, what="delete")

    def delete(self, models: Sequence[Model], plan: Plan) -> Task[Trashed]:
        """Into the trash: links go, contents and all that is known stay; `undo` and `restore` bring them back."""
        steps = [JournalStep("trashed", model.filename, model_id=model.id, sha256=model.sha256) for model in models]
        ids = [model.id for model in models]
        task = self._deployment.apply(plan, steps, finish=lambda: self._trash.put(ids))
        yield from _told(task, len(models), sum(model.size for model in models))

    def plan_restore(self, gone: Sequence[Deleted]) -> list[str]:
        """Names of the targets to which the models would be deployed again: those that had them."""
        had = self._journal.targets_of_last("trashed", [one.id for one in gone])
        return [target.name for target in self._deployment.enabled() if target.id in had]

    def restore(self, gone: Sequence[Deleted]) -> Task[Trashed]:
        """Out of the trash, and linked again where they were."""
        targets = self.plan_restore(gone)
        steps = [JournalStep("restored", one.filename, model_id=one.id, sha256=one.sha256) for one in gone]
        with self._blobs.working():  # no prune may run meanwhile
            self._trash.take_back([one.id for one in gone])
            models = [self._library.resolve(str(one.id)) for one in gone]
            made = self._deployment.plan(targets, models).steps if targets else ()
            task = self._deployment.apply(Plan(made, "restore"), steps)
            yield from _told(task, len(gone), sum(one.size for one in gone))

    # For good

    def plan_prune(
        self,
        *,
        older_than: timedelta,
        only: Sequence[Deleted] | None = None,
        orphans: bool = False,
        quarantine: bool = False,
    ) -> PrunePlan:
        """What would be removed: the deleted models of that age (or `only` these, whatever their age).

        `orphans`: also files of the store that no row accounts for; `quarantine`: also what was found damaged.
        """
        before = (datetime.now(UTC) - older_than).strftime(_FORM)
        gone = list(only) if only is not None else self._trash.all(before=before)
        theirs = self._trash.only_theirs([one.id for one in gone])
        uses = self._uses.of({file.sha256: [file.name] for file in theirs})
        needed = {sha256: why for sha256, found in uses.items() if (why := _needed(found))}
        held = self._files_of(gone) if needed else {}
        kept = {one.id: needed[sha256] for one in gone for sha256 in held.get(one.id, ()) if sha256 in needed}
        models = tuple(one for one in gone if one.id not in kept)
        going = self._trash.only_theirs([one.id for one in models]) if kept else theirs
        contents = (
            _doomed(file.sha256, os.path.join(self._blobs.folder(file.sha256), file.name), uses.get(file.sha256, ()))
            for file in going
        )
        lost, spared = self._orphans(older_than) if orphans else ([], [])
        return PrunePlan(
            models=models,
            contents=tuple(one for one in contents if one is not None),
            orphans=tuple(lost),
            quarantined=tuple(self._quarantined(older_than)) if quarantine else (),
            kept=tuple(Kept(one.filename, one.sha256, kept[one.id]) for one in gone if one.id in kept) + tuple(spared),
        )

    def _files_of(self, gone: Sequence[Deleted]) -> Mapping[int, list[str]]:
        found: dict[int, list[str]] = {}
        for content in self._library.contents([one.id for one in gone]):
            found.setdefault(content.model_id, []).append(content.sha256)
        return found

    def _orphans(self, older_than: timedelta) -> tuple[list[Doomed], list[Kept]]:
        """Files of the store without a row, that have been so for a while: a new blob may be about to get its row."""
        known = self._found_files.known(self._blobs.addresses()) | self._found_files.stored()
        oldest = (datetime.now(UTC) - older_than).timestamp()
        orphans = [
            (address, entry)
            for address in sorted(self._blobs.addresses() - known)
            for entry in self._blobs.files(address)
            if max(entry.stat().st_ctime, entry.stat().st_mtime) <= oldest
        ]
        uses = self._uses.of({address: [entry.name] for address, entry in orphans})
        backed_up = contents_of(self._places.backups) if orphans else {}
        going, kept = [], []
        for address, entry in orphans:
            because = _needed(uses.get(address, ()))
            if not because and address in backed_up:
                because = f"the backup {backed_up[address]} knows it; `modelhub restore` brings its model back"
            if because:
                kept.append(Kept(entry.name, address, because))
            else:
                going.append(_doomed(Sha256(address), entry.path, ()))
        return [one for one in going if one is not None], kept

    def _quarantined(self, older_than: timedelta) -> list[Doomed]:
        oldest = (datetime.now(UTC) - older_than).timestamp()
        found = [
            _doomed(Sha256(path.parent.name), str(path), ())
            for path in sorted(self._places.quarantine.glob("*/*"))
            if path.lstat().st_ctime <= oldest
        ]
        return [one for one in found if one is not None]

    def prune(self, replan: Callable[[], PrunePlan]) -> Task[Pruned]:
        """Remove for good what the plan names; it is made anew while nothing else runs on the hub.

        Links first, then contents, then rows: killed at any point, the same command finishes. Raises Conflict while
        a scan or a deployment runs.
        """
        with self._blobs.alone():
            plan = replan()
            if plan.models or plan.removals:
                task = self._prune(plan)
                told = {"models": [one.sha256 for one in plan.models], "files": [one.sha256 for one in plan.removals]}
                yield from self._audit.watched("prune", task, **told)
            else:
                yield Result(foreseen(plan, dry_run=False))

    def _prune(self, plan: PrunePlan) -> Task[Pruned]:
        counts: Counter[str] = Counter()
        failed: set[str] = set()
        removals = plan.removals
        for number, one in enumerate(removals):
            yield Progress("prune", number, len(removals), "files", one.path)
            try:
                counts["links"] += sum(_remove_link(path, one.path) for path in one.links)
                counts["files"] += _remove_file(one.path)
                counts["frees"] += one.frees
                self._blobs.clear(one.sha256)
                links.remove_if_empty(os.path.dirname(one.path))
            except (OSError, ModelHubError) as error:
                failed.add(one.sha256)
                yield Problem.of(as_ours(error, printable(one.path)), item=one.path, sha256=one.sha256)
        held = self._files_of(plan.models) if failed else {}
        done = [one.id for one in plan.models if not failed & set(held.get(one.id, ()))]
        self._trash.forget(done)
        yield Result(
            Pruned(
                models=len(done),
                files=counts["files"],
                links=counts["links"],
                frees=counts["frees"],
                kept=len(plan.kept),
                problems=len(failed),
                dry_run=False,
            )
        )


def foreseen(plan: PrunePlan, *, dry_run: bool) -> Pruned:
    """What carrying out the plan would come to."""
    removals = plan.removals
    return Pruned(
        models=len(plan.models),
        files=len(removals),
        links=sum(len(one.links) for one in removals),
        frees=plan.frees,
        kept=len(plan.kept),
        problems=0,
        dry_run=dry_run,
    )


def parse_age(text: str) -> timedelta:
    """``30d``, ``12h``, ``2w`` or a number of days."""
    units = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, units["d"])
    if not number.isdecimal() or len(number) > 5:
        raise InvalidInput(f"{printable(text)!r} is no age.", hint="Write 30d, 12h or 2w.")
    return int(number) * unit


def what_breaks(uses: Sequence[Use]) -> str:
    """In words, what would no longer find its file; empty if nothing would."""
    parts = [f"{use.place} ({use.target})" if use.target else use.place for use in uses]
    return ", ".join(printable(part) for part in parts[:3]) + (f" and {len(parts) - 3} more" if len(parts) > 3 else "")


def _needed(uses: Sequence[Use]) -> str:
    needing = [use for use in uses if use.kind in _NEEDED]
    return f"it is used by {what_breaks(needing)}" if needing else ""


def _doomed(sha256: Sha256, path: str, uses: Sequence[Use]) -> Doomed | None:
    found = links.lstat(path)
    if found is None:
        return None
    own = tuple(use.place for use in uses if use.kind == "found")
    return Doomed(sha256, path, found.st_size, found.st_size if found.st_nlink == 1 else 0, own)


def _remove_link(path: str, source: str) -> bool:
    """Remove a link that leads to the content that goes, by whatever way it is written."""
    target = links.target_of(path)
    if target is None or os.path.realpath(path) != os.path.realpath(source):
        return False
    return links.remove_symlink(path, target)


def _remove_file(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def _told(task: Task[Deployed], models: int, size: int) -> Task[Trashed]:
    problems = 0
    for event in task:
        if isinstance(event, Result):
            done = event.value
            changed = done.removed + done.made
            yield Result(Trashed(models, changed, problems, size, done.run, done.dry_run))
        else:
            problems += isinstance(event, Problem)
            yield event
