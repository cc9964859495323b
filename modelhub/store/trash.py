"""Deleted models: rows marked, brought back, and at last forgotten."""

import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from modelhub.core.types import Sha256
from modelhub.store.engine import Database, chunks, now


class Deleted(NamedTuple):
    """A model in the trash. `size` in bytes; `deleted_at` in UTC, as SQLite writes CURRENT_TIMESTAMP."""

    id: int
    sha256: Sha256
    filename: str
    size: int
    deleted_at: str


class StoredFile(NamedTuple):
    """A content in the store: its name there, and its bytes."""

    sha256: Sha256
    name: str
    size: int


class Trash:
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, model_ids: Sequence[int]) -> None:
        self._each(
            "UPDATE models SET deleted = 1, updated_at = ? WHERE id = ? AND NOT deleted",
            [(now(), one) for one in model_ids],
        )

    def take_back(self, model_ids: Sequence[int]) -> None:
        self._each(
            "UPDATE models SET deleted = 0, updated_at = ? WHERE id = ? AND deleted",
            [(now(), one) for one in model_ids],
        )

    def _each(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            with self._database.write() as connection:
                connection.exec_driver_sql(statement, list(rows))

    def all(self, model_ids: Sequence[int] | None = None, *, before: str = "") -> list[Deleted]:
        """What is in the trash (of these models), the longest there first; only what was deleted `before` a time.

        The database itself dates what goes there, also by the hand of somebody with `sqlite3`.
        """
        query = (
            "SELECT id, file_hash, filename, file_size, deleted_at FROM models"
            " WHERE deleted AND (? = '' OR deleted_at <= ?) ORDER BY deleted_at, id"
        )
        with self._database.read() as connection:
            found = [Deleted(*row) for row in connection.exec_driver_sql(query, (before, before))]
        wanted = None if model_ids is None else set(model_ids)
        return [one for one in found if wanted is None or one.id in wanted]

    def only_theirs(self, model_ids: Iterable[int]) -> list[StoredFile]:
        """Contents in the store that no other model than these has, in the trash or not."""
        query = (
            "SELECT DISTINCT b.sha256, b.name_bytes, b.size FROM doomed d JOIN model_files f ON f.model_id = d.id"
            " JOIN blobs b ON b.sha256 = f.sha256 WHERE b.stored AND NOT EXISTS (SELECT 1 FROM model_files o"
            " WHERE o.sha256 = b.sha256 AND o.model_id NOT IN (SELECT id FROM doomed)) ORDER BY b.sha256"
        )
        with self._database.read() as connection:
            _remember(connection, model_ids)
            rows = connection.exec_driver_sql(query).all()
        return [StoredFile(Sha256(row[0]), os.fsdecode(row[1]), row[2]) for row in rows]

    def links_to(self, digests: Iterable[str]) -> list[tuple[str, str]]:
        """Places where a scan left a link to one of these contents: the path, and the SHA-256."""
        found: list[tuple[str, str]] = []
        with self._database.read() as connection:
            for some in chunks(sorted(set(digests))):
                marks = ", ".join("?" * len(some))
                query = (
                    "SELECT path_bytes, sha256 FROM found_files WHERE present AND adopted = 'symlink'"
                    f" AND sha256 IN ({marks}) ORDER BY id"
                )
                found += [(os.fsdecode(row[0]), row[1]) for row in connection.exec_driver_sql(query, tuple(some))]
        return found

    def forget(self, model_ids: Sequence[int]) -> None:
        """Drop models that are still in the trash, with all that is known of them, and contents that are nobody's."""
        with self._database.write() as connection:
            _remember(connection, model_ids)
            connection.exec_driver_sql("DELETE FROM doomed WHERE id NOT IN (SELECT id FROM models WHERE deleted)")
            theirs = "(SELECT sha256 FROM model_files WHERE model_id IN (SELECT id FROM doomed))"
            others = "(SELECT sha256 FROM model_files WHERE model_id NOT IN (SELECT id FROM doomed))"
            connection.exec_driver_sql(
                f"CREATE TEMP TABLE nobodys AS SELECT sha256 FROM blobs WHERE sha256 IN {theirs}"
                f" AND sha256 NOT IN {others}"
            )
            connection.exec_driver_sql("DELETE FROM deploy_steps WHERE model_id IN (SELECT id FROM doomed)")
            connection.exec_driver_sql(  # what cannot be undone any more is no longer offered
                "DELETE FROM deploy_runs WHERE state <> 'running' AND id NOT IN (SELECT run_id FROM deploy_steps)"
            )
            connection.exec_driver_sql("DELETE FROM models WHERE id IN (SELECT id FROM doomed)")
            connection.exec_driver_sql("DELETE FROM found_files WHERE sha256 IN (SELECT sha256 FROM nobodys)")
            connection.exec_driver_sql("DELETE FROM blobs WHERE sha256 IN (SELECT sha256 FROM nobodys)")
            connection.exec_driver_sql("DROP TABLE nobodys")


def _remember(connection: Connection, model_ids: Iterable[int]) -> None:
    """Models named in a table of this connection, since there may be more than a question can name."""
    connection.exec_driver_sql("CREATE TEMP TABLE IF NOT EXISTS doomed (id INTEGER PRIMARY KEY)")
    connection.exec_driver_sql("DELETE FROM doomed")
    rows = [(one,) for one in set(model_ids)]
    if rows:
        connection.exec_driver_sql("INSERT INTO doomed VALUES (?)", rows)
