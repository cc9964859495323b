"""What sites said of models. Answers are added and never changed, so that one that is gone erases nothing."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute(
        "CREATE TABLE external_records (id INTEGER PRIMARY KEY AUTOINCREMENT,"
        " model_id INTEGER NOT NULL REFERENCES models (id) ON DELETE CASCADE, source TEXT NOT NULL,"
        " asked TEXT NOT NULL, found BOOLEAN NOT NULL, data TEXT NOT NULL, fetched_at TEXT NOT NULL)"
    )
    op.execute("CREATE INDEX external_records_by_model ON external_records (model_id, source)")
