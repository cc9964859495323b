"""Deployment: what would change in every target, and how things stand. Planning touches nothing."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice

from modelhub.core.apps import Target
from modelhub.core.collecting import uncollected
from modelhub.core.deployment import (
    Deployable,
    JournalStep,
    Link,
    MakeLink,
    Placed,
    Plan,
    Resolution,
    Step,
    TargetStatus,
)
from modelhub.core.errors import InvalidInput
from modelhub.core.events import Task
from modelhub.core.names import printable
from modelhub.core.places import expand
from modelhub.core.types import UNKNOWN, Model
from modelhub.files import abilities
from modelhub.services import running
from modelhub.services.applying import Application, Count, Deployed, totals
from modelhub.services.configure import config_steps, has_config
from modelhub.services.judge import Judge
from modelhub.services.library import Models
from modelhub.services.plan import TargetPlan
from modelhub.services.prepare import Prepared, method_of, prepare, prepare_quietly
from modelhub.services.selecting import Selection
from modelhub.services.targets import TargetDesk
from modelhub.store.library import Library
from modelhub.store.targets import Targets


class Deployment:
    def __init__(
        self,
        library: Library,
        targets: Targets,
        models: Models,
        desk: TargetDesk,
        judge: Judge,
        application: Application,
        root: str,
    ) -> None:
        self._library = library
        self._targets = targets
        self._models = models
        self._desk = desk
        self._judge = judge
        self._application = application
        self._root = root

    # Plans

    def chosen(self, names: Sequence[str]) -> list[Target]:
        """The named targets, or every enabled one."""
        targets = [self._targets.get(name) for name in dict.fromkeys(names)]
        disabled = [target.name for target in targets if not target.enabled]
        if disabled:
            raise InvalidInput(
                f"The target {disabled[0]} is disabled.",
                hint=f"Run `modelhub targets enable {disabled[0]}`.",
            )
        chosen = targets or self.enabled()
        if not chosen:
            raise InvalidInput(
                "No target is enabled.",
                hint="`modelhub apps detect` finds apps; `modelhub targets enable NAME` enables one.",
            )
        known = self._desk.apps()
        for target in chosen:
            if target.app not in known:
                raise InvalidInput(
                    f"The app {printable(target.app)!r} of the target {target.name} is not known.",
                    hint="; ".join(self._desk.app_problems())
                    or "Is its YAML file gone? `modelhub apps` lists the apps.",
                )
            if target.options.problem:
                raise InvalidInput(
                    f"The options of the target {target.name} cannot be read: {target.options.problem.rstrip('.')}.",
                    hint="Correct deploy_targets.options, or set it to {}.",
                )
        return chosen

    def _prepared(self, target: Target, selection: Selection) -> Prepared:
        """The target ready for planning; its notes say what one should know."""
        app, made = self._desk.app_of(target), self._targets.made_folders()
        prepared = prepare(target, app, selection, hub=self._root, deployed=self._desk.deployed, made_folders=made)
        prepared.standing.registered = running.registered(app, target)
        return prepared

    def plan(
        self,
        target_names: Sequence[str] = (),
        models: Sequence[Model] | None = None,
        resolution: Resolution = "keep",
    ) -> Plan:
        """What would change. `models` limits the plan to these, and names unknown ones as wanted."""
        return self.plan_for(self.chosen(target_names), models, resolution)

    def plan_for(
        self, targets: Sequence[Target], models: Sequence[Model] | None = None, resolution: Resolution = "keep"
    ) -> Plan:
        """The same for targets that need not be recorded yet."""
        with uncollected():
            return Plan(tuple(self._steps(targets, models, resolution)))

    def _steps(
        self, targets: Sequence[Target], models: Sequence[Model] | None, resolution: Resolution
    ) -> Iterator[Step]:
        ids = None if models is None else [model.id for model in models]
        wanted = self._library.deployables(ids)
        placed = self._models.files(ids)
        reachable = {model_id for model_id, files in placed.items() if _are_there(files)}
        selection = Selection(self._library, self._judge)
        for target in targets:
            prepared = self._prepared(target, selection)
            yield from prepared.notes
            if prepared.how is None:
                continue
            mine = {link.model_id: link for link in self._desk.records(target)}
            planned = TargetPlan(
                prepared.standing,
                prepared.layout,
                mine,
                placed,
                reachable=reachable,
                left_out=selection.left_out(target, wanted),
                unique=prepared.app.unique,
                named=models is not None,
                resolution=resolution,
            )
            own = list(planned.steps(wanted))
            yield from own
            if mine or any(isinstance(step, MakeLink) for step in own) or self._targets.configs(target.id):
                yield from self._config_steps(prepared, mine, own, wanted, selection)

    def types(self, plan: Plan) -> dict[str, int]:
        """How many models of each type a plan links."""
        ids = [step.model_id for step in plan.links]
        return dict(Counter(model.type for model in self._library.deployables(ids)).most_common())

    def _config_steps(
        self,
        prepared: Prepared,
        records: Mapping[int, Link],
        steps: Sequence[Step],
        known: Sequence[Deployable],
        selection: Selection,
    ) -> Iterator[Step]:
        written = self._targets.configs(prepared.target.id)
        if has_config(prepared, written):
            described = self._described(records, {model.id: model for model in known})
            yield from config_steps(prepared, records.values(), steps, described, selection, written)

    def _described(self, records: Mapping[int, object], known: dict[int, Deployable]) -> dict[int, Deployable]:
        missing = [model_id for model_id in records if model_id not in known]
        return known | {model.id: model for model in self._library.deployables(missing)} if missing else known

    def enabled(self) -> list[Target]:
        return [target for target in self._targets.all() if target.enabled]

    def plan_removal(
        self, target_names: Sequence[str] = (), models: Sequence[Model] | None = None, *, what: str = "undeploy"
    ) -> Plan:
        """Remove the links of targets (all, if none is named), or only those of `models`."""
        targets = [self._targets.get(name) for name in target_names] or self._targets.all()
        ids = None if models is None else {model.id for model in models}
        selection = Selection(self._library, self._judge)
        steps: list[Step] = []
        for target in targets:
            prepared = self._prepared(target, selection)
            standing = prepared.standing
            mine = self._desk.records(target)
            going = [link for link in mine if (ids is None or link.model_id in ids) and standing.is_ours(link)]
            gone = {link.model_id for link in going}
            recorded = {file.path for link in mine for file in link.files}
            own: list[Step] = []
            for number, link in enumerate(going):
                others = chain((one for one in mine if one.model_id not in gone), islice(going, number + 1, None))
                own += standing.removal(link, "undeployed", standing.needed_by_others(link, others, recorded))
            steps += own
            if mine or self._targets.configs(target.id):
                steps += self._config_steps(prepared, {link.model_id: link for link in mine}, own, (), selection)
        return Plan(tuple(steps), what)

    def reconfigured(self, target: Target, steps: Sequence[Step]) -> list[Step]:
        """The changes to a target's configuration that `steps` bring."""
        selection = Selection(self._library, self._judge)
        prepared = self._prepared(target, selection)
        records = {link.model_id: link for link in self._desk.records(target)}
        return list(self._config_steps(prepared, records, steps, (), selection))

    def apply(
        self, plan: Plan, before: Sequence[JournalStep] = (), finish: Callable[[], None] = lambda: None
    ) -> Task[Deployed]:
        """Do what the plan says; `before` was done for it already (files adopted) or is done by `finish`.

        It is undone with the rest. What changed meanwhile is left alone and told. Raises Conflict while another
        deployment runs on the hub.
        """
        return self._application.run(plan, before, finish)

    def preview(self, plan: Plan) -> Deployed:
        return totals(
            plan, Count(made=list(plan.links), removed=len(plan.removals), configs=len(plan.configs)), dry_run=True
        )

    def saved(self) -> int:
        """Bytes that copies would take where links stand now."""
        return self._targets.saved()

    def status(self) -> list[TargetStatus]:
        """Deployed against available, by looking at every recorded link."""
        models = [model for model in self._library.deployables() if model.state == "ok" and not model.missing]
        placed = self._models.files()
        selection = Selection(self._library, self._judge)
        return [self._status(target, models, placed, selection) for target in self._targets.all()]

    def _status(
        self,
        target: Target,
        models: Sequence[Deployable],
        placed: Mapping[int, Sequence[Placed]],
        selection: Selection,
    ) -> TargetStatus:
        app = self._desk.app_of(target)
        prepared = prepare_quietly(target, app, selection, deployed=self._desk.deployed)
        left_out = selection.left_out(target, models)
        fits = {
            model.id: model.type
            for model in models
            if model.type != UNKNOWN
            and model.id not in left_out
            and prepared.layout.refusal(model, placed[model.id]) is None
        }
        mine = [link for link in self._desk.records(target) if link.deployed]
        good = {link.model_id for link in mine if prepared.standing.is_whole(link)}
        by_type: dict[str, tuple[int, int]] = {}
        for model_id, kind in fits.items():
            deployed, available = by_type.get(kind, (0, 0))
            by_type[kind] = (deployed + (model_id in good), available + 1)
        return TargetStatus(
            name=target.name,
            display_name=target.display_name,
            base_path=expand(target.base_path),
            enabled=target.enabled,
            deployed=len(good),
            available=len(fits),
            broken=len(mine) - len(good),
            by_type=by_type,
            app=app.name,
            method=method_of(target, app),
            free=abilities.free_bytes(prepared.base),
        )


def _are_there(files: Sequence[Placed]) -> bool:
    """Whether every file that a model cannot do without can be read."""
    needed = [file.path for file in files if file.role != "companion"]
    return bool(needed) and all(path and os.path.exists(path) for path in needed)
