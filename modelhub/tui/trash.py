"""The trash: what was deleted, and brought back with its links."""

from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import Footer, Static

from modelhub.core.events import Problem
from modelhub.core.names import human_size, printable
from modelhub.services.hub import Hub
from modelhub.store.trash import Deleted
from modelhub.tui.actions import bindings
from modelhub.tui.jobs import Ended, Job, Told
from modelhub.tui.table import Column, Header, LineTable, Row

_COLUMNS = (Column("Name", 0), Column("Size", 9, right=True), Column("Deleted (UTC)", 20))
_EMPTY = "Nothing is in the trash. X in the library deletes a model; its files stay until `modelhub prune`."


class _Line:
    """One deleted model as the table shows it."""

    def __init__(self, deleted: Deleted) -> None:
        self.deleted = deleted
        self.troubled = False
        self.cells: Row = (printable(deleted.filename), human_size(deleted.size), deleted.deleted_at)


class TrashScreen(Screen[None]):
    """Deleted models, the last one first."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("trash")

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._hub = hub
        self._lines: list[_Line] = []
        self._job: Job | None = None
        self._done = ""

    def compose(self) -> ComposeResult:
        yield Header(_COLUMNS)
        yield LineTable(_COLUMNS)
        yield Static(_EMPTY, id="empty", markup=False)
        yield Static(id="count", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        self.query_one(LineTable).focus()
        self._load()

    def _load(self) -> None:
        self._lines = [_Line(deleted) for deleted in reversed(self._hub.trash.all())]
        self.query_one(LineTable).show(self._lines)
        self.query_one("#empty", Static).display = not self._lines
        size = human_size(sum(line.deleted.size for line in self._lines))
        self.query_one("#count", Static).update(f" {len(self._lines):,} models, {size}, in the trash")

    @on(LineTable.Chosen)
    def action_restore(self) -> None:
        table = self.query_one(LineTable)
        if self._job is None and table.cursor < len(self._lines):
            deleted = self._lines[table.cursor].deleted
            self._done = f"{printable(deleted.filename)} is back"
            self._job = Job(self, self._hub.trash.restore([deleted]))
            self._job.start()

    @on(Told)
    def _told(self, message: Told) -> None:
        if isinstance(message.event, Problem):
            self.notify(printable(message.event.message), severity="warning", markup=False)

    @on(Ended)
    def _ended(self, message: Ended) -> None:
        self._job = None
        say_ended(self, message, self._done)
        self._load()

    def action_back(self) -> None:
        self.dismiss()


def say_ended(screen: Screen[Any], message: Ended, done: str) -> None:
    """What came of a task on models, in a notice."""
    if message.error is not None:
        screen.notify(printable(f"{message.error.message} {message.error.hint}"), severity="error", markup=False)
    elif message.value is not None:
        screen.notify(done, markup=False)
