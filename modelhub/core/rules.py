"""Rules of a target: which models it takes and where they go, as a person writes them.

A condition is a mapping such as ``{type: [lora], base: sdxl, size: '>2G', tag: anime, name: '*pony*'}``; on the
command line the same is ``type=lora base=sdxl size>2G tag=anime name=*pony*``.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from modelhub.core.apps import Rule
from modelhub.core.errors import InvalidInput
from modelhub.core.names import parse_size, printable
from modelhub.core.templates import check_folder, check_naming
from modelhub.core.types import ModelFilter

_LISTS = {
    "type": "types", "base": "bases", "sub_type": "sub_types", "tag": "tags", "format": "formats",
    "quant": "quantizations", "category": "categories", "capability": "capabilities", "license": "licenses",
}  # fmt: skip
_SIZES = {"min_size": "min_size", "max_size": "max_size"}
KEYS = (*_LISTS, *_SIZES, "name", "folder")
_SYNONYMS = {
    "types": "type", "primary_type": "type", "bases": "base", "base_model": "base", "base_models": "base",
    "tags": "tag", "formats": "format", "quantization": "quant", "quants": "quant", "licence": "license",
    "licenses": "license", "categories": "category", "names": "name", "pattern": "name", "patterns": "name",
    "folders": "folder", "path": "folder", "sub-type": "sub_type",
}  # fmt: skip


def words(value: Any) -> tuple[str, ...]:
    """One word or a list of them."""
    return tuple(str(word) for word in value) if isinstance(value, list | tuple) else (str(value),)


def read_condition(given: Mapping[str, Any], *, folder: str = "", name: str = "") -> Rule:
    """A condition; raises InvalidInput for a key that is none, with the keys there are."""
    fields: dict[str, Any] = {}
    names: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    for written, value in given.items():
        key = _SYNONYMS.get(str(written), str(written))
        if key in _LISTS:
            fields[_LISTS[key]] = words(value)
        elif key in _SIZES:
            fields[_SIZES[key]] = _size(value)
        elif key == "size":
            fields |= _compared(str(value))
        elif key == "name":
            names = words(value)
        elif key == "folder":
            folders = words(value)
        else:
            raise InvalidInput(f"{printable(str(written))!r} is no condition.", hint=f"Conditions: {', '.join(KEYS)}.")
    return Rule(ModelFilter(**fields), names, folders, folder, name)


def read_rule(given: Mapping[str, Any]) -> Rule:
    """A rule as YAML or JSON has it: `when`, `names`, `folders`, and the templates `folder` and `name`."""
    unknown = set(given) - {"when", "names", "folders", "folder", "name"}
    if unknown:
        raise InvalidInput(
            f"{printable(min(unknown))!r} is no part of a rule.", hint="when, names, folders, folder, name"
        )
    folder, name = str(given.get("folder", "")), str(given.get("name", ""))
    if folder:
        check_folder(folder)
    if name:
        check_naming(name)
    condition = dict(given.get("when") or {})
    for key in ("names", "folders"):
        if key in given:
            condition[key] = given[key]
    return read_condition(condition, folder=folder, name=name)


def written_condition(rule: Rule) -> dict[str, Any]:
    """What `read_condition` reads."""
    made: dict[str, Any] = {}
    for key, field in _LISTS.items():
        if value := getattr(rule.when, field):
            made[key] = list(value)
    for key in _SIZES:
        if (bound := getattr(rule.when, key)) is not None:
            made[key] = bound
    if rule.names:
        made["name"] = list(rule.names)
    if rule.folders:
        made["folder"] = list(rule.folders)
    return made


def written_rule(rule: Rule) -> dict[str, Any]:
    """What `read_rule` reads."""
    made: dict[str, Any] = {"when": written_condition(rule)}
    if rule.folder:
        made["folder"] = rule.folder
    if rule.name:
        made["name"] = rule.name
    return made


def typed_condition(text: str) -> Rule:
    """A condition as it is typed: words ``key=value[,value]``, ``size>2G``, ``size<500M``."""
    given: dict[str, Any] = {}
    try:
        typed = shlex.split(text)
    except ValueError as error:
        raise InvalidInput(f"{printable(text)!r} has an open quote.", hint="Close it.") from error
    for word in typed:
        match = re.fullmatch(r"(\w+(?:-\w+)?)\s*([=:<>])\s*(.+)", word)
        if match is None:
            raise InvalidInput(
                f"{printable(word)!r} is no condition.", hint="Write key=value, e.g. type=lora,vae size>2G"
            )
        key, sign, value = match.groups()
        if sign in "<>":
            if key != "size":
                raise InvalidInput(f"{printable(word)!r} compares something else than size.", hint="Write size>2G.")
            given["min_size" if sign == ">" else "max_size"] = value
        else:
            given[key] = value.split(",")
    if not given:
        raise InvalidInput("An empty condition fits everything.", hint="Write key=value, e.g. type=lora")
    return read_condition(given)


def said(rules: Sequence[Rule]) -> str:
    """Conditions in one line, as one would type them."""
    return " | ".join(
        " ".join(
            f"{key}={','.join(map(str, value)) if isinstance(value, list) else value}"
            for key, value in written_condition(rule).items()
        )
        for rule in rules
    )


def _compared(text: str) -> dict[str, int]:
    sign = text[:1]
    if sign not in "<>":
        raise InvalidInput(f"The size {printable(text)!r} compares nothing.", hint="Write '>2G' or '<500M'.")
    return {"min_size" if sign == ">" else "max_size": _size(text[1:])}


def _size(value: Any) -> int:
    size = parse_size(str(value))
    if size is None:
        raise InvalidInput(f"{printable(str(value))!r} is no size.", hint="Write 500MB, 2G or a number of bytes.")
    return size
