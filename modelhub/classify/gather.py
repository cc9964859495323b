"""What each method has to say about one file: tensors, metadata, filename and size."""

import fnmatch
import re
from collections.abc import Iterator, Sequence

from modelhub.classify.conditions import holds, met
from modelhub.classify.globs import NameIndex
from modelhub.classify.rulebook import ArchitectureRule, RuleBook, SubTypeRule
from modelhub.core.names import human_size
from modelhub.core.types import Evidence, Inspection

TENSORS = "@tensors"
"""Among the rules that one goes before: all that claim a type by nothing but tensors."""


def from_header(inspection: Inspection, names: NameIndex, book: RuleBook) -> Iterator[Evidence]:
    """Evidence of the architecture rules that fire and that no other firing rule precedes."""
    standing = [rule for rule, stands in trial(inspection, names, book) if stands]
    bundled = any(met(branch, inspection, names) for branch in book.bundle.any)
    for rule in standing:
        pipeline = _PIPELINE if inspection.container == _PIPELINE_FOLDER and rule.bundled_type else ""
        yield _claim(rule, book, _base_of(rule, inspection), bundled=bundled, pipeline=pipeline)


def trial(inspection: Inspection, names: NameIndex, book: RuleBook) -> list[tuple[ArchitectureRule, bool]]:
    """Every architecture rule that fires, and whether it stands or another one goes before it."""
    firing = _firing(inspection, names, book)
    beaten = _beaten(firing)
    return [(rule, rule.key not in beaten) for rule in firing]


def _firing(inspection: Inspection, names: NameIndex, book: RuleBook) -> list[ArchitectureRule]:
    """The rules whose conditions hold and whose required rules fire too; the last resorts if no other tells a type."""
    by_key = book.asked_of(inspection.container, names.parts)
    answers: dict[str, bool] = {}

    def fires(key: str) -> bool:
        if key not in answers:
            rule = by_key.get(key)
            answers[key] = (
                rule is not None
                and all(fires(needed) for needed in rule.when.requires)
                and holds(rule.when, inspection, names)
            )
        return answers[key]

    told = [rule for rule in by_key.values() if not rule.when.otherwise and fires(rule.key)]
    if any(rule.type for rule in told):
        return told
    return told + [rule for rule in by_key.values() if rule.when.otherwise and fires(rule.key)]


def _beaten(firing: Sequence[ArchitectureRule]) -> set[str]:
    """Keys of the rules that one in force goes before, and of those that build on such a rule."""
    by_key = {rule.key: rule for rule in firing}
    ahead: dict[str, list[str]] = {}
    told_by_tensors = [rule.key for rule in firing if rule.type and rule.when.tensors_alone]
    for rule in firing:
        for key in rule.before:
            meant = told_by_tensors if key == TENSORS else fnmatch.filter(by_key, key) if "*" in key else [key]
            for one in meant:
                ahead.setdefault(one, []).append(rule.key)
    stands: dict[str, bool] = {}

    def in_force(key: str) -> bool:
        if key not in stands:
            stands[key] = True  # what it is asked for itself meanwhile, on a rule that it builds on
            needed = by_key[key].when.requires
            stands[key] = all(in_force(one) for one in needed) and not any(in_force(one) for one in ahead.get(key, ()))
        return stands[key]

    return {rule.key for rule in firing if not in_force(rule.key)}


_PIPELINE_FOLDER, _PIPELINE = "diffusers", "diffuser"
"""In a pipeline's folder the backbone is a part, and what can be deployed is the pipeline."""


def _base_of(rule: ArchitectureRule, inspection: Inspection) -> str:
    """The rule's family; one that starts with ``=`` is what the metadata says under the key that follows."""
    if not rule.base.startswith("="):
        return rule.base
    return re.sub(r"\W+", "_", str(inspection.metadata.get(rule.base[1:], "")).lower()).strip("_")[:40]


def _claim(rule: ArchitectureRule, book: RuleBook, base: str, *, bundled: bool, pipeline: str) -> Evidence:
    method = "tensors" if rule.when.reads_tensors else "metadata"
    promoted = bool(bundled and rule.bundled_type)
    return Evidence(
        method=method,
        claim=pipeline or (rule.bundled_type if promoted else rule.type),
        confidence=rule.confidence,
        weight=book.weights.get(method, 0.0),
        because=f"{rule.because}; with its VAE or text encoder" if promoted else rule.because,
        rule=rule.key,
        base=base,
        sub_type=rule.sub_type,
        variant=rule.variant,
    )


def from_filename(name: str, book: RuleBook) -> Iterator[Evidence]:
    """What the name says: the surest rule of each type, so that synonyms do not count twice."""
    best: dict[tuple[str, str, str], Evidence] = {}
    for rule in book.filenames:
        found = rule.pattern.search(name)
        if not found:
            continue
        evidence = Evidence(
            method="filename",
            claim=rule.type,
            confidence=rule.confidence,
            weight=book.weights.get("filename", 0.0),
            because=f"{rule.because}: “{found[0].strip('._- ')}”",
            rule=rule.key,
            base=rule.base,
            variant=rule.variant,
        )
        place = (rule.type, rule.base, rule.variant)
        if place not in best or best[place].confidence < evidence.confidence:
            best[place] = evidence
    yield from best.values()


def from_size(size: int, claimed: set[str], book: RuleBook) -> Iterator[Evidence]:
    """Size cannot tell what a file is, only whether a claim is believable."""
    for model_type in sorted(claimed):
        rule = book.sizes.get(model_type)
        if rule is None:
            continue
        fits = rule.minimum <= size <= rule.maximum
        span = f"{human_size(rule.minimum)} to {human_size(rule.maximum)}"
        yield Evidence(
            method="size",
            claim=model_type if fits else "",
            confidence=rule.confidence,
            weight=book.weights.get("size", 0.0),
            because=f"{human_size(size)} is {'within' if fits else 'outside'} {span}, usual for {model_type}",
            rule=model_type,
        )


def sub_types(
    name: str, inspection: Inspection, names: NameIndex, model_type: str, base: str, book: RuleBook
) -> Iterator[Evidence]:
    """Finer families that the name, the metadata or the tensors tell, within the family found."""
    for rule in book.sub_types:
        if rule.type not in ("", model_type):
            continue
        if rule.base and base and book.root(base) != book.root(rule.base):
            continue
        if rule.base and book.domains.get(model_type, "") not in ("", "diffusion"):
            continue  # an upscaler called after a family serves any
        found = _sub_type_found(rule, name, inspection, names)
        if found:
            yield Evidence(
                method=rule.source if rule.source != "tensor" else "tensors",
                claim="",
                confidence=min(1.0, rule.confidence + (0.5 if rule.from_user else 0.0)),
                weight=book.weights.get("filename" if rule.source == "filename" else "metadata", 0.0),
                because=f"the {rule.source} says “{found}”",
                rule=rule.key,
                base=book.root(rule.sub_type) if rule.sub_type in book.parents else "",
                sub_type=rule.sub_type,
            )


_SUB_TYPE_KEYS = (
    "ss_sd_model_name",
    "ss_base_model_version",
    "modelspec.architecture",
    "modelspec.title",
    "general.name",
)


def _sub_type_found(rule: SubTypeRule, name: str, inspection: Inspection, names: NameIndex) -> str:
    if rule.source == "tensor":
        return rule.pattern.text if names.search(rule.pattern) else ""
    texts = [name] if rule.source == "filename" else [str(inspection.metadata.get(k, "")) for k in _SUB_TYPE_KEYS]
    return next((found[0].strip("._- ")[:60] for text in texts if (found := rule.pattern.search(text))), "")
