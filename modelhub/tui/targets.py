"""The places that models go to: found, added, changed, mapped, switched on and off."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from textual import on

from modelhub.core.apps import Target
from modelhub.core.errors import InvalidInput
from modelhub.core.names import counted, human_size, printable
from modelhub.core.places import expand
from modelhub.core.rules import said
from modelhub.services.detect import Detected, Detection
from modelhub.tui.actions import bindings
from modelhub.tui.dialogs import Ask, Choose, Field, Form
from modelhub.tui.frame import TableScreen
from modelhub.tui.jobs import quick
from modelhub.tui.table import Column, Line, LineTable, Row


class _Line:
    def __init__(self, target: Target) -> None:
        self.target = target
        self.key = target.id
        self.troubled = bool(target.options.problem)
        self.cells: Row = (
            printable(target.name), printable(target.app), "yes" if target.enabled else "no", target.method or "-",
            printable(said(target.options.include)) or "-", printable(target.base_path) + _absent(target),
        )  # fmt: skip


def _absent(target: Target) -> str:
    return "" if os.path.isdir(expand(target.base_path)) else " (not there)"


class TargetsScreen(TableScreen):
    NAME = "targets"
    BINDINGS = bindings("targets")
    COLUMNS = (
        Column("Target", 16), Column("App", 14), Column("On", 3), Column("Method", 9, least=90),
        Column("Only", 20, least=120), Column("Path", 0, middle=True),
    )  # fmt: skip
    EMPTY = "No target. f finds installed apps, a adds an app or a folder."

    def read(self) -> tuple[Sequence[Line], str]:
        lines = [_Line(target) for target in self.hub.targets.all()]
        enabled = sum(line.target.enabled for line in lines)
        return lines, f"{len(lines)} targets, {enabled} enabled  ·  D deploys to them"

    @property
    def _target(self) -> Target | None:
        line = self.table.current
        return line.target if isinstance(line, _Line) else None

    def action_enable(self) -> None:
        target = self._target
        if target is not None:
            self.attempt(lambda: self.hub.targets.change(target.name, enabled=not target.enabled))
            self.shown()

    @on(LineTable.Chosen)
    def action_edit(self) -> None:
        target = self._target
        if target is None:
            return
        app = self.hub.targets.app_of(target)
        methods = (("", f"the app's own ({app.ways[0] if app.ways else 'none'})"), *((way, way) for way in app.ways))
        fields = [
            Field("path", "Path", target.base_path, is_folder=True),
            Field("display_name", "Shown as", target.display_name),
            Field("method", "Method", target.method, choices=methods),
            Field("names", "Template of names, such as {base}/{clean}; empty: the app's own", target.options.naming),
            Field("url", "Address, if it is spoken to; empty: the usual one", target.options.url),
        ]
        hint = f"{app.display_name}. {' '.join(app.hazards)}".strip()
        self.app.push_screen(Form(f"Target {target.name}", fields, partial(self._edited, target.name), printable(hint)))

    def _edited(self, name: str, given: Mapping[str, str]) -> None:
        self.hub.targets.change(
            name,
            path=given["path"],
            display_name=given["display_name"],
            method=given["method"],
            naming=given["names"],
            url=given["url"],
        )
        self.shown()

    def action_add(self) -> None:
        apps = [app for app in self.hub.targets.apps().values() if not app.not_possible]
        fields = [
            Field("app", "App", "folder", choices=tuple((app.name, app.display_name) for app in apps)),
            Field("name", "Name"),
            Field("path", "Path; empty: the app's usual one", is_folder=True),
        ]
        self.app.push_screen(Form("Add a target", fields, self._added, "→ completes a path.", "Add"))

    def _added(self, given: Mapping[str, str]) -> None:
        name = given["name"] or given["app"]
        if given["app"] == "folder" and not given["path"]:
            raise InvalidInput("A plain folder needs a path.", hint="Name the folder that models go to.")
        self.hub.targets.add(name, given["path"], app=given["app"])
        self.shown()

    def action_remove(self) -> None:
        target = self._target
        if target is not None:
            question = f"Forget the target {target.name}? What is deployed there must be undeployed first."
            self.app.push_screen(Ask(question, "Forget"), partial(self._removed, target.name))

    def _removed(self, name: str, sure: bool | None) -> None:
        if sure:
            self.attempt(lambda: self.hub.targets.remove(name))
            self.shown()

    def action_deploy(self) -> None:
        self.main.action_screen("deploy")

    # Folders of types

    def action_map(self) -> None:
        target = self._target
        if target is not None:
            types = self.hub.models.types()
            choices = [(kind, f"{shown:28} {target.folders.get(kind, '-')}") for kind, shown in types]
            self.app.push_screen(Choose(f"Which type, in {target.name}?", choices), partial(self._mapping, target))

    def _mapping(self, target: Target, kind: str | None) -> None:
        if kind is not None:
            fields = [Field("folder", f"Folder of {kind}, below {target.base_path}", target.folders.get(kind, ""))]
            hint = "Empty: this type is not deployed there."
            self.app.push_screen(Form(f"Map {kind}", fields, partial(self._mapped, target.name, kind), hint))

    def _mapped(self, name: str, kind: str, given: Mapping[str, str]) -> None:
        self.hub.targets.map_type(name, kind, given["folder"].strip() or None)
        self.shown()

    # Detection

    def action_detect(self) -> None:
        detection = Detection(self.hub.targets, self.hub.deployment, os.environ)
        self.main.start("Find installed apps", lambda: quick(detection.installed), partial(self._found, detection))

    def _found(self, detection: Detection, found: Sequence[Detected]) -> None:
        if not self.is_current:
            self.main.say(f"{counted(len(found), 'app')} found; f in Targets adds them.")
            return
        new = [one for one in found if not one.enabled and (one.base_path or one.app == "invokeai")]
        if not new:
            self.main.say(f"{len(found)} apps found, none of them new.")
            return
        choices = [("all", f"all {len(new)}")] if len(new) > 1 else []
        for number, one in enumerate(new):
            gets = f"would get {one.links} models, {human_size(one.bytes)}"
            choices.append((f"n{number}", f"{one.display_name}: {one.base_path or one.url} ({gets})"))
        self.app.push_screen(Choose("Add which app?", choices), partial(self._add_found, detection, new))

    def _add_found(self, detection: Detection, new: Sequence[Detected], which: str | None) -> None:
        if which is None:
            return
        for one in new if which == "all" else [new[int(which.removeprefix("n"))]]:
            added: Any = self.attempt(partial(detection.add, one))
            if added is not None:
                self.main.say(f"{added.name}: {added.base_path}")
        self.shown()
