"""One model: what it is, why, where its files are, what it says about itself, and what can be done with it."""

import os
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Static, Tree
from textual.widgets.tree import TreeNode

from modelhub.core.names import human_size, printable
from modelhub.core.types import Model
from modelhub.services.hub import Hub
from modelhub.tui import describe
from modelhub.tui.actions import bindings
from modelhub.tui.dialogs import Ask, Field, Form
from modelhub.tui.frame import NARROW, HubScreen

_MOST_NODES = 2000
_MOST_LETTERS = 100


class DetailsScreen(HubScreen):
    """The page at the left, what the model says of itself at the right, or in its place where there is no room."""

    NAME = "details"
    BINDINGS = bindings("details")

    def __init__(self, hub: Hub, model_id: int) -> None:
        super().__init__(hub)
        self._known_as = str(model_id)
        self._details = hub.models.details(self._known_as)
        self._tree_shown: bool | None = None

    def content(self) -> ComposeResult:
        with Horizontal(id="middle"):
            with VerticalScroll(id="page"):
                yield Static(id="about", markup=False)
            with Vertical(id="tree-side"):
                yield Tree[Any]("It says of itself", id="tree")
                yield Static(id="value", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#page").focus()

    def shown(self) -> None:
        details = self.attempt(lambda: self.hub.models.details(self._known_as))
        if details is None or details.model.deleted:
            self.dismiss()
            return
        self._details = details
        self.query_one("#about", Static).update(describe.page(details))
        tree = self.query_one(Tree)
        tree.clear()
        _fill(tree.root, describe.tree_of(details.metadata), [_MOST_NODES])
        tree.root.expand()
        if not details.metadata:
            tree.root.add_leaf(Text("nothing", "dim"))
        self._arrange()

    def on_resize(self) -> None:
        super().on_resize()
        self._arrange()

    def _arrange(self) -> None:
        narrow = self.size.width < NARROW
        wanted = not narrow if self._tree_shown is None else self._tree_shown
        self.query_one("#tree-side").display = wanted
        self.query_one("#page").display = not (wanted and narrow)

    @on(Tree.NodeHighlighted)
    def _looked_at(self, event: Tree.NodeHighlighted[Any]) -> None:
        value = event.node.data
        self.query_one("#value", Static).update("" if value is None else Text(printable(str(value))))

    @property
    def _model(self) -> Model:
        return self._details.model

    # Actions

    def action_metadata(self) -> None:
        self._tree_shown = not self.query_one("#tree-side").display
        self._arrange()
        self.query_one("#tree" if self._tree_shown else "#page").focus()

    def action_copy_triggers(self) -> None:
        self.main.copy(printable(self._model.triggers), "trigger words")

    def action_copy_path(self) -> None:
        self.main.copy(self._details.path, "path")

    def action_copy_link(self) -> None:
        path = self._details.path
        self.main.copy(
            f"ln -s {shlex.quote(path)} {shlex.quote(os.path.basename(self._model.filename))}" if path else "", "path"
        )

    def action_rename(self) -> None:
        fields = [Field("name", "Name", self._model.filename)]
        self.app.push_screen(Form("Rename", fields, self._named, "Links are called by it from the next deployment on."))

    def _named(self, given: Mapping[str, str]) -> None:
        if given["name"] != printable(self._model.filename):
            self._change(lambda: self.hub.models.correct(self._known_as, fields={}, name=given["name"]))

    def action_edit(self) -> None:
        model, types = self._model, self.hub.models.types()
        known = ((name, f"{name}  ({shown})") for name, shown in types)
        decide = (("", "let the rules decide again"),) if "type" in self._details.corrections else ()
        fields = [
            Field("type", "Type", model.type, choices=(*decide, *known)),
            Field("base", "Base", model.base, suggested=tuple(self.hub.models.bases())),
            Field("sub_type", "Sub-type", model.sub_type),
            Field("tags", "Tags, with commas between them", ", ".join(model.tags)),
            Field("notes", "Notes", model.notes),
        ]
        hint = "What you set outlives every reclassification; an emptied base or sub-type lets the rules decide again."
        self.app.push_screen(Form(printable(model.filename), fields, self._edited, hint))

    def _edited(self, given: Mapping[str, str]) -> None:
        model = self._model
        known = {"type": model.type, "base": model.base, "sub_type": model.sub_type}
        fields = {name: given[name].strip() for name in known if given[name].strip() != known[name]}
        had = {printable(tag): tag for tag in model.tags}
        text = given["tags"]
        tags = {tag for tag in had if "," in tag and tag in text}  # a comma may be a part of a tag
        for tag in tags:
            text = text.replace(tag, "")
        tags |= {tag.strip() for tag in text.split(",") if tag.strip()}
        notes = given["notes"] if given["notes"] != printable(model.notes) else None
        if notes and "\n" in model.notes:
            notes = notes.replace("\\n", "\n")
        added, gone = sorted(tags - had.keys()), [tag for shown, tag in had.items() if shown not in tags]
        if fields or added or gone or notes is not None:
            self._change(
                lambda: self.hub.models.correct(
                    self._known_as, fields=fields, add_tags=added, remove_tags=gone, notes=notes
                )
            )

    def _change(self, change: Callable[[], Model]) -> None:
        changed = change()
        words = " ".join(dict.fromkeys(word for word in (changed.type, changed.base, changed.sub_type) if word))
        self.say(f"{changed.filename}: {words}. U in the library undoes it.")
        self.main.changed()

    def action_reclassify(self) -> None:
        before = self._model

        def told(_: object) -> str:
            now = self.hub.models.details(self._known_as).model
            words = " ".join(word for word in (now.type, now.base, now.sub_type) if word)
            same = (now.type, now.base, now.sub_type) == (before.type, before.base, before.sub_type)
            return f"{now.filename}: {'still ' if same else ''}{words}"

        self.main.start(f"Reclassify {before.filename}", lambda: self.hub.models.reclassify([before]), told)

    def action_delete(self) -> None:
        question = (
            f"Put {self._model.filename} ({human_size(self._model.size)}) into the trash? Its links go, its files stay."
        )
        self.app.push_screen(Ask(question, "Delete"), self._deleted)

    def _deleted(self, sure: bool | None) -> None:
        if sure:
            main, model = self.main, self._model
            self.dismiss()
            main.delete(printable(model.filename), lambda: [model])

    def action_back(self) -> None:
        self.dismiss()


def _fill(node: TreeNode[Any], told: Any, left: list[int]) -> None:
    """The branches of a tree; `left` counts how many more may be made."""
    items = told.items() if isinstance(told, dict) else enumerate(told)
    for key, value in items:
        if left[0] <= 0:
            node.add_leaf(Text("… more than can be shown", "dim"))
            return
        left[0] -= 1
        name = printable(str(key)) or "·"
        if isinstance(value, dict | list) and value:
            _fill(node.add(Text(name), expand=len(value) <= 40), value, left)
        else:
            shown = printable(str(value))
            cut = shown if len(shown) <= _MOST_LETTERS else shown[:_MOST_LETTERS] + "…"
            node.add_leaf(Text.assemble((f"{name}  ", "dim"), cut), data=value)
