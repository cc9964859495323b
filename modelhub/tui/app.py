"""The application: which screen is seen, the theme, and what works everywhere."""

from typing import ClassVar

from textual.app import App
from textual.binding import BindingType

from modelhub.core.actor import DOOR
from modelhub.services.hub import Hub
from modelhub.tui.actions import bindings
from modelhub.tui.help import HelpScreen
from modelhub.tui.library import LibraryScreen

_THEMES = ("textual-dark", "textual-light")


class ModelHubApp(App[None]):
    """Screens plug in by `push_screen`; each names its own keys in the table of actions."""

    TITLE = "ModelHub"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = bindings("everywhere")
    CSS = """
    #filters { height: 1; background: $boost; }
    #filters Input { width: 1fr; margin: 0 1; }
    #empty { height: auto; padding: 1 2; color: $text-muted; }
    #count { height: 1; background: $panel; color: $text-muted; }
    .table--cursor { background: $primary; color: $text; text-style: bold; }
    .table--trouble { color: $error; }
    ModalScreen { align: center middle; }
    #dialog { width: 90%; max-width: 110; height: 90%; max-height: 34; border: round $primary; padding: 0 1;
              background: $surface; }
    .title { text-style: bold; }
    #buttons { height: 3; }
    #hint { color: $text-disabled; }
    #progress { height: 2; color: $text-muted; }
    DetailsScreen VerticalScroll { padding: 0 1; }
    """

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._hub = hub

    def on_mount(self) -> None:
        self.push_screen(LibraryScreen(self._hub))

    def action_theme(self) -> None:
        self.theme = _THEMES[(_THEMES.index(self.theme) + 1) % 2] if self.theme in _THEMES else _THEMES[0]

    def action_help(self) -> None:
        self.push_screen(HelpScreen())


def run(hub: Hub) -> None:
    """Show the hub until the user leaves."""
    DOOR.set("tui")
    ModelHubApp(hub).run()
