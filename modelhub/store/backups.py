"""Consistent copies of a database in use, and the way back."""

import contextlib
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from modelhub.core.errors import from_os_error
from modelhub.core.names import printable
from modelhub.store.engine import connect_read_only, said
from modelhub.store.health import integrity


def backup(path: Path, folder: Path, label: str, moment: str = "") -> Path:
    """A consistent copy of a database in use, durable before this returns; `moment` (now) is part of its name."""
    moment = moment or datetime.now(UTC).strftime("%Y%m%dT%H%M%S_%fZ")
    target = folder / f"{path.stem}-{moment}-{label}.db"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with said(path), closing(connect_read_only(path)) as source:
            _copy(source, target)
        for written in (target,) if os.name == "nt" else (target, folder, folder.parent):
            descriptor = os.open(written, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    except OSError as error:
        raise from_os_error(error, printable(target)) from error
    return target


def _copy(source: sqlite3.Connection, target: Path) -> None:
    """A full disk is that of the copy, and what could not be completed takes no room there."""
    try:
        with said(target), closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def restore(copy: Path, database: Path) -> None:
    """Make `database` what `copy` is, at once: through SQLite, so that programs that have it open see it whole.

    A database that is not sound, or not there, is replaced; what was there stays beside it as `.damaged`.
    """
    try:
        if database.exists() and integrity(database):
            for ending in ("-wal", "-shm"):
                database.with_name(database.name + ending).unlink(missing_ok=True)
            os.replace(database, database.with_name(f"{database.name}.damaged"))
        with (
            said(database),
            closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(database, timeout=60)) as target,
        ):
            source.backup(target)
    except OSError as error:
        raise from_os_error(error, printable(database)) from error


def contents_of(folder: Path) -> dict[str, str]:
    """Contents that the backups of a library know, by SHA-256, and the name of the newest backup that does."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("modelhub-*.db")):
        with contextlib.suppress(sqlite3.DatabaseError), closing(connect_read_only(path)) as raw:
            found |= {row[0]: path.name for row in raw.execute("SELECT sha256 FROM blobs WHERE stored")}
    return found
