"""Rules in two layers: rows we ship (`origin = 'seed'`) under rows of the user's (`origin = 'user'`).

Tables whose names were unique are rebuilt, since a user's row and ours may now share a name; their ids and
any further columns stay. Of a first-version database, rows equal to what it shipped retire: where we ship
a row of the same name it takes their place and id, elsewhere they stay for the record as 'first_version'.
Rows that were changed or added become the user's.
"""

import json
from pathlib import Path

from alembic import op
from sqlalchemy import text

revision = "0002"
down_revision = "0001"

NATURAL = {"model_types": "name", "size_rules": "model_type", "external_apis": "name"}
KEYED = ("sub_type_rules", "architecture_patterns")
COLUMNS = {
    "model_types": "name TEXT NOT NULL, display_name TEXT NOT NULL, description TEXT",
    "size_rules": "model_type TEXT NOT NULL, min_size INTEGER NOT NULL, max_size INTEGER NOT NULL,"
    " confidence_weight REAL DEFAULT 0.3",
    "external_apis": "name TEXT NOT NULL, priority INTEGER DEFAULT 1,"
    " rate_limit_delay REAL DEFAULT 1.0, timeout_seconds INTEGER DEFAULT 10",
}
ID = "id INTEGER PRIMARY KEY AUTOINCREMENT"
LAYER = "origin TEXT NOT NULL DEFAULT 'user', checksum TEXT NOT NULL DEFAULT ''"
ENABLED = "enabled BOOLEAN DEFAULT TRUE, created_at DATETIME DEFAULT CURRENT_TIMESTAMP"
NEW_KEYED_COLUMNS = {
    "sub_type_rules": {"base": "TEXT NOT NULL DEFAULT ''"},
    "architecture_patterns": {
        "model_type": "TEXT NOT NULL DEFAULT ''",
        "bundled_type": "TEXT NOT NULL DEFAULT ''",
        "base": "TEXT NOT NULL DEFAULT ''",
        "sub_type": "TEXT NOT NULL DEFAULT ''",
        "variant": "TEXT NOT NULL DEFAULT ''",
        "conditions": "TEXT NOT NULL DEFAULT ''",
        "before": "TEXT NOT NULL DEFAULT ''",
        "because": "TEXT NOT NULL DEFAULT ''",
    },
}
NEW_TABLES = {
    "base_models": (
        "name",
        "name TEXT NOT NULL, display_name TEXT NOT NULL, parent TEXT NOT NULL DEFAULT ''",
    ),
    "method_weights": ("method", "method TEXT NOT NULL, weight REAL NOT NULL"),
    "filename_patterns": (
        "key",
        (
            "key TEXT, model_type TEXT NOT NULL DEFAULT '', base TEXT NOT NULL DEFAULT '',"
            " variant TEXT NOT NULL DEFAULT '', pattern TEXT NOT NULL, confidence_weight REAL DEFAULT 0.7,"
            " because TEXT NOT NULL DEFAULT ''"
        ),
    ),
}


def upgrade() -> None:
    op.execute("CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)")
    for table, key in NATURAL.items():
        _rebuild(table, key)
    for table in KEYED:
        op.execute(f"ALTER TABLE {table} ADD COLUMN key TEXT")
        op.execute(f"ALTER TABLE {table} ADD COLUMN origin TEXT NOT NULL DEFAULT 'user'")
        op.execute(f"ALTER TABLE {table} ADD COLUMN checksum TEXT NOT NULL DEFAULT ''")
        for name, kind in NEW_KEYED_COLUMNS[table].items():
            op.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
        op.execute(f"CREATE UNIQUE INDEX unique_{table} ON {table} (key, origin)")
    for table, (key, columns) in NEW_TABLES.items():
        op.execute(f"CREATE TABLE {table} ({ID}, {columns}, {ENABLED}, {LAYER}, UNIQUE ({key}, origin))")
    _retire_first_version()
    for table, key in {
        **NATURAL,
        **dict.fromkeys(KEYED, "key"),
        **{t: k for t, (k, _) in NEW_TABLES.items()},
    }.items():
        op.execute(
            f"CREATE VIEW effective_{table} AS SELECT * FROM {table} AS mine WHERE enabled AND (origin = 'user'"
            f" OR (origin = 'seed' AND NOT EXISTS (SELECT 1 FROM {table} AS theirs"
            f" WHERE theirs.origin = 'user' AND theirs.{key} = mine.{key})))"
        )


def _rebuild(table: str, key: str) -> None:
    """The table anew with UNIQUE(key, origin); further columns of the user's come along."""
    bind = op.get_bind()
    old = list(bind.execute(text(f"PRAGMA table_info({table})")))
    ours = {part.split()[0] for part in (*COLUMNS[table].split(", "), *ENABLED.split(", "), "id")}
    further = "".join(f', "{row.name}" {row.type}' for row in old if row.name not in ours)
    body = f"{ID}, {COLUMNS[table]}, {ENABLED}{further}, {LAYER}, UNIQUE ({key}, origin)"
    op.execute(f"CREATE TABLE rebuilt ({body})")
    names = ", ".join(f'"{row.name}"' for row in old)
    op.execute(f"INSERT INTO rebuilt ({names}) SELECT {names} FROM {table}")
    op.execute(f"DROP TABLE {table}")
    op.execute(f"ALTER TABLE rebuilt RENAME TO {table}")


def _retire_first_version() -> None:
    bind = op.get_bind()
    shipped = json.loads((Path(__file__).parent.parent / "first_version.json").read_text(encoding="utf-8"))
    for table, default in shipped.items():
        columns = default["columns"]
        origin = "seed" if table in NATURAL else "first_version"
        where = " AND ".join(f"{name} IS :{name}" for name in columns)
        for row in default["rows"]:
            bind.execute(
                text(f"UPDATE {table} SET origin = '{origin}' WHERE {where}"),
                dict(zip(columns, row, strict=True)),
            )
