"""What a row of each rule table may hold: one check of what rule files say and of what people write by SQL."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from modelhub.core.names import printable

Row = Mapping[str, Any]

_LONGEST_NAME = 200
_LONGEST_TEXT = 20_000
_MOST_BYTES = 1 << 50
_MOST_SECONDS = 3600


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return "must be a text"
    return "" if len(value) <= _LONGEST_TEXT and "\0" not in value else "is too long or holds a zero byte"


def _pattern(value: Any) -> str:
    return _text(value) or ("" if value else "must not be empty")


def _name(value: Any) -> str:
    told = _text(value)
    if told:
        return told
    sound = value and value == value.strip() and len(value) <= _LONGEST_NAME and printable(value) == value
    return "" if sound else f"must be a name of up to {_LONGEST_NAME} visible characters"


def _perhaps(check: Callable[[Any], str]) -> Callable[[Any], str]:
    """As `check`, or empty."""
    return lambda value: "" if value is None or value == "" else check(value)


def _number(least: float, most: float, *, above: bool = False) -> Callable[[Any], str]:
    """From `least` to `most`, or `above` the least."""
    told = f"must be a number {'above' if above else 'from'} {least:g}{', up to' if above else ' to'} {most:g}"

    def check(value: Any) -> str:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return "" if number and least <= value <= most and not (above and value == least) else told

    return check


def _one_of(*words: str) -> Callable[[Any], str]:
    return lambda value: "" if value in words else f"must be one of {', '.join(words)}"


_DOMAIN = _perhaps(_one_of("diffusion", "language", "audio", "vision"))
_SHARE = _number(0, 1)
_BYTES = _number(0, _MOST_BYTES)
_RULE = {"key": _perhaps(_name), "confidence_weight": _SHARE, "because": _perhaps(_text)}

_COLUMNS: Mapping[str, Mapping[str, Callable[[Any], str]]] = {
    "model_types": {"name": _name, "display_name": _name, "description": _perhaps(_text), "domain": _DOMAIN},
    "base_models": {
        "name": _name, "display_name": _name, "parent": _perhaps(_name), "domain": _DOMAIN,
        "architectures": _perhaps(_text), "names": _perhaps(_text), "carries": _perhaps(_text),
    },
    "method_weights": {
        "method": _one_of("tensors", "metadata", "filename", "size", "external", "manual"), "weight": _number(0, 1000),
    },
    "size_rules": {"model_type": _name, "min_size": _BYTES, "max_size": _BYTES, "confidence_weight": _SHARE},
    "external_apis": {
        "name": _name, "priority": _perhaps(_number(0, 1000)), "rate_limit_delay": _number(0, _MOST_SECONDS),
        "timeout_seconds": _number(0, _MOST_SECONDS, above=True),
    },
    "filename_patterns": _RULE | {
        "model_type": _perhaps(_name), "base": _perhaps(_name), "variant": _perhaps(_name), "pattern": _pattern,
    },
    "sub_type_rules": _RULE | {
        "primary_type": _perhaps(_name), "sub_type": _name, "base": _perhaps(_name), "pattern": _pattern,
        "pattern_type": _perhaps(_one_of("filename", "metadata", "tensor")),
    },
    "architecture_patterns": _RULE | {
        "architecture": _name, "tensor_pattern": _perhaps(_text), "model_type": _perhaps(_name),
        "bundled_type": _perhaps(_name), "base": _perhaps(_name), "sub_type": _perhaps(_name),
        "variant": _perhaps(_name), "conditions": _perhaps(_text), "before": _perhaps(_text),
    },
    "category_rules": _RULE | {
        "level": _one_of("primary", "secondary", "specialization", "modalities", "capability"), "value": _name,
        "types": _perhaps(_text), "keywords": _perhaps(_text), "conditions": _perhaps(_text),
    },
    "external_terms": {
        "key": _perhaps(_name), "source": _name, "kind": _one_of("type", "base"), "term": _name, "value": _name,
    },
}  # fmt: skip


def wrong(table: str, row: Row) -> str:
    """What is wrong with a row, as the end of a sentence; empty if nothing is."""
    for column, check in _COLUMNS[table].items():
        told = check(row.get(column))
        if told:
            return f"{column.removesuffix('_weight')} {told}"
    if table == "size_rules" and row["min_size"] > row["max_size"]:
        return "the least size is over the most"
    return ""


def sound(rows: Mapping[str, Iterable[Row]]) -> tuple[dict[str, list[Row]], list[str]]:
    """The rows by table without those of the user's that cannot be right, and a sentence about each of these."""
    kept: dict[str, list[Row]] = {table: [] for table in rows}
    problems: list[str] = []
    for table, found in rows.items():
        for row in found:
            told = wrong(table, row) if row.get("origin") == "user" else ""
            if told:
                name = row.get("key") or row.get("name") or row.get("method") or row.get("model_type") or row.get("id")
                problems.append(f"{table}, rule {printable(str(name))!r}: {told}.")
            else:
                kept[table].append(row)
    return kept, problems
