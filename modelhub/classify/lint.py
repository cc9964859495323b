"""What is wrong with rules though each is well written: they name a type, a family or a rule that there is not."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from modelhub.classify.conditions import Conditions
from modelhub.classify.rulebook import ArchitectureRule, RuleBook


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with a rule, or worth knowing; only errors make a check fail."""

    level: str
    table: str
    key: str
    message: str


def dangling(book: RuleBook) -> Iterator[Finding]:
    """Every name in a rule that names nothing."""
    for table, key, message in (*_patterns(book), *_others(book), *_families(book)):
        yield Finding("error", table, key, message)


_Told = Iterator[tuple[str, str, str]]


def _patterns(book: RuleBook) -> _Told:
    table = "architecture_patterns"
    keys = {rule.key for rule in book.architectures}
    for rule in book.architectures:
        if rule.when == Conditions():
            yield table, rule.key, "It asks for nothing, and so would fire for every model."
        bases = () if rule.base.startswith("=") else rule.base.split("|")
        yield from _unknown(book, table, rule.key, (rule.type, rule.bundled_type), bases)
        yield from ((table, rule.key, message) for message in _misnamed(rule, keys))


def _misnamed(rule: ArchitectureRule, keys: set[str]) -> Iterator[str]:
    for other in sorted(rule.before | set(rule.when.requires)):
        if other not in keys and not other.startswith("@") and "*" not in other:
            yield f"There is no rule {other!r}, which it names."


def _others(book: RuleBook) -> _Told:
    for named in book.filenames:
        if not (named.type or named.base or named.variant):
            yield "filename_patterns", named.key, "It claims neither a type, a base nor a variant."
        yield from _unknown(book, "filename_patterns", named.key, (named.type,), (named.base,))
    for finer in book.sub_types:
        yield from _unknown(book, "sub_type_rules", finer.key, (finer.type,), (finer.base,))
    for category in book.categories:
        yield from _unknown(book, "category_rules", category.key, sorted(category.types), ())
        if category.when.requires:
            yield "category_rules", category.key, "`requires` is for architecture patterns."


def _families(book: RuleBook) -> _Told:
    for family in book.families:
        if family.parent == family.name:
            yield "base_models", family.name, "It is its own parent."
        yield from _unknown(book, "base_models", family.name, (), (family.parent,))
    for size in book.sizes.values():
        yield from _unknown(book, "size_rules", size.type, (size.type,), ())
    for (_, kind, term), value in book.terms.items():
        named = (value,) if kind == "type" else ()
        yield from _unknown(book, "external_terms", term, named, () if named else (value,))


def _unknown(book: RuleBook, table: str, key: str, types: Iterable[str], bases: Iterable[str]) -> _Told:
    for kind in types:
        if kind and kind not in book.types:
            yield table, key, f"There is no type {kind!r}."
    for family in bases:
        if family and family not in book.parents:
            yield table, key, f"There is no family {family!r} in base_models."
