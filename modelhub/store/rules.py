"""classification.db: the rows in force, and the renewal of the rows we ship."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from modelhub.store import seed
from modelhub.store.engine import Database
from modelhub.store.rule_forms import FORMS, Row
from modelhub.store.seed import Seed

KEYS: Mapping[str, str] = {table: form.key for table, form in FORMS.items()}
"""Rule tables and the column by which a user's row hides ours."""


class Rules:
    """The rule database of a hub."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def renew(self, folder: Path) -> None:
        """Put the shipped rows in place if they are not the ones there; the user's stay as they are."""
        shipped = seed.digest(folder)
        with self._database.read() as connection:
            if _seed_digest(connection) == shipped:
                return
        new = seed.load(folder)
        with self._database.write() as connection:
            if _seed_digest(connection) != new.digest:
                _replace(connection, new)

    def rows(self) -> tuple[Mapping[str, Sequence[Mapping[str, Any]]], str]:
        """Every table's effective rows, and a digest that names this set of rules."""
        found: dict[str, list[Row]] = {}
        digest = hashlib.sha256()
        with self._database.read() as connection:
            for table in KEYS:
                result = connection.exec_driver_sql(f"SELECT * FROM effective_{table} ORDER BY id")
                found[table] = [dict(row) for row in result.mappings()]
                for row in found[table]:
                    digest.update(_content(row).encode())
        return found, digest.hexdigest()

    def all_rows(self) -> dict[str, list[Row]]:
        """Every row of every table, those not in force too: a user's above ours."""
        with self._database.read() as connection:
            return {table: [_named(row, KEYS[table]) for row in _every(connection, table)] for table in KEYS}

    def own_rows(self) -> dict[str, list[Row]]:
        """The user's rows by table."""
        rows = self.all_rows()
        return {table: [row for row in found if row["origin"] == "user"] for table, found in rows.items()}

    def put(self, rows: Mapping[str, Sequence[Row]]) -> None:
        """Write rows as the user's, over those of the same key; one that says so is switched off."""
        with self._database.write() as connection:
            for table, found in rows.items():
                for row in found:
                    _upsert(connection, table, row, "user")

    def remove(self, table: str, key: str) -> bool:
        """Take the user's row of that key away; whether there was one."""
        with self._database.write() as connection:
            named = f"{KEYS[table]} = :key OR ({KEYS[table]} IS NULL AND '{_NAMELESS}' || id = :key)"
            delete = text(f"DELETE FROM {table} WHERE origin = 'user' AND ({named})")
            return connection.execute(delete, {"key": key}).rowcount > 0

    def close(self) -> None:
        self._database.close()


_NAMELESS = "row-"
"""What a row without a key is called, before its id."""


def _named(row: Row, key: str) -> Row:
    return row if row[key] else row | {key: f"{_NAMELESS}{row['id']}"}


def _every(connection: Connection, table: str) -> list[Row]:
    query = f"SELECT * FROM {table} WHERE origin IN ('seed', 'user') ORDER BY origin DESC, id"
    return [dict(row) for row in connection.exec_driver_sql(query).mappings()]


def _upsert(connection: Connection, table: str, row: Row, origin: str) -> Row:
    """Write a row as the user's or ours, over that of the same key; the row as it stands now, without a checksum."""
    names = [name for name in row if name not in ("id", "created_at", "origin", "checksum", "enabled", "file")]
    marks = ", ".join(f"{name} = excluded.{name}" for name in (*names, "enabled", "checksum"))
    insert = text(
        f"INSERT INTO {table} ({', '.join(names)}, enabled, origin, checksum)"
        f" VALUES ({', '.join(f':{name}' for name in names)}, :enabled, '{origin}', '')"
        f" ON CONFLICT ({KEYS[table]}, origin) DO UPDATE SET {marks} RETURNING *"
    )
    values = {name: row[name] for name in names} | {"enabled": row.get("enabled", True)}
    return dict(connection.execute(insert, values).mappings().one())


def _seed_digest(connection: Connection) -> str:
    return connection.execute(text("SELECT value FROM meta WHERE key = 'seed_digest'")).scalar() or ""


def _content(row: Mapping[str, Any]) -> str:
    """What a rule says, without what only tells where it stands, and without empty columns: a new one changes none.

    SQLite gives 1.0 back as 1 or as 1.0, so numbers are compared as floats.
    """
    unsaid = ("id", "created_at", "origin", "checksum", "enabled")
    said = {name: _plain(value) for name, value in row.items() if name not in unsaid and value}
    said["enabled"] = bool(row.get("enabled", True))
    return json.dumps(said, sort_keys=True, default=str)


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, int | float) else value


def _checksum(row: Mapping[str, Any]) -> str:
    return hashlib.sha256(_content(row).encode()).hexdigest()[:16]


def _replace(connection: Connection, new: Seed) -> None:
    for table, key in KEYS.items():
        _keep_changed_by_hand(connection, table)
        shipped = {row[key] for row in new.rows[table]}
        for row in new.rows[table]:
            _put(connection, table, row)
        for (name,) in connection.execute(text(f"SELECT {key} FROM {table} WHERE origin = 'seed'")).all():
            if name not in shipped:
                where = f"WHERE origin = 'seed' AND {key} = :name"
                kept = text(f"UPDATE {table} SET origin = 'first_version' {where} AND checksum = ''")
                connection.execute(kept, {"name": name})
                connection.execute(text(f"DELETE FROM {table} {where}"), {"name": name})
    connection.execute(text("INSERT OR REPLACE INTO meta VALUES ('seed_digest', :digest)"), {"digest": new.digest})


def _keep_changed_by_hand(connection: Connection, table: str) -> None:
    """A shipped row that somebody edited in place becomes the user's own, unless they have one already."""
    rows = connection.execute(text(f"SELECT * FROM {table} WHERE origin = 'seed' AND checksum <> ''")).mappings()
    for row in rows.all():
        if _checksum(dict(row)) != row["checksum"]:
            own = text(f"UPDATE OR IGNORE {table} SET origin = 'user', checksum = '' WHERE id = :id")
            connection.execute(own, {"id": row["id"]})


def _put(connection: Connection, table: str, row: Row) -> None:
    stored = _upsert(connection, table, row, "seed")
    mark = text(f"UPDATE {table} SET checksum = :checksum WHERE id = :id")
    connection.execute(mark, {"checksum": _checksum(stored), "id": stored["id"]})
