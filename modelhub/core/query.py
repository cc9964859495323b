"""The language of filters: words that a model must hold, and terms such as ``type:lora size:>2G is:deployed``.

All must fit; ``a,b`` means either, ``-`` before a term means not, quotes make one word of several, and ``=`` (as in
``type:=lora``) asks for the whole value. A word with a colon that begins with no field is an ordinary word.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from modelhub.core.errors import InvalidInput
from modelhub.core.names import parse_size, printable

Operator: TypeAlias = Literal["has", "is", ">", ">=", "<", "<="]

FIELDS = {
    "type": "what it is: lora, checkpoint, llm",
    "base": "the family it belongs to: sdxl, llama",
    "sub": "its finer family: pony",
    "name": "its name",
    "tag": "a tag of yours",
    "trigger": "its trigger words",
    "quant": "quantisation or precision: q4, fp16",
    "format": "safetensors, gguf, onnx",
    "category": "what it is for: language, code",
    "can": "what it can do: chat, tools, vision",
    "license": "its licence",
    "size": "bytes: size:>2G, size:<=500M, size:1G..4G",
    "sure": "how sure we are, in percent: sure:<70",
    "is": "a state; see below",
}
STATES = {
    "deployed": "linked into an app",
    "duplicate": "a second copy of it takes room on a disk",
    "review": "worth a look: unknown, or not sure and not set by hand",
    "unknown": "of no known type",
    "corrected": "set by hand",
    "listed": "with data from Civitai",
    "missing": "its file is gone",
    "offline": "on a drive that is away",
    "ok": "whole and harmless",
    "broken": "damaged or incomplete",
    "unsafe": "would run code when loaded",
}
REVIEW_BELOW = 0.7
"""Confidence (0-1) under which a model that was not set by hand is worth a look."""

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip
"""What an operator asks, of numbers and of columns."""

_TOKEN = re.compile(r'(-?)(?:(\w+):)?(?:(=?)"([^"]*)"?|(\S+))?')
_COMPARED = re.compile(r"(>=|<=|>|<)(.*)")
_NUMBERS = ("size", "sure")


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. An empty `field` looks everywhere; `values` are case-folded, and any of them will do.

    For ``size`` (bytes) and ``sure`` (0-1) `number` is compared instead.
    """

    field: str
    values: tuple[str, ...] = ()
    operator: Operator = "has"
    number: float = 0.0
    negated: bool = False

    def narrows(self, other: "Term") -> bool:
        """Whether whatever fits this one fits the other too."""
        if self == other:
            return True
        alike = self.field == other.field != "is" and self.operator == other.operator == "has"
        plain = alike and not self.negated and not other.negated and len(self.values) == len(other.values) == 1
        return plain and other.values[0] in self.values[0]


def parse(text: str) -> tuple[Term, ...]:
    """The terms of a filter; raises InvalidInput for a state or a number that is none."""
    return tuple(term for found in _TOKEN.finditer(text) if found[0].strip() for term in _terms(found))


def _terms(found: re.Match[str]) -> list[Term]:
    minus, field, equals, quoted, plain = found.groups()
    negated, field = bool(minus), (field or "").lower()
    if field not in FIELDS:
        word = found[0][len(minus) :] if field or quoted is None else quoted
        if negated and not word:
            return []
        return [Term("", (_folded(word.replace('"', "")),), negated=negated)] if word else []
    if quoted is not None:
        return _text_terms(field, (quoted,), negated, exact=bool(equals)) if quoted else []
    if not plain or plain == "=":
        return []
    if field in _NUMBERS:
        return _number_terms(field, plain, negated)
    exact = plain.startswith("=")
    return _text_terms(field, tuple(word for word in plain.removeprefix("=").split(",") if word), negated, exact=exact)


def _text_terms(field: str, values: tuple[str, ...], negated: bool, *, exact: bool) -> list[Term]:
    folded = tuple(_folded(value) for value in values)
    if field in _NUMBERS:
        return _number_terms(field, values[0], negated)
    if field == "is":
        wrong = [value for value in folded if value not in STATES]
        if wrong:
            raise InvalidInput(f"{printable(wrong[0])!r} is no state.", hint=f"is: takes {', '.join(STATES)}.")
    return [Term(field, folded, "is" if exact or field == "is" else "has", negated=negated)] if folded else []


def _number_terms(field: str, text: str, negated: bool) -> list[Term]:
    low, dots, high = text.partition("..")
    if dots:
        bounds: tuple[tuple[Operator, str], ...] = ((">=", low), ("<=", high))
        if negated:
            raise InvalidInput(f"-{field}:{printable(text)} cannot be asked.", hint=f"Write {field}:<{printable(low)}.")
        return [Term(field, (), operator, _number(field, word)) for operator, word in bounds if word]
    compared = _COMPARED.fullmatch(text)
    if compared is None:
        raise InvalidInput(
            f"{field}:{printable(text)} compares nothing.", hint=f"Write {field}:>{printable(text)} or {field}:<…"
        )
    if not compared[2]:
        return []  # still being typed
    operators: dict[str, Operator] = {">": ">", ">=": ">=", "<": "<", "<=": "<="}
    return [Term(field, (), operators[compared[1]], _number(field, compared[2]), negated)]


def _number(field: str, text: str) -> float:
    if field == "size":
        size = parse_size(text)
        if size is None:
            raise InvalidInput(f"{printable(text)!r} is no size.", hint="Write 500M, 2G or a number of bytes.")
        return float(size)
    try:
        share = float(text.removesuffix("%"))
    except ValueError:
        share = -1.0
    if not 0 <= share <= 100:
        raise InvalidInput(f"{printable(text)!r} is no percentage.", hint="Write 0 to 100.")
    return share / 100


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()
