"""Which volume each found file is on, and which of them are there: a drive that is away is offline, not lost."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from modelhub.store.engine import Database, chunks, now


class KnownVolume(NamedTuple):
    """A volume on which files were found. `mount` is where it was last seen; `files` and `models` are on it."""

    id: str
    kind: str
    label: str
    mount: str
    online: bool
    last_seen: str
    files: int
    models: int


class VolumeRecords:
    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[KnownVolume]:
        query = (
            "SELECT v.id, v.kind, v.label, v.mount_bytes, v.online, v.last_seen,"
            " (SELECT count(*) FROM found_files f WHERE f.volume = v.id AND f.present),"
            " (SELECT count(DISTINCT m.model_id) FROM found_files f JOIN model_files m ON m.sha256 = f.sha256"
            " WHERE f.volume = v.id AND f.present) FROM volumes v ORDER BY v.label, v.id"
        )
        with self._database.read() as connection:
            rows = connection.exec_driver_sql(query).all()
        return [
            KnownVolume(name, kind, label, os.fsdecode(mount), bool(online), seen, files, models)
            for name, kind, label, mount, online, seen, files, models in rows
        ]

    def states(self) -> dict[str, bool]:
        """Whether each known volume was there at the last look."""
        with self._database.read() as connection:
            return {row[0]: bool(row[1]) for row in connection.exec_driver_sql("SELECT id, online FROM volumes")}

    def of_files(self, paths: Iterable[str]) -> dict[str, str]:
        """The volume on which each of these places was recorded; empty: not known."""
        keys = [os.fsencode(path) for path in paths]
        found: dict[str, str] = {}
        with self._database.read() as connection:
            for some in chunks(keys):
                marks = ", ".join("?" * len(some))
                query = f"SELECT path_bytes, volume FROM found_files WHERE path_bytes IN ({marks})"
                found |= {os.fsdecode(row[0]): row[1] for row in connection.exec_driver_sql(query, tuple(some))}
        return found

    def seen(self, volumes: Sequence[tuple[str, str, str, str, int]]) -> None:
        """Note volumes (id, kind, label, mount point, device number) that a scan walked, and what lies on them.

        Files of an outer volume are noted before those of one that is mounted in it.
        """
        with self._database.write() as connection:
            for name, kind, label, mount, device in sorted(volumes, key=lambda one: len(one[3])):
                below = os.fsencode(mount.rstrip("/") + "/")
                changed = connection.exec_driver_sql(
                    "UPDATE found_files SET volume = ? WHERE present AND dev = ? AND volume <> ?"
                    " AND path_bytes >= ? AND path_bytes < ?",
                    (name, device, name, below, below[:-1] + b"0"),
                ).rowcount
                known = "SELECT 1 FROM found_files WHERE volume = ? LIMIT 1"
                if changed or connection.exec_driver_sql(known, (name,)).first() is not None:
                    connection.exec_driver_sql(
                        "INSERT INTO volumes VALUES (?, ?, ?, ?, 1, ?) ON CONFLICT (id) DO UPDATE SET"
                        " mount_bytes = excluded.mount_bytes, online = 1, last_seen = excluded.last_seen",
                        (name, kind, label, os.fsencode(mount), now()),
                    )
            mark_offline(connection)

    def note_states(self, online: Mapping[str, bool]) -> None:
        """Note which volumes are there now, and which models are out of reach with those that are not."""
        with self._database.write() as connection:
            connection.exec_driver_sql(
                "UPDATE volumes SET online = ? WHERE id = ?", [(state, name) for name, state in online.items()]
            )
            mark_offline(connection)


def mark_offline(connection: Connection) -> None:
    """A model is offline while a content of it lies only on volumes that are not there."""
    away = (
        "EXISTS (SELECT 1 FROM model_files f JOIN blobs b ON b.sha256 = f.sha256 WHERE f.model_id = models.id"
        " AND f.role <> 'companion' AND NOT b.stored"
        " AND EXISTS (SELECT 1 FROM found_files p JOIN volumes v ON v.id = p.volume WHERE p.sha256 = b.sha256"
        " AND p.present AND NOT v.online AND p.adopted NOT IN ('symlink', 'move'))"
        " AND NOT EXISTS (SELECT 1 FROM found_files p LEFT JOIN volumes v ON v.id = p.volume WHERE p.sha256 = b.sha256"
        " AND p.present AND coalesce(v.online, 1) AND p.adopted NOT IN ('symlink', 'move')))"
    )
    connection.exec_driver_sql(f"UPDATE models SET offline = 1 WHERE NOT offline AND {away}")
    connection.exec_driver_sql(f"UPDATE models SET offline = 0 WHERE offline AND NOT {away}")
