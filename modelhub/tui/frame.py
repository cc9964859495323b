"""What every screen has: the bar of screens above, the line of the running task below, and its hub."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import on, work
from textual.app import ComposeResult
from textual.events import Click
from textual.reactive import reactive
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Footer, Static
from textual.worker import Worker, WorkerState

from modelhub.core.errors import ModelHubError
from modelhub.core.names import printable
from modelhub.services.hub import Hub
from modelhub.tui.actions import ACTIONS, Action
from modelhub.tui.table import Column, Header, Line, LineTable

if TYPE_CHECKING:
    from modelhub.tui.app import ModelHubApp

NARROW = 110
"""Cells under which panes stand below one another."""


class Tabs(Widget):
    """The names of the screens and their keys, and which hub it is, where there is room; a click goes there."""

    def __init__(self, current: str, place: str) -> None:
        super().__init__()
        self._current = current
        self._place = place

    @property
    def _bar(self) -> list[Action]:
        """The screens, with the keys that they have now."""
        return [action for action in getattr(self.app, "actions", ACTIONS) if action.does.startswith("screen(")]

    def render_line(self, y: int) -> Strip:  # noqa: ARG002  (there is one line only)
        plain = self.rich_style
        segments = [Segment(" ", plain)]
        for action in self._bar:
            style = plain + Style(bold=True, reverse=True) if action.name == self._current else plain
            segments += [Segment(_label(action.pressed, action.label), style), Segment(" ", plain)]
        left = self.size.width - sum(cell_len(segment.text) for segment in segments) - 1
        place = printable(self._place)
        if cell_len(place) + 3 <= left:
            segments.append(Segment(f"{place:>{left - (cell_len(place) - len(place))}}", plain + Style(dim=True)))
        return Strip(segments).adjust_cell_length(self.size.width, plain)

    def on_click(self, event: Click) -> None:
        left = 1
        for action in self._bar:
            right = left + len(_label(action.pressed, action.label)) + 1
            if left <= event.x < right:
                self.app.call_later(self.app.run_action, f"app.{action.does}")
            left = right


def _label(key: str, name: str) -> str:
    return f"{key} {name}"


class JobLine(Widget):
    """The task that runs, how far it is, and how many more there are. It is not there while nothing runs."""

    text: reactive[str] = reactive("")

    def watch_text(self, text: str) -> None:
        self.display = bool(text)

    def render_line(self, y: int) -> Strip:  # noqa: ARG002  (there is one line only)
        return Strip([Segment(f" {self.text}", self.rich_style)]).adjust_cell_length(self.size.width, self.rich_style)


class HubScreen(Screen[None]):
    """A screen on a hub. `NAME` is its scope in the table of actions; `frame` puts bar, task line and footer around it.

    `shown` is called when it is seen again and whenever a task ended that may have changed something.
    """

    NAME: ClassVar[str] = ""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self.hub = hub

    @property
    def main(self) -> "ModelHubApp":
        from modelhub.tui.app import ModelHubApp  # noqa: PLC0415  (the app knows its screens, and they know it)

        if not isinstance(self.app, ModelHubApp):
            raise TypeError
        return self.app

    def compose(self) -> ComposeResult:
        yield Tabs(self.NAME, str(self.hub.places.root))
        yield from self.content()
        yield JobLine()
        yield Footer(show_command_palette=False, compact=True)

    def content(self) -> ComposeResult:
        """What stands between the bar above and the lines below."""
        yield from ()

    def on_mount(self) -> None:
        self.shown()

    def on_resize(self) -> None:
        self.set_class(self.size.width < NARROW, "narrow")

    def shown(self) -> None:
        """Load, or load again."""

    @on(Worker.StateChanged)
    def _failed(self, event: Worker.StateChanged) -> None:
        """What a look in a thread met is told; also what nobody foresaw ends that look, not the program."""
        if event.state is WorkerState.ERROR:
            error = event.worker.error
            known = f"{error.message} {error.hint}" if isinstance(error, ModelHubError) else ""
            self.say(known or f"This cannot be shown: {error!r}. `modelhub doctor` may say why.", trouble=True)

    def say(self, text: str, *, trouble: bool = False) -> None:
        self.main.say(text, "error" if trouble else "information")

    def attempt(self, change: Callable[[], Any]) -> Any:
        """Do something quick; None, and a notice, where it is refused."""
        try:
            return change()
        except ModelHubError as error:
            self.say(f"{error.message} {error.hint}", trouble=True)
            return None

    def action_back(self) -> None:
        self.main.action_screen("library")


class TableScreen(HubScreen):
    """A screen that is a table of lines, which are read in a thread."""

    COLUMNS: ClassVar[Sequence[Column]] = ()
    EMPTY: ClassVar[str] = ""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.lines: Sequence[Any] = ()

    def content(self) -> ComposeResult:
        yield Header(self.COLUMNS)
        yield LineTable(self.COLUMNS, page=self.hub.settings.page_size)
        yield Static(self.EMPTY, id="empty", markup=False)
        yield Static(id="count", markup=False)

    def on_mount(self) -> None:
        self.table.focus()
        super().on_mount()

    @property
    def table(self) -> LineTable:
        return self.query_one(LineTable)

    def shown(self) -> None:
        self._load()

    @work(thread=True, exclusive=True, group="load", exit_on_error=False)
    def _load(self) -> None:
        self.app.call_from_thread(self.take, *self.read())

    def read(self) -> tuple[Sequence[Line], str]:
        """The lines, and what stands below them; called in a thread."""
        return (), ""

    def take(self, lines: Sequence[Line], told: str) -> None:
        self.lines = lines
        self.table.show(lines)
        self.query_one("#empty").display = not lines
        self.query_one("#count", Static).update(f" {told}")
