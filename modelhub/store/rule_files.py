"""Rules as YAML, the way people read and write them, and as rows of classification.db's tables; both ways.

A file that is called after a table (`architecture_patterns.yaml`, `base_models.mine.yaml`) fills that table. Any other
is a collection: a mapping of tables to what such a file would hold, and of `disabled` to keys by table that are off.
"""

import hashlib
import json
import stat
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from modelhub.core.errors import ConfigInvalid, ModelHubError, from_os_error
from modelhub.core.names import printable
from modelhub.store import rule_rows
from modelhub.store.rule_forms import FORMS, Row

Rows = Mapping[str, Sequence[Row]]

MAX_BYTES = 16 << 20
_DISABLED = "disabled"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Plain values only; no aliases, by which a small file grows without end, and no key twice."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        if node in self.constructed_objects:
            raise yaml.YAMLError("aliases are not taken in rule files: write the value out")
        return super().construct_object(node, deep)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = sorted({key for key in keys if keys.count(key) > 1}) if len(set(keys)) < len(keys) else []
        if twice:
            raise yaml.YAMLError(
                f"the key {twice[0]!r} is there twice in one mapping, at line {node.start_mark.line + 1}"
            )
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise yaml.YAMLError("merge keys are not taken in rule files: write the values out")
        return super().construct_mapping(node, deep)


def read(path: Path) -> dict[str, list[Row]]:
    """The rows of a rule file, by table. Raises ConfigInvalid naming the file, and the rule that cannot be one."""
    document = parse(text(path), printable(path))
    table = path.name.split(".", 1)[0]
    return rows_of({table: document} if table in FORMS else document, printable(path))


def text(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ConfigInvalid(f"{printable(path)} is no rule file: it is no regular file.", hint="Name another.")
        if status.st_size > MAX_BYTES:
            told = f"{printable(path)} is no rule file: it has {status.st_size:,} bytes."
            raise ConfigInvalid(told, hint="Name another.")
        return path.read_bytes()
    except OSError as error:
        raise from_os_error(error, printable(path)) from error


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
    unknown = sorted(set(map(str, document)) - {*FORMS, _DISABLED})
    if unknown:
        raise ConfigInvalid(f"{where}: there is no table {unknown[0]!r}.", hint=f"Tables: {', '.join(FORMS)}.")
    rows = {str(table): _rows(str(table), told, where) for table, told in document.items() if table != _DISABLED}
    off = document.get(_DISABLED, {})
    if not isinstance(off, Mapping) or not all(isinstance(keys, list) for keys in off.values()):
        raise ConfigInvalid(f"{where}: {_DISABLED} must be a mapping of tables to lists of keys.", hint="Correct it.")
    for table, keys in off.items():
        held = {row[FORMS[table].key]: row for row in rows.get(table, ())}
        for key in keys:
            if key not in held:
                told = f"{where}: {_DISABLED} names {key!r}, which is no rule of {table} in this file."
                raise ConfigInvalid(told, hint="`modelhub rules disable` switches off a rule that is shipped.")
            held[key]["enabled"] = False
    return rows


def _rows(table: str, entries: Any, where: str) -> list[Row]:
    form = FORMS[table]
    if form.listed and isinstance(entries, list):
        pairs: list[tuple[Any, Any]] = [
            (entry.get("key") if isinstance(entry, Mapping) else None, entry) for entry in entries
        ]
    elif not form.listed and isinstance(entries, Mapping):
        pairs = list(entries.items())
    else:
        raise ConfigInvalid(
            f"{where}: {table} must be a {'list' if form.listed else 'mapping'} of rules.", hint="Correct the file."
        )
    rows = [_row(table, key, entry, where) for key, entry in pairs]
    twice = [key for key, count in Counter(row[form.key] for row in rows).items() if count > 1]
    if twice:
        raise ConfigInvalid(f"{where}: {table} has the rule {twice[0]!r} twice.", hint="Leave one.")
    return rows


def _row(table: str, key: Any, entry: Any, where: str) -> Row:
    if not isinstance(key, str):
        raise ConfigInvalid(f"{where}: a rule in {table} has no key that is a text.", hint="Give it `key: a-name`.")
    named = f"{where}: {table}, rule {printable(key)!r}"
    form = FORMS[table]
    unknown = sorted(set(map(str, entry)) - form.fields) if form.fields and isinstance(entry, Mapping) else []
    if unknown:
        raise ConfigInvalid(f"{named} has no field {unknown[0]!r}.", hint=f"Fields: {', '.join(sorted(form.fields))}.")
    try:
        row = form.to_row(key, entry)
    except KeyError as error:
        raise ConfigInvalid(f"{named} lacks {error}.", hint="Correct the file.") from error
    except (TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        told = f"{named} is not written as one is."
        raise ConfigInvalid(told, hint=f"`modelhub rules show` prints examples of {table}.") from error
    told = rule_rows.wrong(table, row)
    if told:
        raise ConfigInvalid(f"{named}: {told}.", hint="Correct the file.")
    return row


def document_of(rows: Rows) -> dict[str, Any]:
    """A collection file's content from rows by table; empty tables are left out."""
    made: dict[str, Any] = {}
    for table, found in rows.items():
        form = FORMS[table]
        if found:
            entries = [(row[form.key], form.to_entry(row)) for row in found]
            made[table] = [entry for _, entry in entries] if form.listed else dict(entries)
    off = {table: keys for table, found in rows.items() if (keys := [_keyed(table, row) for row in found if _off(row)])}
    return made | ({_DISABLED: off} if off else {})


def _off(row: Mapping[str, Any]) -> bool:
    return not row.get("enabled", True)


def _keyed(table: str, row: Mapping[str, Any]) -> str:
    return str(row[FORMS[table].key])


def dump(document: Any) -> str:
    """YAML of plain values, keys in their order."""
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def folder_rows(folders: Iterable[Path]) -> tuple[dict[str, list[Row]], list[str]]:
    """The rows of the rule files in a user's folders, and what cannot be read of them, as sentences."""
    rows: dict[str, list[Row]] = {}
    problems: list[str] = []
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            try:
                found = read(path)
            except ModelHubError as error:
                problems.append(error.message)
                continue
            for table, listed in found.items():
                rows.setdefault(table, []).extend(row | {"origin": "user", "file": printable(path)} for row in listed)
    return rows, problems


def over(table: str, rows: Sequence[Mapping[str, Any]], own: Sequence[Row]) -> list[Mapping[str, Any]]:
    """Rows with a user's own after them, which take the place of those of the same key, or switch them off."""
    key = FORMS[table].key
    replaced = {row[key] for row in own}
    return [*(row for row in rows if row[key] not in replaced), *(row for row in own if not _off(row))]


def digest(rows: str, own: Rows) -> str:
    """A name for rows that have the digest `rows` with others over them."""
    told = json.dumps(
        {table: [dict(row) for row in found] for table, found in own.items()}, sort_keys=True, default=str
    )
    return hashlib.sha256(f"{rows}\n{told}".encode()).hexdigest()
