"""Bring a database to this program's version: in one transaction, after a backup, never backwards.

The version is read with `sqlite3` alone, so that a start with nothing to do never imports Alembic.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelhub.core.errors import DatabaseBroken, SchemaTooNew
from modelhub.core.names import printable
from modelhub.core.places import bundled
from modelhub.store.backups import backup
from modelhub.store.engine import connect_read_only, said

Tree = Literal["modelhub", "classification"]
Condition = Literal["absent", "first_version", "old", "current", "too_new"]

_FIRST_VERSION: dict[Tree, set[str]] = {
    "modelhub": {"models", "model_metadata", "deploy_targets", "deploy_mappings", "deploy_links"},
    "classification": {"model_types", "size_rules", "sub_type_rules", "architecture_patterns", "external_apis"},
}
"""Tables that tell a database of the first version from somebody else's."""


@dataclass(frozen=True, slots=True)
class Status:
    """Where a database stands. `revision` is empty without one; `head` is this program's."""

    tree: Tree
    path: Path
    condition: Condition
    revision: str
    head: str


def head(tree: Tree) -> str:
    """The number of the newest migration shipped."""
    folder = bundled("migrations") / tree / "versions"
    return max(path.name[:4] for path in folder.glob("[0-9][0-9][0-9][0-9]_*.py"))


def tree_of(path: Path) -> Tree | None:
    """Which of our two databases a file is, by its tables; None if it is neither."""
    with said(path), closing(connect_read_only(path)) as raw:
        tables = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    found: list[Tree] = [tree for tree, own in _FIRST_VERSION.items() if own <= tables]
    return found[0] if found else None


def status(tree: Tree, path: Path) -> Status:
    """Look at the database without changing it."""
    newest = head(tree)
    if not path.exists() or not path.stat().st_size:
        return Status(tree, path, "absent", "", newest)
    with said(path), closing(connect_read_only(path)) as raw:
        tables = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        found = (
            raw.execute("SELECT version_num FROM alembic_version").fetchone() if "alembic_version" in tables else None
        )
    if found is None:
        own = tables - {"alembic_version", "sqlite_sequence"}
        if own and not own & _FIRST_VERSION[tree]:
            raise DatabaseBroken(
                f"{printable(path)} is a database of some other program.", hint="Choose another --hub, or move it away."
            )
        return Status(tree, path, "first_version" if own else "absent", "", newest)
    revision = str(found[0])
    condition: Condition = "current" if revision == newest else "old" if revision < newest else "too_new"
    return Status(tree, path, condition, revision, newest)


def upgrade(tree: Tree, path: Path, backups: Path) -> Path | None:
    """Make or upgrade the database; the backup made before, if there was something to back up."""
    state = status(tree, path)
    if state.condition == "current":
        return None
    refuse_newer(state)
    saved = None if state.condition == "absent" else backup(path, backups, f"before-{state.head}")
    try:
        with said(path):
            _run(tree, path)
    except DatabaseBroken as error:
        raise DatabaseBroken(
            f"{printable(path)} could not be upgraded: {error.message}",
            hint="Nothing was changed. Please report it, with the names of its tables and columns.",
        ) from error
    return saved


def refuse_newer(state: Status) -> None:
    if state.condition == "too_new":
        raise SchemaTooNew(
            f"{printable(state.path)} was made by a newer ModelHub"
            f" (revision {state.revision}; this one knows {state.head}).",
            hint="Upgrade ModelHub. Nothing was changed.",
        )


def _run(tree: Tree, path: Path) -> None:
    """Alembic on a connection whose transaction is ours: real BEGIN, foreign keys off, checked before COMMIT."""
    from alembic import command  # noqa: PLC0415  (slow to import, and needed only for an upgrade)
    from alembic.config import Config  # noqa: PLC0415
    from sqlalchemy import create_engine, event  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    def raw_connection() -> sqlite3.Connection:
        raw = sqlite3.connect(path, timeout=60, isolation_level=None)
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("PRAGMA synchronous = FULL")
        raw.execute("PRAGMA foreign_keys = OFF")
        raw.execute("PRAGMA legacy_alter_table = ON")  # views of the user's are left as they are
        return raw

    engine = create_engine("sqlite://", creator=raw_connection, poolclass=NullPool)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    config = Config()
    config.set_main_option("script_location", str(bundled("migrations") / tree).replace("%", "%%"))
    with engine.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        before = {tuple(row) for row in connection.exec_driver_sql("PRAGMA foreign_key_check")}
        command.upgrade(config, "head")
        broken = {tuple(row) for row in connection.exec_driver_sql("PRAGMA foreign_key_check")} - before
        if broken:
            raise DatabaseBroken(f"{len(broken)} rows would refer to rows that are gone.")
