"""Taking back what a deployment did: what was made goes, what was removed comes back, where nobody touched it since."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from modelhub.core.apps import Target
from modelhub.core.deployment import (
    NO_FILE,
    Conflict,
    How,
    JournalStep,
    Link,
    LinkFile,
    MakeLink,
    Plan,
    RemoveLink,
    Step,
    WriteConfig,
)
from modelhub.core.errors import Changed, ModelHubError, as_ours
from modelhub.core.events import Problem, Result, Task
from modelhub.core.names import printable
from modelhub.core.types import Sha256
from modelhub.files import links, placements
from modelhub.services.applying import Application, Deployed
from modelhub.services.deploy import Deployment
from modelhub.services.library import Models
from modelhub.services.targets import TargetDesk
from modelhub.store.journal import Journal, Run
from modelhub.store.targets import Targets
from modelhub.store.trash import Trash

_OURS = ("made", "replaced", "removed")
_USERS = ("moved", "adopted", "merged")
_OF_MODELS = ("trashed", "restored", "set")


@dataclass(frozen=True, slots=True)
class Undoing:
    """What taking back a run would do. `users` are files of the user's that go back, `folders` go if they are empty,
    `models` come out of the trash, go back into it, or are again what they were set to.
    """

    run: Run
    plan: Plan
    users: tuple[JournalStep, ...]
    folders: tuple[str, ...]
    models: tuple[JournalStep, ...] = ()


class Undo:
    def __init__(
        self,
        journal: Journal,
        targets: Targets,
        desk: TargetDesk,
        application: Application,
        deployment: Deployment,
        trash: Trash,
        models: Models,
    ) -> None:
        self._journal = journal
        self._trash = trash
        self._models = models
        self._targets = targets
        self._desk = desk
        self._application = application
        self._deployment = deployment

    def runs(self) -> list[Run]:
        """What was deployed and undone, newest first."""
        return self._journal.runs()

    def plan(self, run: int | None = None, *, of_models: bool = True) -> Undoing:
        """What undoing a run (the last one that was not undone, if none is named) would change; nothing is touched.

        Without `of_models` what only changed models (deleted, restored, set) is passed over.
        """
        chosen = self._journal.to_undo(run, () if of_models else ("delete", "restore", "set"))
        if chosen.state == "undone":
            raise Changed(f"Run {chosen.id} was undone already.", hint="`modelhub deploy history` lists all runs.")
        later = self._journal.later(chosen.id)
        if later:
            told = f"Run {later[0]} changed the same target after run {chosen.id}."
            raise Changed(told, hint=f"Take it back first: `modelhub deploy undo {later[0]}`.")
        steps = self._journal.steps(chosen.id)
        targets = {target.id: target for target in self._targets.all()}
        records = {(link.target_id, link.model_id): link for link in self._targets.links()}
        grouped: dict[tuple[int, int], list[JournalStep]] = {}
        for step in steps:
            if step.action in _OURS and step.target_id in targets and step.model_id is not None:
                grouped.setdefault((step.target_id, step.model_id), []).append(step)
        adopted = {step.path for step in steps if step.action == "adopted"}
        recorded = {file.path for link in records.values() for file in link.files}
        made: list[Step] = []
        for key, own in reversed(grouped.items()):
            record = records.pop(key, None)
            others = [link for (target_id, _), link in records.items() if target_id == key[0]]
            made += self._model(targets[key[0]], own, record, adopted, others, recorded)
        configs, changed = _configs(steps, targets)
        for target_id in changed:
            own_steps = [step for step in made if step.target == targets[target_id].name]
            configs += self._deployment.reconfigured(targets[target_id], own_steps)
        users = tuple(step for step in reversed(steps) if step.action in _USERS)
        folders = tuple(step.path for step in reversed(steps) if step.action == "folder")
        models = tuple(step for step in reversed(steps) if step.action in _OF_MODELS)
        return Undoing(chosen, Plan((*configs, *made), "undo"), users, folders, models)

    def _model(
        self,
        target: Target,
        steps: Sequence[JournalStep],
        record: Link | None,
        adopted: set[str],
        others: Sequence[Link],
        recorded_paths: set[str],
    ) -> Iterator[Step]:
        standing = self._desk.standing(target)
        model_id = steps[0].model_id or 0
        recorded = {file.path: file for file in record.files} if record is not None else {}
        gone = [_file(step, recorded) for step in steps if step.action == "made"]
        needed = standing.needed_by_others(Link(model_id, target.id, True, tuple(gone)), others, recorded_paths)
        going = []
        for file in gone:
            if file.path in needed:
                continue
            if standing.of(file) or standing.is_gone(file):
                going.append(file)
            else:
                by = f"{links.what_stands_at(file.path)}, where our link was"
                yield Conflict(target.name, model_id, file.path, by)
        if gone:
            kept = tuple(file for file in going if file.path not in adopted)  # the user's file comes back there
            yield RemoveLink(target.name, model_id, gone[0].path, gone[0].source, "undone", kept)
        back = [_file(step, {}) for step in steps if step.action == "removed"]
        back += [_back(step) for step in steps if step.action == "replaced"]
        free, leaving = [], {file.path for file in going}
        for file in back:
            there = file.how in NO_FILE or standing.is_gone(file) or standing.of(file)
            if file.was or file.path in leaving or there:
                free.append(file)
            else:
                yield Conflict(target.name, model_id, file.path, links.what_stands_at(file.path))
        if free:
            first = free[0]
            yield MakeLink(target.name, model_id, first.sha256, first.path, first.source, 0, first.how, tuple(free))

    def run(self, undoing: Undoing) -> Task[Deployed]:
        """Take the run back. What was changed since is left alone and told."""
        result: Result[Deployed] | None = None
        problems = 0
        for event in self._application.run(undoing.plan):
            if isinstance(event, Result):
                result = event
                continue
            problems += isinstance(event, Problem)
            yield event
        for step in undoing.users:
            try:
                _users_file_back(step)
            except (ModelHubError, OSError) as error:
                known = as_ours(error, printable(step.path))
                problems += 1
                yield Problem.of(known, item=step.path)
        for folder in undoing.folders:
            links.remove_if_empty(folder)
        self._models_back(undoing.models)
        if not problems:  # else the same command tries the rest again
            self._journal.close(undoing.run.id, "undone")
        if result is not None:
            yield result

    def _models_back(self, steps: Sequence[JournalStep]) -> None:
        self._trash.take_back(_ids(steps, "trashed"))
        self._trash.put(_ids(steps, "restored"))
        for step in steps:
            if step.action == "set" and step.model_id is not None:
                self._models.set_back(step.model_id, step.before or b"{}")


def _ids(steps: Sequence[JournalStep], action: str) -> list[int]:
    return [step.model_id for step in steps if step.action == action and step.model_id is not None]


def _file(step: JournalStep, recorded: Mapping[str, LinkFile]) -> LinkFile:
    content = step.before if step.action == "removed" and step.before is not None else b""
    known = recorded.get(step.path)
    how = cast("How", known.how if known is not None else step.how or "symlink")
    shared = "/blobs/sha256-" in step.path or (known is not None and known.shared)
    stamp = known.stamp if known is not None else ""
    return LinkFile(step.path, step.source, Sha256(step.sha256), how, content, shared=shared, stamp=stamp)


def _back(step: JournalStep) -> LinkFile:
    """A link that led elsewhere before."""
    return LinkFile(step.path, os.fsdecode(step.before or b""), Sha256(step.sha256), "symlink", was=step.source)


def _configs(steps: Sequence[JournalStep], targets: Mapping[int, Target]) -> tuple[list[Step], list[int]]:
    """Configurations as they were before; and targets whose configuration was changed since, by their ids."""
    found: list[Step] = []
    changed: list[int] = []
    for step in reversed(steps):
        if step.action != "wrote" or step.target_id is None or step.target_id not in targets:
            continue
        if placements.read_config(step.path)[1] == step.sha256:
            name = targets[step.target_id].name
            found.append(WriteConfig(name, step.path, step.sha256, step.before, "as it was before", first=True))
        elif step.target_id not in changed:
            changed.append(step.target_id)
    return found, changed


def _users_file_back(step: JournalStep) -> None:
    """A file of the user's to where and what it was; raises Changed if it is not as we left it."""
    if step.action == "moved":
        if links.lstat(step.path) is not None or links.lstat(step.source) is None:
            raise Changed(f"{printable(step.source)} was moved or replaced since.", hint="Move it back by hand.")
        links.rename_free(step.source, step.path)
        return
    told = json.loads(step.before or b"{}")
    how = cast("How", step.how)
    if not links.leads_to(step.path, step.source, how):
        raise Changed(f"{printable(step.path)} is no longer the link we made.", hint="Nothing was changed there.")
    placements.file_for_link(step.path, step.source, Sha256(step.sha256), how)
    with contextlib.suppress(OSError):
        os.chmod(step.path, int(told.get("mode", 0o644)))
        os.utime(step.path, ns=(int(told.get("mtime_ns", 0)), int(told.get("mtime_ns", 0))))
