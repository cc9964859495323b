"""The known apps: those shipped, and those in a user's own YAML files, which hide a shipped one of the same name.

A record's keys are the fields of `App`, with these spellings: `naming` is a template, `rules` are
``{when: {...}, names: [...], folder: ..., name: ...}``, `config` is ``{kind, file}``, `server` has the fields of
`Server` with questions written ``GET /path`` or ``/path``.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from modelhub.core.deployment import METHODS, App, ConfigFile, Server
from modelhub.core.errors import ConfigInvalid, InvalidInput, ModelHubError, NotFound, from_os_error
from modelhub.core.names import printable
from modelhub.core.rules import read_rule, words
from modelhub.core.templates import check_template

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
    return _read(Path(__file__).with_name("apps.yaml"), "shipped")


def all_apps(folders: Sequence[Path]) -> dict[str, App]:
    """The shipped apps, and over them those of every YAML file in `folders`, later ones first."""
    found = dict(apps())
    for folder in folders:
        for path in sorted(folder.glob("*.y*ml")) if folder.is_dir() else ():
            found |= _read(path, printable(path))
    return found


def named(name: str, known: Mapping[str, App]) -> App:
    """The app `name`; raises NotFound, and InvalidInput for one that nothing can be deployed to."""
    if name not in known:
        raise NotFound(f"There is no app {printable(name)!r}.", hint=f"Apps: {', '.join(known)}.")
    if known[name].not_possible:
        raise InvalidInput(known[name].not_possible, hint="`modelhub apps` shows what is possible for each app.")
    return known[name]


def _read(path: Path, origin: str) -> dict[str, App]:
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
    return {str(name): read_app(str(name), entry, origin) for name, entry in (document or {}).items()}


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
    except (ModelHubError, TypeError, ValueError, KeyError, AttributeError) as error:
        told = error.message if isinstance(error, ModelHubError) else f"is not right: {error}"
        raise _refused(name, origin, told) from error


def _values(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = dict(entry)
    values.setdefault("display_name", name)
    for key in _LISTS:
        if key in values:
            values[key] = words(values[key])
    if "endings" in values:
        values["endings"] = {str(kind): words(endings) for kind, endings in values["endings"].items()}
    if "folders" in values:
        values["folders"] = {str(kind): _folder(str(folder)) for kind, folder in values["folders"].items()}
    if "rules" in values:
        values["rules"] = tuple(read_rule(rule) for rule in values["rules"])
    if "naming" in values:
        check_template(str(values["naming"]).replace(":", "/"))
    if "config" in values:
        values["config"] = ConfigFile(**values["config"])
    if "server" in values:
        given = dict(values["server"])
        lists = {key: words(given[key]) for key in ("keys", "lacks", "refresh") if key in given}
        values["server"] = Server(**given | lists | {"ports": tuple(int(port) for port in given.get("ports", ()))})
    for key, field in _FIELDS.items():
        if key in values and field.type in (str, bool) and not isinstance(values[key], field.type):
            raise InvalidInput(f"{key} must be {'text' if field.type is str else 'true or false'}")
    if values.get("layout", "folders") not in LAYOUTS:
        raise InvalidInput(f"there is no layout {values['layout']!r}")
    if set(values.get("methods", ())) - set(METHODS):
        raise InvalidInput(f"methods are {', '.join(METHODS)}")
    return values


def _folder(text: str) -> str:
    plain = text.removeprefix("../")  # beside the models folder, as Forge keeps its embeddings
    if plain != ".":
        check_template(plain)
    return text


def _refused(name: str, origin: str, why: str) -> ConfigInvalid:
    hint = "Correct the file; modelhub/apps/apps.yaml is full of examples."
    return ConfigInvalid(f"The app {printable(name)!r} ({origin}) {why.rstrip('.')}.", hint=hint)
