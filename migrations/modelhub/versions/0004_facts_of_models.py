"""What a model is for and says of itself: category, modalities, capabilities, licence, languages, and the rest."""

from alembic import op

revision = "0004"
down_revision = "0003"

COLUMNS = (
    "category_primary", "category_secondary", "category_specialization", "modalities", "capabilities", "license",
    "languages", "facts",
)  # fmt: skip


def upgrade() -> None:
    for name in COLUMNS:
        op.execute(f"ALTER TABLE models ADD COLUMN {name} TEXT NOT NULL DEFAULT ''")
    op.execute("CREATE INDEX models_by_category ON models (category_primary, category_secondary)")
