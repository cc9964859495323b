"""One SQLite database: how it is opened, and how its errors are said.

WAL with `synchronous=FULL`, so that what was committed survives a power cut; foreign keys on; a writer
takes the lock when it begins, so that it never fails half-way; a busy database is waited for.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from modelhub.core.errors import DatabaseBroken, ModelHubError, NoSpace, Unreadable
from modelhub.core.names import printable

BUSY_SECONDS = 60
_T = TypeVar("_T")
_WRITE = "modelhub_write"


def chunks(values: Sequence[_T], size: int = 500) -> Iterator[Sequence[_T]]:
    """As many values at once as a question to SQLite can name."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def now() -> str:
    """The current UTC time as SQLite writes CURRENT_TIMESTAMP."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")


class Database:
    """A database file. Hand out short transactions: `read()` never blocks, `write()` waits its turn."""

    def __init__(self, path: Path, *, wal: bool = True) -> None:
        self.path = path
        self._engine = create_engine("sqlite://", creator=lambda: connect(path, wal=wal), poolclass=QueuePool)
        event.listen(self._engine, "begin", _begin)
        event.listen(self._engine, "checkin", _rollback_open)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with said(self.path), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with (
            said(self.path),
            self._engine.connect().execution_options(**{_WRITE: True}) as connection,
            connection.begin(),
        ):
            yield connection

    def close(self) -> None:
        self._engine.dispose()


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get(_WRITE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _rollback_open(raw: DBAPIConnection | None, _entry: ConnectionPoolEntry) -> None:
    if raw is not None:
        raw.rollback()


def connect(path: Path, *, wal: bool = True) -> sqlite3.Connection:
    """A raw connection with our settings; read-only where the folder cannot be written.

    WAL needs memory that processes share, which a network share has not: without it every commit rewrites pages in
    place behind a rollback journal, and readers wait for writers.
    """
    if os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK)):
        raw = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        raw.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'DELETE'}")
        raw.execute(f"PRAGMA synchronous = {'FULL' if wal else 'EXTRA'}")  # EXTRA: a journal's end is durable, too
        raw.execute("PRAGMA foreign_keys = ON")
        raw.create_function("casefold", 1, _casefold, deterministic=True)
        return raw
    return connect_read_only(path)


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Look without touching; `immutable` because a read-only folder cannot hold WAL's shared memory.

    What a crash left half-done in a journal is rolled back, which SQLite does for those who may write.
    """
    writable = os.access(path.parent, os.W_OK)
    unfinished = writable and os.access(path, os.W_OK) and os.path.exists(f"{path}-journal")
    options = ("mode=rw" if unfinished else "mode=ro") + ("" if writable else "&immutable=1")
    uri = f"{path.absolute().as_uri()}?{options}"
    raw = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    if unfinished:
        raw.execute("PRAGMA query_only = ON")
    raw.create_function("casefold", 1, _casefold, deterministic=True)
    return raw


def _casefold(text: str | None) -> str:
    """Case-insensitive comparison for all scripts; SQLite's own `lower` knows ASCII only."""
    return (text or "").casefold()


@contextmanager
def said(path: Path) -> Iterator[None]:
    """SQLite's errors in our words."""
    try:
        yield
    except DBAPIError as error:
        raise in_our_words(error.orig, path) from error
    except sqlite3.DatabaseError as error:
        raise in_our_words(error, path) from error


def in_our_words(error: BaseException | None, path: Path) -> ModelHubError:
    text, name = str(error), printable(path)
    if "disk is full" in text or "disk I/O error" in text:
        return NoSpace(f"{name}: {text}.", hint="Free some space and run the same command again.")
    if "readonly" in text or "unable to open" in text:
        return Unreadable(f"{name} cannot be written ({text}).", hint="Check the hub's permissions.")
    if "locked" in text:
        return Unreadable(f"{name} is in use by another program ({text}).", hint="Try again when it has finished.")
    return DatabaseBroken(f"{name}: {text}.", hint="Restore the latest file from the hub's backups folder.")
