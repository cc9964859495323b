"""Rules as YAML, the way people read and write them, and as rows of classification.db's tables; both ways.

A file that is called after a table (`architecture_patterns.yaml`, `base_models.mine.yaml`) fills that table. Any other
is a collection: a mapping of tables to what such a file would hold.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelhub.core.errors import ConfigInvalid, from_os_error
from modelhub.core.names import printable

Row = dict[str, Any]
Rows = Mapping[str, Sequence[Row]]

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Form:
    """How one table is written: its natural key, an entry to a row and back; `listed` entries name their own key."""

    key: str
    listed: bool
    to_row: Callable[[str, Any], Row]
    to_entry: Callable[[Row], Any]


def read(path: Path) -> dict[str, list[Row]]:
    """The rows of a rule file, by table. Raises ConfigInvalid naming the file, and the rule that cannot be one."""
    document = parse(text(path), printable(path))
    table = path.name.split(".", 1)[0]
    return rows_of({table: document} if table in FORMS else document, printable(path))


def text(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise from_os_error(error, printable(path)) from error
    if len(content) > MAX_BYTES:
        raise ConfigInvalid(f"{printable(path)} is no rule file: it has {len(content):,} bytes.", hint="Name another.")
    return content


def parse(content: bytes | str, where: str) -> Any:
    """YAML (or JSON, which is YAML too) as plain values."""
    try:
        return yaml.load(content, Loader=_Loader)  # noqa: S506  (a safe loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        told = " ".join(str(error).split())
        raise ConfigInvalid(f"{where} is not valid YAML: {told}.", hint="Correct the file.") from error


def rows_of(document: Any, where: str) -> dict[str, list[Row]]:
    """The rows of a mapping of tables to entries."""
    if not isinstance(document, Mapping):
        raise ConfigInvalid(f"{where} holds no tables of rules.", hint=f"Tables: {', '.join(FORMS)}.")
    unknown = sorted(set(map(str, document)) - set(FORMS))
    if unknown:
        raise ConfigInvalid(f"{where}: there is no table {unknown[0]!r}.", hint=f"Tables: {', '.join(FORMS)}.")
    return {str(table): _rows(str(table), entries, where) for table, entries in document.items()}


def _rows(table: str, entries: Any, where: str) -> list[Row]:
    form = FORMS[table]
    if form.listed and isinstance(entries, list):
        pairs: list[tuple[str, Any]] = [(str(_key(entry)), entry) for entry in entries]
    elif not form.listed and isinstance(entries, Mapping):
        pairs = [(str(name), entry) for name, entry in entries.items()]
    else:
        raise ConfigInvalid(
            f"{where}: {table} must be a {'list' if form.listed else 'mapping'} of rules.", hint="Correct the file."
        )
    return [_row(table, key, entry, where) for key, entry in pairs]


def _key(entry: Any) -> Any:
    return entry.get("key") if isinstance(entry, Mapping) and entry.get("key") else "?"


def _row(table: str, key: str, entry: Any, where: str) -> Row:
    if not key or key == "?":
        raise ConfigInvalid(f"{where}: a rule in {table} has no key.", hint="Give it `key: a-name`.")
    try:
        return FORMS[table].to_row(key, entry)
    except KeyError as error:
        raise ConfigInvalid(f"{where}: {table}, rule {key!r} lacks {error}.", hint="Correct the file.") from error
    except (TypeError, ValueError, AttributeError) as error:
        told = f"{where}: {table}, rule {key!r} is not written as one is."
        raise ConfigInvalid(told, hint=f"`modelhub rules show` prints examples of {table}.") from error


def document_of(rows: Rows) -> dict[str, Any]:
    """A collection file's content from rows by table; empty tables are left out."""
    made: dict[str, Any] = {}
    for table, found in rows.items():
        form = FORMS[table]
        if found:
            entries = [(row[form.key], form.to_entry(row)) for row in found]
            made[table] = [entry for _, entry in entries] if form.listed else dict(entries)
    return made


