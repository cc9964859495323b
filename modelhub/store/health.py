"""Whether SQLite itself finds a database sound."""

import sqlite3
from contextlib import closing
from pathlib import Path

from modelhub.core.errors import ModelHubError
from modelhub.store.engine import connect_read_only, said

SQLITE_VERSION = sqlite3.sqlite_version


def integrity(path: Path) -> str:
    """What is wrong with the database, in a few words; empty if nothing is."""
    try:
        with said(path), closing(connect_read_only(path)) as raw:
            found = [str(row[0]) for row in raw.execute("PRAGMA quick_check(3)")]
            dangling = raw.execute("PRAGMA foreign_key_check").fetchall()
    except ModelHubError as error:
        return error.message
    if found != ["ok"]:
        return "; ".join(found)
    return f"{len(dangling)} rows refer to rows that are gone." if dangling else ""
