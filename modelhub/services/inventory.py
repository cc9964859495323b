"""The list of models as other programs read it: CSV, JSON, YAML."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TextIO, TypeAlias

import yaml

from modelhub.apps import naming
from modelhub.core.errors import from_os_error
from modelhub.core.names import printable
from modelhub.core.places import expand
from modelhub.core.plain import plain
from modelhub.core.types import Model
from modelhub.store.engine import now

Form: TypeAlias = Literal["csv", "json", "yaml"]
FORMS: tuple[Form, ...] = ("csv", "json", "yaml")


def entry(model: Model) -> dict[str, Any]:
    """A model as an inventory has it; what is not known is left out."""
    made: dict[str, Any] = {
        "name": model.filename, "model_id": naming.hyphened(naming.stem_of(model.filename)), "type": model.type,
        "base_model": model.base, "sub_type": model.sub_type, "variant": model.variant, "format": model.format,
        "precision": model.precision, "quantization": model.quantization, "architecture": model.architecture,
        "parameters": model.parameters, "context_length": model.context_length, "size_bytes": model.size,
        "hashes": {"sha256": model.sha256}, "license": model.license, "languages": list(model.languages),
        "category": [level for level in model.category if level], "tags": list(model.tags),
        "triggers": model.triggers, "capabilities": list(model.capabilities), "notes": model.notes,
    }  # fmt: skip
    return {key: value for key, value in made.items() if value not in ("", 0, [])}


def form_of(target: str) -> Form:
    """The form that a file's ending asks for; CSV if it asks for none."""
    endings: dict[str, Form] = {".json": "json", ".yml": "yaml", ".yaml": "yaml"}
    return endings.get(Path(target).suffix.lower(), "csv")


def save(target: str, form: Form, models: Sequence[Model]) -> None:
    """Write the list of models to a file; one that stands there is written over."""
    try:
        with Path(expand(target)).open("w", encoding="utf-8", newline="") as stream:
            write(stream, form, models)
    except OSError as error:
        raise from_os_error(error, printable(target)) from error


def write(stream: TextIO, form: Form, models: Sequence[Model]) -> None:
    rows = [entry(model) for model in models]
    if form == "csv":
        _write_csv(stream, rows)
    elif form == "json":
        json.dump({"models": plain(rows)}, stream, indent=2)
        stream.write("\n")
    else:
        head = {"schema_version": 1, "updated": now()}
        yaml.safe_dump(head | {"models": plain(rows)}, stream, sort_keys=False, allow_unicode=True)


def _write_csv(stream: Any, rows: Sequence[dict[str, Any]]) -> None:
    """One line for each model; a cell that a spreadsheet would take for a formula begins with an apostrophe."""
    columns = list(dict.fromkeys(key for row in rows for key in row)) or ["name"]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(column, "")) for column in columns])


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        value = next(iter(value.values()), "")
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else printable(str(value))
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") and not isinstance(value, int | float) else text
