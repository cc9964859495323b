"""Deployment by more than symlinks: a target's method and options, what each file of ours is, and a journal."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("ALTER TABLE deploy_targets ADD COLUMN method TEXT NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE deploy_targets ADD COLUMN options TEXT NOT NULL DEFAULT '{}'")
    op.execute("ALTER TABLE deploy_link_files ADD COLUMN how TEXT NOT NULL DEFAULT 'symlink'")
    op.execute("ALTER TABLE deploy_link_files ADD COLUMN shared BOOLEAN NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE deploy_link_files ADD COLUMN stamp TEXT NOT NULL DEFAULT ''")
    op.execute(  # from now on files of a link that is not deployed are those that a run was about to make
        "DELETE FROM deploy_link_files WHERE link_id IN (SELECT id FROM deploy_links WHERE NOT is_deployed)"
    )
    op.execute("CREATE INDEX deploy_links_by_target ON deploy_links (target_id)")
    op.execute(
        "CREATE TABLE deploy_runs (id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT NOT NULL, state TEXT NOT NULL,"
        " started_at TEXT NOT NULL, finished_at TEXT)"
    )
    op.execute(
        "CREATE TABLE deploy_steps (id INTEGER PRIMARY KEY AUTOINCREMENT,"
        " run_id INTEGER NOT NULL REFERENCES deploy_runs (id) ON DELETE CASCADE, action TEXT NOT NULL,"
        " target_id INTEGER, model_id INTEGER, path_bytes BLOB NOT NULL, source_bytes BLOB NOT NULL,"
        " sha256 TEXT NOT NULL, how TEXT NOT NULL, before BLOB)"
    )
    op.execute("CREATE INDEX deploy_steps_by_run ON deploy_steps (run_id)")
    op.execute("CREATE INDEX deploy_steps_folders ON deploy_steps (path_bytes) WHERE action = 'folder'")
    op.execute(
        "CREATE TABLE deploy_configs (id INTEGER PRIMARY KEY AUTOINCREMENT,"
        " target_id INTEGER NOT NULL REFERENCES deploy_targets (id) ON DELETE CASCADE,"
        " path_bytes BLOB NOT NULL, sha256 TEXT NOT NULL, made BOOLEAN NOT NULL, root BLOB NOT NULL,"
        " written_at TEXT NOT NULL, UNIQUE (target_id, path_bytes))"
    )
