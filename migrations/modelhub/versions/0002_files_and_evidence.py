"""Files of a model, where they were found, evidence, tags and corrections by hand.

Columns and tables are only added. Rows of the first version get a file of their own, and its manual
classifications become corrections that outlive every reclassification.
"""

from alembic import op
from sqlalchemy import text

revision = "0002"
down_revision = "0001"

MODEL_COLUMNS = {
    "base": "TEXT NOT NULL DEFAULT ''",
    "variant": "TEXT NOT NULL DEFAULT ''",
    "file_format": "TEXT NOT NULL DEFAULT ''",
    "parameters": "INTEGER NOT NULL DEFAULT 0",
    "context_length": "INTEGER NOT NULL DEFAULT 0",
    "external_score": "REAL DEFAULT 0.0",
    "state": "TEXT NOT NULL DEFAULT 'ok'",
    "state_code": "TEXT NOT NULL DEFAULT ''",
    "state_message": "TEXT NOT NULL DEFAULT ''",
    "missing": "BOOLEAN NOT NULL DEFAULT 0",
    "notes": "TEXT NOT NULL DEFAULT ''",
    "candidates": "TEXT NOT NULL DEFAULT '[]'",
    "rules_digest": "TEXT NOT NULL DEFAULT ''",
}
TABLES = (
    """CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)""",
    """CREATE TABLE blobs (
        sha256 TEXT PRIMARY KEY NOT NULL,
        name TEXT NOT NULL,
        name_bytes BLOB NOT NULL,
        size INTEGER NOT NULL,
        blake3 TEXT NOT NULL DEFAULT '',
        autov1 TEXT NOT NULL DEFAULT '',
        autov3 TEXT NOT NULL DEFAULT '',
        crc32 TEXT NOT NULL DEFAULT '',
        stored BOOLEAN NOT NULL DEFAULT 1,
        verified_at TEXT NOT NULL DEFAULT '',
        created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP)""",
    """CREATE TABLE model_files (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        model_id INTEGER NOT NULL REFERENCES models (id) ON DELETE CASCADE,
        sha256 TEXT NOT NULL REFERENCES blobs (sha256),
        relative_path TEXT NOT NULL,
        UNIQUE (model_id, relative_path))""",
    """CREATE TABLE found_files (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        path TEXT NOT NULL,
        path_bytes BLOB NOT NULL UNIQUE,
        sha256 TEXT REFERENCES blobs (sha256),
        outcome TEXT NOT NULL,
        code TEXT NOT NULL DEFAULT '',
        message TEXT NOT NULL DEFAULT '',
        adopted TEXT NOT NULL DEFAULT '',
        present BOOLEAN NOT NULL DEFAULT 1,
        dev INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        ctime_ns INTEGER NOT NULL,
        sample TEXT NOT NULL DEFAULT '',
        first_seen DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
        recorded_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP)""",
    """CREATE TABLE evidence (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        model_id INTEGER NOT NULL REFERENCES models (id) ON DELETE CASCADE,
        method TEXT NOT NULL,
        claim TEXT NOT NULL,
        base TEXT NOT NULL DEFAULT '',
        sub_type TEXT NOT NULL DEFAULT '',
        variant TEXT NOT NULL DEFAULT '',
        confidence REAL NOT NULL,
        weight REAL NOT NULL,
        because TEXT NOT NULL,
        rule TEXT NOT NULL DEFAULT '')""",
    """CREATE TABLE tags (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        model_id INTEGER NOT NULL REFERENCES models (id) ON DELETE CASCADE,
        tag TEXT NOT NULL,
        UNIQUE (model_id, tag))""",
    """CREATE TABLE corrections (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        model_id INTEGER NOT NULL REFERENCES models (id) ON DELETE CASCADE,
        field TEXT NOT NULL,
        value TEXT NOT NULL,
        made_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
        UNIQUE (model_id, field))""",
    """CREATE TABLE deploy_link_files (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        link_id INTEGER NOT NULL REFERENCES deploy_links (id) ON DELETE CASCADE,
        sha256 TEXT NOT NULL,
        path_bytes BLOB NOT NULL,
        source_bytes BLOB NOT NULL,
        UNIQUE (link_id, path_bytes))""",
)
INDEXES = {
    "idx_model_files_sha256": "model_files (sha256)",
    "idx_found_files_sha256": "found_files (sha256)",
    "idx_found_files_inode": "found_files (inode, size)",
    "idx_evidence_model": "evidence (model_id)",
    "idx_models_size": "models (file_size)",
}
FIRST_VERSION_ROWS = (
    """INSERT OR IGNORE INTO blobs (sha256, name, name_bytes, size)
        SELECT lower(file_hash), filename, CAST(filename AS BLOB), file_size FROM models""",
    """INSERT INTO model_files (model_id, sha256, relative_path)
        SELECT id, lower(file_hash), filename FROM models""",
    """INSERT INTO corrections (model_id, field, value)
        SELECT id, 'type', primary_type FROM models WHERE classification_method = 'manual'""",
    """INSERT INTO corrections (model_id, field, value)
        SELECT id, 'sub_type', sub_type FROM models WHERE classification_method = 'manual'""",
)


def upgrade() -> None:
    present = {row.name for row in op.get_bind().execute(text("PRAGMA table_info(models)"))}
    for name, kind in MODEL_COLUMNS.items():
        if name not in present:  # some user added a column of that name
            op.execute(f"ALTER TABLE models ADD COLUMN {name} {kind}")
    op.execute("ALTER TABLE deploy_targets ADD COLUMN app TEXT NOT NULL DEFAULT 'folder'")
    op.execute("UPDATE deploy_targets SET app = name WHERE name IN ('comfyui', 'wan', 'forge', 'image_upscale')")
    for statement in TABLES:
        op.execute(statement)
    for index, columns in INDEXES.items():
        op.execute(f"CREATE INDEX {index} ON {columns}")
    for statement in FIRST_VERSION_ROWS:
        op.execute(statement)
