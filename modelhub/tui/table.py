"""A table that draws only the lines one sees: a hundred thousand rows cost as much as fifty."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget


@dataclass(frozen=True, slots=True)
class Column:
    """`width` in cells; 0 takes what is left. `least`: the table's width from which the column is shown."""

    name: str
    width: int
    right: bool = False
    least: int = 0


Row = Sequence[str]
_SCROLLBAR = 1
"""Cells that the table keeps free for its scroll bar."""


_LEAF = 1000
"""Rows of a page, as ← and → turn them."""


class Line(Protocol):
    """What the table shows in one line; `troubled` lines are marked."""

    cells: Row
    troubled: bool


def layout(columns: Sequence[Column], width: int) -> list[tuple[int, int, bool]]:
    """Place in the row, cells and alignment of each column that fits into `width` cells."""
    shown = [(place, column) for place, column in enumerate(columns) if column.least <= width]
    fixed = sum(column.width + 2 for _, column in shown if column.width)
    rest = max(8, width - fixed - 1)
    return [(place, column.width or rest, column.right) for place, column in shown]


def line(row: Row, places: Sequence[tuple[int, int, bool]]) -> str:
    """One row as text, each cell cut or padded to its width."""
    cells = []
    for place, width, right in places:
        text = row[place]
        if cell_len(text) > width:
            text = set_cell_size(text, width - 1) + "…"
        cells.append(" " * (width - cell_len(text)) + text if right else set_cell_size(text, width))
    return " " + "  ".join(cells)


class Header(Widget):
    """The names of the columns, above the lines that scroll."""

    DEFAULT_CSS = "Header { height: 1; background: $panel; color: $text; text-style: bold; }"
    sorted_by: reactive[str] = reactive("")

    class Pressed(Message):
        """A column's name was clicked."""

        def __init__(self, column: Column) -> None:
            super().__init__()
            self.column = column

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__()
        self._columns = columns

    def render_line(self, y: int) -> Strip:  # noqa: ARG002  (there is one line only)
        names = [f"{one.name} ▾" if one.name == self.sorted_by else one.name for one in self._columns]
        text = line(names, layout(self._columns, self.size.width - _SCROLLBAR))
        return Strip([Segment(set_cell_size(text, self.size.width), self.rich_style)])

    def on_click(self, event: Click) -> None:
        left = 1
        for place, width, _ in layout(self._columns, self.size.width - _SCROLLBAR):
            if left <= event.x < left + width + 2:
                self.post_message(self.Pressed(self._columns[place]))
            left += width + 2


class LineTable(ScrollView, can_focus=True):
    """Rows of plain text with a cursor. Cells must be printable: what they hold is shown as it is."""

    DEFAULT_CSS = "LineTable { height: 1fr; overflow-x: hidden; scrollbar-gutter: stable; scrollbar-size: 1 1; }"
    COMPONENT_CLASSES: ClassVar[set[str]] = {"table--cursor", "table--trouble"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("left", "leaf(-1)", show=False),
        Binding("right", "leaf(1)", show=False),
        Binding("home", "go(0)", show=False),
        Binding("end", "go(-1)", show=False),
    ]
    cursor: reactive[int] = reactive(0, repaint=False)

    class Chosen(Message):
        """A row was clicked twice."""

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__()
        self._columns = columns
        self._rows: Sequence[Line] = ()

    def show(self, rows: Sequence[Line]) -> None:
        """Other rows. The cursor stays where it can."""
        self._rows = rows
        self.virtual_size = Size(self.size.width, len(rows))
        self.cursor = max(0, min(self.cursor, len(rows) - 1))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        number = y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        if number >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        text = line(self._rows[number].cells, layout(self._columns, width))
        return Strip([Segment(set_cell_size(text, width), self._style_of(number))])

    def _style_of(self, number: int) -> Style:
        style = self.rich_style
        if self._rows[number].troubled:
            style += self.get_component_rich_style("table--trouble")
        if number == self.cursor:
            style += self.get_component_rich_style("table--cursor")
        return style

    def validate_cursor(self, number: int) -> int:
        return max(0, min(number, len(self._rows) - 1))

    def watch_cursor(self, before: int, after: int) -> None:
        top = self.scroll_offset.y
        for number in (before, after):
            if top <= number < top + self.size.height:
                self.refresh(Region(0, number - top, self.size.width, 1))
        self.scroll_to_region(Region(0, after, 1, 1), animate=False, force=True)

    def action_move(self, by: int) -> None:
        self.cursor += by

    def action_page(self, by: int) -> None:
        self.cursor += by * max(1, self.size.height - 1)

    def action_leaf(self, by: int) -> None:
        self.cursor += by * _LEAF

    def action_go(self, number: int) -> None:
        self.cursor = number if number >= 0 else len(self._rows) - 1

    def on_resize(self) -> None:
        self.virtual_size = Size(self.size.width, len(self._rows))

    def on_click(self, event: Click) -> None:
        number = int(event.y) + self.scroll_offset.y
        if number < len(self._rows):
            self.cursor = number
            if event.chain > 1:
                self.post_message(self.Chosen())
