"""What a site's answer, or a file beside it, says of a model's type, family and words; the terms are data."""

from collections.abc import Iterator, Mapping
from typing import Any

from modelhub.classify.rulebook import RuleBook
from modelhub.core.types import SIDECAR, Evidence, External

METHOD = "external"
_CIVITAI, _HUGGINGFACE = "civitai", "huggingface"
_SURE, _SAID = 0.95, 0.8


def evidence(record: External, book: RuleBook) -> Iterator[Evidence]:
    """What is claimed: by a site of a hash, nearly sure; by a repository's card or a file beside the model, less."""
    if record.source == _HUGGINGFACE:
        yield from _claims(record, _HUGGINGFACE, str(record.data.get("pipeline_tag") or ""), "", book)
    elif record.source in (_CIVITAI, SIDECAR):
        yield from _claims(record, _CIVITAI, _type_of(record.data), str(record.data.get("baseModel") or ""), book)


def _type_of(data: Mapping[str, Any]) -> str:
    model = data.get("model")
    return str(model.get("type") or "") if isinstance(model, Mapping) else ""


def _claims(record: External, speech: str, kind: str, base: str, book: RuleBook) -> Iterator[Evidence]:
    """What it says in the terms of the site `speech`."""
    claim = book.terms.get((speech, "type", kind.lower()), "")
    family = book.terms.get((speech, "base", base.lower()), "")
    if not claim and not family:
        return
    root = book.root(family)
    told = " ".join(word for word in (base, kind) if word)
    who, when = (record.asked, "") if record.source == SIDECAR else (record.source, f" ({record.fetched_at[:10]})")
    yield Evidence(
        method=METHOD,
        claim=claim,
        confidence=_SURE if record.source == _CIVITAI else _SAID,
        weight=book.weights.get(METHOD, 0.0),
        because=f"{who} says “{told}”{when}",
        rule=record.source,
        base=root,
        sub_type=family if family != root else "",
    )


def triggers(record: External) -> tuple[str, ...]:
    """The words that Civitai says call a model forth."""
    words = record.data.get("trainedWords")
    return tuple(str(word).strip() for word in words if str(word).strip()) if isinstance(words, list) else ()
