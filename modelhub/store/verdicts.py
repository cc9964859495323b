"""What a classification leaves in the library: the columns of a model, its evidence and its metadata."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, or_, select

from modelhub.core.names import storable
from modelhub.core.types import Classified, Facts, MetaValue
from modelhub.store import schema
from modelhub.store.engine import now

_MAX_VALUE = 1 << 20
_MAX_KEYS = 5_000
CORRECTABLE = {
    "type": "primary_type",
    "sub_type": "sub_type",
    "base": "base",
    "primary": "category_primary",
    "secondary": "category_secondary",
    "specialization": "category_specialization",
}
"""What can be set by hand, and the column it is in."""

WAS_NAMED = "was_named"
"""The field of a correction that holds what a renamed model was found as."""


def called(name: str) -> ColumnElement[bool]:
    """That a model is called this, or was before it was renamed."""
    c = schema.corrections.c
    renamed = select(c.model_id).where(c.field == WAS_NAMED, c.value == storable(name))
    return or_(schema.models.c.filename == storable(name), schema.models.c.id.in_(renamed))


def is_renamed(connection: Connection, model_id: int) -> bool:
    c = schema.corrections.c
    query = select(c.value).where(c.model_id == model_id, c.field == WAS_NAMED)
    return connection.execute(query).first() is not None


def corrected(connection: Connection, model_id: int) -> dict[str, str]:
    """What outlives every judgement: what was set by hand, and what a virus scanner found."""
    c = schema.corrections.c
    rows = connection.execute(select(c.field, c.value).where(c.model_id == model_id)).all()
    values = {CORRECTABLE[row.field]: row.value for row in rows if row.field in CORRECTABLE}
    if values:
        values["classification_method"] = "manual"
    return values | _infected(connection, model_id)


def _infected(connection: Connection, model_id: int) -> dict[str, str]:
    c = schema.examinations.c
    query = select(c.message).where(c.model_id == model_id, c.kind == "virus_scan", c.status == "infected")
    message = connection.execute(query).scalar()
    return {} if message is None else {"state": "unsafe", "state_code": "malware", "state_message": message}


def classified_values(classified: Classified, rules_digest: str) -> dict[str, Any]:
    """The columns of `models` that a classification fills."""
    verdict, facts, inspection = classified.verdict, classified.facts, classified.inspection
    best = max(verdict.scores, key=lambda method: verdict.scores[method]) if verdict.evidence else "none"
    return {
        "primary_type": verdict.type,
        "sub_type": verdict.sub_type,
        "base": verdict.base,
        "variant": verdict.variant,
        "confidence": verdict.confidence,
        "classification_method": best,
        "candidates": json.dumps([[one.type, one.confidence] for one in verdict.candidates]),
        "rules_digest": rules_digest,
        "classified_at": now(),
        "file_format": facts.format,
        "precision": facts.precision,
        "quantization": facts.quantization,
        "architecture": storable(facts.architecture),
        "parameters": min(facts.parameters, (1 << 63) - 1),
        "context_length": facts.context_length,
        "tensor_count": facts.tensor_count,
        "triggers": storable(", ".join(facts.triggers)),
        "license": storable(facts.license),
        "languages": storable(", ".join(facts.languages)),
        "modalities": ", ".join(facts.modalities),
        "capabilities": ", ".join(facts.capabilities),
        "category_primary": facts.category.primary,
        "category_secondary": facts.category.secondary,
        "category_specialization": facts.category.specialization,
        "facts": _further(facts),
        "filename_score": verdict.scores.get("filename", 0.0),
        "size_score": verdict.scores.get("size", 0.0),
        "metadata_score": verdict.scores.get("metadata", 0.0),
        "tensor_score": verdict.scores.get("tensors", 0.0),
        "external_score": verdict.scores.get("external", 0.0),
        "state": inspection.state,
        "state_code": inspection.code,
        "state_message": storable(inspection.message),
    }


def store_evidence(connection: Connection, judged: Sequence[tuple[int, Classified]]) -> None:
    rows = [
        {
            "model_id": model_id,
            "method": one.method,
            "claim": one.claim,
            "base": one.base,
            "sub_type": one.sub_type,
            "variant": one.variant,
            "confidence": one.confidence,
            "weight": one.weight,
            "because": storable(one.because),
            "rule": one.rule,
        }
        for model_id, classified in judged
        for one in classified.verdict.evidence
    ]
    if rows:
        connection.execute(insert(schema.evidence), rows)


def store_metadata(connection: Connection, judged: Sequence[tuple[int, Classified]]) -> None:
    rows = [
        {
            "model_id": model_id,
            "metadata_type": classified.inspection.container,
            "key": storable(key),
            "value": _text(value),
        }
        for model_id, classified in judged
        for key, value in list(classified.inspection.metadata.items())[:_MAX_KEYS]
    ]
    if rows:
        connection.execute(insert(schema.model_metadata), rows)


def _text(value: MetaValue) -> str:
    return storable(str(value).lower() if isinstance(value, bool) else str(value))[:_MAX_VALUE]


def _further(facts: Facts) -> str:
    """The facts without a column of their own, as JSON; those that nothing tells are left out."""
    told = {
        "license_name": facts.license_name,
        "vocabulary_size": facts.vocabulary_size,
        "chat_template": facts.chat_template,
        "adapter": facts.adapter._asdict() if facts.adapter else None,
        "tags": facts.tags,
        "description": facts.description,
        "base_models": facts.base_models,
        "datasets": facts.datasets,
    }
    return storable(json.dumps({name: value for name, value in told.items() if value}, ensure_ascii=False))
