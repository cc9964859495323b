"""The rules shipped in `classification_seed/`, as rows of classification.db's tables."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from modelhub.core.errors import ConfigInvalid, from_os_error
from modelhub.core.names import printable

Row = dict[str, Any]

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Seed:
    """All shipped rows by table, and the digest that tells whether they changed."""

    digest: str
    rows: Mapping[str, tuple[Row, ...]]


def digest(folder: Path) -> str:
    """SHA-256 over the rule files, without reading what they say."""
    combined = hashlib.sha256()
    for path in sorted(folder.glob("*.yaml")):
        combined.update(_bytes(path))
    return combined.hexdigest()


@lru_cache(maxsize=2)
def load(folder: Path) -> Seed:
    """Every shipped row."""
    rows = {table: tuple(convert(_table(folder, table))) for table, convert in _ROWS.items()}
    return Seed(digest(folder), rows)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise from_os_error(error, printable(path)) from error


def _read(path: Path) -> Any:
    try:
        return yaml.load(_bytes(path), Loader=_Loader)  # noqa: S506  (a safe loader)
    except yaml.YAMLError as error:
        raise ConfigInvalid(f"{printable(path)} is not valid YAML: {error}.", hint="Reinstall ModelHub.") from error


def _table(folder: Path, table: str) -> Any:
    """What fills a table: the file of its name, and further ones whose names go on after a dot."""
    documents = [_read(path) for path in (folder / f"{table}.yaml", *sorted(folder.glob(f"{table}.*.yaml")))]
    return documents[0] if len(documents) == 1 else [entry for document in documents for entry in document]


def _model_types(document: Mapping[str, list[str]]) -> Iterable[Row]:
    for name, (display_name, description, domain) in document.items():
        yield {"name": name, "display_name": display_name, "description": description, "domain": domain}


def _base_models(document: Mapping[str, Row]) -> Iterable[Row]:
    for name, told in document.items():
        yield {
            "name": name,
            "display_name": told["name"],
            "parent": told.get("parent", ""),
            "domain": told.get("domain", ""),
            "architectures": " ".join(told.get("architectures", ())),
            "names": told.get("names", ""),
            "carries": " ".join(told.get("carries", ())),
        }


def _category_rules(document: Iterable[Row]) -> Iterable[Row]:
    for entry in document:
        yield {
            "key": entry["key"],
            "level": entry["level"],
            "value": entry["value"],
            "types": " ".join(entry.get("types", ())),
            "keywords": entry.get("keywords", ""),
            "conditions": json.dumps(entry["when"], ensure_ascii=False) if "when" in entry else "",
            "confidence_weight": entry["confidence"],
        }


def _method_weights(document: Mapping[str, float]) -> Iterable[Row]:
    for method, weight in document.items():
        yield {"method": method, "weight": float(weight)}


def _size_rules(document: Mapping[str, list[float]]) -> Iterable[Row]:
    for model_type, (least, most, sure) in document.items():
        yield {"model_type": model_type, "min_size": least, "max_size": most, "confidence_weight": sure}


def _external_apis(document: Mapping[str, list[float]]) -> Iterable[Row]:
    for name, (priority, delay, timeout) in document.items():
        yield {"name": name, "priority": priority, "rate_limit_delay": delay, "timeout_seconds": timeout}


def _filename_patterns(document: Iterable[Row]) -> Iterable[Row]:
    for entry in document:
        yield {
            "key": entry["key"],
            "model_type": entry.get("type", ""),
            "base": entry.get("base", ""),
            "variant": entry.get("variant", ""),
            "pattern": entry["pattern"],
            "confidence_weight": entry["confidence"],
            "because": entry["because"],
        }


def _sub_type_rules(document: Iterable[Row]) -> Iterable[Row]:
    for entry in document:
        yield {
            "key": entry["key"],
            "primary_type": entry["type"],
            "sub_type": entry["sub_type"],
            "base": entry.get("base", ""),
            "pattern": entry["pattern"],
            "pattern_type": entry.get("pattern_type", "filename"),
            "confidence_weight": entry["confidence"],
        }


def _architecture_patterns(document: Iterable[Row]) -> Iterable[Row]:
    for entry in document:
        then = entry["then"]
        yield {
            "key": entry["key"],
            "architecture": "bundle" if "bundle" in then else then.get("base") or then.get("type") or then["variant"],
            "tensor_pattern": "",
            "model_type": then.get("type", ""),
            "bundled_type": then.get("bundled", ""),
            "base": then.get("base", ""),
            "sub_type": then.get("sub_type", ""),
            "variant": then.get("variant", ""),
            "conditions": json.dumps(entry["when"], ensure_ascii=False),
            "before": json.dumps(entry.get("before", [])),
            "confidence_weight": then.get("confidence", 1.0),
            "because": entry["because"],
        }


_ROWS: Mapping[str, Callable[[Any], Iterable[Row]]] = {
    "model_types": _model_types,
    "base_models": _base_models,
    "method_weights": _method_weights,
    "size_rules": _size_rules,
    "filename_patterns": _filename_patterns,
    "sub_type_rules": _sub_type_rules,
    "architecture_patterns": _architecture_patterns,
    "external_apis": _external_apis,
    "category_rules": _category_rules,
}
