"""What a model is for: category, modalities and capabilities, by rules over its type, its words and its header."""

from collections.abc import Iterator

from modelhub.classify import described
from modelhub.classify.conditions import holds
from modelhub.classify.globs import NameIndex
from modelhub.classify.rulebook import CategoryRule, RuleBook
from modelhub.core.plugins import MODALITIES
from modelhub.core.types import Category, Inspection


def judge(
    name: str, inspection: Inspection, names: NameIndex, model_type: str, book: RuleBook
) -> tuple[Category, tuple[str, ...], tuple[str, ...]]:
    """Category, modalities and capabilities. Of each level the surest rule that holds decides; capabilities add up."""
    firing = [rule for rule in book.categories if _fires(rule, name, inspection, names, model_type)]
    best: dict[str, CategoryRule] = {}
    for rule in firing:
        if rule.level not in best or best[rule.level].confidence < rule.confidence:
            best[rule.level] = rule
    levels = {level: rule.value for level, rule in best.items()}
    category = Category(levels.get("primary", ""), levels.get("secondary", ""), levels.get("specialization", ""))
    told = str(inspection.metadata.get(MODALITIES) or levels.get("modalities", ""))
    modalities = tuple(word.strip() for word in told.split(",") if word.strip())
    capabilities = tuple(dict.fromkeys(rule.value for rule in firing if rule.level == "capability"))
    return category, modalities, capabilities


def _fires(rule: CategoryRule, name: str, inspection: Inspection, names: NameIndex, model_type: str) -> bool:
    if rule.types and model_type not in rule.types:
        return False
    if not holds(rule.when, inspection, names):
        return False
    return rule.keywords is None or any(rule.keywords.search(text) for text in _words(name, inspection))


def _words(name: str, inspection: Inspection) -> Iterator[str]:
    """Where keywords are looked for: what it is called, and what it was made from."""
    yield name
    yield from described.names(inspection.metadata)
    yield from described.base_models(inspection.metadata)
