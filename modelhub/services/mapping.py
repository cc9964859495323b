"""`mapping.json`: rules for each app in one file, to be kept, shared and taken in again.

    {"comfyui": {"root": "~/ComfyUI/models", "method": "symlink", "enabled": true,
                 "folders": {"lora": "loras"}, "filters": {"base": ["sdxl"]}, "exclude": [{"tag": "nsfw"}],
                 "rules": [{"patterns": ["llm/**/*.gguf"], "filters": {"tag": "chat"}, "target": "llm/chat"}],
                 "handler": "comfyui"}}

`handler` (or `app`) is the app's record; without one, the name. A hub's apps may also stand under ``apps``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from modelhub.core.apps import App, Options, Rule, Target
from modelhub.core.errors import InvalidInput, ModelHubError, NotFound
from modelhub.core.names import printable, storable
from modelhub.core.places import expand
from modelhub.core.rules import read_condition, read_rule, words, written_condition, written_rule
from modelhub.core.templates import check_naming
from modelhub.services.targets import TargetDesk

_KEYS = (
    "root", "path", "base_path", "method", "enabled", "folders", "mappings", "filters", "include", "exclude", "rules",
    "app_config", "handler", "special_handler", "app", "name", "naming", "display_name", "url", "patterns",
)  # fmt: skip
_RULE_KEYS = (
    "pattern",
    "patterns",
    "filters",
    "when",
    "target",
    "folder",
    "destination",
    "name",
    "method",
    "names",
    "folders",
)


@dataclass(frozen=True, slots=True)
class Mapped:
    """One app of a mapping as it would be: `new` if there is no such target yet, `same` if it is so already."""

    target: Target
    new: bool
    same: bool = False


def exported(desk: TargetDesk) -> dict[str, Any]:
    """All targets as a mapping, which `read` takes in again."""
    apps = desk.apps()
    return {"apps": {target.name: _exported(target, apps.get(target.app)) for target in desk.all()}}


def _exported(target: Target, app: App | None) -> dict[str, Any]:
    options = target.options
    made: dict[str, Any] = {
        "app": target.app, "display_name": target.display_name, "root": target.base_path, "enabled": target.enabled,
        "method": target.method, "naming": options.naming, "url": options.url, "app_config": options.config,
        "folders": dict(target.folders),
        "include": [written_condition(rule) for rule in options.include],
        "exclude": [written_condition(rule) for rule in options.exclude],
        "rules": [written_rule(rule) for rule in options.rules],
    }  # fmt: skip
    left_out = set(app.folders if app else ()) - set(target.folders)
    made["folders"] |= dict.fromkeys(sorted(left_out))
    return {key: value for key, value in made.items() if value not in ("", [], {})}


def read(text: str, desk: TargetDesk) -> list[Mapped]:
    """What a mapping says of each of its apps; raises InvalidInput for the first thing that cannot be right."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("The mapping is not valid JSON.", hint="Compare the README's example.") from error
    apps = document.get("apps", document) if isinstance(document, dict) else None
    if isinstance(apps, list):
        apps = {str(one.get("name", "")): one for one in apps if isinstance(one, dict)}
    if not isinstance(apps, dict) or not apps:
        raise InvalidInput("The mapping holds no apps by name.", hint="Compare the README's example.")
    known = {target.name: target for target in desk.all()}
    return [_mapped(str(name), entry, known.get(str(name)), desk) for name, entry in apps.items()]


def _mapped(name: str, entry: Any, target: Target | None, desk: TargetDesk) -> Mapped:
    try:
        return _read_app(name, entry, target, desk)
    except (ModelHubError, TypeError, ValueError, AttributeError) as error:
        told = error.message if isinstance(error, ModelHubError) else "it holds something of the wrong kind."
        hint = error.hint if isinstance(error, ModelHubError) else "Compare the README's example."
        raise InvalidInput(f"The mapping of {printable(name)!r}: {told}", hint=hint) from error


