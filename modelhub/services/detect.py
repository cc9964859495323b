"""Which apps are installed here: found by the files that only they have, in the places where they usually are."""

import glob
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from modelhub.core.apps import App, Target
from modelhub.core.errors import InvalidInput, ModelHubError
from modelhub.core.names import printable
from modelhub.core.places import expand
from modelhub.files.digest import open_regular
from modelhub.services.deploy import Deployment
from modelhub.services.running import Running, running
from modelhub.services.targets import TargetDesk

_MAX_NOTE = 1 << 20
_DEPTH = 3
_VARIABLE = re.compile(r"^\{([A-Z_]+)\}")


@dataclass(frozen=True, slots=True)
class Detected:
    """An installed app. `target` is the one that deploys to it, if it is `enabled`.

    `links`, `bytes` and `types` are what it would get. `url` is where it runs now; `base_path` is empty if only that is
    known.
    """

    app: str
    display_name: str
    root: str
    base_path: str
    url: str = ""
    target: str = ""
    enabled: bool = False
    links: int = 0
    bytes: int = 0
    types: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Detection:
    def __init__(self, desk: TargetDesk, deployment: Deployment, environ: Mapping[str, str]) -> None:
        self._desk = desk
        self._deployment = deployment
        self._environ = environ

    def installed(
        self, folders: Sequence[str] = (), *, servers: bool = True, ports: Mapping[int, int] | None = None
    ) -> list[Detected]:
        """Installed apps, in the usual places and below `folders`, with what each would get. Nothing is changed."""
        for folder in folders:
            if not os.path.isdir(expand(folder)):
                raise InvalidInput(f"{printable(folder)} is no folder.", hint="Name folders in which apps are.")
        apps = {name: app for name, app in self._desk.apps().items() if not app.not_possible}
        here = running(apps, ports) if servers else []
        found = list(_unique(self._folders(apps, folders)))
        found = [replace(one, url=_url(one.app, here)) for one in found]
        known = {one.app for one in found}
        found += [Detected(one.app, one.display_name, "", "", one.url) for one in here if one.app not in known]
        return [self._with_plan(one) for one in found]

    def add(self, found: Detected) -> Target:
        """A target for a detected app, enabled; a target that waits for this app with no folder of its own is used."""
        for target in self._desk.all():
            waits = not target.enabled and target.app == found.app and not os.path.isdir(expand(target.base_path))
            if target.name == found.target or waits:
                return self._desk.change(target.name, enabled=True, path=found.base_path)
        taken = {target.name for target in self._desk.all()}
        name = next(one for one in _names(found) if one not in taken)
        return self._desk.add(
            name, found.base_path, app=found.app, display_name=found.display_name,
            url=found.url if found.app == "invokeai" else "",
        )  # fmt: skip

    def _with_plan(self, found: Detected) -> Detected:
        """What the app would get. For one that is known by its answer alone, only InvokeAI needs no folder."""
        same = [one for one in self._desk.all() if _is_target(found, one)]
        if same:
            found = replace(found, target=same[0].name, enabled=same[0].enabled)
        if not found.base_path and found.app != "invokeai":
            told = "It runs, but its folder was not found: `modelhub targets add NAME PATH --app APP` adds it."
            return replace(found, notes=(told,))
        try:
            target = self._desk.preview("detected", found.base_path, app=found.app, url=found.url)
            plan = self._deployment.plan_for([same[0] if same else target])
        except ModelHubError as error:
            return replace(found, notes=(f"{error.message} {error.hint}".strip(),))
        notes = tuple(note.message for note in plan.notes)
        return replace(
            found,
            links=len(plan.links),
            bytes=sum(step.size for step in plan.links),
            types=self._deployment.types(plan),
            notes=notes,
        )

    def _folders(self, apps: Mapping[str, App], folders: Sequence[str]) -> Iterator[Detected]:
        given = [one for folder in folders for one in _below(expand(folder), _DEPTH)]
        for app in apps.values():
            for root in (*given, *self._usual(app)):
                if app.marks and os.path.isdir(root) and is_root(app, root):
                    yield Detected(app.name, app.display_name, root, self._models(app, root))

    def _models(self, app: App, root: str) -> str:
        """The folder of models of an app that is at `root`, as far as its settings say where that is."""
        if app.layout == "invokeai":
            return ""
        if app.name == "lm_studio":
            chosen = _noted(os.path.join(root, "settings.json"), "downloadsFolder")
            return chosen or os.path.join(root, "models")
        return os.path.normpath(os.path.join(root, app.models)) if app.models else root

    def _usual(self, app: App) -> Iterator[str]:
        for place in app.places:
            for known in self._filled(place):
                yield from sorted(glob.glob(os.path.expanduser(known))) if glob.has_magic(known) else [expand(known)]

    def _filled(self, place: str) -> list[str]:
        """A place with what stands for a folder of this user: of Pinokio, Stability Matrix, or a variable."""
        for word, homes in (
            ("{pinokio}", self._pinokio), ("{matrix}", self._matrix), ("{lm_studio}", _lm_studio), ("{jan}", _jan),
            ("{comfy_desktop}", _comfy_desktop),
        ):  # fmt: skip
            if word in place:
                return [place.replace(word, glob.escape(home)) for home in homes()]
        match = _VARIABLE.match(place)
        if match is not None:
            value = self._environ.get(match[1], "")
            return [value + place[match.end() :]] if value else []
        return [place]

    def _pinokio(self) -> list[str]:
        noted = _noted(os.path.expanduser("~/.pinokio/config.json"), "home")
        return [home for home in (noted, self._environ.get("PINOKIO_HOME", ""), expand("~/pinokio")) if home]

    def _matrix(self) -> list[str]:
        homes = (
            "~/.config/StabilityMatrix",
            "~/AppData/Roaming/StabilityMatrix",
            "~/Library/Application Support/StabilityMatrix",
        )
        noted = [_noted(os.path.join(expand(home), "library.json"), "LibraryPath") for home in homes]
        usual = [expand(home) for home in ("~/StabilityMatrix", *homes, "~/.local/share/StabilityMatrix")]
        return [home for home in (*noted, *usual) if home]


