"""What families are called, which half of the field types are of, and rules for categories.

Checksums of shipped rows tell rows that somebody edited. They are renewed for those that nobody did, and leave out
empty columns from now on, so that a further column changes none of them.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from alembic import op
from sqlalchemy import text

revision = "0003"
down_revision = "0002"

NEW_COLUMNS = {
    "model_types": {"domain": "TEXT NOT NULL DEFAULT ''"},
    "base_models": {
        "domain": "TEXT NOT NULL DEFAULT ''",
        "architectures": "TEXT NOT NULL DEFAULT ''",
        "names": "TEXT NOT NULL DEFAULT ''",
        "carries": "TEXT NOT NULL DEFAULT ''",
    },
}


SKIPPED = ("id", "created_at", "origin", "checksum")
TABLES = (
    "model_types", "base_models", "method_weights", "size_rules", "filename_patterns", "sub_type_rules",
    "architecture_patterns", "external_apis",
)  # fmt: skip


def upgrade() -> None:
    unchanged = {table: _unchanged(table) for table in TABLES}
    for table, columns in NEW_COLUMNS.items():
        for name, kind in columns.items():
            op.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
    for table, ids in unchanged.items():
        for row in _seed_rows(table):
            if row["id"] in ids:
                mark = text(f"UPDATE {table} SET checksum = :checksum WHERE id = :id")
                op.get_bind().execute(mark, {"checksum": _checksum(row), "id": row["id"]})
    op.execute(
        "CREATE TABLE category_rules (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT, level TEXT NOT NULL,"
        " value TEXT NOT NULL, types TEXT NOT NULL DEFAULT '', keywords TEXT NOT NULL DEFAULT '',"
        " conditions TEXT NOT NULL DEFAULT '', confidence_weight REAL DEFAULT 0.7, enabled BOOLEAN DEFAULT TRUE,"
        " created_at DATETIME DEFAULT CURRENT_TIMESTAMP, origin TEXT NOT NULL DEFAULT 'user',"
        " checksum TEXT NOT NULL DEFAULT '', UNIQUE (key, origin))"
    )
    for table, key in (("model_types", "name"), ("base_models", "name"), ("category_rules", "key")):
        op.execute(f"DROP VIEW IF EXISTS effective_{table}")
        op.execute(
            f"CREATE VIEW effective_{table} AS SELECT * FROM {table} AS mine WHERE enabled AND (origin = 'user'"
            f" OR (origin = 'seed' AND NOT EXISTS (SELECT 1 FROM {table} AS theirs"
            f" WHERE theirs.origin = 'user' AND theirs.{key} = mine.{key})))"
        )


def _seed_rows(table: str) -> list[dict[str, Any]]:
    rows = op.get_bind().execute(text(f"SELECT * FROM {table} WHERE origin = 'seed' AND checksum <> ''"))
    return [dict(row) for row in rows.mappings()]


def _unchanged(table: str) -> set[int]:
    return {row["id"] for row in _seed_rows(table) if row["checksum"] in _earlier_checksums(row)}


def _earlier_checksums(row: Mapping[str, Any]) -> set[str]:
    """As they were written: of whole numbers SQLite told now 1 and now 1.0."""
    said = {name: value for name, value in row.items() if name not in SKIPPED} | {"enabled": bool(row["enabled"])}
    whole = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in said.items()
    }
    return {_digest(said), _digest(whole)}


def _checksum(row: Mapping[str, Any]) -> str:
    said = {
        name: float(value) if isinstance(value, int | float) else value
        for name, value in row.items()
        if name not in (*SKIPPED, "enabled") and value
    }
    return _digest(said | {"enabled": bool(row["enabled"])})


def _digest(said: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:16]
