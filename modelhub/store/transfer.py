"""Models with all that is known of them as plain rows, to be taken into another hub; and rows of one taken in."""

import base64
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Table, select

from modelhub.core.collecting import uncollected
from modelhub.core.names import storable
from modelhub.store import schema
from modelhub.store.engine import Database, chunks

Row = dict[str, Any]
_OF_A_MODEL = ("model_metadata", "evidence", "external_records", "tags", "corrections")
"""What a model takes along; what was allowed or examined here is for each hub to say anew."""


def _shape(*tables: Table) -> tuple[frozenset[str], frozenset[str]]:
    """The columns of a row, and those that it cannot do without."""
    columns = [column for table in tables for column in table.columns if column.name not in ("id", "model_id")]
    needed = (column.name for column in columns if not column.nullable and column.name not in _MADE_HERE)
    return frozenset(column.name for column in columns), frozenset(needed)


_MADE_HERE = {"name_bytes", "stored", "missing", "offline", "quarantined_at", "verified_at"}
"""Columns that each hub fills for itself."""

SHAPES = {name: _shape(schema.library.tables[name]) for name in ("models", *_OF_A_MODEL)} | {
    "files": _shape(schema.model_files, schema.blobs)
}
"""By the names under which a bundle has them: all columns, and those that are needed."""

_UNJUDGED = {
    "state": "unsafe",
    "state_code": "not_judged",
    "state_message": "It came from elsewhere and was not looked at yet.",
    "rules_digest": "",
}
"""What a model is until this hub has judged it: another's word on it is not believed."""


class Transfer:
    """Rows of models, without the ids that only this hub knows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def models(self, model_ids: Sequence[int]) -> Iterator[Row]:
        """Each model with its own rows, its files and their contents under the names of the tables."""
        for some in chunks(model_ids):
            with self._database.read() as connection:
                rows = _rows(connection, schema.models, schema.models.c.id.in_(some))
                files = self._files(connection, some)
                beside = {
                    name: _by_model(_rows(connection, table, table.c.model_id.in_(some)))
                    for name in _OF_A_MODEL
                    for table in (schema.library.tables[name],)
                }
            for row in rows:
                model_id = row.pop("id")
                told = {name: found.get(model_id, []) for name, found in beside.items()}
                yield {"model": row, "files": files.get(model_id, []), **told}

    @staticmethod
    def _files(connection: Connection, model_ids: Sequence[int]) -> dict[int, list[Row]]:
        """Files with their contents' columns."""
        joined = schema.model_files.join(schema.blobs)
        file, blob = schema.model_files.c, schema.blobs.c
        columns = (file.model_id, file.relative_path, file.role, *blob)
        query = select(*columns).select_from(joined).where(file.model_id.in_(model_ids)).order_by(file.id)
        found: dict[int, list[Row]] = {}
        for row in connection.execute(query).mappings():
            one = _plain(dict(row))
            found.setdefault(one.pop("model_id"), []).append(one)
        return found

    def known(self, digests: Iterable[str]) -> dict[str, int]:
        """Those of these models that are here, deleted ones included."""
        wanted = list(digests)
        c = schema.models.c
        found: dict[str, int] = {}
        with self._database.read() as connection:
            for some in chunks(wanted):
                query = select(c.file_hash, c.id).where(c.file_hash.in_(some))
                found |= {row[0]: row[1] for row in connection.execute(query)}
        return found

    def unjudged(self) -> list[int]:
        """Models that came from elsewhere and were not judged here yet, also those that a crash left so."""
        query = f"SELECT id FROM models WHERE state_code = '{_UNJUDGED['state_code']}' ORDER BY id"
        with self._database.read() as connection:
            return list(connection.exec_driver_sql(query).scalars())

    def take(self, told: Sequence[Row], stored: Mapping[str, str]) -> tuple[int, int]:
        """Take models in; numbers of new ones, and of those that were here. `stored`: contents and their names here.

        A model that is here keeps what it is; tags, answers of sites and corrections that it lacks are added.
        """
        known = self.known(one["model"]["file_hash"] for one in told)
        new = {one["model"]["file_hash"]: one for one in told if one["model"]["file_hash"] not in known}
        with uncollected(), self._database.write() as connection:
            _put_blobs(connection, told, stored)
            _add(connection, list(new.values()))
            for one in told:
                model_id = known.get(one["model"]["file_hash"])
                if model_id is not None:
                    _complete(connection, model_id, one)
        return len(new), len(told) - len(new)


