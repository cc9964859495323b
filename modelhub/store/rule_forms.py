"""How each table of rules is written in a rule file: an entry of YAML to a row of the table, and back."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Form:
    """How one table is written: its natural key, an entry to a row and back; `listed` entries name their own key.

    `fields` are what an entry that is a mapping may have.
    """

    key: str
    listed: bool
    fields: frozenset[str]
    to_row: Callable[[str, Any], Row]
    to_entry: Callable[[Row], Any]


def _said(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry without what is empty."""
    return {name: value for name, value in entry.items() if value not in ("", None, [], {})}


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is not None and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        raise TypeError
    return " ".join(value or ())


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _conditions(entry: Mapping[str, Any]) -> str:
    """What a rule asks for, as JSON; empty where it asks for nothing."""
    when = entry.get("when") or {}
    if not isinstance(when, Mapping):
        raise TypeError
    return json.dumps(when, ensure_ascii=False) if when else ""


def _type_row(name: str, entry: Any) -> Row:
    display_name, description, *domain = _list(entry)
    return {"name": name, "display_name": display_name, "description": description, "domain": (*domain, "")[0]}


def _base_row(name: str, entry: Any) -> Row:
    return {
        "name": name,
        "display_name": entry["name"],
        "parent": entry.get("parent", ""),
        "domain": entry.get("domain", ""),
        "architectures": _words(entry.get("architectures")),
        "names": entry.get("names", ""),
        "carries": _words(entry.get("carries")),
    }


def _base_entry(row: Row) -> Any:
    return _said(
        {
            "name": row["display_name"],
            "parent": row["parent"],
            "domain": row["domain"],
            "architectures": row["architectures"].split(),
            "names": row["names"],
            "carries": row["carries"].split(),
        }
    )


def _category_row(key: str, entry: Any) -> Row:
    return {
        "key": key,
        "level": entry["level"],
        "value": entry["value"],
        "types": _words(entry.get("types")),
        "keywords": entry.get("keywords", ""),
        "conditions": _conditions(entry),
        "confidence_weight": _number(entry["confidence"]),
    }


def _category_entry(row: Row) -> Any:
    return _said(
        {
            "key": row["key"],
            "level": row["level"],
            "value": row["value"],
            "types": row["types"].split(),
            "keywords": row["keywords"],
            "when": json.loads(row["conditions"] or "{}"),
            "confidence": row["confidence_weight"],
        }
    )


def _size_row(model_type: str, entry: Any) -> Row:
    least, most, sure = _list(entry)
    return {
        "model_type": model_type, "min_size": least, "max_size": most, "confidence_weight": _number(sure),
    }  # fmt: skip


def _api_row(name: str, entry: Any) -> Row:
    priority, delay, timeout = _list(entry)
    return {"name": name, "priority": priority, "rate_limit_delay": delay, "timeout_seconds": timeout}


def _filename_row(key: str, entry: Any) -> Row:
    return {
        "key": key,
        "model_type": entry.get("type", ""),
        "base": entry.get("base", ""),
        "variant": entry.get("variant", ""),
        "pattern": entry["pattern"],
        "confidence_weight": _number(entry["confidence"]),
        "because": entry["because"],
    }


def _filename_entry(row: Row) -> Any:
    told = {"key": row["key"], "type": row["model_type"], "base": row["base"], "variant": row["variant"]}
    return _said(told | {"confidence": row["confidence_weight"], "pattern": row["pattern"], "because": row["because"]})


def _sub_type_row(key: str, entry: Any) -> Row:
    return {
        "key": key,
        "primary_type": entry["type"],
        "sub_type": entry["sub_type"],
        "base": entry.get("base", ""),
        "pattern": entry["pattern"],
        "pattern_type": entry.get("pattern_type", "filename"),
        "confidence_weight": _number(entry["confidence"]),
    }


