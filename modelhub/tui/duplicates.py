"""Second copies that take room on a disk, and making them one."""

from collections.abc import Sequence
from functools import partial

from textual import on

from modelhub.core.names import counted, human_size, printable
from modelhub.services.duplicates import Group
from modelhub.tui.actions import bindings
from modelhub.tui.dialogs import Ask
from modelhub.tui.frame import TableScreen
from modelhub.tui.table import Column, Line, LineTable, Row


class _Line:
    troubled = False

    def __init__(self, group: Group) -> None:
        self.group = group
        self.key = group.kept
        self.cells: Row = (
            printable(group.kept.rsplit("/", 1)[-1]), human_size(group.wasted), str(len(group.others)),
            printable(group.others[0]),
        )  # fmt: skip


class DuplicatesScreen(TableScreen):
    """What scans copied into the store and left where it was, by the room that it takes."""

    NAME = "duplicates"
    BINDINGS = bindings("duplicates")
    COLUMNS = (
        Column("Stored", 34), Column("Takes", 9, right=True), Column("Copies", 6, right=True), Column("Copy at", 0),
    )  # fmt: skip
    EMPTY = "No second copy of a stored file is known. `modelhub duplicates DIR` looks through any folder."

    def read(self) -> tuple[Sequence[Line], str]:
        lines = [_Line(group) for group in self.hub.duplicates.copies()]
        wasted = human_size(sum(line.group.wasted for line in lines))
        return lines, f"{len(lines):,} files with copies beside them, which take {wasted}"

    @on(LineTable.Chosen)
    def action_link(self) -> None:
        line = self.table.current
        if isinstance(line, _Line):
            self._ask([line.group])

    def action_link_all(self) -> None:
        if self.lines:
            self._ask([line.group for line in self.lines])

    def _ask(self, groups: Sequence[Group]) -> None:
        copies = sum(len(group.others) for group in groups)
        freed = human_size(sum(group.wasted for group in groups))
        question = (
            f"Replace {counted(copies, 'copy')} by links to the stored file, after comparing them"
            f" byte by byte? It frees {freed}."
        )
        self.app.push_screen(Ask(question, "Make one"), partial(self._link, groups))

    def _link(self, groups: Sequence[Group], sure: bool | None) -> None:
        if sure:
            self.main.start(
                f"Make {len(groups):,} duplicates one",
                lambda: self.hub.duplicates.link(groups),
                lambda done: f"{counted(done.files, 'copy')} made links; {human_size(done.freed)} are free.",
            )

    def action_undo(self) -> None:
        self.main.undo()
