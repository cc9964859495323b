"""A target made ready for planning: which way its files get there, what one should know, and how they are laid out."""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from modelhub.apps.configs import BY_CONFIG
from modelhub.apps.folders import Folders
from modelhub.apps.layouts import LAYOUTS
from modelhub.core.apps import App, Method, Target
from modelhub.core.deployment import How, Note
from modelhub.core.names import printable
from modelhub.core.places import expand
from modelhub.files import abilities
from modelhub.services.selecting import Selection
from modelhub.services.standing import Standing

_WORDS: Mapping[Method, str] = {
    "symlink": "symlinks", "hardlink": "hard links", "reflink": "copies that share their blocks", "copy": "copies",
    "config": "its configuration", "native": "its own registry",
}  # fmt: skip
_SERVICE_FOLDERS = ("/usr/share/ollama/", "/var/lib/ollama/")


@dataclass(frozen=True, slots=True)
class Prepared:
    """`how` is None where nothing can be deployed; `notes` say why, and what else one should know."""

    target: Target
    app: App
    base: str
    how: How | None
    notes: tuple[Note, ...]
    layout: Folders
    standing: Standing


def method_of(target: Target, app: App) -> str:
    """The method that a target asks for: its own, or the first of its app on this system."""
    return target.method or _methods(app)[0]


def base_of(target: Target, app: App, deployed: str) -> str:
    """The folder that a target's links go to: its base path, or a folder of the hub that the app is pointed at."""
    if app.layout == "invokeai" or (method_of(target, app) == "config" and app.layout == "folders"):
        return os.path.join(deployed, target.name)
    return expand(target.base_path)


def elsewhere_of(target: Target, app: App, base: str) -> dict[str, str]:
    """Types that go to the app's own folder, since its configuration takes no further one for them."""
    if app.config is None or base == expand(target.base_path) or app.config.kind not in BY_CONFIG:
        return {}
    taken = BY_CONFIG[app.config.kind]
    return {kind: expand(target.base_path) for kind in target.folders if kind not in taken}


def prepare(
    target: Target, app: App, selection: Selection, *, hub: str, deployed: str, made_folders: frozenset[str]
) -> Prepared:
    """Nothing is changed: a kind of link is tried in the nearest folder that exists, and taken away."""
    how, notes = _way(target, app, base_of(target, app, deployed), hub)
    return _prepared(target, app, selection, deployed, how, tuple(notes), made_folders)


def prepare_quietly(target: Target, app: App, selection: Selection, *, deployed: str) -> Prepared:
    """As much as is needed to say how things stand; no link is tried."""
    return _prepared(target, app, selection, deployed, None, (), frozenset())


def _prepared(
    target: Target,
    app: App,
    selection: Selection,
    deployed: str,
    how: How | None,
    notes: tuple[Note, ...],
    made_folders: frozenset[str],
) -> Prepared:
    base = base_of(target, app, deployed)
    layout = LAYOUTS[app.layout](
        target=target,
        app=app,
        base=base,
        how=how or "symlink",
        asked=selection.asked(),
        rule=selection.rule_for((*target.options.rules, *app.rules)),
        windows_names=abilities.names_as_windows(base),
        elsewhere=elsewhere_of(target, app, base),
    )
    return Prepared(target, app, base, how, notes, layout, Standing(target, app, base, made_folders))


def _methods(app: App) -> tuple[Method, ...]:
    return app.windows_methods if sys.platform == "win32" and app.windows_methods else app.methods


def _way(target: Target, app: App, base: str, hub: str) -> tuple[How | None, list[Note]]:
    wanted = method_of(target, app)
    links: tuple[Method, ...] = ("symlink", "hardlink", "reflink")
    if app.layout == "invokeai":
        links = ("hardlink", "reflink")
    elif wanted == "copy":
        links = ("copy",)
    elif wanted in links:
        links = (wanted, *(one for one in _methods(app) if one in links and one != wanted))
    elif app.layout in ("jan", "koboldcpp", "entries"):
        return "write", list(_remarks(target, app, base, hub))
    return _first_possible(target, links, base, hub, list(_remarks(target, app, base, hub)))


def _first_possible(
    target: Target, links: tuple[Method, ...], base: str, hub: str, notes: list[Note]
) -> tuple[How | None, list[Note]]:
    place = abilities.existing(base)
    if os.path.lexists(base) and place != base:
        told = f"{printable(base)} is no folder. Give the target another path."
        return None, [*notes, Note(target.name, "no_method", told)]
    reasons: list[str] = []
    for method in links:
        why = abilities.why_not(method, base, hub)
        if not why:
            if reasons:
                told = f"It gets {_WORDS[method]} instead of {_WORDS[links[0]]}: {reasons[0]}."
                notes.append(Note(target.name, "method", told))
            return cast("How", method), notes
        reasons.append(why)
        if why.endswith("cannot be written"):
            break
    remedy = (
        ""
        if reasons[-1].endswith("cannot be written")
        else (f" Copies take their room twice: `modelhub targets edit {target.name} --method copy`.")
    )
    told = f"Nothing can be linked into {printable(base)}: {'; '.join(dict.fromkeys(reasons))}.{remedy}"
    return None, [*notes, Note(target.name, "no_method", told)]


def _remarks(target: Target, app: App, base: str, hub: str) -> Iterator[Note]:
    if target.method and target.method not in app.ways:
        told = f"{app.display_name} is not made for {target.method}; it takes {', '.join(app.ways)}."
        yield Note(target.name, "method", told)
    shut_in = abilities.sandbox(base, hub)
    if shut_in:
        yield Note(target.name, "sandbox", shut_in)
    if base.startswith(_SERVICE_FOLDERS):
        told = "Ollama runs here as a user of its own, which must be allowed to read the hub."
        yield Note(target.name, "rights", f"{told} Try: sudo -u ollama test -r {printable(hub)} && echo readable")
