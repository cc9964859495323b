"""Models of many files: what each file is to its model."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("ALTER TABLE model_files ADD COLUMN role TEXT NOT NULL DEFAULT 'main'")
