"""Models in modelhub.db: asked for, corrected, described. Rows in, frozen values out."""

import os
from collections.abc import Iterable, Mapping, Sequence
from sys import intern
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from modelhub.core.deployment import Deployable
from modelhub.core.errors import Ambiguous, NotFound
from modelhub.core.names import printable, storable
from modelhub.core.types import (
    Classified,
    Evidence,
    Listed,
    Location,
    Model,
    ModelFile,
    ModelFilter,
    Role,
    Sha256,
)
from modelhub.store import schema
from modelhub.store.engine import Database, chunks, now
from modelhub.store.filters import IS_DUPLICATE, IS_LISTED, conditions_of, ways_to_name
from modelhub.store.model_rows import MODEL_COLUMNS, models_of
from modelhub.store.search import SearchIndex
from modelhub.store.verdicts import CORRECTABLE, WAS_NAMED, classified_values, corrected, store_evidence

_M = schema.models.c
_SORTS: Mapping[str, tuple[ColumnElement[Any], ...]] = {
    "id": (_M.id,),
    "name": (func.casefold(_M.filename), _M.id),
    "type": (_M.primary_type, _M.base, func.casefold(_M.filename)),
    "base": (_M.base, _M.sub_type, func.casefold(_M.filename)),
    "size": (_M.file_size.desc(), _M.id),
    "confidence": (_M.confidence, _M.id),
    "added": (_M.created_at.desc(), _M.id.desc()),
}

_LISTED = {
    "type": "primary_type", "size": "file_size", "precision": "coalesce(precision, '')",
    "quantization": "coalesce(quantization, '')", "triggers": "coalesce(triggers, '')",
    "civitai": IS_LISTED,
    "tags": "coalesce((SELECT group_concat(tag, char(31)) FROM tags t WHERE t.model_id = m.id), '')",
    "format": "file_format",
    "category": "category_primary || ' ' || category_secondary || ' ' || category_specialization",
    "by_hand": "classification_method = 'manual'",
    "deployed": "id IN (SELECT model_id FROM deploy_links WHERE is_deployed)",
    "duplicate": IS_DUPLICATE,
}  # fmt: skip
"""Columns behind the fields of `Listed`, where they have other names."""


_DEPLOYABLE = {
    "sha256": "file_hash", "size": "file_size", "type": "primary_type", "format": "file_format",
    "precision": "coalesce(precision, '')", "quantization": "coalesce(quantization, '')",
    "architecture": "coalesce(architecture, '')", "primary": "category_primary", "secondary": "category_secondary",
    "specialization": "category_specialization", "message": "state_message",
    "state": "CASE WHEN state = 'unsafe' AND EXISTS (SELECT 1 FROM overrides o WHERE o.model_id = models.id"
    " AND o.code = state_code AND o.message = state_message) THEN 'ok' ELSE state END",
}  # fmt: skip
"""Columns behind the fields of `Deployable`, where they have other names."""


_FEW = tuple(
    Listed._fields.index(name)
    for name in ("type", "base", "sub_type", "precision", "quantization", "state", "format", "category", "capabilities",
                 "license")
)  # fmt: skip
"""Fields of `Listed` that have few values."""


def _shared(row: Sequence[Any]) -> list[Any]:
    """The row with one object for each value that many rows have: it halves the room they take."""
    values = list(row)
    for place in _FEW:
        if isinstance(values[place], str):  # a row made by hand may hold anything
            values[place] = intern(values[place])
    return values


class Content(NamedTuple):
    """One file of a model, by its name on disk."""

    model_id: int
    sha256: Sha256
    name: str
    size: int
    stored: bool
    relative: str
    role: Role


_FILE_ORDER = (schema.model_files.c.role != "main", schema.model_files.c.relative_path)
"""The file that stands for a model comes first."""


