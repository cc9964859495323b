"""Every key of the terminal interface, once: footer, help and README are made from this table."""

from collections.abc import Iterable
from dataclasses import dataclass

from textual.binding import Binding, BindingType


@dataclass(frozen=True, slots=True)
class Action:
    """`scope` is the screen the key works on. Keys are case-sensitive, as Textual names them."""

    scope: str
    keys: str
    name: str
    label: str
    help: str
    shown: bool = True

    @property
    def pressed(self) -> str:
        """The keys as people read them."""
        return " or ".join(_WORDS.get(key, key) for key in self.keys.split(","))


_WORDS = {
    "enter": "Enter", "escape": "Esc", "pagedown": "PgDn", "pageup": "PgUp", "down": "↓", "up": "↑", "home": "Home",
    "end": "End", "left": "←", "right": "→", "tab": "Tab",
}  # fmt: skip

ACTIONS = (
    Action("library", "up,down", "move", "Move", "Move the cursor", shown=False),
    Action("library", "pageup,pagedown", "page", "Page", "Move by a screenful", shown=False),
    Action("library", "left,right", "leaf", "Leaf", "Move by a page of 1,000 models", shown=False),
    Action("library", "home,end", "ends", "Ends", "Go to the first or last model", shown=False),
    Action("library", "enter,d", "details", "Details", "Everything about the model, with the evidence for what it is"),
    Action(
        "library",
        "F",
        "filter",
        "Filter",
        "Filter while you type; Tab goes to the next field, Enter or Esc back to the table",
    ),
    Action("library", "n", "unlisted", "No Civitai", "Show only models without Civitai data; again: all", shown=False),
    Action("library", "r", "reset", "Reset", "Clear all filters"),
    Action("library", "s", "sort", "Sort", "Sort by the next column; again after the last column, by the first"),
    Action("library", "S", "scan", "Scan", "Take the models in a folder into the hub"),
    Action(
        "library",
        "Y",
        "links",
        "Links",
        "Scans leave links (on, at each start) or copy and leave files (off)",
        shown=False,
    ),
    Action("everywhere", "T", "theme", "Theme", "Switch between dark and light", shown=False),
    Action("everywhere", "h", "help", "Help", "Show or hide this help"),
    Action("library", "X", "delete", "Delete", "Put the model into the trash: its links go, its files stay"),
    Action("library", "U", "undo", "Undo", "Take back the last operation: a deletion, a correction, a deployment"),
    Action("library", "Z", "trash", "Trash", "What is in the trash, to bring it back", shown=False),
    Action("trash", "enter,r", "restore", "Restore", "Bring the model back, with its links"),
    Action("trash", "escape,q,Z", "back", "Back", "Back to the library"),
    Action("library", "q", "quit", "Quit", "Leave ModelHub"),
    Action("details", "escape,q,d", "back", "Back", "Back to the library"),
    Action("scan", "escape", "cancel", "Cancel", "Stop; what is done stays done, and a later scan goes on from there"),
)


def bindings(*scopes: str) -> list[BindingType]:
    """Textual's bindings for the actions of these scopes."""
    return [
        Binding(action.keys, action.name, action.label, show=action.shown, key_display=action.pressed.split(" ")[0])
        for action in ACTIONS
        if action.scope in scopes and action.name not in ("move", "page", "leaf", "ends")
    ]


def helped(scopes: Iterable[str] = ("library", "details", "scan", "trash", "everywhere")) -> list[tuple[str, str, str]]:
    """Scope, keys and explanation of every action, for the help."""
    return [(scope, action.pressed, action.help) for scope in scopes for action in ACTIONS if action.scope == scope]
