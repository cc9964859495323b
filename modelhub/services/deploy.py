"""Deployment: a plan that touches nothing, and its application, link by link.

Only links we made, still pointing where we pointed them, are ever removed; what is the user's is a conflict.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from modelhub.apps import catalogue
from modelhub.core.deployment import (
    App,
    Link,
    MakeLink,
    Plan,
    RemoveLink,
    Step,
    Target,
    TargetStatus,
)
from modelhub.core.errors import InvalidInput, ModelHubError, from_os_error
from modelhub.core.events import Problem, Progress, Result, Task
from modelhub.core.names import printable, storable
from modelhub.core.places import expand
from modelhub.core.types import UNKNOWN, Model, ModelFilter
from modelhub.files import links
from modelhub.services.library import Models
from modelhub.services.plan import TargetPlan, is_ours, is_whole, removal_of, standing
from modelhub.store.library import Library
from modelhub.store.targets import Targets

_CHUNK = 500
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deployed:
    """Totals of one deployment or of its preview; `bytes_saved` is what copies would have cost."""

    made: int
    removed: int
    linked: int
    skipped: int
    conflicts: int
    problems: int
    bytes_saved: int
    dry_run: bool


class Deployment:
    def __init__(self, library: Library, targets: Targets, models: Models) -> None:
        self._library = library
        self._targets = targets
        self._models = models

    # Targets

    def targets(self) -> list[Target]:
        return self._targets.all()

    def target(self, name: str) -> Target:
        return self._targets.get(name)

    def apps(self) -> list[App]:
        return list(catalogue.apps().values())

    def create_defaults(self) -> None:
        """The four targets that every hub starts with, disabled; once for all times."""
        if not self._targets.have_defaults():
            shipped = [app for app in catalogue.apps().values() if app.default_target]
            self._targets.add_defaults(
                [
                    Target(0, app.name, app.display_name, app.default_path, False, app.name, app.folders)
                    for app in shipped
                ]
            )

    def preview_target(self, name: str, path: str, *, app: str, display_name: str, enabled: bool) -> Target:
        """The target that `add_target` would make; raises InvalidInput or NotFound as that would."""
        if not name or not name.isprintable() or "/" in name:
            raise InvalidInput(
                f"{printable(name)!r} is no good name for a target.", hint="Use letters, digits, - and _."
            )
        record = catalogue.app(app)
        folders = record.folders
        if record.name == catalogue.PLAIN_FOLDER:
            folders = {kind: kind for kind, _ in self._models.types() if kind != UNKNOWN}
        base_path = expand(path) if path else record.default_path
        if not base_path:
            raise InvalidInput("A plain folder needs a path.", hint=f"modelhub targets add {name} PATH")
        return Target(0, name, display_name or name, base_path, enabled, record.name, folders)

    def add_target(self, name: str, path: str, *, app: str, display_name: str, enabled: bool) -> Target:
        """A target for an installed app, or a plain folder with one sub-folder for each type."""
        self._targets.add(self.preview_target(name, path, app=app, display_name=display_name, enabled=enabled))
        return self._targets.get(name)

    def change_target(
        self, name: str, *, enabled: bool | None = None, path: str = "", display_name: str = ""
    ) -> Target:
        target = self._targets.get(name)
        changed: dict[str, object] = {}
        if enabled is not None:
            changed["enabled"] = enabled
        if path:
            changed["base_path"] = storable(expand(path))
        if display_name:
            changed["display_name"] = storable(display_name)
        self._targets.change(target.id, **changed)
        return self._targets.get(name)

    def map_type(self, name: str, model_type: str, folder: str | None) -> Target:
        """Set the folder of a type in a target, relative to its base path; None removes the mapping."""
        target = self._targets.get(name)
        if folder is not None and (not folder.strip() or os.path.isabs(folder) or "\0" in folder):
            raise InvalidInput(f"{printable(folder)!r} is no relative folder.", hint="Name it relative to the target.")
        known = [kind for kind, _ in self._models.types()]
        if folder is not None and model_type not in known:
            raise InvalidInput(f"{printable(model_type)!r} is no model type.", hint="`modelhub types` lists them.")
        self._targets.map(target.id, model_type, folder)
        return self._targets.get(name)

    def remove_target(self, name: str) -> None:
        """Forget a target; its links must be gone before, so that none is left untracked."""
        target = self._targets.get(name)
        left = [link for link in self._targets.links([target.id]) if standing(link)]
        if left:
            raise InvalidInput(
                f"{name} still has {len(left)} links.",
                hint=f"Run `modelhub undeploy --target {name}` first.",
            )
        self._targets.remove(target.id)

    # Plans

    def chosen(self, names: Sequence[str]) -> list[Target]:
        """The named targets, or every enabled one."""
        if names:
            targets = [self._targets.get(name) for name in names]
            disabled = [target.name for target in targets if not target.enabled]
            if disabled:
                raise InvalidInput(
                    f"The target {disabled[0]} is disabled.",
                    hint=f"Run `modelhub targets enable {disabled[0]}`.",
                )
            return targets
        enabled = [target for target in self._targets.all() if target.enabled]
        if not enabled:
            raise InvalidInput(
                "No target is enabled.",
                hint="`modelhub targets` lists them; `modelhub targets enable NAME` enables one.",
            )
        return enabled

    def plan(self, target_names: Sequence[str] = (), models: Sequence[Model] | None = None) -> Plan:
        """What would change. `models` limits the plan to these, and names unknown ones as wanted."""
        targets = self.chosen(target_names)
        named = models is not None
        wanted = self._library.find(ModelFilter()) if models is None else list(models)
        placed = self._models.files([model.id for model in wanted] if named else None)
        records = self._targets.links([target.id for target in targets])
        steps: list[Step] = []
        for target in targets:
            mine = {link.model_id: link for link in records if link.target_id == target.id}
            steps += TargetPlan(target, mine, placed, named=named).steps(wanted)
        return Plan(tuple(steps))

    def plan_removal(self, target_names: Sequence[str] = (), models: Sequence[Model] | None = None) -> Plan:
        """Remove the links of targets (all, if none is named), or only those of `models`."""
        targets = [self._targets.get(name) for name in target_names] or self._targets.all()
        by_id = {target.id: target for target in targets}
        ids = None if models is None else {model.id for model in models}
        wanted = [link for link in self._targets.links(by_id) if ids is None or link.model_id in ids]
        ours = [link for link in wanted if is_ours(link)]
        return Plan(tuple(step for link in ours for step in removal_of(by_id[link.target_id], link, "undeployed")))

    # Application

    def apply(self, plan: Plan) -> Task[Deployed]:
        """Do what the plan says. What changed meanwhile is left alone and told."""
        self._targets.require_writable()
        ids = {target.name: target.id for target in self._targets.all()}
        made: list[MakeLink] = []
        removed = problems = 0
        total = len(plan.removals) + len(plan.links)
        for chunk in _chunks(plan.removals):
            yield Progress("deploy", removed, total, "links", chunk[0].path)
            gone = []
            for removal in chunk:
                try:
                    removed += _remove(removal)
                except OSError as error:
                    yield Problem.of(from_os_error(error, printable(removal.path)), item=removal.path)
                    problems += 1
                else:
                    gone.append((removal.model_id, ids[removal.target]))
            links.sync({os.path.dirname(one.path) for one in chunk if os.path.isdir(os.path.dirname(one.path))})
            self._targets.unmade(gone)
        for links_to_make in _chunks(plan.links):
            yield Progress("deploy", removed + len(made), total, "links", links_to_make[0].path)
            self._targets.intend(links_to_make, ids)
            done = []
            for step in links_to_make:
                try:
                    _make(step)
                except (ModelHubError, OSError) as error:
                    known = error if isinstance(error, ModelHubError) else from_os_error(error, printable(step.path))
                    yield Problem.of(known, item=step.path, sha256=step.sha256)
                    problems += 1
                else:
                    done.append(step)
            links.sync({os.path.dirname(path) for step in done for path, _, _ in step.files})
            self._targets.made(done, ids)
            made += done
        yield Result(_totals(plan, made, removed=removed, problems=problems, dry_run=False))

    def preview(self, plan: Plan) -> Deployed:
        return _totals(plan, plan.links, removed=len(plan.removals), problems=0, dry_run=True)

    def status(self) -> list[TargetStatus]:
        """Deployed against available, by looking at every recorded link."""
        models = [model for model in self._library.find(ModelFilter()) if model.deployable]
        types = {model.id: model.type for model in models}
        recorded = self._targets.links()
        return [_status(target, models, types, recorded) for target in self._targets.all()]


def _make(step: MakeLink) -> None:
    for path, source, _ in reversed(step.files):  # the file that apps look for comes last
        if links.target_of(path) == source:
            continue  # a run before us was interrupted between making the link and noting it
        if not os.path.exists(source):
            raise InvalidInput(f"{printable(source)} is gone.", hint="Run `modelhub verify`.")
        links.make_symlink(source, path)


def _remove(removal: RemoveLink) -> bool:
    """Remove a model's links, and the folders that were made for them if nothing else is in them."""
    removed = [links.remove_symlink(path, source) for path, source in removal.files]
    for folder in removal.folders:
        links.remove_if_empty(folder)
    return any(removed)


