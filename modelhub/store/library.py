"""Models in modelhub.db: asked for, corrected, described. Rows in, frozen values out."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, func, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from modelhub.core.deployment import Deployable
from modelhub.core.errors import Ambiguous, NotFound
from modelhub.core.names import printable, storable
from modelhub.core.types import (
    Candidate,
    Category,
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
from modelhub.store.filters import conditions_of, ways_to_name
from modelhub.store.search import SearchIndex
from modelhub.store.verdicts import CORRECTABLE, classified_values, corrected, store_evidence

_M = schema.models.c
_COLUMNS = (
    _M.id, _M.file_hash, _M.filename, _M.file_size, _M.primary_type, _M.base, _M.sub_type, _M.variant,
    _M.confidence, _M.classification_method, _M.file_format, _M.precision, _M.quantization, _M.architecture,
    _M.parameters, _M.context_length, _M.tensor_count, _M.triggers, _M.state, _M.state_code, _M.state_message,
    _M.missing, _M.deleted, _M.notes, _M.classified_at, _M.created_at, _M.license, _M.languages, _M.modalities,
    _M.capabilities, _M.category_primary, _M.category_secondary, _M.category_specialization, _M.offline,
)  # fmt: skip
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
    "civitai": "id IN (SELECT model_id FROM external_records WHERE source = 'civitai' AND found"
    " UNION SELECT model_id FROM model_metadata WHERE metadata_type = 'civitai'"
    " UNION SELECT model_id FROM model_files WHERE relative_path LIKE '%.civitai.info')",
    "tags": "coalesce((SELECT group_concat(tag, ', ') FROM tags t WHERE t.model_id = m.id), '')",
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
        return conditions_of(wanted, self._index.condition(wanted.text) if wanted.text else None)

    def find(self, wanted: ModelFilter, *, sort: str = "id", limit: int | None = None) -> list[Model]:
        """Models that fit, in order; `sort` is one of SORT_KEYS."""
        query = select(*_COLUMNS).where(*self._conditions(wanted)).order_by(*_SORTS[sort]).limit(limit)
        with self._database.read() as connection:
            return _models(connection, connection.execute(query).all())

    def listed(self, *, limit: int | None = None) -> list[Listed]:
        """Models that are not deleted, by name; plain rows, since there may be a hundred thousand."""
        columns = [_LISTED.get(name, name) for name in Listed._fields]
        query = f"SELECT {', '.join(columns)} FROM models m WHERE NOT deleted ORDER BY filename COLLATE NOCASE LIMIT ?"
        with self._database.read() as connection:
            cursor = connection.exec_driver_sql(query, (-1 if limit is None else limit,)).cursor
            return [] if cursor is None else [Listed._make(row) for row in cursor.fetchall()]

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
                rows = connection.execute(select(*_COLUMNS).where(condition).limit(6)).all()
                if len(rows) == 1:
                    return _models(connection, rows)[0]
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
            rows = connection.execute(select(*_COLUMNS).where(_M.file_hash.in_(wanted))).all()
            return {model.sha256: model for model in _models(connection, rows)}

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
            rows = connection.execute(select(c.field, c.value).where(c.model_id == model_id))
            return {row[0]: row[1] for row in rows}

    def statistics(self) -> list[tuple[str, int, int]]:
        """Type, number of models and their bytes, most numerous first."""
        number = func.count()
        query = (
            select(_M.primary_type, number, func.coalesce(func.sum(_M.file_size), 0))
            .where(_M.deleted == 0)
            .group_by(_M.primary_type)
            .order_by(number.desc(), _M.primary_type)
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


def _models(connection: Connection, rows: Iterable[Any]) -> list[Model]:
    rows = list(rows)
    ids = [row.id for row in rows]
    tags: dict[int, list[str]] = {}
    query = select(schema.tags.c.model_id, schema.tags.c.tag).order_by(schema.tags.c.tag)
    if len(ids) <= 500:
        query = query.where(schema.tags.c.model_id.in_(ids))
    for model_id, tag in connection.execute(query):
        tags.setdefault(model_id, []).append(tag)
    candidates, facts = _told_of_one(connection, ids[0]) if len(ids) == 1 else ((), {})
    return [_model(row, tuple(tags.get(row.id, ())), candidates, facts) for row in rows]


def _told_of_one(connection: Connection, model_id: int) -> tuple[tuple[Candidate, ...], dict[str, Any]]:
    """What is read for a single model only: its other candidates and the rest of its facts."""
    query = select(_M.candidates, _M.facts).where(_M.id == model_id)
    candidates, facts = connection.execute(query).one()
    listed = tuple(Candidate(str(name), float(sure)) for name, sure in json.loads(candidates))
    return listed, json.loads(facts) if facts else {}


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(", ")) if text else ()


def _model(row: Any, tags: tuple[str, ...], candidates: tuple[Candidate, ...], facts: Mapping[str, Any]) -> Model:
    return Model(
        id=row.id,
        sha256=Sha256(row.file_hash),
        filename=row.filename,
        size=row.file_size,
        type=row.primary_type,
        base=row.base,
        sub_type=row.sub_type,
        variant=row.variant,
        confidence=row.confidence,
        method=row.classification_method,
        format=row.file_format,
        precision=row.precision or "",
        quantization=row.quantization or "",
        architecture=row.architecture or "",
        parameters=row.parameters,
        context_length=row.context_length,
        tensor_count=row.tensor_count or 0,
        triggers=row.triggers or "",
        state=row.state,
        code=row.state_code,
        message=row.state_message,
        missing=bool(row.missing),
        deleted=bool(row.deleted),
        notes=row.notes,
        classified_at=row.classified_at or "",
        created_at=row.created_at or "",
        license=row.license,
        languages=_words(row.languages),
        modalities=_words(row.modalities),
        capabilities=_words(row.capabilities),
        category=Category(row.category_primary, row.category_secondary, row.category_specialization),
        tags=tags,
        candidates=candidates,
        facts=facts,
        offline=bool(row.offline),
    )
