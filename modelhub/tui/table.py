"""A table that draws only the lines one sees: a hundred thousand rows cost as much as fifty."""

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import ClassVar, Protocol

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click, Key
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget


@dataclass(frozen=True, slots=True)
class Column:
    """`width` in cells; 0 takes what is left. `least`: the table's width from which the column is shown.

    What is searched for is made visible in columns that are `searched`. What is too long is cut at its end, or in the
    `middle`, where names and paths are alike.
    """

    name: str
    width: int
    right: bool = False
    least: int = 0
    searched: bool = False
    middle: bool = False


Row = Sequence[str]
Place = tuple[int, int, bool]
"""Place in the row, cells, and whether the text stands at the right."""

_SCROLLBAR = 1
"""Cells that the table keeps free for its scroll bar."""
_LONG_ENDING = 6
_MARK = "●"


class Line(Protocol):
    """What the table shows in one line; `troubled` lines are marked. Cells must be printable."""

    @property
    def key(self) -> object:
        """What tells it from other lines, also when the table is filled anew."""
        ...

    @property
    def cells(self) -> Row: ...

    @property
    def troubled(self) -> bool: ...


def layout(columns: Sequence[Column], width: int) -> list[Place]:
    """The columns that fit into `width` cells."""
    shown = [(place, column) for place, column in enumerate(columns) if column.least <= width]
    fixed = sum(column.width + 2 for _, column in shown if column.width)
    rest = max(8, width - fixed - 1)
    return [(place, column.width or rest, column.right) for place, column in shown]


