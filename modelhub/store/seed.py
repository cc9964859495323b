"""The rules shipped in `classification_seed/`, as rows of classification.db's tables."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from modelhub.store import rule_files
from modelhub.store.rule_forms import FORMS, Row


@dataclass(frozen=True, slots=True)
class Seed:
    """All shipped rows by table, and the digest that tells whether they changed."""

    digest: str
    rows: Mapping[str, tuple[Row, ...]]


def digest(folder: Path) -> str:
    """SHA-256 over the rule files, without reading what they say."""
    combined = hashlib.sha256()
    for path in sorted(folder.glob("*.yaml")):
        combined.update(rule_files.text(path))
    return combined.hexdigest()


@lru_cache(maxsize=2)
def load(folder: Path) -> Seed:
    """Every shipped row."""
    rows: dict[str, list[Row]] = {table: [] for table in FORMS}
    for path in sorted(folder.glob("*.yaml")):
        if path.name.split(".", 1)[0] in FORMS:
            for table, found in rule_files.read(path).items():
                rows[table] += found
    return Seed(digest(folder), {table: tuple(found) for table, found in rows.items()})
