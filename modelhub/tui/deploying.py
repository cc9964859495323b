"""Deployment: every target against every type, what a deployment would do, conflicts, doing it and taking it back."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

from textual import on, work
from textual.app import ComposeResult
from textual.widgets import Static

from modelhub.core.deployment import (
    HOW_WORDS,
    QUIET_SKIPS,
    RESOLUTIONS,
    Conflict,
    JournalStep,
    MakeLink,
    Note,
    Plan,
    RemoveLink,
    Resolution,
    Skip,
    Step,
    TargetStatus,
    WriteConfig,
)
from modelhub.core.errors import ModelHubError
from modelhub.core.events import Result, Task
from modelhub.core.names import counted, human_size, printable
from modelhub.core.types import Model
from modelhub.services.applying import Deployed
from modelhub.services.hub import Hub
from modelhub.tui.actions import bindings
from modelhub.tui.dialogs import Ask
from modelhub.tui.frame import HubScreen
from modelhub.tui.table import Column, Header, LineTable, Row

_FIXED = (
    Column("Target", 16), Column("On", 3), Column("Deployed", 11, right=True), Column("Broken", 6, right=True),
    Column("Free", 9, right=True),
)  # fmt: skip
_TYPE_WIDTH = 12
_PLAN = (Column("What", 9), Column("Target", 12), Column("Where", 0, middle=True), Column("Because", 24, least=78))


class _TargetLine:
    def __init__(self, status: TargetStatus, types: Sequence[str]) -> None:
        self.status = status
        self.key = status.name
        self.troubled = status.broken > 0
        free = "" if status.free is None else human_size(status.free)
        counts = (status.by_type.get(kind) for kind in types)
        self.cells: Row = (
            printable(status.name), "yes" if status.enabled else "no", f"{status.deployed}/{status.available}",
            str(status.broken), free, *("" if count is None else f"{count[0]}/{count[1]}" for count in counts),
        )  # fmt: skip


class _StepLine:
    """One step of a plan in a line; its place tells it from others."""

    def __init__(self, number: int, step: Step, base: str) -> None:
        self.key = number
        self.troubled = isinstance(step, Conflict | Note)
        where, because = _where(step)
        cells = (_what(step), step.target, where.removeprefix(f"{base}/"), because)
        self.cells: Row = tuple(printable(cell) for cell in cells)


def _what(step: Step) -> str:
    if isinstance(step, MakeLink):
        return "replace" if step.replaces else HOW_WORDS[step.how]
    if isinstance(step, WriteConfig):
        return "write" if step.content is not None else "remove"
    if isinstance(step, Conflict):
        return "adopt" if step.resolution == "adopt" else "conflict"
    return "unlink" if isinstance(step, RemoveLink) else "skip" if isinstance(step, Skip) else "note"


def _where(step: Step) -> tuple[str, str]:
    if isinstance(step, MakeLink):
        return step.path, f"to {step.source}"
    if isinstance(step, Conflict):
        return step.path, f"taken by {step.by}"
    if isinstance(step, Note):
        return step.message, ""
    return (step.name if isinstance(step, Skip) else step.path), step.because


def _adopts(plan: Plan) -> bool:
    return any(conflict.resolution == "adopt" for conflict in plan.conflicts)


class DeployScreen(HubScreen):
    """Targets above, the plan beneath. The plan is made anew whenever something is chosen."""

    NAME = "deploy"
    BINDINGS = bindings("deploy")

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._targets: list[_TargetLine] = []
        self._left_out: set[str] = set()
        self._plan = Plan(())
        self._resolution: Resolution = "keep"
        self._removing = False
        self._refused = ""
        self._looking = True
        self._models: list[Model] | None = None
        self._names: list[str] = []

    def content(self) -> ComposeResult:
        yield Header(_FIXED)
        yield LineTable(_FIXED, id="targets")
        yield Static(id="count", markup=False)
        yield LineTable(_PLAN, id="plan", page=self.hub.settings.page_size)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#targets", LineTable).focus()

    def shown(self) -> None:
        self._looking = True
        self.query_one("#count", Static).update(" Looking …")
        self._look()

    @work(thread=True, exclusive=True, group="plan", exit_on_error=False)
    def _look(self) -> None:
        """How things stand, and the plan; in a thread."""
        marked = self.main.library.marked
        standing = self.hub.deployment.status()
        self._models = self.hub.models.of_ids(sorted(marked)) if marked else None
        try:
            plan, refused = self._planned(standing), ""
        except ModelHubError as error:
            plan, refused = Plan(()), f"{error.message} {error.hint}"
        self.app.call_from_thread(self._take, standing, plan, refused)

    def _planned(self, standing: Sequence[TargetStatus]) -> Plan:
        names = [one.name for one in standing if one.enabled and one.name not in self._left_out]
        self._names = names
        if not names and any(one.enabled for one in standing):
            return Plan(())
        if self._removing:
            return self.hub.deployment.plan_removal(names, self._models)
        return self.hub.deployment.plan(names, self._models, self._resolution)

    def _take(self, standing: Sequence[TargetStatus], plan: Plan, refused: str) -> None:
        self._plan, self._refused, self._looking = plan, refused, False
        totals: Counter[str] = Counter()
        for one in standing:
            totals.update({kind: available for kind, (_, available) in one.by_type.items()})
        room = (self.size.width - sum(column.width + 2 for column in _FIXED)) // (_TYPE_WIDTH + 2)
        types = [kind for kind, _ in totals.most_common(max(0, room))]
        columns = (*_FIXED, *(Column(printable(kind)[:_TYPE_WIDTH], _TYPE_WIDTH, right=True) for kind in types))
        self._targets = [_TargetLine(one, types) for one in standing]
        table = self.query_one("#targets", LineTable)
        self.query_one(Header).use(columns)
        table.use(columns)
        table.marked = {one.name for one in standing if one.enabled and one.name not in self._left_out}
        table.show(self._targets)
        told = [step for step in plan.steps if not (isinstance(step, Skip) and step.code in QUIET_SKIPS)]
        told.sort(key=lambda step: (not isinstance(step, Conflict | Note), isinstance(step, Skip)))
        bases = {one.name: one.base_path for one in standing}
        lines = [_StepLine(number, step, bases.get(step.target, "")) for number, step in enumerate(told)]
        self.query_one("#plan", LineTable).show(lines)
        self._tell()

    def on_resize(self) -> None:
        super().on_resize()
        if self._targets:
            self._take([line.status for line in self._targets], self._plan, self._refused)

    def _tell(self) -> None:
        if self._refused:
            told = self._refused
        else:
            done = self.hub.deployment.preview(self._plan)
            what = f"{counted(len(self._models), 'selected model')}: " if self._models is not None else ""
            parts = [f"{done.made} to make", f"{done.removed} to remove", f"{done.linked} already right"]
            parts += [f"{counted(done.conflicts, 'conflict')} (x: {self._resolution})"] if self._minds else []
            parts += [f"{done.configs} configs to write"] if done.configs else []
            parts += [f"{human_size(done.bytes_saved)} saved"] if done.bytes_saved else []
            parts += [f"{human_size(done.bytes_copied)} copied"] if done.bytes_copied else []
            told = ("a: " if self._can_apply else "") + what + ", ".join(parts)
        self.query_one("#count", Static).update(f" {printable(told)}")

    @property
    def _can_apply(self) -> bool:
        return bool(self._plan.links or self._plan.removals or self._plan.configs or _adopts(self._plan))

    @property
    def _minds(self) -> bool:
        """Whether the way out of conflicts matters, or was chosen."""
        return bool(self._plan.conflicts) or self._resolution != RESOLUTIONS[0]

    # Actions

    @property
    def _current(self) -> TargetStatus | None:
        line = self.query_one("#targets", LineTable).current
        return line.status if isinstance(line, _TargetLine) else None

    def action_choose(self) -> None:
        current = self._current
        if current is not None and not current.enabled:
            self.main.say(f"{current.name} is off; E switches it on.", "warning")
        elif current is not None:
            self._left_out ^= {current.name}
            self.shown()

    def action_enable(self) -> None:
        current = self._current
        if current is not None:
            self.attempt(lambda: self.hub.targets.change(current.name, enabled=not current.enabled))
            self.shown()

    def action_conflicts(self) -> None:
        self._resolution = RESOLUTIONS[(RESOLUTIONS.index(self._resolution) + 1) % len(RESOLUTIONS)]
        self.shown()

    def action_removal(self) -> None:
        self._removing = not self._removing
        self.shown()

    def action_undo(self) -> None:
        self.main.undo(of_models=False)

    @on(LineTable.Chosen)
    def action_apply(self) -> None:
        if self._looking:
            self.main.say("The plan is being made.", "warning")
            return
        if not self._can_apply:
            self.main.say("There is nothing to do.")
            return
        done = self.hub.deployment.preview(self._plan)
        parts = [f"make {counted(done.made, 'link')}"] if done.made else []
        parts += [f"remove {counted(done.removed, 'link')}"] if done.removed else []
        parts += [f"write {done.configs} configurations"] if done.configs else []
        parts += [f"copy {human_size(done.bytes_copied)}"] if done.bytes_copied else []
        parts += ["take files of yours into the hub"] if _adopts(self._plan) else []
        what = "Undeploy" if self._removing else "Deploy"
        sure = partial(self._sure, what, self._plan, tuple(self._names), self._models)
        self.app.push_screen(Ask(f"{what}: {', '.join(parts)}. U undoes it.", what), sure)

    def _sure(self, what: str, plan: Plan, names: Sequence[str], models: list[Model] | None, sure: bool | None) -> None:
        """Do what was asked about, whatever was planned since."""
        if sure:
            self._removing = False
            self.main.start(what, lambda: self._apply(plan, names, models), self._done)

    def _apply(self, plan: Plan, names: Sequence[str], models: list[Model] | None) -> Task[Deployed]:
        adopted: tuple[JournalStep, ...] = ()
        if _adopts(plan):
            for event in self.hub.adopt(plan):
                if isinstance(event, Result):
                    adopted = event.value
                else:
                    yield event
            plan = self.hub.deployment.plan(names, models, "rename")
        yield from self.hub.deployment.apply(plan, adopted)

    def _done(self, done: Any) -> str:
        return f"{counted(done.made, 'link')} made, {done.removed} removed; {human_size(done.bytes_saved)} not copied."
