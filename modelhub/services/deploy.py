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
    Conflict,
    Link,
    MakeLink,
    Plan,
    RemoveLink,
    Skip,
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
from modelhub.store.library import Library
from modelhub.store.targets import Targets

_CHUNK = 500
_MAX_NAME = 255
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
        standing = [link for link in self._targets.links([target.id]) if links.target_of(link.path) == link.source]
        if standing:
            raise InvalidInput(
                f"{name} still has {len(standing)} links.",
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
        paths = self._models.paths([model.id for model in wanted] if named else None)
        records = self._targets.links([target.id for target in targets])
        steps: list[Step] = []
        for target in targets:
            mine = {link.model_id: link for link in records if link.target_id == target.id}
            steps += _TargetPlan(target, mine, paths, named=named).steps(wanted)
        return Plan(tuple(steps))

    def plan_removal(self, target_names: Sequence[str] = (), models: Sequence[Model] | None = None) -> Plan:
        """Remove the links of targets (all, if none is named), or only those of `models`."""
        targets = [self._targets.get(name) for name in target_names] or self._targets.all()
        by_id = {target.id: target for target in targets}
        ids = None if models is None else {model.id for model in models}
        wanted = [link for link in self._targets.links(by_id) if ids is None or link.model_id in ids]
        standing = [link for link in wanted if _is_ours(link)]
        return Plan(tuple(_removal(by_id[link.target_id], link, "undeployed") for link in standing))

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
                    removed += links.remove_symlink(removal.path, removal.source)
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
            links.sync({os.path.dirname(step.path) for step in done})
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


class _TargetPlan:
    """The steps for one target."""

    def __init__(self, target: Target, records: dict[int, Link], paths: dict[int, str], *, named: bool) -> None:
        self._target = target
        self._base = expand(target.base_path)
        self._records = records
        self._paths = paths
        self._named = named
        self._listings: dict[str, set[str]] = {}
        self._ours = {link.path for link in records.values() if link.deployed}

    def steps(self, models: Sequence[Model]) -> Iterator[Step]:
        for model in models:
            yield from self._model(model)
        if not self._named:
            alive = {model.id for model in models}
            for model_id, link in self._records.items():
                if model_id not in alive and _is_ours(link):
                    yield _removal(self._target, link, "the model was deleted")

    def _model(self, model: Model) -> Iterator[Step]:
        record = self._records.get(model.id)
        refusal = self._refusal(model)
        if refusal:
            if record is not None and _is_ours(record):
                yield _removal(self._target, record, refusal[1])
            yield Skip(self._target.name, model.id, model.filename, *refusal)
            return
        source = self._paths[model.id]
        folder = os.path.normpath(os.path.join(self._base, self._target.folders[model.type]))
        if record is not None and _is_ours(record):
            stands = links.target_of(record.path) == record.source
            if stands and record.source == source and os.path.dirname(record.path) == folder:
                yield Skip(self._target.name, model.id, model.filename, "linked", "already linked")
                return
            if stands:
                yield _removal(self._target, record, "its place is another now")
                self._listing(os.path.dirname(record.path)).discard(os.path.basename(record.path).lower())
            elif links.lstat(record.path) is not None and os.path.dirname(record.path) == folder:
                by = links.what_stands_at(record.path)
                yield Conflict(self._target.name, model.id, record.path, f"{by}, where our link was")
                return
        yield self._link(model, folder, source)

    def _refusal(self, model: Model) -> tuple[str, str] | None:
        if model.deleted:
            return "deleted", "it was deleted"
        if model.state != "ok":
            return model.state, f"it is {model.state}: {model.message}"
        if model.missing or not os.path.exists(self._paths.get(model.id, "")):
            return "missing", "its file is gone"
        if model.type == UNKNOWN and not self._named:
            return "unknown", "its type is unknown; name the model to deploy it all the same"
        if model.type not in self._target.folders:
            return "no_folder", f"{self._target.display_name} has no folder for the type {model.type}"
        return None

    def _link(self, model: Model, folder: str, source: str) -> Step:
        """A link of the model's own name, or of that name with its digest where another model has it."""
        listing = self._listing(folder)
        stem, suffix = os.path.splitext(_file_name(model, source))
        for name in (f"{stem}{suffix.lower()}", _shortened(stem, f"-{model.sha256[:8]}{suffix.lower()}")):
            path = os.path.join(folder, name)
            if name.lower() not in listing or links.target_of(path) == source:
                listing.add(name.lower())
                return MakeLink(self._target.name, model.id, model.sha256, path, source, model.size)
            if path not in self._ours and not self._planned(path):
                return Conflict(self._target.name, model.id, path, links.what_stands_at(path))
        return Conflict(self._target.name, model.id, path, "another model of that name")

    def _planned(self, path: str) -> bool:
        """Whether the name was given to another model in this plan, so that nothing stands there yet."""
        return links.lstat(path) is None

    def _listing(self, folder: str) -> set[str]:
        """Lower-case names in a folder: some file systems do not tell case, so we never rely on it."""
        if folder not in self._listings:
            try:
                self._listings[folder] = {entry.name.lower() for entry in os.scandir(folder)}
            except OSError:
                self._listings[folder] = set()
        return self._listings[folder]


def _file_name(model: Model, source: str) -> str:
    """The stored file's name, exact also where it is not UTF-8, unless the model was renamed."""
    stored = os.path.basename(source)
    return stored if storable(stored) == model.filename else model.filename


def _shortened(stem: str, ending: str) -> str:
    """`stem` and `ending`, of which file systems take 255 bytes together."""
    room = _MAX_NAME - len(os.fsencode(ending))
    while len(os.fsencode(stem)) > room:
        stem = stem[:-1]
    return stem + ending


def _make(step: MakeLink) -> None:
    if links.target_of(step.path) == step.source:
        return  # a run before us was interrupted between making the link and noting it
    if not os.path.exists(step.source):
        raise InvalidInput(f"{printable(step.source)} is gone.", hint="Run `modelhub verify`.")
    links.make_symlink(step.source, step.path)


def _removal(target: Target, link: Link, because: str) -> Step:
    stands = links.target_of(link.path)
    if stands != link.source and links.lstat(link.path) is not None:
        return Conflict(target.name, link.model_id, link.path, f"{links.what_stands_at(link.path)}, where our link was")
    return RemoveLink(target.name, link.model_id, link.path, link.source, because)


def _is_ours(link: Link) -> bool:
    """Recorded as made, or made by a run that was interrupted before it could say so."""
    return link.deployed or links.target_of(link.path) == link.source


def _status(target: Target, models: Sequence[Model], types: dict[int, str], recorded: Iterable[Link]) -> TargetStatus:
    fits = [model for model in models if model.type in target.folders and model.type != UNKNOWN]
    mine = [link for link in recorded if link.target_id == target.id and link.deployed]
    good = [link for link in mine if links.target_of(link.path) == link.source and os.path.exists(link.path)]
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
