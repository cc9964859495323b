"""The dashboard: what there is, where it is deployed, what room it takes, and whether all is well."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from modelhub.core.deployment import TargetStatus
from modelhub.core.errors import from_os_error
from modelhub.core.names import counted, human_size, printable
from modelhub.services.checks import Check
from modelhub.services.hub import Hub
from modelhub.services.verify import Scope, Verified
from modelhub.tui.actions import bindings
from modelhub.tui.describe import heading
from modelhub.tui.frame import NARROW, HubScreen

_MOST_ROWS = 12
_EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True)
class _Seen:
    """Everything that is shown. Sizes in bytes; counts are (name, models, bytes)."""

    types: Sequence[tuple[str, int, int]]
    bases: Sequence[tuple[str, int, int]]
    targets: Sequence[TargetStatus]
    copies: int
    wasted: int
    saved: int
    free: int
    total: int
    checks: Sequence[Check]


class DashboardScreen(HubScreen):
    NAME = "dashboard"
    BINDINGS = bindings("dashboard")

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._seen: _Seen | None = None

    def content(self) -> ComposeResult:
        with VerticalScroll(id="page"):
            yield Static("Looking …", id="about", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#page").focus()

    def shown(self) -> None:
        self._look()

    @work(thread=True, exclusive=True, group="look", exit_on_error=False)
    def _look(self) -> None:
        self.app.call_from_thread(self._take, _look(self.hub))

    def _take(self, seen: _Seen) -> None:
        self._seen = seen
        self.query_one("#about", Static).update(_drawn(seen, self.size.width - 4))

    def on_resize(self) -> None:
        super().on_resize()
        if self._seen is not None:
            self._take(self._seen)

    def action_reload(self) -> None:
        self._look()

    def action_verify(self) -> None:
        self.main.start("Verify", lambda: self.hub.verifier.verify(Scope()), self._verified)

    def _verified(self, done: Verified) -> str:
        told = f"{done.good} of {counted(done.contents, 'file')} are whole"
        return told + (f"; {counted(done.problems, 'problem')}." if done.problems else ".")


def _look(hub: Hub) -> _Seen:
    try:
        disk = shutil.disk_usage(hub.places.root)
    except OSError as error:
        raise from_os_error(error, printable(str(hub.places.root))) from error
    copies = hub.duplicates.copies()
    return _Seen(
        types=[(count.type, count.models, count.size) for count in hub.models.statistics()],
        bases=hub.models.base_statistics(),
        targets=hub.deployment.status(),
        copies=sum(len(group.others) for group in copies),
        wasted=sum(group.wasted for group in copies),
        saved=hub.deployment.saved(),
        free=disk.free,
        total=disk.total,
        checks=[check for check in hub.upkeep.doctor() if check.status != "ok"],
    )


def _drawn(seen: _Seen, width: int) -> RenderableType:
    models, size = sum(one[1] for one in seen.types), sum(one[2] for one in seen.types)
    head = Text(f"{counted(models, 'model')}, {human_size(size)}", "bold")
    beside = width >= NARROW
    half = width // 2 - 2 if beside else width
    types, bases = _counts("Types", seen.types, half), _counts("Bases", seen.bases, half)
    if beside:
        grid = Table.grid(expand=True, padding=(0, 2))
        grid.add_column(ratio=1)
        grid.add_column(ratio=1)
        grid.add_row(types, bases)
        plots: list[RenderableType] = [grid]
    else:
        plots = [types, bases]
    return Group(head, *plots, _deployed(seen.targets, width), _room(seen, width), _health(seen.checks))


def _counts(title: str, counts: Sequence[tuple[str, int, int]], width: int) -> Group:
    """Bars of the numbers of models, and the bytes beside them."""
    shown = list(counts[:_MOST_ROWS])
    if len(counts) > _MOST_ROWS:
        rest = counts[_MOST_ROWS:]
        shown.append((f"{len(rest)} more", sum(one[1] for one in rest), sum(one[2] for one in rest)))
    most = max((one[1] for one in shown), default=1)
    grid = _grid(18, None, 7, 9)
    for name, models, size in shown:
        grid.add_row(
            Text(printable(name) or "none known"), _bar(models / most, width - 44), f"{models:,}", human_size(size)
        )
    return Group(heading(title), grid)


def _deployed(targets: Sequence[TargetStatus], width: int) -> Group:
    grid = _grid(18, None, 13, 9)
    for one in targets:
        if one.enabled or one.deployed:
            share = one.deployed / one.available if one.available else 0.0
            told = f"{one.deployed:,} of {one.available:,}"
            broken = Text(f"{one.broken} broken", "red") if one.broken else Text("")
            grid.add_row(Text(printable(one.name)), _bar(share, width - 50), told, broken)
    if not grid.row_count:
        return Group(heading("Deployed"), Text("  No target is enabled. c in the library configures them."))
    return Group(heading("Deployed, of what each app can use"), grid)


def _room(seen: _Seen, width: int) -> Group:
    used = 1 - seen.free / seen.total if seen.total else 0.0
    grid = _grid(18, None, 22)
    grid.add_row("Disk of the hub", _bar(used, width - 50), f"{human_size(seen.free)} free")
    saved = f"  Links save {human_size(seen.saved)} that copies would take."
    wasted = f" {seen.copies} second copies take {human_size(seen.wasted)}; 5 shows them." if seen.copies else ""
    return Group(heading("Room"), grid, Text(saved + wasted))


def _health(checks: Sequence[Check]) -> Group:
    if not checks:
        return Group(heading("Health"), Text("  All is well.", "green"))
    told = [
        Text(f"  {printable(check.message)} {printable(check.hint)}", "red" if check.status == "problem" else "yellow")
        for check in checks
    ]
    return Group(heading("Health"), *told)


def _bar(share: float, width: int) -> Text:
    """A bar in eighths of a cell."""
    eighths = round(min(1.0, max(0.0, share)) * max(4, width) * 8)
    return Text("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip(), "cyan")


def _grid(*widths: int | None) -> Table:
    """The first column at the left, a bar in the one that takes the rest, numbers at the right."""
    grid = Table.grid(padding=(0, 1, 0, 0), expand=True)
    for place, width in enumerate(widths):
        grid.add_column(width=width, ratio=None if width else 1, justify="right" if place > 1 else "left", no_wrap=True)
    return grid