def _read_app(name: str, entry: Any, target: Target | None, desk: TargetDesk) -> Mapped:
    if not isinstance(entry, Mapping):
        raise InvalidInput("it must hold keys and values.", hint="Compare the README's example.")
    unknown = [key for key in entry if key not in _KEYS]
    if unknown:
        raise InvalidInput(f"{printable(str(unknown[0]))!r} is no key.", hint=f"Keys: {', '.join(_KEYS)}.")
    record = _record(name, entry, target, desk.apps())
    root = _text(next((entry[key] for key in ("root", "path", "base_path") if entry.get(key)), ""))
    method = _text(entry.get("method", target.method if target else ""))
    enabled = entry.get("enabled", target.enabled if target else True)
    if not isinstance(enabled, bool):
        raise InvalidInput("enabled must be true or false.", hint="Write it without quotes.")
    base = desk.preview(
        name, root or (target.base_path if target else ""), app=record.name, enabled=enabled, method=method,
        display_name=str(entry.get("display_name", target.display_name if target else record.display_name)),
        url=str(entry.get("url", "")),
    )  # fmt: skip
    folders = dict(target.folders if target else base.folders)
    for kind, folder in (entry.get("folders") or entry.get("mappings") or {}).items():
        if folder is None:
            folders.pop(str(kind), None)
        else:
            desk.check_folder(str(kind), _text(folder))
            folders[str(kind)] = folder
    naming = _text(entry.get("naming", ""))
    options = Options(
        naming=check_naming(naming) if naming else "",
        url=base.options.url,
        config=_text(entry.get("app_config", target.options.config if target else "")),
        include=tuple(_included(entry)),
        exclude=tuple(read_condition(one) for one in _listed(entry.get("exclude"))),
        rules=tuple(_rule(one) for one in _listed(entry.get("rules"))),
    )
    made = Target(
        target.id if target else 0,
        name,
        base.display_name,
        base.base_path,
        enabled,
        record.name,
        folders,
        method,
        options,
    )
    if target is not None and made.base_path == expand(target.base_path):
        made = replace(made, base_path=target.base_path)
    return Mapped(made, target is None, made == target)


def _record(name: str, entry: Mapping[str, Any], target: Target | None, apps: Mapping[str, App]) -> App:
    asked = str(next((entry[key] for key in ("handler", "special_handler", "app") if entry.get(key)), ""))
    if asked and asked.lower().replace("-", "_") not in apps:
        raise NotFound(f"there is no handler {printable(asked)!r}.", hint=f"Handlers: {', '.join(apps)}.")
    if asked:
        return apps[asked.lower().replace("-", "_")]
    if target is not None and target.app in apps:
        return apps[target.app]
    return apps.get(name.lower().replace("-", "_"), apps["folder"])


def _included(entry: Mapping[str, Any]) -> list[Rule]:
    filters = [*_listed(entry.get("filters")), *_listed(entry.get("include"))]
    patterns = {"name": entry["patterns"]} if entry.get("patterns") else {}
    return [read_condition({**one, **patterns}) for one in filters] or ([read_condition(patterns)] if patterns else [])


def _rule(entry: Mapping[str, Any]) -> Rule:
    unknown = set(entry) - set(_RULE_KEYS)
    if unknown:
        raise InvalidInput(f"{printable(min(unknown))!r} is no key of a rule.", hint=f"Keys: {', '.join(_RULE_KEYS)}.")
    condition = dict(entry.get("filters") or entry.get("when") or {})
    patterns = next((entry[key] for key in ("patterns", "pattern", "names") if entry.get(key)), None)
    if patterns:
        condition["name"] = words(patterns)
    if entry.get("folders"):
        condition["folder"] = words(entry["folders"])
    folder = str(next((entry[key] for key in ("target", "folder", "destination") if entry.get(key)), "")).strip("/")
    return read_rule({"when": condition, "folder": folder, "name": entry.get("name", "")})


def _text(value: Any) -> str:
    if not isinstance(value, str) or value != storable(value) or "\0" in value:
        raise InvalidInput(f"{printable(str(value))!r} is no text.", hint="Write it in quotes.")
    return value


def _listed(value: Any) -> list[Any]:
    if value is None or value == {}:
        return []
    return value if isinstance(value, list) else [value]


def apply(mapped: list[Mapped], desk: TargetDesk) -> list[Target]:
    """Make and change targets as a mapping says; others stay as they are."""
    done = []
    for one in mapped:
        target = one.target
        if one.new:
            desk.add(
                target.name, target.base_path, app=target.app, display_name=target.display_name,
                enabled=target.enabled, method=target.method,
            )  # fmt: skip
        else:
            moved = desk.get(target.name).base_path != target.base_path
            desk.change(
                target.name, enabled=target.enabled, path=target.base_path if moved else "",
                display_name=target.display_name,
                method=target.method,
            )  # fmt: skip
        standing = desk.get(target.name).folders
        for kind in {*standing, *target.folders}:
            if standing.get(kind) != target.folders.get(kind):
                desk.map_type(target.name, kind, target.folders.get(kind))
        done.append(desk.set_options(target.name, target.options))
    return done
