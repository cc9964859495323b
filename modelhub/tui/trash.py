"""The trash: what was deleted, brought back with its links, or removed for good."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from textual import on

from modelhub.core.names import counted, human_size, printable
from modelhub.services.trash import PrunePlan
from modelhub.store.trash import Deleted
from modelhub.tui.actions import bindings
from modelhub.tui.dialogs import Ask
from modelhub.tui.frame import TableScreen
from modelhub.tui.jobs import quick
from modelhub.tui.table import Column, Line, LineTable, Row


class _Line:
    """One deleted model as the table shows it."""

    troubled = False

    def __init__(self, deleted: Deleted) -> None:
        self.deleted = deleted
        self.key = deleted.id
        self.cells: Row = (printable(deleted.filename), human_size(deleted.size), deleted.deleted_at)


class TrashScreen(TableScreen):
    """Deleted models, the last one first."""

    NAME = "trash"
    BINDINGS = bindings("trash")
    COLUMNS = (Column("Name", 0), Column("Size", 9, right=True), Column("Deleted (UTC)", 20))
    EMPTY = "Nothing is in the trash. X in the library puts models here; their files stay until they are purged."

    def read(self) -> tuple[Sequence[Line], str]:
        lines = [_Line(deleted) for deleted in reversed(self.hub.trash.all())]
        size = human_size(sum(line.deleted.size for line in lines))
        return lines, f"{counted(len(lines), 'model')}, {size}, in the trash"

    @on(LineTable.Chosen)
    def action_restore(self) -> None:
        line = self.table.current
        if isinstance(line, _Line):
            deleted = line.deleted
            self.main.start(
                f"Restore {deleted.filename}",
                lambda: self.hub.trash.restore([deleted]),
                lambda _: f"{deleted.filename} is back.",
            )

    def action_purge(self) -> None:
        """Ask with what is known: what would go, and what keeps it."""
        line = self.table.current
        if isinstance(line, _Line):
            deleted = line.deleted
            self.main.start(
                f"Look at {deleted.filename}",
                lambda: quick(lambda: self._planned(deleted)),
                lambda plan: self._ask(deleted, plan),
            )

    def _planned(self, deleted: Deleted) -> PrunePlan:
        """What would go; nothing if it came back meanwhile."""
        still = [one for one in self.hub.trash.all() if one.id == deleted.id]
        return self.hub.trash.plan_prune(older_than=timedelta(0), only=still)

    def _ask(self, deleted: Deleted, plan: PrunePlan) -> None:
        if not self.is_current:
            return  # the user went elsewhere meanwhile; a question there would be answered unread
        if plan.kept:
            self.main.say(f"{deleted.filename} stays: {plan.kept[0].because}", "warning")
        elif plan.models:
            links = sum(len(one.links) for one in plan.removals)
            also = f" {links} links that scans left go with it." if links else ""
            question = (
                f"Remove {deleted.filename} and all that is known of it for good? It frees {human_size(plan.frees)}."
                f"{also} This cannot be undone."
            )
            self.app.push_screen(Ask(question, "Remove for good"), partial(self._purge, deleted))

    def _purge(self, deleted: Deleted, sure: bool | None) -> None:
        if sure:
            self.main.start(
                f"Purge {deleted.filename}",
                lambda: self.hub.trash.prune(lambda: self._planned(deleted)),
                lambda done: f"{human_size(done.frees)} are free.",
            )
