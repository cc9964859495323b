"""The library screen: every model, filtered while one types."""

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Footer, Input, Static

from modelhub.core.names import human_size, printable
from modelhub.core.types import Adopt, Listed
from modelhub.services.hub import Hub
from modelhub.tui.actions import bindings
from modelhub.tui.details import DetailsScreen
from modelhub.tui.scanning import ScanScreen
from modelhub.tui.table import Column, Header, LineTable, Row, layout

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
        self._entries: list[Entry] = []
        self._shown: list[Entry] = []
        self._needles = ("",) * len(FIELDS)
        self._sorted_by = 0
        self._unlisted = False
        self._links = True

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
        if len(self._entries) == _FIRST:
            self._fetch_all()

    @work(thread=True, exclusive=True, group="fetch")
    def _fetch_all(self) -> None:
        entries = [Entry(listed) for listed in self._hub.models.listed()]
        self.app.call_from_thread(self._take_entries, entries)

    def _take(self, listed: list[Listed]) -> None:
        self._take_entries([Entry(one) for one in listed])

    def _take_entries(self, entries: list[Entry]) -> None:
        self._entries = entries
        self._sort()
        self._show(self._fitting(self._entries))

    def _sort(self) -> None:
        self._entries.sort(key=lambda entry: entry.order[self._sorted_by])
        self.query_one(Header).sorted_by = COLUMNS[self._sorted_by].name

    # Filters

    @on(Input.Changed)
    def _typed(self) -> None:
        needles = tuple(self.query_one(f"#{field.lower()}", Input).value.casefold() for field in FIELDS)
        longer = all(new.startswith(old) for new, old in zip(needles, self._needles, strict=True))
        self._needles = needles
        self._show(self._fitting(self._shown if longer else self._entries))

    @on(Input.Submitted)
    def _typed_enough(self) -> None:
        self.query_one(LineTable).focus()

    def _fitting(self, entries: list[Entry]) -> list[Entry]:
        if self._unlisted:
            entries = [entry for entry in entries if not entry.listed.civitai]
        asked = [(place, needle) for place, needle in enumerate(self._needles) if needle]
        if not asked:
            return entries
        return [entry for entry in entries if all(needle in entry.found_by[place] for place, needle in asked)]

    def _show(self, entries: list[Entry]) -> None:
        self._shown = entries
        self.query_one(LineTable).show(entries)
        empty = self.query_one("#empty", Static)
        empty.display = not entries
        empty.update(_NONE_FIT if self._entries else _EMPTY)
        size = human_size(sum(entry.listed.size for entry in entries))
        state = f"links {'on' if self._links else 'off'}" + (", without Civitai data" if self._unlisted else "")
        self.query_one("#count", Static).update(
            f" {len(entries):,} of {len(self._entries):,} models, {size}  ·  {state}"
        )

    # Actions

    def action_filter(self) -> None:
        self.query_one("#name", Input).focus()

    def action_reset(self) -> None:
        for field in FIELDS:
            self.query_one(f"#{field.lower()}", Input).value = ""
        self._unlisted = False
        self._show(self._fitting(self._entries))
        self.query_one(LineTable).focus()

    def action_sort(self) -> None:
        shown = [place for place, _, _ in layout(COLUMNS, self.size.width)]
        self._sorted_by = next((place for place in shown if place > self._sorted_by), shown[0])
        self._sort()
        self._show(self._fitting(self._entries))

    @on(Header.Pressed)
    def _pressed(self, event: Header.Pressed) -> None:
        self._sorted_by = COLUMNS.index(event.column)
        self._sort()
        self._show(self._fitting(self._entries))

    @on(LineTable.Chosen)
    def action_details(self) -> None:
        table = self.query_one(LineTable)
        if table.cursor < len(self._shown):
            details = self._hub.models.details(str(self._shown[table.cursor].listed.id))
            self.app.push_screen(DetailsScreen(details))

    def action_unlisted(self) -> None:
        self._unlisted = not self._unlisted
        self._show(self._fitting(self._entries))

    def action_links(self) -> None:
        self._links = not self._links
        self._show(self._shown)

    def action_scan(self) -> None:
        adopt: Adopt = self._hub.settings.adopt if self._links else "copy"
        self.app.push_screen(ScanScreen(self._hub, adopt), lambda _: self.reload())

    def action_quit(self) -> None:
        self.app.exit()

    def key_escape(self) -> None:
        self.query_one(LineTable).focus()