def fitted(text: str, width: int, *, right: bool, middle: bool = False) -> str:
    """A cell, cut or padded to its width. Of what is cut in the middle a long file ending goes first."""
    if middle and cell_len(text) > width:
        stem, dot, ending = text.rpartition(".")
        text = f"{stem}…" if dot and len(ending) > _LONG_ENDING else text
    if cell_len(text) > width:
        end = set_cell_size(text[::-1], width // 2 - 1)[::-1].lstrip() if middle else ""
        text = f"{set_cell_size(text, width - 1 - cell_len(end))}…{end}"
    return " " * (width - cell_len(text)) + text if right else set_cell_size(text, width)


def line(row: Row, places: Sequence[Place]) -> str:
    """One row as text."""
    return " " + "  ".join(fitted(row[place], width, right=right) for place, width, right in places)


class Header(Widget):
    """The names of the columns, above the lines that scroll."""

    DEFAULT_CSS = "Header { height: 1; background: $panel; color: $text; text-style: bold; }"
    sorted_by: reactive[tuple[str, bool]] = reactive(("", False))
    """The name of a column, and whether the order is turned around."""

    class Pressed(Message):
        """A column's name was clicked."""

        def __init__(self, column: Column) -> None:
            super().__init__()
            self.column = column

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__()
        self._columns = columns

    def use(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self.refresh()

    def render_line(self, y: int) -> Strip:  # noqa: ARG002  (there is one line only)
        name, turned = self.sorted_by
        names = [
            f"{one.name} {'▴' if turned else '▾'}" if name and one.name == name else one.name for one in self._columns
        ]
        text = line(names, layout(self._columns, self.size.width - _SCROLLBAR))
        return Strip([Segment(set_cell_size(text, self.size.width), self.rich_style)])

    def on_click(self, event: Click) -> None:
        left = 1
        for place, width, _ in layout(self._columns, self.size.width - _SCROLLBAR):
            if left <= event.x < left + width + 2:
                self.post_message(self.Pressed(self._columns[place]))
            left += width + 2


class LineTable(ScrollView, can_focus=True):
    """Lines with a cursor that stays on its line when others come and go; some may be marked."""

    DEFAULT_CSS = "LineTable { height: 1fr; overflow-x: hidden; scrollbar-gutter: stable; scrollbar-size: 1 1; }"
    COMPONENT_CLASSES: ClassVar[set[str]] = {"table--cursor", "table--trouble", "table--found", "table--marked"}
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

    class Moved(Message):
        """The cursor is on another row."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LineTable.Moved)

    def __init__(self, columns: Sequence[Column], *, id: str | None = None, page: int = 1000) -> None:  # noqa: A002
        super().__init__(id=id)
        self._columns = columns
        self._rows: Sequence[Line] = ()
        self._page = page
        self._anchor: object = None
        self._found: re.Pattern[str] | None = None
        self.marked: AbstractSet[object] = frozenset()

    def use(self, columns: Sequence[Column]) -> None:
        self._columns = columns

    def show(self, rows: Sequence[Line], words: Sequence[str] = (), *, filtered: bool = False) -> None:
        """Other rows, and the words that are made visible in them. The cursor stays on its line if that is there.

        Where its line is gone it stays at its place, on another line; `filtered` rows are shown from the first one, and
        the cursor goes back to its line with them.
        """
        self._rows = rows
        self._found = re.compile("|".join(re.escape(word) for word in words), re.IGNORECASE) if words else None
        self.virtual_size = Size(self.size.width, len(rows))
        anchor, place = self._anchor, self.cursor
        if anchor is not None and not (place < len(rows) and rows[place].key == anchor):
            gone = 0 if filtered else place
            place = next((number for number, row in enumerate(rows) if row.key == anchor), gone)
        self.set_reactive(LineTable.cursor, max(0, min(place, len(rows) - 1)))
        if anchor is not None and not filtered and rows:
            self._anchor = rows[self.cursor].key
        self._follow()
        self.refresh()
        self.post_message(self.Moved())

    @property
    def current(self) -> Line | None:
        """The line under the cursor."""
        return self._rows[self.cursor] if self.cursor < len(self._rows) else None

    def render_line(self, y: int) -> Strip:
        number = y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        if number >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        row = self._rows[number]
        marked = row.key in self.marked
        style = self._style_of(row, is_cursor=number == self.cursor, marked=marked)
        segments = [Segment(_MARK if marked else " ", style)]
        cells = row.cells
        for place, cells_wide, right in layout(self._columns, width):
            column = self._columns[place]
            text = fitted(cells[place], cells_wide, right=right, middle=column.middle)
            segments += self._segments(text, style) if column.searched else [Segment(text, style)]
            segments.append(Segment("  ", style))
        return Strip(segments).adjust_cell_length(width, style)

    def _segments(self, text: str, style: Style) -> list[Segment]:
        """A cell with what was searched for made visible."""
        if self._found is None:
            return [Segment(text, style)]
        found, at = style + self.get_component_rich_style("table--found", partial=True), 0
        segments = []
        for match in self._found.finditer(text):
            segments += [Segment(text[at : match.start()], style), Segment(match[0], found)]
            at = match.end()
        return [*segments, Segment(text[at:], style)]

    def _style_of(self, row: Line, *, is_cursor: bool, marked: bool) -> Style:
        style = self.rich_style
        if row.troubled:
            style += self.get_component_rich_style("table--trouble", partial=True)
        if marked:
            style += self.get_component_rich_style("table--marked", partial=True)
        if is_cursor:
            style += self.get_component_rich_style("table--cursor")
        return style

    def validate_cursor(self, number: int) -> int:
        return max(0, min(number, len(self._rows) - 1))

    def watch_cursor(self, before: int, after: int) -> None:
        current = self.current
        self._anchor = None if current is None else current.key
        top = self.scroll_offset.y
        for number in (before, after):
            if top <= number < top + self.size.height:
                self.refresh(Region(0, number - top, self.size.width, 1))
        self._follow()
        self.post_message(self.Moved())

    def _follow(self) -> None:
        self.scroll_to_region(Region(0, self.cursor, 1, 1), animate=False, force=True)

    def action_move(self, by: int) -> None:
        self.cursor += by

    def action_page(self, by: int) -> None:
        self.cursor += by * max(1, self.size.height - 1)

    def action_leaf(self, by: int) -> None:
        self.cursor += by * self._page

    def action_go(self, number: int) -> None:
        self.cursor = number if number >= 0 else len(self._rows) - 1

    def on_resize(self) -> None:
        self.virtual_size = Size(self.size.width, len(self._rows))
        self._follow()

    def on_key(self, event: Key) -> None:
        """Say who got the key: the app sees by it whether the focus went elsewhere meanwhile."""
        event.set_sender(self)

    def on_click(self, event: Click) -> None:
        number = int(event.y) + self.scroll_offset.y
        if number < len(self._rows):
            self.cursor = number
            if event.chain > 1:
                self.post_message(self.Chosen())