class Library:
    """All models of one hub."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._index = SearchIndex(database)

    def _conditions(self, wanted: ModelFilter) -> list[ColumnElement[bool]]:
        return conditions_of(wanted, self._index.condition)

    def find(self, wanted: ModelFilter, *, sort: str = "id", limit: int | None = None) -> list[Model]:
        """Models that fit, in order; `sort` is one of SORT_KEYS."""
        query = select(*MODEL_COLUMNS).where(*self._conditions(wanted)).order_by(*_SORTS[sort]).limit(limit)
        with self._database.read() as connection:
            return models_of(connection, connection.execute(query).all())

    def of_ids(self, ids: Sequence[int]) -> list[Model]:
        """These models, in the order of their ids; those that are gone are left out."""
        found: list[Model] = []
        with self._database.read() as connection:
            for some in chunks(sorted(ids)):
                rows = connection.execute(
                    select(*MODEL_COLUMNS).where(_M.id.in_(some), _M.deleted == 0).order_by(_M.id)
                )
                found += models_of(connection, rows.all())
        return found

    def listed(self, *, limit: int | None = None, after: int = 0) -> list[Listed]:
        """Models that are not deleted, by name; plain rows, since there may be a hundred thousand.

        `after` leaves out those whose id is not above it.
        """
        columns = [_LISTED.get(name, name) for name in Listed._fields]
        query = (
            f"SELECT {', '.join(columns)} FROM models m WHERE NOT deleted AND id > ?"
            " ORDER BY filename COLLATE NOCASE LIMIT ?"
        )
        with self._database.read() as connection:
            cursor = connection.exec_driver_sql(query, (after, -1 if limit is None else limit)).cursor
            return [] if cursor is None else [Listed._make(_shared(row)) for row in iter(cursor.fetchone, None)]

    def deployables(self, model_ids: Sequence[int] | None = None) -> list[Deployable]:
        """Models by id with as much as a deployment needs; all that are not deleted, if none are named."""
        columns = ", ".join(_DEPLOYABLE.get(name, name) for name in Deployable._fields)
        found: list[Deployable] = []
        with self._database.read() as connection:
            for some in [()] if model_ids is None else chunks(model_ids):
                where = f"id IN ({', '.join('?' * len(some))})" if some else "NOT deleted"
                query = f"SELECT {columns} FROM models WHERE {where} ORDER BY id"
                cursor = connection.exec_driver_sql(query, tuple(some)).cursor
                found += [Deployable._make(row) for row in (cursor.fetchall() if cursor is not None else ())]
        return found

    def ids(self, wanted: ModelFilter) -> set[int]:
        """The ids of models that fit."""
        with self._database.read() as connection:
            return set(connection.execute(select(_M.id).where(*self._conditions(wanted))).scalars())

    def metadata_value(self, model_id: int) -> dict[str, str]:
        """What the file says of itself, by key."""
        return {key: value for _, key, value in self.metadata(model_id)}

    def repositories(self) -> dict[int, str]:
        """Models of which it is known which repository (`publisher/name`) they come from."""
        query = (
            "SELECT model_id, asked FROM external_records WHERE source = 'huggingface' AND found AND asked LIKE '%/%'"
        )
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.exec_driver_sql(query)}

    def count(self, wanted: ModelFilter) -> int:
        with self._database.read() as connection:
            query = select(func.count()).select_from(schema.models).where(*self._conditions(wanted))
            return connection.execute(query).scalar_one()

    def resolve(self, text: str, *, deleted: bool = False) -> Model:
        """The one model that `text` names: an id, a file name with or without suffix, or a digest's start.

        With `deleted` only what is in the trash is looked at.
        """
        with self._database.read() as connection:
            for condition in ways_to_name(text, deleted=deleted):
                rows = connection.execute(select(*MODEL_COLUMNS).where(condition).limit(6)).all()
                if len(rows) == 1:
                    return models_of(connection, rows)[0]
                if rows:
                    names = ", ".join(f"{row.id} ({printable(row.filename)})" for row in rows[:5])
                    raise Ambiguous(f"{printable(text)!r} fits several models: {names}.", hint="Use the id.")
        if deleted:
            raise NotFound(f"There is no {printable(text)!r} in the trash.", hint="`modelhub trash` lists what is.")
        raise NotFound(
            f"There is no model {printable(text)!r}.",
            hint="`modelhub list` shows what there is; names, ids and digest prefixes work.",
        )

    def by_hash(self, digests: Iterable[str]) -> dict[str, Model]:
        wanted = list(digests)
        with self._database.read() as connection:
            rows = connection.execute(select(*MODEL_COLUMNS).where(_M.file_hash.in_(wanted))).all()
            return {model.sha256: model for model in models_of(connection, rows)}

    def files(self, model_id: int) -> list[ModelFile]:
        joined = schema.model_files.join(schema.blobs)
        blob = schema.blobs.c
        query = select(
            blob.sha256,
            schema.model_files.c.relative_path,
            blob.size,
            blob.blake3,
            blob.autov1,
            blob.stored,
            blob.verified_at,
            schema.model_files.c.role,
        ).select_from(joined)
        with self._database.read() as connection:
            query = query.where(schema.model_files.c.model_id == model_id).order_by(*_FILE_ORDER)
            rows = connection.execute(query).all()
        return [ModelFile(Sha256(row[0]), *row[1:]) for row in rows]

    def contents(self, model_ids: Sequence[int] | None = None) -> list[Content]:
        """Where the content of each model is, deleted ones included: in the store, or at a place it was found."""
        query = (
            "SELECT f.model_id, b.sha256, b.name_bytes, b.size, b.stored, f.relative_path, f.role FROM model_files f"
            " JOIN blobs b ON b.sha256 = f.sha256 {where} ORDER BY f.model_id, f.role <> 'main', f.relative_path"
        )
        found: list[Content] = []
        with self._database.read() as connection:
            for some in [()] if model_ids is None else chunks(model_ids):
                where = f"WHERE f.model_id IN ({', '.join('?' * len(some))})" if some else ""
                cursor = connection.exec_driver_sql(query.format(where=where), tuple(some)).cursor
                found += [
                    Content(row[0], row[1], os.fsdecode(row[2]), row[3], bool(row[4]), row[5], row[6])
                    for row in (cursor.fetchall() if cursor is not None else ())
                ]
        return found

    def locations(self, model_id: int) -> list[Location]:
        """Where the file that stands for the model was found."""
        found, files = schema.found_files.c, schema.model_files.c
        lead = select(files.sha256).where(files.model_id == model_id, files.role == "main")
        query = select(found.path, found.adopted, found.present, found.first_seen, found.recorded_at)
        with self._database.read() as connection:
            rows = connection.execute(query.where(found.sha256.in_(lead)).order_by(found.id)).all()
        return [Location(row[0], row[1], bool(row[2]), row[3], row[4]) for row in rows]

    def places(self) -> dict[int, list[str]]:
        """Where the files that stand for models were found, by model."""
        query = (
            "SELECT m.model_id, f.path FROM found_files f JOIN model_files m ON m.sha256 = f.sha256"
            " WHERE m.role = 'main' ORDER BY f.id"
        )
        found: dict[int, list[str]] = {}
        with self._database.read() as connection:
            for model_id, path in connection.exec_driver_sql(query):
                found.setdefault(model_id, []).append(path)
        return found

    def evidence(self, model_id: int) -> list[Evidence]:
        said = schema.evidence.c
        query = select(
            said.method,
            said.claim,
            said.confidence,
            said.weight,
            said.because,
            said.rule,
            said.base,
            said.sub_type,
            said.variant,
        )
        with self._database.read() as connection:
            return [
                Evidence(*row) for row in connection.execute(query.where(said.model_id == model_id).order_by(said.id))
            ]

    def metadata(self, model_id: int) -> list[tuple[str, str, str]]:
        """Type, key and value of everything stored about the model."""
        c = schema.model_metadata.c
        query = select(c.metadata_type, c.key, c.value).where(c.model_id == model_id).order_by(c.id)
        with self._database.read() as connection:
            return [(row[0], row[1], row[2] or "") for row in connection.execute(query)]

    def corrections(self, model_id: int) -> dict[str, str]:
        c = schema.corrections.c
        with self._database.read() as connection:
            rows = connection.execute(select(c.field, c.value).where(c.model_id == model_id, c.field != WAS_NAMED))
            return {row[0]: row[1] for row in rows}

    def statistics(self, by: Literal["type", "base"] = "type") -> list[tuple[str, int, int]]:
        """Type or base, number of models and their bytes, most numerous first."""
        number, group = func.count(), _M.primary_type if by == "type" else _M.base
        query = (
            select(group, number, func.coalesce(func.sum(_M.file_size), 0))
            .where(_M.deleted == 0)
            .group_by(group)
            .order_by(number.desc(), group)
        )
        with self._database.read() as connection:
            return [(row[0], row[1], row[2]) for row in connection.execute(query)]

    def states(self) -> dict[str, int]:
        """How many models are in each state."""
        query = (
            "SELECT CASE WHEN deleted THEN 'deleted' WHEN offline THEN 'offline' WHEN missing THEN 'missing'"
            " ELSE state END AS told, count(*) FROM models GROUP BY told ORDER BY told"
        )
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.exec_driver_sql(query)}

    def correct(self, model_id: int, fields: Mapping[str, str]) -> None:
        """Set fields by hand; they outlive every reclassification. An empty value lifts the correction."""
        with self._database.write() as connection:
            for field, value in fields.items():
                if value:
                    row = {"model_id": model_id, "field": field, "value": value, "made_at": now()}
                    statement = upsert(schema.corrections).values(row)
                    connection.execute(statement.on_conflict_do_update(index_elements=["model_id", "field"], set_=row))
                    changed = {
                        CORRECTABLE[field]: value,
                        "updated_at": now(),
                        "classification_method": "manual",
                    }
                    connection.execute(update(schema.models).where(_M.id == model_id).values(changed))
                else:
                    c = schema.corrections.c
                    connection.execute(delete(schema.corrections).where(c.model_id == model_id, c.field == field))
                    connection.execute(update(schema.models).where(_M.id == model_id).values(rules_digest=""))

    def rename(self, model_id: int, name: str) -> None:
        """Give a model another name; what it was found as is kept, so that scans know it again."""
        kept = (
            "INSERT INTO corrections (model_id, field, value, made_at) SELECT id, ?, filename, ? FROM models"
            " WHERE id = ? ON CONFLICT (model_id, field) DO NOTHING"
        )
        with self._database.write() as connection:
            connection.exec_driver_sql(kept, (WAS_NAMED, now(), model_id))
            changed = {"filename": storable(name), "updated_at": now()}
            connection.execute(update(schema.models).where(_M.id == model_id).values(changed))

    def annotate(
        self,
        model_id: int,
        *,
        add_tags: Sequence[str] = (),
        remove_tags: Sequence[str] = (),
        notes: str | None = None,
    ) -> None:
        with self._database.write() as connection:
            for tag in add_tags:
                connection.execute(
                    upsert(schema.tags).values(model_id=model_id, tag=storable(tag)).on_conflict_do_nothing()
                )
            c = schema.tags.c
            connection.execute(delete(schema.tags).where(c.model_id == model_id, c.tag.in_(remove_tags)))
            changed: dict[str, Any] = {"updated_at": now()}
            if notes is not None:
                changed["notes"] = storable(notes)
            connection.execute(update(schema.models).where(_M.id == model_id).values(changed))

    def reclassify(self, judged: Sequence[tuple[int, Classified]], rules_digest: str) -> None:
        """Store new verdicts; what was corrected by hand stays."""
        with self._database.write() as connection:
            for model_id, classified in judged:
                values = classified_values(classified, rules_digest)
                values |= corrected(connection, model_id)
                changed = values | {"reclassify": "", "updated_at": now()}
                connection.execute(update(schema.models).where(_M.id == model_id).values(changed))
                connection.execute(delete(schema.evidence).where(schema.evidence.c.model_id == model_id))
                store_evidence(connection, [(model_id, classified)])

    def stale(self, rules_digest: str) -> set[int]:
        """Models that other rules judged, and those marked for reclassification."""
        query = select(_M.id).where(or_(_M.rules_digest != rules_digest, func.coalesce(_M.reclassify, "") != ""))
        with self._database.read() as connection:
            return set(connection.execute(query.where(_M.deleted == 0)).scalars())
