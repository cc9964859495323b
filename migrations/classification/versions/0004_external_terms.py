"""What sites call types and families of models."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute(
        "CREATE TABLE external_terms (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT, source TEXT NOT NULL,"
        " kind TEXT NOT NULL, term TEXT NOT NULL, value TEXT NOT NULL, enabled BOOLEAN DEFAULT TRUE,"
        " created_at DATETIME DEFAULT CURRENT_TIMESTAMP, origin TEXT NOT NULL DEFAULT 'user',"
        " checksum TEXT NOT NULL DEFAULT '', UNIQUE (key, origin))"
    )
    op.execute(
        "CREATE VIEW effective_external_terms AS SELECT * FROM external_terms AS mine WHERE enabled"
        " AND (origin = 'user' OR (origin = 'seed' AND NOT EXISTS (SELECT 1 FROM external_terms AS theirs"
        " WHERE theirs.origin = 'user' AND theirs.key = mine.key)))"
    )
