"""From evidence to verdict, in one formula.

For each type t that anybody claimed, with W the weight of a method and c its surest confidence:

    agreement(t)  = sum of W*c over methods that claim t  /  sum of W*c over methods that said anything
    strength(t)   = 1 - product of (1 - c) over the methods that claim t   (size cannot add strength)
    confidence(t) = agreement(t) * strength(t), at most 0.99

So methods that agree make each other surer, one that disagrees costs as much as it weighs, and a method
with nothing to say costs nothing. Below the threshold the answer is `unknown`, with the candidates.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from modelhub.classify import external, facts, families, gather
from modelhub.classify.globs import NameIndex
from modelhub.classify.rulebook import RuleBook
from modelhub.core.types import (
    NOT_A_MODEL,
    UNKNOWN,
    Candidate,
    Classified,
    Evidence,
    External,
    Facts,
    Inspection,
    Verdict,
)

MOST_SURE = 0.99
ANY_BASE = "any"
"""What a rule gives as the family of a helper that serves many: a text encoder, a depth model."""

_CANDIDATES = 5
_SCORED = ("filename", "size", "metadata", "tensors", "external")


def classify(
    inspection: Inspection, name: str, book: RuleBook, threshold: float, known: Sequence[External] = ()
) -> Classified:
    """Judge one inspected file. `name` is its file name, `threshold` the least confidence (0-1).

    `known` is what sites said of it.
    """
    if inspection.state == "not_model":
        return Classified(inspection, _no_model(inspection), Facts(inspection.container))
    names = NameIndex(inspection.tensors)
    evidence = [*gather.from_header(inspection, names, book), *gather.from_filename(name, book)]
    evidence += [one for record in known for one in external.evidence(record, book)]
    claimed = {one.claim for one in evidence if one.claim}
    evidence += gather.from_size(inspection.size, claimed, book)
    candidates = _rank(evidence, book)
    best = candidates[0] if candidates else Candidate(UNKNOWN, 0.0)
    model_type = best.type if best.confidence >= threshold else UNKNOWN
    if candidates:  # a name that tells no type is no ground for a family
        evidence += families.from_architecture(inspection, book)
        evidence += families.from_names(name, inspection, best.type, book)
    speaking = evidence if candidates else [one for one in evidence if one.method != "filename"]
    base = _base(speaking, best.type, book)
    finer = list(gather.sub_types(name, inspection, names, best.type, base, book)) if candidates else []
    base = "" if base == ANY_BASE else base or _base(finer, "", book)
    finer = [one for one in finer if not one.base or not base or one.base == base]
    chosen = [one for one in evidence if one.claim in ("", best.type) and (not one.base or base in one.base.split("|"))]
    verdict = Verdict(
        type=model_type,
        base=base,
        sub_type=_finest(chosen, finer) or base,
        variant=_variant(chosen, base, book),
        confidence=best.confidence,
        candidates=tuple(candidates[:_CANDIDATES]),
        evidence=tuple(sorted((*evidence, *finer), key=lambda one: -one.weight * one.confidence)),
        scores=_scores(evidence, best.type),
    )
    told = facts.gather(inspection, name, names, best.type, book)
    words = next((words for record in known if (words := external.triggers(record))), ())
    return Classified(inspection, verdict, replace(told, triggers=words) if words else told)


def _no_model(inspection: Inspection) -> Verdict:
    """The verdict on what is certainly something else: a pointer, a web page, an empty file."""
    why = Evidence("content", NOT_A_MODEL, MOST_SURE, 0.0, inspection.message, rule=inspection.code)
    return Verdict(NOT_A_MODEL, "", "", "", MOST_SURE, (), (why,), dict.fromkeys(_SCORED, 0.0))


def _rank(evidence: Sequence[Evidence], book: RuleBook) -> list[Candidate]:
    """Every claimed type with its confidence, surest first; ties by name, so that runs agree."""
    types = {one.claim for one in evidence if one.claim}
    ranked = [Candidate(model_type, _confidence(model_type, evidence, book)) for model_type in types]
    return sorted(ranked, key=lambda one: (-one.confidence, one.type))


def _confidence(model_type: str, evidence: Sequence[Evidence], book: RuleBook) -> float:
    said: dict[str, float] = defaultdict(float)
    claims: dict[str, float] = defaultdict(float)
    for one in evidence:
        if one.method == "size":
            if one.rule == model_type:
                said["size"] = one.confidence
                claims["size"] = one.confidence if one.claim else 0.0
        elif one.claim:
            said[one.method] = max(said[one.method], one.confidence)
            if one.claim == model_type:
                claims[one.method] = max(claims[one.method], one.confidence)
    total = sum(book.weights.get(method, 0.0) * sure for method, sure in said.items())
    support = sum(book.weights.get(method, 0.0) * sure for method, sure in claims.items())
    if not total:
        return 0.0
    doubt = 1.0
    for method, sure in claims.items():
        if method != "size":
            doubt *= 1.0 - sure
    return round(min(MOST_SURE, support / total * (1.0 - doubt)), 4)


def _base(evidence: Iterable[Evidence], model_type: str, book: RuleBook) -> str:
    """The root family with most weight among those who agree on the type, or speak of the family only.

    Of several that a rule leaves open (`sd15|sdxl`) the one with most other votes counts, else the first. An
    architecture that carries other families yields to one of those, if it is named.
    """
    votes: dict[str, float] = defaultdict(float)
    for one in evidence:
        if one.base and one.claim in ("", model_type):
            votes["|".join(book.root(base) for base in one.base.split("|"))] += one.weight * one.confidence
    ranked = sorted(votes, key=lambda family: (-votes[family], family))
    if not ranked:
        return ""
    options = ranked[0].split("|")
    if len(options) > 1:
        return next((family for family in ranked if family in options), options[0])
    carried = book.carried.get(ranked[0], frozenset())
    named = (one for one in ranked[1:] if one in carried or ("*" in carried and one not in book.carried))
    return next(named, ranked[0])


def _finest(evidence: Iterable[Evidence], finer: Iterable[Evidence]) -> str:
    """What the file itself says beats what its name says, unless a rule of the user's says so."""
    named = [one for one in (*evidence, *finer) if one.sub_type]
    return max(named, key=lambda one: (one.confidence, one.weight)).sub_type if named else ""


def _variant(evidence: Iterable[Evidence], base: str, book: RuleBook) -> str:
    told = [one for one in evidence if one.variant and (not one.base or book.root(one.base) == base)]
    return max(told, key=lambda one: one.weight * one.confidence).variant if told else ""


def _scores(evidence: Iterable[Evidence], model_type: str) -> dict[str, float]:
    """Each method's raw 0-1 score for the best type, as the first version stored them."""
    scores = dict.fromkeys(_SCORED, 0.0)
    for one in evidence:
        if one.claim == model_type and one.method in scores:
            scores[one.method] = max(scores[one.method], one.confidence)
    return scores
