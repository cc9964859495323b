"""Every key of the terminal interface, once: bindings, footer, help, command palette and README are made from this."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from textual.binding import Binding, BindingType

from modelhub.core.errors import ConfigInvalid
from modelhub.core.names import printable


@dataclass(frozen=True, slots=True)
class Action:
    """A key and what it does. `scope` is the screen it works on; keys are case-sensitive, as Textual names them.

    `does` is the action's method where it is not called as `name` says. One that is `fixed` belongs to a widget and
    cannot be given other keys; `shown` ones stand in the footer.
    """

    scope: str
    keys: str
    name: str
    label: str
    help: str
    shown: bool = False
    does: str = ""
    fixed: bool = False

    @property
    def id(self) -> str:
        return f"{self.scope}.{self.name}"

    @property
    def pressed(self) -> str:
        """The keys as people read them."""
        return " or ".join(pressed(key) for key in self.keys.split(","))


_WORDS = {
    "enter": "Enter", "escape": "Esc", "pagedown": "PgDn", "pageup": "PgUp", "down": "↓", "up": "↑", "home": "Home",
    "end": "End", "left": "←", "right": "→", "tab": "Tab", "space": "Space", "plus": "+", "minus": "-",
}  # fmt: skip


def pressed(key: str) -> str:
    """A key as people read it: ``ctrl+p`` is Ctrl+P."""
    *modifiers, last = key.split("+")
    word = _WORDS.get(last, last.upper() if modifiers else last)
    return "+".join([*(modifier.capitalize() for modifier in modifiers), word])


def _screen(key: str, name: str, label: str, told: str) -> Action:
    return Action("everywhere", key, name, label, told, does=f"screen('{name}')")


ACTIONS = (
    _screen("1", "library", "Library", "All models, filtered while you type"),
    _screen("2", "dashboard", "Dashboard", "Counts and bytes, what is deployed, disks, health"),
    _screen("3", "deploy", "Deploy", "Every app against every type, and what a deployment would do"),
    _screen("4", "targets", "Targets", "The apps and folders that models go to"),
    _screen("5", "duplicates", "Duplicates", "Second copies that take room, and making them one"),
    _screen("6", "trash", "Trash", "What was deleted, to bring it back"),
    _screen("7", "rules", "Rules", "The rules of classification, tried and changed"),
    _screen("8", "jobs", "Jobs", "What runs and what ran, its log, and stopping it"),
    Action("everywhere", "h", "help", "Help", "Show or hide this help", shown=True),
    Action("everywhere", "ctrl+p", "palette", "Palette", "Find any action by its name", fixed=True),
    Action("everywhere", "T", "theme", "Theme", "Switch between dark and light; the choice is kept"),
    Action("everywhere", "ctrl+q", "leave", "Leave", "Leave ModelHub from anywhere", fixed=True),
    Action("tables", "up,down", "move", "Move", "Move the cursor", fixed=True),
    Action("tables", "pageup,pagedown", "page", "Page", "Move by a screenful", fixed=True),
    Action("tables", "left,right", "leaf", "Leaf", "Previous or next page (interface.page_size rows)", fixed=True),
    Action("tables", "home,end", "ends", "Ends", "Go to the first or last row", fixed=True),
    Action("library", "enter,d", "details", "Details", "Everything about the model, and why", shown=True),
    Action("library", "F", "filter", "Filter", "Filter while you type; Tab goes to the next field, Enter or Esc back",
           shown=True),
    Action("library", "n", "unlisted", "No Civitai", "Show only models without Civitai data; again: all"),
    Action("library", "r", "reset", "Reset", "Clear all filters"),
    Action("library", "s", "sort", "Sort", "Sort by the next column; a click on a column's name sorts by it"),
    Action("library", "o", "order", "Order", "Turn the order of the rows around"),
    Action("library", "space", "mark", "Mark", "Select the model, or not, and go on; filters do not change that"),
    Action("library", "V", "range", "Range", "Select everything from the last selected model to this"),
    Action("library", "A", "all", "All", "Select all models that are shown; again: none"),
    Action("library", "S", "scan", "Scan", "Take the models in a folder into the hub", shown=True),
    Action("library", "R", "reclassify", "Reclassify", "Judge models again: selected, filtered, stale or all"),
    Action("library", "X", "delete", "Delete", "Put selected models into the trash: links go, files stay", shown=True),
    Action("library", "U", "undo", "Undo", "Take back the last operation: a deletion, a correction, a deployment"),
    Action("library", "Z", "trash", "Trash", "What is in the trash, to bring it back", does="app.screen('trash')"),
    Action("library", "H", "hash", "Hash files", "Write .sha256 files beside selected models, where they were found"),
    Action("library", "L", "lookup", "Look up", "Ask model sites what they know of selected models, by hash"),
    Action("library", "Y", "links", "Links", "Scans leave links (on, at each start) or copy and leave files (off)"),
    Action("library", "D", "deploy", "Deploy", "Deploy to apps: everything, or the selected models", shown=True),
    Action("library", "c", "configure", "Targets", "Configure the targets", does="app.screen('targets')"),
    Action("library", "e", "export", "Export", "Export selected or filtered models: CSV, JSON, YAML or a bundle"),
    Action("library", "p", "preview", "Preview", "Show or hide the preview of the model under the cursor"),
    Action("library", "q", "quit", "Quit", "Leave ModelHub; running tasks are stopped if you say so", shown=True,
           does="app.quit"),
    Action("details", "t", "copy_triggers", "Triggers", "Copy the trigger words", shown=True),
    Action("details", "l", "copy_link", "ln -s", "Copy a command that links the file into a folder", shown=True),
    Action("details", "m", "copy_path", "Path", "Copy the path of the file", shown=True),
    Action("details", "r", "rename", "Rename", "Give it another name; links follow at the next deployment", shown=True),
    Action("details", "e", "edit", "Edit", "Correct type, base, sub-type, tags and notes by hand", shown=True),
    Action("details", "c", "reclassify", "Reclassify", "Judge it again by the rules in force", shown=True),
    Action("details", "v", "metadata", "Metadata", "Show or hide all it says of itself, as a tree", shown=True),
    Action("details", "d", "delete", "Delete", "Put it into the trash; asks first", shown=True),
    Action("details", "escape,q", "back", "Back", "Back to where you came from", shown=True),
    Action("deploy", "space", "choose", "Choose", "Take the target into this deployment, or leave it out", shown=True),
    Action("deploy", "E", "enable", "On/off", "Enable or disable the target", shown=True),
    Action("deploy", "x", "conflicts", "Conflicts", "Where your file stands: keep, skip, rename, adopt", shown=True),
    Action("deploy", "a,enter", "apply", "Apply", "Do what the plan shows", shown=True),
    Action("deploy", "r", "removal", "Undeploy", "Plan to remove our links instead; again: to make them", shown=True),
    Action("deploy", "tab", "other", "Other table", "Go to the plan and back", does="app.focus_next"),
    Action("deploy", "U", "undo", "Undo", "Take back the last deployment", shown=True),
    Action("deploy", "escape,q", "back", "Back", "Back to the library", shown=True),
    Action("targets", "enter,e", "edit", "Edit", "Change its place, how models get there, their names", shown=True),
    Action("targets", "a", "add", "Add", "Add an app or a folder", shown=True),
    Action("targets", "m", "map", "Map", "Say which folder a type goes to", shown=True),
    Action("targets", "E,space", "enable", "On/off", "Enable or disable it", shown=True),
    Action("targets", "f", "detect", "Find apps", "Find installed apps and add targets for them", shown=True),
    Action("targets", "X", "remove", "Remove", "Forget it; undeploy it first", shown=True),
    Action("targets", "D", "deploy", "Deploy", "Go to the deployment", does="app.screen('deploy')"),
    Action("targets", "escape,q", "back", "Back", "Back to the library", shown=True),
    Action("dashboard", "V", "verify", "Verify", "Read every stored file and prove it whole", shown=True),
    Action("dashboard", "r", "reload", "Again", "Look at everything again", shown=True),
    Action("dashboard", "escape,q", "back", "Back", "Back to the library", shown=True),
    Action("duplicates", "L,enter", "link", "Make one", "Replace copies by links, after comparing them", shown=True),
    Action("duplicates", "A", "link_all", "All", "The same for everything that is listed", shown=True),
    Action("duplicates", "U", "undo", "Undo", "Take the last operation back", shown=True),
    Action("duplicates", "escape,q", "back", "Back", "Back to the library", shown=True),
    Action("trash", "enter,r", "restore", "Restore", "Bring the model back, with its links", shown=True),
    Action("trash", "P", "purge", "Purge", "Remove its files for good; asks first", shown=True),
    Action("trash", "escape,q,Z", "back", "Back", "Back to the library", shown=True),
    Action("rules", "F", "filter", "Filter", "Find rules by key and by what they say", shown=True),
    Action("rules", "enter,e", "edit", "Edit", "Show the rule; what you save becomes a rule of yours", shown=True),
    Action("rules", "a", "add", "Add", "Write a new rule", shown=True),
    Action("rules", "E,space", "enable", "On/off", "Switch the rule off, or on again", shown=True),
    Action("rules", "X", "reset", "Reset", "Take your rule away, so that ours holds", shown=True),
    Action("rules", "t", "try", "Try", "The rules that fire for the model under the library's cursor", shown=True,
           does="try_on"),
    Action("rules", "escape,q", "back", "Back", "Back to the library", shown=True),
    Action("jobs", "x", "stop", "Stop", "Stop the task; what is done stays done", shown=True),
    Action("jobs", "escape,q", "back", "Back", "Back to the library", shown=True),
    Action("scan", "escape", "cancel", "Cancel", "Stop; what is done stays done, and a later scan goes on from there"),
    Action("dialogs", "escape", "cancel", "Cancel", "Close without doing anything"),
    Action("editor", "ctrl+s", "save", "Save", "Save what was filled in or written; Enter does in a line"),
    Action("help", "escape,q,h", "close", "Close", "Close this help"),
)  # fmt: skip

SCOPES = {
    "everywhere": "Everywhere", "tables": "Tables", "library": "Library", "details": "Details", "deploy": "Deploy",
    "targets": "Targets", "dashboard": "Dashboard", "duplicates": "Duplicates", "trash": "Trash", "rules": "Rules",
    "jobs": "Jobs", "scan": "Scan", "dialogs": "Dialogs", "editor": "Forms and editors", "help": "Help",
}  # fmt: skip
"""Scopes and their titles, in the order of the help."""


_OVER_ALL = ("scan", "dialogs", "editor", "help")
"""Scopes of dialogs, over which no other key works."""


def bindings(*scopes: str) -> list[BindingType]:
    """Textual's bindings for the actions of these scopes."""
    return [
        Binding(action.keys, action.does or action.name, action.label, show=action.shown, id=action.id)
        for action in ACTIONS
        if action.scope in scopes and not action.fixed
    ]


