"""Filtering while one types: models in memory, and each further letter looks only through what is left."""

import operator
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from modelhub.core.query import COMPARISONS, REVIEW_BELOW, Term
from modelhub.core.types import TAGS_PARTED, UNKNOWN, Listed


class Row(Protocol):
    """A model in a table: `text` is `searched(listed)`."""

    @property
    def listed(self) -> Listed: ...

    @property
    def text(self) -> str: ...


T = TypeVar("T", bound=Row)
Fits = Callable[[Listed], bool]


def searched(listed: Listed) -> str:
    """What a word without a field is looked for in, case-folded, a line for each text."""
    said = (listed.filename, listed.type, listed.base, listed.sub_type, listed.triggers, listed.tags)
    return "\n".join(said).replace(TAGS_PARTED, "\n").casefold()


class Narrowing(Generic[T]):
    """Models that fit terms of the language of filters; made for a hundred thousand of them."""

    def __init__(self) -> None:
        self._all: list[T] = []
        self._left: list[T] = []
        self._terms: tuple[Term, ...] = ()

    @property
    def all(self) -> list[T]:
        return self._all

    def take(self, rows: list[T]) -> None:
        """Other rows, or the same in another order."""
        self._all = rows
        self._left, self._terms = rows, ()

    def fit(self, terms: Sequence[Term]) -> list[T]:
        """The rows that fit all terms."""
        asked, known = tuple(terms), self._terms
        narrower = len(asked) >= len(known) and all(new.narrows(old) for new, old in zip(asked, known, strict=False))
        rows = self._left if narrower else self._all
        for term in asked:
            if not (narrower and term in known):
                rows = _fitting(rows, term)
        self._left, self._terms = rows, asked
        return rows


def _fitting(rows: list[T], term: Term) -> list[T]:
    if not term.field and len(term.values) == 1:  # what is typed most is asked in the quickest way
        word = term.values[0]
        if term.negated:
            return [row for row in rows if word not in row.text]
        return [row for row in rows if word in row.text]
    fits = _asked(term)
    if term.negated:
        return [row for row in rows if not fits(row.listed)]
    return [row for row in rows if fits(row.listed)]


def _asked(term: Term) -> Fits:
    """A term of the language as a question to one model."""
    if term.field in _COMPARE_WITH:
        value, compare, number = _COMPARE_WITH[term.field], COMPARISONS[term.operator], term.number
        return lambda one: compare(value(one), number)
    if term.field == "is":
        states = [_STATES[value] for value in term.values]
        return lambda one: any(state(one) for state in states)
    texts, wanted = _TEXTS[term.field], term.values
    if term.operator == "is":
        return lambda one: any(text.casefold() in wanted for text in texts(one))
    return lambda one: any(value in text.casefold() for text in texts(one) for value in wanted)


_COMPARE_WITH: dict[str, Callable[[Listed], Any]] = {
    "size": operator.attrgetter("size"), "sure": operator.attrgetter("confidence"),
}  # fmt: skip
_TEXTS: dict[str, Callable[[Listed], Sequence[str]]] = {
    "name": lambda one: (one.filename,),
    "type": lambda one: (one.type,),
    "base": lambda one: (one.base,),
    "sub": lambda one: (one.sub_type,),
    "trigger": lambda one: (one.triggers,),
    "tag": lambda one: one.tags.split(TAGS_PARTED) if one.tags else (),
    "quant": lambda one: (one.quantization, one.precision),
    "format": lambda one: (one.format,),
    "category": lambda one: one.category.split(" "),
    "can": lambda one: (one.capabilities,),
    "license": lambda one: (one.license,),
}
_STATES: dict[str, Fits] = {
    "deployed": lambda one: bool(one.deployed),
    "duplicate": lambda one: bool(one.duplicate),
    "review": lambda one: (one.confidence < REVIEW_BELOW or one.type == UNKNOWN) and not one.by_hand,
    "unknown": lambda one: one.type == UNKNOWN,
    "corrected": lambda one: bool(one.by_hand),
    "listed": lambda one: bool(one.civitai),
    "missing": lambda one: bool(one.missing and not one.offline),
    "offline": lambda one: bool(one.offline),
    "ok": lambda one: one.condition == "ok",
    "broken": lambda one: one.state == "broken",
    "unsafe": lambda one: one.state == "unsafe",
}