def _status(target: Target, models: Sequence[Model], types: dict[int, str], recorded: Iterable[Link]) -> TargetStatus:
    fits = [model for model in models if model.type in target.folders and model.type != UNKNOWN]
    mine = [link for link in recorded if link.target_id == target.id and link.deployed]
    good = [link for link in mine if is_whole(link)]
    by_type: dict[str, tuple[int, int]] = {}
    for model in fits:
        deployed, available = by_type.get(model.type, (0, 0))
        by_type[model.type] = (deployed, available + 1)
    for link in good:
        kind = types.get(link.model_id)
        if kind in by_type:
            by_type[kind] = (by_type[kind][0] + 1, by_type[kind][1])
    return TargetStatus(
        name=target.name,
        display_name=target.display_name,
        base_path=expand(target.base_path),
        enabled=target.enabled,
        deployed=len(good),
        available=len(fits),
        broken=len(mine) - len(good),
        by_type=by_type,
    )


def _totals(plan: Plan, made: Sequence[MakeLink], *, removed: int, problems: int, dry_run: bool) -> Deployed:
    linked = sum(skip.code == "linked" for skip in plan.skips)
    return Deployed(
        made=len(made),
        removed=removed,
        linked=linked,
        skipped=len(plan.skips) - linked,
        conflicts=len(plan.conflicts),
        problems=problems,
        bytes_saved=sum(step.size for step in made),
        dry_run=dry_run,
    )


def _chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