def keymap(changes: Sequence[str]) -> dict[str, str]:
    """Keys by the id of an action, as ``library.scan=ctrl+s`` in the settings gives them.

    Raises ConfigInvalid for an action that is none, and for a key that two actions would have.
    """
    known = {action.id: action for action in ACTIONS if not action.fixed}
    given: dict[str, str] = {}
    for change in changes:
        name, _, keys = (part.strip() for part in change.partition("="))
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise ConfigInvalid(
                f"interface.keys: there is no action {printable(name)!r}.", hint=f"Did you mean {near!r}?"
            )
        if not all(key and not key.endswith("+") for key in keys.split(",")) or printable(keys) != keys or " " in keys:
            raise ConfigInvalid(f"interface.keys: {name} needs a key.", hint=f"Write {name}={known[name].keys}.")
        given[name] = keys
    _refuse_clashes(remapped(given))
    return given


def remapped(keys: Mapping[str, str]) -> tuple[Action, ...]:
    """The actions with the keys that they have after a change."""
    return tuple(replace(action, keys=keys.get(action.id, action.keys)) for action in ACTIONS)


def _refuse_clashes(actions: Iterable[Action]) -> None:
    known = list(actions)
    shared = {
        key: action for action in known if action.scope in ("everywhere", "tables") for key in action.keys.split(",")
    }
    taken: dict[tuple[str, str], Action] = {}
    for action in known:
        for key in action.keys.split(","):
            other = taken.setdefault((action.scope, key), action)
            if other is action and action.scope not in _OVER_ALL:
                other = shared.get(key, action)
            if other.id != action.id:
                raise ConfigInvalid(
                    f"interface.keys: {pressed(key)} would be both {other.id} and {action.id}.",
                    hint="Give one of them another key.",
                )


def helped(actions: Iterable[Action] = ACTIONS, *, first: str = "") -> list[tuple[str, Action]]:
    """Every action with the title of its scope, those of the scope `first` before the others."""
    known = list(actions)
    scopes = sorted(SCOPES, key=lambda scope: scope != first)
    return [(SCOPES[scope], action) for scope in scopes for action in known if action.scope == scope]