def _sub_type_entry(row: Row) -> Any:
    told = {"key": row["key"], "type": row["primary_type"], "sub_type": row["sub_type"], "base": row["base"]}
    source = row["pattern_type"] if row["pattern_type"] != "filename" else ""
    return _said(told | {"confidence": row["confidence_weight"], "pattern": row["pattern"], "pattern_type": source})


def _architecture_row(key: str, entry: Any) -> Row:
    then = entry["then"]
    if set(then) - _THEN:
        raise ValueError
    before = _list(entry.get("before", []))
    if not entry["when"] or not all(isinstance(one, str) for one in before):
        raise TypeError
    return {
        "key": key,
        "architecture": "bundle" if "bundle" in then else then.get("base") or then.get("type") or then["variant"],
        "tensor_pattern": "",
        "model_type": then.get("type", ""),
        "bundled_type": then.get("bundled", ""),
        "base": then.get("base", ""),
        "sub_type": then.get("sub_type", ""),
        "variant": then.get("variant", ""),
        "conditions": _conditions(entry),
        "before": json.dumps(before),
        "confidence_weight": _number(then.get("confidence", 1.0)),
        "because": entry["because"],
    }


def _architecture_entry(row: Row) -> Any:
    told = {"type": row["model_type"], "bundled": row["bundled_type"], "base": row["base"]}
    then = _said(told | {"sub_type": row["sub_type"], "variant": row["variant"]})
    if row["architecture"] == "bundle":
        then = {"bundle": True}
    when = json.loads(row["conditions"] or "{}") or {"regex": row["tensor_pattern"]}
    return _said(
        {
            "key": row["key"],
            "when": when,
            "then": then | {"confidence": row["confidence_weight"]},
            "before": json.loads(row["before"] or "[]"),
            "because": row["because"],
        }
    )


_THEN = {"type", "bundled", "base", "sub_type", "variant", "confidence", "bundle"}
_TERM = ("key", "source", "kind", "term", "value")


def _term_row(key: str, entry: Any) -> Row:
    return {name: entry[name] for name in _TERM[1:]} | {"key": key}


_PLAIN: frozenset[str] = frozenset()
FORMS: Mapping[str, Form] = {
    "model_types": Form(
        "name", False, _PLAIN, _type_row, lambda row: [row["display_name"], row["description"] or "", row["domain"]]
    ),
    "base_models": Form(
        "name",
        False,
        frozenset({"name", "parent", "domain", "architectures", "names", "carries"}),
        _base_row,
        _base_entry,
    ),
    "method_weights": Form(
        "method", False, _PLAIN, lambda name, entry: {"method": name, "weight": _number(entry)},
        lambda row: row["weight"],
    ),
    "size_rules": Form(
        "model_type", False, _PLAIN, _size_row,
        lambda row: [row["min_size"], row["max_size"], row["confidence_weight"]],
    ),
    "filename_patterns": Form(
        "key",
        True,
        frozenset({"key", "type", "base", "variant", "confidence", "pattern", "because"}),
        _filename_row,
        _filename_entry,
    ),
    "sub_type_rules": Form(
        "key",
        True,
        frozenset({"key", "type", "sub_type", "base", "confidence", "pattern", "pattern_type"}),
        _sub_type_row,
        _sub_type_entry,
    ),
    "architecture_patterns": Form(
        "key", True, frozenset({"key", "when", "then", "before", "because"}), _architecture_row, _architecture_entry
    ),
    "external_apis": Form(
        "name", False, _PLAIN, _api_row, lambda row: [row["priority"], row["rate_limit_delay"], row["timeout_seconds"]]
    ),
    "category_rules": Form(
        "key",
        True,
        frozenset({"key", "level", "value", "types", "keywords", "when", "confidence"}),
        _category_row,
        _category_entry,
    ),
    "external_terms": Form(
        "key", True, frozenset(_TERM), _term_row, lambda row: {name: row[name] for name in _TERM}
    ),
}  # fmt: skip
"""The tables of rules, and how each is written."""
