"""The help: every key, from the same table that binds them."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from modelhub.tui.actions import helped

_TITLES = {"library": "Library", "details": "Details", "scan": "Scan", "trash": "Trash", "everywhere": "Everywhere"}


class HelpScreen(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,h", "close", "Close")]

    def compose(self) -> ComposeResult:
        text = Text()
        title = ""
        for scope, keys, words in helped():
            if scope != title:
                text.append(f"{'' if not title else chr(10)}{_TITLES[scope]}\n", "bold")
                title = scope
            text.append(f"  {keys:14} ", "cyan")
            text.append(f"{words}\n")
        with VerticalScroll(id="dialog"):
            yield Static(text, markup=False)

    def action_close(self) -> None:
        self.dismiss()
