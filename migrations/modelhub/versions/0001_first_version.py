"""The tables of the first version, as its users' own queries know them.

A hub made by the first version has them already, sometimes with further columns: what is there stays.
"""

from alembic import op
from sqlalchemy import text

revision = "0001"
down_revision = None

TABLES = {
    "models": {
        "id": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "file_hash": "TEXT UNIQUE NOT NULL",
        "reclassify": "TEXT DEFAULT ''",
        "deleted": "BOOLEAN DEFAULT FALSE",
        "filename": "TEXT NOT NULL",
        "file_size": "INTEGER NOT NULL",
        "file_extension": "TEXT NOT NULL",
        "primary_type": "TEXT NOT NULL",
        "sub_type": "TEXT NOT NULL",
        "triggers": "TEXT",
        "confidence": "REAL NOT NULL",
        "classification_method": "TEXT NOT NULL",
        "tensor_count": "INTEGER",
        "architecture": "TEXT",
        "precision": "TEXT",
        "quantization": "TEXT",
        "filename_score": "REAL DEFAULT 0.0",
        "size_score": "REAL DEFAULT 0.0",
        "metadata_score": "REAL DEFAULT 0.0",
        "tensor_score": "REAL DEFAULT 0.0",
        "classified_at": "TEXT NOT NULL",
        "created_at": "DATETIME DEFAULT CURRENT_TIMESTAMP",
        "updated_at": "DATETIME DEFAULT CURRENT_TIMESTAMP",
    },
    "model_metadata": {
        "id": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "model_id": "INTEGER NOT NULL REFERENCES models (id) ON DELETE CASCADE",
        "metadata_type": "TEXT NOT NULL",
        "key": "TEXT NOT NULL",
        "value": "TEXT",
    },
    "deploy_targets": {
        "id": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "name": "TEXT UNIQUE NOT NULL",
        "display_name": "TEXT NOT NULL",
        "base_path": "TEXT NOT NULL",
        "enabled": "BOOLEAN DEFAULT TRUE",
        "created_at": "DATETIME DEFAULT CURRENT_TIMESTAMP",
        "updated_at": "DATETIME DEFAULT CURRENT_TIMESTAMP",
    },
    "deploy_mappings": {
        "id": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "target_id": "INTEGER NOT NULL REFERENCES deploy_targets (id) ON DELETE CASCADE",
        "model_type": "TEXT NOT NULL",
        "folder_path": "TEXT NOT NULL",
    },
    "deploy_links": {
        "id": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "model_id": "INTEGER NOT NULL REFERENCES models (id) ON DELETE CASCADE",
        "target_id": "INTEGER NOT NULL REFERENCES deploy_targets (id) ON DELETE CASCADE",
        "source_path": "TEXT NOT NULL",
        "deploy_path": "TEXT NOT NULL",
        "is_deployed": "BOOLEAN DEFAULT FALSE",
        "deployed_at": "DATETIME",
        "created_at": "DATETIME DEFAULT CURRENT_TIMESTAMP",
    },
}
UNIQUE = {"deploy_mappings": "target_id, model_type", "deploy_links": "model_id, target_id"}
INDEXES = {
    "idx_models_type": "models (primary_type, sub_type)",
    "idx_metadata_model": "model_metadata (model_id)",
    "idx_metadata_key": "model_metadata (key)",
    "idx_deploy_mappings_target": "deploy_mappings (target_id)",
    "idx_deploy_links_model": "deploy_links (model_id)",
    "idx_deploy_links_target": "deploy_links (target_id)",
}


def upgrade() -> None:
    for table, columns in TABLES.items():
        unique = f", UNIQUE ({UNIQUE[table]})" if table in UNIQUE else ""
        body = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        op.execute(f"CREATE TABLE IF NOT EXISTS {table} ({body}{unique})")
        present = {row.name for row in op.get_bind().execute(text(f"PRAGMA table_info({table})"))}
        for name, kind in columns.items():
            if name not in present:  # an early first version: ADD COLUMN takes no NOT NULL without a default
                op.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind.split()[0]}")
    for index, indexed in INDEXES.items():
        op.execute(f"CREATE INDEX IF NOT EXISTS {index} ON {indexed}")
