"""The library screen: every model, filtered while one types."""

from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Footer, Input, Static

from modelhub.core.errors import ModelHubError
from modelhub.core.events import Problem, Task
from modelhub.core.names import human_size, printable
from modelhub.core.types import Adopt, Listed
from modelhub.services.hub import Hub
from modelhub.services.search import Narrowing
from modelhub.tui.actions import bindings
from modelhub.tui.details import DetailsScreen
from modelhub.tui.jobs import Ended, Job, Told
from modelhub.tui.scanning import ScanScreen
from modelhub.tui.table import Column, Header, LineTable, Row, layout
from modelhub.tui.trash import TrashScreen, say_ended

COLUMNS = (
    Column("Name", 0),
    Column("Type", 16),
    Column("Base", 14),
    Column("Quant", 10, least=100),
    Column("Sure", 7, right=True),
    Column("Size", 9, right=True),
    Column("Tags", 20, least=150),
)
FIELDS = ("Name", "Type", "Base", "Tag")
_FIRST = 500
"""Rows fetched before the rest, so that something is seen at once."""

_EMPTY = "No models yet. Press S to scan a folder of models."
_NONE_FIT = "No model fits these filters. Press r to clear them."


class Entry:
    """One model as the table and its filters use it."""

    __slots__ = ("cells", "found_by", "listed", "order", "troubled")

    def __init__(self, listed: Listed) -> None:
        name = printable(listed.filename)
        state = "offline" if listed.offline else "missing" if listed.missing else listed.state
        base = printable(listed.sub_type or listed.base)
        cells = (
            name, printable(listed.type), base, printable(listed.quantization or listed.precision),
            f"{listed.confidence:.0%}" if state == "ok" else state, human_size(listed.size), printable(listed.tags),
        )  # fmt: skip
        self.listed = listed
        self.troubled = state != "ok"
        self.cells: Row = cells
        self.found_by = (
            name.casefold(), cells[1].casefold(), f"{listed.base} {base}".casefold(),
            f"{cells[6]} {printable(listed.triggers)}".casefold(),
        )  # fmt: skip
        self.order = (
            self.found_by[0], cells[1], base, cells[3], (state == "ok", -listed.confidence), -listed.size, cells[6],
        )  # fmt: skip


class LibraryScreen(Screen[None]):
    """Filters above, the table below, what is shown of how much beneath."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("library")

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._hub = hub
        self._entries = Narrowing[Entry](lambda entry: entry.found_by)
        self._shown: list[Entry] = []
        self._sorted_by = 0
        self._unlisted = False
        self._links = True
        self._job: Job | None = None
        self._done = ""

    def compose(self) -> ComposeResult:
        with Horizontal(id="filters"):
            for field in FIELDS:
                yield Input(placeholder=field, id=field.lower(), compact=True)
        yield Header(COLUMNS)
        yield LineTable(COLUMNS)
        yield Static(id="empty", markup=False)
        yield Static(id="count", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        self.query_one(LineTable).focus()
        self.reload()

    def reload(self) -> None:
        """Fetch everything again: a first screenful at once, the rest in a thread."""
        self._take(self._hub.models.listed(limit=_FIRST))
        if len(self._entries.all) == _FIRST:
            self._fetch_all()

    @work(thread=True, exclusive=True, group="fetch")
    def _fetch_all(self) -> None:
        entries = [Entry(listed) for listed in self._hub.models.listed()]
        self.app.call_from_thread(self._take_entries, entries)

    def _take(self, listed: list[Listed]) -> None:
        self._take_entries([Entry(one) for one in listed])

    def _take_entries(self, entries: list[Entry]) -> None:
        entries.sort(key=lambda entry: entry.order[self._sorted_by])
        self._entries.take(entries)
        self._show()

    def _sort(self) -> None:
        self._take_entries(self._entries.all)
        self.query_one(Header).sorted_by = COLUMNS[self._sorted_by].name

    # Filters

    @on(Input.Changed)
    def _typed(self) -> None:
        self._show()

    @on(Input.Submitted)
    def _typed_enough(self) -> None:
        self.query_one(LineTable).focus()

    def _show(self) -> None:
        entries = self._entries.fit([self.query_one(f"#{field.lower()}", Input).value for field in FIELDS])
        if self._unlisted:
            entries = [entry for entry in entries if not entry.listed.civitai]
        self._shown = entries
        self.query_one(LineTable).show(entries)
        empty = self.query_one("#empty", Static)
        empty.display = not entries
        empty.update(_NONE_FIT if self._entries.all else _EMPTY)
        size = human_size(sum(entry.listed.size for entry in entries))
        state = f"links {'on' if self._links else 'off'}" + (", without Civitai data" if self._unlisted else "")
        self.query_one("#count", Static).update(
            f" {len(entries):,} of {len(self._entries.all):,} models, {size}  ·  {state}"
        )

    # Actions

    def action_filter(self) -> None:
        self.query_one("#name", Input).focus()

    def action_reset(self) -> None:
        for field in FIELDS:
            self.query_one(f"#{field.lower()}", Input).value = ""
        self._unlisted = False
        self._show()
        self.query_one(LineTable).focus()

    def action_sort(self) -> None:
        shown = [place for place, _, _ in layout(COLUMNS, self.size.width)]
        self._sorted_by = next((place for place in shown if place > self._sorted_by), shown[0])
        self._sort()

    @on(Header.Pressed)
    def _pressed(self, event: Header.Pressed) -> None:
        self._sorted_by = COLUMNS.index(event.column)
        self._sort()

    @on(LineTable.Chosen)
    def action_details(self) -> None:
        table = self.query_one(LineTable)
        if table.cursor < len(self._shown):
            details = self._hub.models.details(str(self._shown[table.cursor].listed.id))
            self.app.push_screen(DetailsScreen(details))

    def action_unlisted(self) -> None:
        self._unlisted = not self._unlisted
        self._show()

    def action_links(self) -> None:
        self._links = not self._links
        self._show()

    def action_scan(self) -> None:
        adopt: Adopt = self._hub.settings.adopt if self._links else "copy"
        self.app.push_screen(ScanScreen(self._hub, adopt), lambda _: self.reload())

    def action_delete(self) -> None:
        table = self.query_one(LineTable)
        if self._job is None and table.cursor < len(self._shown):
            model = self._hub.models.resolve(str(self._shown[table.cursor].listed.id))
            plan = self._hub.trash.plan_delete([model])
            self._run(
                self._hub.trash.delete([model], plan), f"{printable(model.filename)} is in the trash; U undoes it"
            )

    def action_undo(self) -> None:
        if self._job is None:
            try:
                undoing = self._hub.undo.plan()
            except ModelHubError as error:
                self.notify(printable(error.message), severity="warning", markup=False)
            else:
                self._run(self._hub.undo.run(undoing), f"Undone: {undoing.run.what} of {undoing.run.started_at}")

    def action_trash(self) -> None:
        self.app.push_screen(TrashScreen(self._hub), lambda _: self.reload())

    def _run(self, task: Task[Any], done: str) -> None:
        self._done = done
        self._job = Job(self, task)
        self._job.start()

    @on(Told)
    def _told(self, message: Told) -> None:
        if isinstance(message.event, Problem):
            self.notify(printable(message.event.message), severity="warning", markup=False)

    @on(Ended)
    def _ended(self, message: Ended) -> None:
        self._job = None
        say_ended(self, message, self._done)
        self.reload()

    def action_quit(self) -> None:
        self.app.exit()

    def key_escape(self) -> None:
        self.query_one(LineTable).focus()
