"""Models with all that is known of them as plain rows, to be taken into another hub; and rows of one taken in."""

import base64
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from modelhub.core.errors import DatabaseBroken
from modelhub.core.names import storable
from modelhub.store import schema
from modelhub.store.engine import Database

Row = dict[str, Any]
_OF_A_MODEL = ("model_metadata", "evidence", "external_records", "tags", "corrections")
"""What a model takes along; what was allowed or examined here is for each hub to say anew."""

_CHUNK = 500


class Transfer:
    """Rows of models, without the ids that only this hub knows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def models(self, model_ids: Sequence[int]) -> Iterator[Row]:
        """Each model with its own rows, its files and their contents under the names of the tables."""
        for start in range(0, len(model_ids), _CHUNK):
            some = model_ids[start : start + _CHUNK]
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
            for start in range(0, len(wanted), _CHUNK):
                query = select(c.file_hash, c.id).where(c.file_hash.in_(wanted[start : start + _CHUNK]))
                found |= {row[0]: row[1] for row in connection.execute(query)}
        return found

    def take(self, told: Sequence[Row], stored: Mapping[str, str]) -> tuple[int, int]:
        """Take models in; numbers of new ones, and of those that were here. `stored`: contents and their names here.

        A model that is here keeps what it is; tags, answers of sites and corrections that it lacks are added.
        """
        new = known = 0
        with self._database.write() as connection:
            for one in told:
                for file in one["files"]:
                    _put_blob(connection, file, stored)
                c = schema.models.c
                row = one["model"]
                model_id = connection.execute(select(c.id).where(c.file_hash == row["file_hash"])).scalar()
                if model_id is None:
                    new += 1
                    _add(connection, one)
                else:
                    known += 1
                    _complete(connection, model_id, one)
        return new, known


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


def _values(table: Table, row: Mapping[str, Any]) -> Row:
    """The columns that this version knows; raises DatabaseBroken for what is no row."""
    values: Row = {}
    for name, value in row.items():
        if name in table.c and name != "id":
            values[name] = base64.b64decode(value["b64"]) if isinstance(value, dict) and "b64" in value else value
    if not all(isinstance(value, str | int | float | bytes | None) for value in values.values()):
        raise DatabaseBroken(f"A row of {table.name} holds what no row can hold.", hint="Export it again.")
    return values


def _put_blob(connection: Connection, file: Row, stored: Mapping[str, str]) -> None:
    values = _values(schema.blobs, file) | {"stored": False, "quarantined_at": ""}
    name = stored.get(file["sha256"])
    here: Row = {}
    if name is not None:
        here = {"stored": True, "name": storable(name), "name_bytes": os.fsencode(name), "quarantined_at": ""}
    statement = upsert(schema.blobs).values(values | here)
    if here:
        statement = statement.on_conflict_do_update(index_elements=["sha256"], set_=here)
    else:
        statement = statement.on_conflict_do_nothing()
    connection.execute(statement)


def _add(connection: Connection, one: Row) -> None:
    values = _values(schema.models, one["model"]) | {"missing": False, "offline": False}
    model_id = connection.execute(insert(schema.models).values(values).returning(schema.models.c.id)).scalar_one()
    for name in _OF_A_MODEL:
        table = schema.library.tables[name]
        rows = [_values(table, row) | {"model_id": model_id} for row in one.get(name, ())]
        if rows:
            connection.execute(insert(table), rows)
    files = [_values(schema.model_files, file) | {"model_id": model_id} for file in one["files"]]
    connection.execute(insert(schema.model_files), files)


def _complete(connection: Connection, model_id: int, one: Row) -> None:
    for name in ("tags", "corrections", "external_records"):
        table = schema.library.tables[name]
        rows = [_values(table, row) | {"model_id": model_id} for row in one.get(name, ())]
        if name == "external_records":
            c = table.c
            had = set(connection.execute(select(c.source, c.asked, c.fetched_at).where(c.model_id == model_id)).all())
            rows = [row for row in rows if (row["source"], row["asked"], row["fetched_at"]) not in had]
        if rows:
            connection.execute(upsert(table).on_conflict_do_nothing(), rows)
    notes = one["model"].get("notes") or ""
    changed = schema.models.update().where(schema.models.c.id == model_id, schema.models.c.notes == "")
    connection.execute(changed.values(notes=notes))
