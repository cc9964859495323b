"""Patterns over tensor names, matched against all names of a file at once.

*      any characters              #      one or more digits
?      one character               ~      a dot or an underscore (kohya flattens dots)
{a,b}  one of the alternatives
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import NamedTuple, Protocol

from modelhub.core.types import Tensor

_SPECIAL = {"*": r"[^\n]*", "?": r"[^\n]", "#": r"\d+", "~": "[._]", "{": "(?:", "}": ")"}
_WILD = re.compile(r"[*?#~]|\{[^}]*\}")
_CHOICE = re.compile(r"\{[^}]*\}")
_NUMBER = re.compile(r"\d")
_ALIKE = str.maketrans("123456789", "000000000")
_NUMBERS = re.compile(r"[\d#]+")


@lru_cache(maxsize=8192)
def compiled(glob: str) -> tuple[str, re.Pattern[str]]:
    """The longest literal part of `glob`, for a quick no, and the whole as a regular expression."""
    parts, inside = [], False
    for char in glob:
        inside = char == "{" or (inside and char != "}")
        parts.append("|" if inside and char == "," else _SPECIAL.get(char) or re.escape(char))
    literal = max(_WILD.split(glob), key=len)
    return literal, re.compile(f"^{''.join(parts)}$", re.MULTILINE)


class _Asked(NamedTuple):
    """A glob made ready: what it must find with any numbers, and a part between dots that some name must have."""

    wild: bool
    part: str
    literal: str
    loose: re.Pattern[str] | None
    exact: bool


def necessary_part(glob: str) -> str:
    """The longest part between dots, free of digits, that every name which fits must have; empty if there is none."""
    plain = _CHOICE.sub("*", _NUMBERS.sub("#", glob)).split(".")
    whole = [*plain[1:-1], *(plain[:1] if len(plain) > 1 else ()), *(plain[-1:] if len(plain) > 1 else ())]
    return max((part for part in whole if part and not _WILD.search(part)), key=len, default="")


@lru_cache(maxsize=8192)
def _asked(glob: str) -> _Asked:
    if not _WILD.search(glob):
        return _Asked(wild=False, part="", literal="", loose=None, exact=True)
    loose = _NUMBERS.sub("#", glob)
    literal, pattern = compiled(loose)
    return _Asked(wild=True, part=necessary_part(glob), literal=literal, loose=pattern, exact=loose == glob)


class Searches(Protocol):
    """A regular expression and how it is written."""

    text: str

    def search(self, text: str, /) -> re.Match[str] | None: ...


def _shared_prefix(tensors: Mapping[str, Tensor]) -> str:
    """The wrapper that all names share, such as `module.`; an app strips it, so names count without it too."""
    if len(tensors) < 2:
        return ""
    first, last = min(tensors), max(tensors)
    end = next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: first.rfind(".", 0, end) + 1]


class NameIndex:
    """The tensor names of one file, ready to be asked many patterns.

    If all names share a prefix, they are known both with it and without. The layers of a model are called alike but
    for their numbers, so a pattern is asked of the few kinds of names first, and only then of the names themselves.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = tensors
        shared = _shared_prefix(tensors)
        if shared:
            self.tensors = {**{name[len(shared) :]: tensor for name, tensor in tensors.items()}, **tensors}
        names = list(self.tensors)
        self._kinds: dict[str, list[str]] = {}
        for name, kind in zip(names, "\n".join(names).translate(_ALIKE).split("\n"), strict=False):
            self._kinds.setdefault(kind, []).append(name)
        self._text = "\n".join(self._kinds)
        self.parts = set(self._text.replace("\n", ".").split("."))
        self._answers: dict[str, bool] = {}
        self._found: dict[str, tuple[Tensor, ...]] = {}
        self._shapes: dict[str, frozenset[tuple[int, ...]]] = {}

    def kinds(self) -> Iterator[tuple[str, int]]:
        """One name of each kind, and how many are called alike but for their numbers."""
        return ((alike[0], len(alike)) for alike in self._kinds.values())

    def __contains__(self, glob: str) -> bool:
        answer = self._answers.get(glob)
        if answer is None:
            answer = self._answers[glob] = next(iter(self._names(glob)), None) is not None
        return answer

    def _names(self, glob: str) -> Iterable[str]:
        """The names that fit, kind by kind."""
        asked = _asked(glob)
        if not asked.wild:
            return (glob,) if glob in self.tensors else ()
        if asked.loose is None or (asked.part and asked.part not in self.parts) or asked.literal not in self._text:
            return ()
        kinds = [kind for kind in self._kinds if asked.literal in kind and asked.loose.match(kind)]
        if not kinds:
            return ()
        alike = (name for kind in kinds for name in self._kinds.get(kind, ()))
        return alike if asked.exact else (name for name in alike if compiled(glob)[1].match(name))

    def matching(self, glob: str) -> tuple[Tensor, ...]:
        """The tensors whose names fit."""
        found = self._found.get(glob)
        if found is None:
            found = self._found[glob] = tuple(self.tensors[name] for name in self._names(glob))
        return found

    def shapes(self, glob: str) -> frozenset[tuple[int, ...]]:
        """The different shapes of the tensors whose names fit."""
        shapes = self._shapes.get(glob)
        if shapes is None:
            shapes = self._shapes[glob] = frozenset(tensor.shape for tensor in self.matching(glob))
        return shapes

    def count(self, glob: str) -> int:
        """How many tensors fit, each once, under its name with or without the prefix that all share."""
        return len({id(tensor) for tensor in self.matching(glob)})

    def search(self, pattern: Searches) -> bool:
        """Whether a regular expression is found in any name; one without digits is asked of one name of each kind."""
        numbered = _NUMBER.search(pattern.text) is not None
        return pattern.search(self._every if numbered else self._one_of_each) is not None

    @cached_property
    def _every(self) -> str:
        return "\n".join(self.tensors)

    @cached_property
    def _one_of_each(self) -> str:
        return "\n".join(alike[0] for alike in self._kinds.values())