def is_root(app: App, root: str) -> bool:
    """Whether the folder has all that only this app has, and nothing that tells a fork of it."""
    return all(_has(root, mark) for mark in app.marks) and not any(_has(root, mark) for mark in app.without)


def _has(root: str, mark: str) -> bool:
    """``path``, or ``path ~ pattern`` for a file in which the pattern is found."""
    name, _, pattern = mark.partition(" ~ ")
    path = os.path.join(root, name)
    if not pattern:
        return os.path.exists(path)
    return re.search(pattern, _text(path)) is not None


def _text(path: str) -> str:
    """The beginning of a small file; empty if it cannot be read."""
    try:
        with open_regular(path) as file:
            return file.read(_MAX_NOTE).decode("utf-8", "replace")
    except (OSError, ModelHubError):
        return ""


def _noted(path: str, key: str) -> str:
    """A folder that a JSON settings file names; empty if it does not."""
    try:
        document: Any = json.loads(_text(path) or "{}")
    except (ValueError, RecursionError):
        return ""
    value = document.get(key) if isinstance(document, dict) else None
    return expand(value) if isinstance(value, str) and value.strip() else ""


def _lm_studio() -> list[str]:
    pointed = _text(os.path.expanduser("~/.lmstudio-home-pointer")).strip()
    return [pointed] if pointed and os.path.isabs(pointed) else []


def _jan() -> list[str]:
    homes = ("~/.local/share/Jan", "~/.config/Jan", "~/Library/Application Support/Jan", "~/AppData/Roaming/Jan")
    return [found for home in homes if (found := _noted(os.path.join(expand(home), "settings.json"), "data_folder"))]


def _comfy_desktop() -> list[str]:
    homes = ("~/.config/ComfyUI", "~/Library/Application Support/ComfyUI", "~/AppData/Roaming/ComfyUI")
    return [found for home in homes if (found := _noted(os.path.join(expand(home), "config.json"), "basePath"))]


def _below(folder: str, depth: int) -> Iterator[str]:
    """The folder and those below it; hidden ones and links are not entered."""
    yield folder
    if depth:
        try:
            inner = sorted(entry.path for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
        except OSError:
            return
        for path in inner:
            if not os.path.basename(path).startswith((".", "__")):
                yield from _below(path, depth - 1)


def _unique(found: Iterator[Detected]) -> Iterator[Detected]:
    """Each app at each real place once: many launchers share folders by links."""
    seen: set[tuple[str, str]] = set()
    for one in found:
        key = (one.app, os.path.realpath(one.root))
        if key not in seen:
            seen.add(key)
            yield one


def _url(app: str, here: Sequence[Running]) -> str:
    return next((one.url for one in here if one.app == app), "")


def _is_target(found: Detected, target: Target) -> bool:
    """Whether the target deploys to the app that was found."""
    if not found.base_path:
        return found.app == "invokeai" == target.app
    return os.path.realpath(expand(target.base_path)) == os.path.realpath(found.base_path)


def _names(found: Detected) -> Iterator[str]:
    yield found.app
    number = 2
    while True:
        yield f"{found.app}{number}"
        number += 1
