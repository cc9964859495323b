"""What a site's answer says of a model's type, family and words; the terms it uses are data."""

from collections.abc import Iterator, Mapping
from typing import Any

from modelhub.classify.rulebook import RuleBook
from modelhub.core.types import Evidence, External

METHOD = "external"
_SURE, _SAID = 0.95, 0.8


def evidence(record: External, book: RuleBook) -> Iterator[Evidence]:
    """What one site claims: that of a hash is nearly sure, that of a repository's card is what its author says."""
    if record.source == "civitai":
        yield from _claims(record, _type_of(record.data), str(record.data.get("baseModel") or ""), _SURE, book)
    elif record.source == "huggingface":
        yield from _claims(record, str(record.data.get("pipeline_tag") or ""), "", _SAID, book)


def _type_of(data: Mapping[str, Any]) -> str:
    model = data.get("model")
    return str(model.get("type") or "") if isinstance(model, Mapping) else ""


def _claims(record: External, kind: str, base: str, sure: float, book: RuleBook) -> Iterator[Evidence]:
    claim = book.terms.get((record.source, "type", kind.lower()), "")
    family = book.terms.get((record.source, "base", base.lower()), "")
    if not claim and not family:
        return
    root = book.root(family)
    told = " ".join(word for word in (base, kind) if word)
    yield Evidence(
        method=METHOD,
        claim=claim,
        confidence=sure,
        weight=book.weights.get(METHOD, 0.0),
        because=f"{record.source} says “{told}” ({record.fetched_at[:10]})",
        rule=record.source,
        base=root,
        sub_type=family if family != root else "",
    )


def triggers(record: External) -> tuple[str, ...]:
    """The words that Civitai says call a model forth."""
    words = record.data.get("trainedWords")
    return tuple(str(word).strip() for word in words if str(word).strip()) if isinstance(words, list) else ()
