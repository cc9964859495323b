"""The known apps: those shipped, and those in a user's own YAML files, which hide a shipped one of the same name.

A record's keys are the fields of `App`, with these spellings: `naming` is a template, `rules` are
``{when: {...}, names: [...], folder: ..., name: ...}``, `config` is ``{kind, file}``, `server` has the fields of
`Server` with questions written ``GET /path`` or ``/path``.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from modelhub.apps.configs import KINDS, WITH_ENTRIES
from modelhub.core.apps import METHODS, App, ConfigFile, Server
from modelhub.core.errors import ConfigInvalid, InvalidInput, ModelHubError, NotFound, from_os_error
from modelhub.core.names import printable
from modelhub.core.rules import read_rule, words
from modelhub.core.templates import check_folder, check_naming

PLAIN_FOLDER = "folder"
LAYOUTS = (
    "folders", "language", "view", "ollama", "invokeai", "jan", "koboldcpp", "entries", "mlx", "piper", "whisper_cpp",
    "draw_things",
)  # fmt: skip
"""How names can be laid out; see modelhub.apps.layouts."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LISTS = ("formats", "methods", "windows_methods", "refuses", "hazards", "marks", "without", "places")
_FIELDS = {field.name: field for field in dataclasses.fields(App) if field.name not in ("name", "origin")}


@cache
def apps() -> dict[str, App]:
    """Every shipped app by its name. A plain folder takes every type, each in a folder of the type's name."""
    shipped = _entries(Path(__file__).with_name("apps.yaml"))
    return {name: read_app(name, entry, "shipped") for name, entry in shipped.items()}


def all_apps(folders: Sequence[Path]) -> tuple[dict[str, App], tuple[str, ...]]:
    """The shipped apps, over them those of every YAML file in `folders` (later ones win), and what is wrong with files.

    A record that cannot be right is left out and told; the others hold.
    """
    found = dict(apps())
    problems: list[str] = []
    for folder in folders:
        for path in sorted(folder.glob("*.y*ml")) if folder.is_dir() else ():
            try:
                for name, entry in _entries(path).items():
                    found[name] = read_app(name, entry, printable(path))
            except ModelHubError as error:
                problems.append(error.message)
    return found, tuple(problems)


def named(name: str, known: Mapping[str, App]) -> App:
    """The app `name`; raises NotFound, and InvalidInput for one that nothing can be deployed to."""
    if name not in known:
        raise NotFound(f"There is no app {printable(name)!r}.", hint=f"Apps: {', '.join(known)}.")
    if known[name].not_possible:
        raise InvalidInput(known[name].not_possible, hint="`modelhub apps` shows what is possible for each app.")
    return known[name]


def _entries(path: Path) -> dict[str, Any]:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  (a safe loader)
    except OSError as error:
        raise from_os_error(error, printable(path)) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}," if where else ""
        raise ConfigInvalid(f"{printable(path)}{line} is not valid YAML.", hint="Correct or remove it.") from error
    if not isinstance(document or {}, dict):
        raise ConfigInvalid(f"{printable(path)} must hold apps by name.", hint="Compare modelhub/apps/apps.yaml.")
    return {str(name): entry for name, entry in (document or {}).items()}


def read_app(name: str, entry: Any, origin: str) -> App:
    """One record; raises ConfigInvalid, naming the app and the key."""
    if not isinstance(entry, dict):
        raise _refused(name, origin, "must hold keys and values")
    unknown = [key for key in entry if key not in _FIELDS]
    if unknown:
        raise _refused(name, origin, f"has an unknown key {printable(str(unknown[0]))!r}")
    if not name or not name.isprintable() or "/" in name:
        raise _refused(name, origin, "has a name that cannot be typed")
    try:
        return App(name=name, origin=origin, **_values(name, entry))
    except (ModelHubError, TypeError, ValueError, KeyError, AttributeError, re.error) as error:
        told = error.message if isinstance(error, ModelHubError) else f"is not right: {error}"
        raise _refused(name, origin, told) from error


def _values(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    values = {"display_name": name} | {key: _READERS.get(key, _plain)(value) for key, value in entry.items()}
    for key in entry:
        kind = _FIELDS[key].type
        if kind in (str, bool) and not isinstance(values[key], kind):
            raise InvalidInput(f"{key} must be {'text' if kind is str else 'true or false'}")
    if values.get("layout", "folders") not in LAYOUTS:
        raise InvalidInput(f"there is no layout {values['layout']!r}")
    layout, config = values.get("layout", "folders"), values.get("config")
    if config is not None and config.kind not in KINDS:
        raise InvalidInput(f"there is no kind of configuration {config.kind!r}")
    if (layout == "entries") != (config is not None and config.kind in WITH_ENTRIES):
        raise InvalidInput(f"the layout entries and a configuration of {' or '.join(WITH_ENTRIES)} need each other")
    if not values.get("methods", ("symlink",)) or set(values.get("unique", {}).values()) - {"stem", "name"}:
        raise InvalidInput("methods must name one at least, and unique says stem or name")
    if {*values.get("methods", ()), *values.get("windows_methods", ())} - set(METHODS):
        raise InvalidInput(f"methods are {', '.join(METHODS)}")
    return values


def _plain(value: Any) -> Any:
    return value


def _marks(value: Any) -> tuple[str, ...]:
    marks = words(value)
    for mark in marks:
        re.compile(mark.partition(" ~ ")[2])
    return marks


def _server(value: Mapping[str, Any]) -> Server:
    lists = {key: words(value[key]) for key in ("keys", "lacks", "refresh") if key in value}
    return Server(**{**value, **lists, "ports": tuple(int(port) for port in value.get("ports", ()))})


_READERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_LISTS, words),
    "endings": lambda value: {str(kind): words(endings) for kind, endings in value.items()},
    "folders": lambda value: {str(kind): check_folder(str(folder)) for kind, folder in value.items()},
    "rules": lambda value: tuple(read_rule(rule) for rule in value),
    "naming": lambda value: check_naming(str(value)),
    "marks": _marks,
    "without": _marks,
    "unique": lambda value: {str(kind): str(by) for kind, by in value.items()},
    "config": lambda value: ConfigFile(**value),
    "server": _server,
}


def _refused(name: str, origin: str, why: str) -> ConfigInvalid:
    hint = "Correct the file; modelhub/apps/apps.yaml is full of examples."
    return ConfigInvalid(f"The app {printable(name)!r} ({origin}) {why.rstrip('.')}.", hint=hint)
