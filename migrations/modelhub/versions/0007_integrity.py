"""A store one can trust: the trash has dates, drives have ids, damage has a place, what was allowed is recorded."""

from alembic import op

revision = "0007"
down_revision = "0006"

_SEARCHED = ("filename", "primary_type", "base", "sub_type", "triggers")
"""Columns of `models` that a search looks through; tags are asked beside them."""


def upgrade() -> None:
    op.execute("ALTER TABLE models ADD COLUMN deleted_at TEXT")
    op.execute("UPDATE models SET deleted_at = CURRENT_TIMESTAMP WHERE deleted")
    for turned, moment in (("new.deleted AND NOT old.deleted", "CURRENT_TIMESTAMP"), ("NOT new.deleted", "NULL")):
        name = "models_trashed" if moment != "NULL" else "models_restored"
        op.execute(
            f"CREATE TRIGGER {name} AFTER UPDATE OF deleted ON models WHEN {turned}"
            f" BEGIN UPDATE models SET deleted_at = {moment} WHERE id = new.id; END"
        )
    op.execute("ALTER TABLE models ADD COLUMN offline BOOLEAN NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE blobs ADD COLUMN quarantined_at TEXT NOT NULL DEFAULT ''")
    op.execute(
        "CREATE TABLE volumes (id TEXT PRIMARY KEY, kind TEXT NOT NULL, label TEXT NOT NULL, mount_bytes BLOB NOT NULL,"
        " online BOOLEAN NOT NULL, last_seen TEXT NOT NULL)"
    )
    op.execute("ALTER TABLE found_files ADD COLUMN volume TEXT NOT NULL DEFAULT ''")
    op.execute("CREATE INDEX found_files_by_volume ON found_files (volume) WHERE volume <> ''")
    op.execute(
        "CREATE TABLE overrides (id INTEGER PRIMARY KEY AUTOINCREMENT,"
        " model_id INTEGER NOT NULL UNIQUE REFERENCES models (id) ON DELETE CASCADE,"
        " code TEXT NOT NULL, message TEXT NOT NULL, reason TEXT NOT NULL, made_by TEXT NOT NULL,"
        " made_at TEXT NOT NULL)"
    )
    op.execute(
        "CREATE TABLE examinations (id INTEGER PRIMARY KEY AUTOINCREMENT,"
        " model_id INTEGER NOT NULL REFERENCES models (id) ON DELETE CASCADE, kind TEXT NOT NULL,"
        " status TEXT NOT NULL, who TEXT NOT NULL, message TEXT NOT NULL, examined_at TEXT NOT NULL,"
        " UNIQUE (model_id, kind))"
    )
    op.execute("CREATE INDEX models_deleted ON models (deleted_at) WHERE deleted")
    op.execute("CREATE INDEX models_missing ON models (id) WHERE missing")
    op.execute("CREATE INDEX found_files_absent ON found_files (path_bytes) WHERE NOT present")
    op.execute("CREATE INDEX model_files_parts ON model_files (model_id, sha256) WHERE role != 'main'")
    _search_index()


def _search_index() -> None:
    """An index of trigrams for libraries too large to be filtered in memory; it is filled when it is first needed.

    From then on (`meta`, key `search_index`) triggers keep it, also for changes made by hand.
    """
    columns = ", ".join(_SEARCHED)
    op.execute(
        f"CREATE VIRTUAL TABLE models_search USING fts5 ({columns}, content = 'models', content_rowid = 'id',"
        " tokenize = 'trigram')"
    )
    on = "WHEN EXISTS (SELECT 1 FROM meta WHERE key = 'search_index')"
    old, new = (", ".join(f"{row}.{name}" for name in _SEARCHED) for row in ("old", "new"))
    out = f"INSERT INTO models_search (models_search, rowid, {columns}) VALUES ('delete', old.id, {old});"
    into = f"INSERT INTO models_search (rowid, {columns}) VALUES (new.id, {new});"
    changed = " OR ".join(f"old.{name} IS NOT new.{name}" for name in _SEARCHED)
    op.execute(f"CREATE TRIGGER models_search_insert AFTER INSERT ON models {on} BEGIN {into} END")
    op.execute(f"CREATE TRIGGER models_search_delete AFTER DELETE ON models {on} BEGIN {out} END")
    op.execute(
        f"CREATE TRIGGER models_search_update AFTER UPDATE OF {columns} ON models {on} AND ({changed})"
        f" BEGIN {out} {into} END"
    )