def _rows(connection: Connection, table: Table, condition: Any) -> list[Row]:
    return [_plain(dict(row)) for row in connection.execute(select(table).where(condition)).mappings()]


def _by_model(rows: Iterable[Row]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in rows:
        row.pop("id")
        found.setdefault(row.pop("model_id"), []).append(row)
    return found


def _plain(row: Row) -> Row:
    return {
        name: {"b64": base64.b64encode(value).decode("ascii")} if isinstance(value, bytes) else value
        for name, value in row.items()
    }


def _insert(connection: Connection, table: Table, rows: Sequence[Row], then: str = "") -> None:
    """Rows into a table, all at once; the columns that this version does not know are left out."""
    for alike in _alike(rows):
        names = [name for name in alike[0] if name in table.c]
        _execute(connection, table, names, map(itemgetter(*names), alike), then)


def _insert_owned(connection: Connection, table: Table, owned: Sequence[tuple[int, Row]]) -> None:
    """Rows of models, each beside the id of its model, which is none of its columns."""
    for alike in _alike([row for _, row in owned]):
        names = [name for name in alike[0] if name in table.c]
        if len(names) > 1:
            take = itemgetter(*names)
            rows = [(model_id, *take(row)) for model_id, row in owned if len(row) == len(alike[0])]
        else:
            rows = [(model_id, row[names[0]]) for model_id, row in owned]
        _execute(connection, table, ["model_id", *names], rows, "")


def _execute(connection: Connection, table: Table, names: Sequence[str], rows: Iterable[Any], then: str) -> None:
    marks = ", ".join("?" * len(names))
    statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks}) {then}"
    connection.exec_driver_sql(statement, list(rows))


def _alike(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Rows with the same columns together; nearly always all are. An earlier version may know fewer columns."""
    by_number: dict[int, list[Row]] = {}
    for row in rows:
        by_number.setdefault(len(row), []).append(row)
    yield from by_number.values()


def _put_blobs(connection: Connection, told: Sequence[Row], stored: Mapping[str, str]) -> None:
    columns = set(schema.blobs.c.keys())
    there: dict[str, Row] = {}
    elsewhere: dict[str, Row] = {}
    for one in told:
        for file in one["files"]:
            sha256 = file["sha256"]
            name = stored.get(sha256, file["name"])
            row = {column: value for column, value in file.items() if column in columns}
            row |= {"name": storable(name), "name_bytes": os.fsencode(name), "quarantined_at": ""}
            (there if sha256 in stored else elsewhere)[sha256] = row | {"stored": sha256 in stored}
    _insert(connection, schema.blobs, list(elsewhere.values()), "ON CONFLICT (sha256) DO NOTHING")
    here = ("stored", "name", "name_bytes", "quarantined_at")
    changed = ", ".join(f"{name} = excluded.{name}" for name in here)
    _insert(connection, schema.blobs, list(there.values()), f"ON CONFLICT (sha256) DO UPDATE SET {changed}")


def _add(connection: Connection, told: Sequence[Row]) -> None:
    """New models with their own ids, and everything that belongs to them."""
    last = connection.exec_driver_sql("SELECT coalesce(max(id), 0) FROM models").scalar_one()
    ids = range(last + 1, last + 1 + len(told))
    here = {"missing": False, "offline": False, "deleted_at": None, **_UNJUDGED}
    _insert(connection, schema.models, [{**one["model"], **here, "id": i} for i, one in zip(ids, told, strict=True)])
    for name in ("files", *_OF_A_MODEL):
        table = schema.library.tables["model_files" if name == "files" else name]
        _insert_owned(
            connection, table, [(i, row) for i, one in zip(ids, told, strict=True) for row in one.get(name, ())]
        )


def _complete(connection: Connection, model_id: int, one: Row) -> None:
    for name in ("tags", "corrections", "external_records"):
        table = schema.library.tables[name]
        rows = [{**row, "model_id": model_id} for row in one.get(name, ())]
        if name == "external_records":
            c = table.c
            had = set(connection.execute(select(c.source, c.asked, c.fetched_at).where(c.model_id == model_id)).all())
            rows = [row for row in rows if (row["source"], row["asked"], row["fetched_at"]) not in had]
        _insert(connection, table, rows, "ON CONFLICT DO NOTHING")
    notes = one["model"].get("notes") or ""
    changed = schema.models.update().where(schema.models.c.id == model_id, schema.models.c.notes == "")
    connection.execute(changed.values(notes=notes))
