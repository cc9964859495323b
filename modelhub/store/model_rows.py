"""Rows of `models` as models: which columns are read, and what each becomes."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, select

from modelhub.core.types import Candidate, Category, Model, Sha256
from modelhub.store import schema

_M = schema.models.c
MODEL_COLUMNS = (
    _M.id, _M.file_hash, _M.filename, _M.file_size, _M.primary_type, _M.base, _M.sub_type, _M.variant,
    _M.confidence, _M.classification_method, _M.file_format, _M.precision, _M.quantization, _M.architecture,
    _M.parameters, _M.context_length, _M.tensor_count, _M.triggers, _M.state, _M.state_code, _M.state_message,
    _M.missing, _M.deleted, _M.notes, _M.classified_at, _M.created_at, _M.license, _M.languages, _M.modalities,
    _M.capabilities, _M.category_primary, _M.category_secondary, _M.category_specialization, _M.offline,
)  # fmt: skip


def models_of(connection: Connection, rows: Iterable[Any]) -> list[Model]:
    """Models of rows with these columns; tags are read for all, candidates and further facts for one alone."""
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
