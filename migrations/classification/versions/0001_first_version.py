"""The rule tables of the first version. Further tables that some of its hubs have are left alone."""

from alembic import op

revision = "0001"
down_revision = None

COMMON = (
    "id INTEGER PRIMARY KEY AUTOINCREMENT, {}, enabled BOOLEAN DEFAULT TRUE,"
    " created_at DATETIME DEFAULT CURRENT_TIMESTAMP"
)
TABLES = {
    "model_types": "name TEXT UNIQUE NOT NULL, display_name TEXT NOT NULL, description TEXT",
    "size_rules": "model_type TEXT NOT NULL, min_size INTEGER NOT NULL, max_size INTEGER NOT NULL,"
    " confidence_weight REAL DEFAULT 0.3",
    "sub_type_rules": "primary_type TEXT NOT NULL, sub_type TEXT NOT NULL, pattern TEXT NOT NULL,"
    " pattern_type TEXT DEFAULT 'filename', confidence_weight REAL DEFAULT 0.8",
    "architecture_patterns": "architecture TEXT NOT NULL, tensor_pattern TEXT NOT NULL,"
    " confidence_weight REAL DEFAULT 0.9",
    "external_apis": "name TEXT UNIQUE NOT NULL, priority INTEGER DEFAULT 1,"
    " rate_limit_delay REAL DEFAULT 1.0, timeout_seconds INTEGER DEFAULT 10",
}


def upgrade() -> None:
    for table, columns in TABLES.items():
        op.execute(f"CREATE TABLE IF NOT EXISTS {table} ({COMMON.format(columns)})")
