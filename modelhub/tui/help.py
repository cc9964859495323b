"""The help: every key, from the same table that binds them, and the language of filters."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from modelhub.core.query import FIELDS, STATES
from modelhub.tui.actions import Action, bindings, helped

_KEYS = 18
_LANGUAGE = (
    ("dream shaper", "both words, in name, type, base, sub-type, tags or trigger words"),
    ('"dream shaper"', "the two as they stand"),
    ("type:lora,vae", "a comma means either"),
    ("-type:lora", "a minus means not"),
    ("type:=lora", "= asks for the whole value"),
)


class HelpScreen(ModalScreen[None]):
    """What works on the screen one came from stands `first`."""

    BINDINGS = bindings("help")

    def __init__(self, actions: Sequence[Action], first: str = "") -> None:
        super().__init__()
        self._actions = actions
        self._first = first

    def compose(self) -> ComposeResult:
        grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
        grid.add_column(width=_KEYS, overflow="fold")
        grid.add_column(ratio=1)
        title = ""
        for scope, action in helped(self._actions, first=self._first):
            if scope != title:
                _heading(grid, scope)
                title = scope
            grid.add_row(f"  {action.pressed}", action.help)
        _heading(grid, "Filters")
        for written, told in (*_LANGUAGE, *((f"{name}:", told) for name, told in FIELDS.items())):
            grid.add_row(f"  {written}", told)
        for name, told in STATES.items():
            grid.add_row(f"  is:{name}", told)
        with VerticalScroll(id="dialog"):
            yield Static(grid, markup=False)

    def action_close(self) -> None:
        self.dismiss()


def _heading(grid: Table, title: str) -> None:
    if grid.row_count:
        grid.add_row()
    grid.add_row(Text(title, "bold"))