def dump(document: Any) -> str:
    """YAML of plain values, keys in their order."""
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _said(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry without what is empty."""
    return {name: value for name, value in entry.items() if value not in ("", None, [], {}, False)}


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value
    return " ".join(str(one) for one in value or ())


def _type_row(name: str, entry: Any) -> Row:
    display_name, description, *domain = entry
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
        "conditions": json.dumps(entry["when"], ensure_ascii=False) if entry.get("when") else "",
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
    least, most, sure = entry
    return {
        "model_type": model_type, "min_size": int(least), "max_size": int(most), "confidence_weight": _number(sure),
    }  # fmt: skip


def _api_row(name: str, entry: Any) -> Row:
    priority, delay, timeout = entry
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
    return {
        "key": key,
        "architecture": "bundle" if "bundle" in then else then.get("base") or then.get("type") or then["variant"],
        "tensor_pattern": "",
        "model_type": then.get("type", ""),
        "bundled_type": then.get("bundled", ""),
        "base": then.get("base", ""),
        "sub_type": then.get("sub_type", ""),
        "variant": then.get("variant", ""),
        "conditions": json.dumps(entry["when"], ensure_ascii=False),
        "before": json.dumps(entry.get("before", [])),
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


_TERM = ("key", "source", "kind", "term", "value")


def _term_row(key: str, entry: Any) -> Row:
    return {name: str(entry[name]) for name in _TERM[1:]} | {"key": key}


FORMS: Mapping[str, Form] = {
    "model_types": Form(
        "name", False, _type_row, lambda row: [row["display_name"], row["description"] or "", row["domain"]]
    ),
    "base_models": Form("name", False, _base_row, _base_entry),
    "method_weights": Form(
        "method", False, lambda name, entry: {"method": name, "weight": _number(entry)}, lambda row: row["weight"]
    ),
    "size_rules": Form(
        "model_type", False, _size_row, lambda row: [row["min_size"], row["max_size"], row["confidence_weight"]]
    ),
    "filename_patterns": Form("key", True, _filename_row, _filename_entry),
    "sub_type_rules": Form("key", True, _sub_type_row, _sub_type_entry),
    "architecture_patterns": Form("key", True, _architecture_row, _architecture_entry),
    "external_apis": Form(
        "name",
        False,
        _api_row,
        lambda row: [row["priority"], row["rate_limit_delay"], row["timeout_seconds"]],
    ),
    "category_rules": Form("key", True, _category_row, _category_entry),
    "external_terms": Form("key", True, _term_row, lambda row: {name: row[name] for name in _TERM}),
}
"""The tables of rules, and how each is written."""


def folder_rows(folders: Iterable[Path]) -> tuple[dict[str, list[Row]], list[str]]:
    """The rows of the rule files in a user's folders, and what cannot be read of them, as sentences."""
    rows: dict[str, list[Row]] = {}
    problems: list[str] = []
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            try:
                found = read(path)
            except ConfigInvalid as error:
                problems.append(error.message)
                continue
            for table, listed in found.items():
                rows.setdefault(table, []).extend(row | {"origin": "user", "file": printable(path)} for row in listed)
    return rows, problems


def over(table: str, rows: Sequence[Mapping[str, Any]], own: Sequence[Row]) -> list[Mapping[str, Any]]:
    """Rows with a user's own after them, which take the place of those of the same key."""
    key = FORMS[table].key
    replaced = {row[key] for row in own}
    return [*(row for row in rows if row[key] not in replaced), *own]


def digest(rows: str, own: Rows) -> str:
    """A name for rows that have the digest `rows` with others over them."""
    told = json.dumps(
        {table: [dict(row) for row in found] for table, found in own.items()}, sort_keys=True, default=str
    )
    return hashlib.sha256(f"{rows}\n{told}".encode()).hexdigest()
