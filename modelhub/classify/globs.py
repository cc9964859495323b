"""Patterns over tensor names, matched against all names of a file at once.

*      any characters              #      one or more digits
?      one character               ~      a dot or an underscore (kohya flattens dots)
{a,b}  one of the alternatives
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from modelhub.core.types import Tensor

_SPECIAL = {"*": r"[^\n]*", "?": r"[^\n]", "#": r"\d+", "~": "[._]", "{": "(?:", "}": ")"}
_WILD = re.compile(r"[*?#~]|\{[^}]*\}")


@lru_cache(maxsize=4096)
def compiled(glob: str) -> tuple[str, re.Pattern[str]]:
    """The longest literal part of `glob`, for a quick no, and the whole as a regular expression."""
    parts, inside = [], False
    for char in glob:
        inside = char == "{" or (inside and char != "}")
        parts.append("|" if inside and char == "," else _SPECIAL.get(char) or re.escape(char))
    literal = max(_WILD.split(glob), key=len)
    return literal, re.compile(f"^{''.join(parts)}$", re.MULTILINE)


def _shared_prefix(tensors: Mapping[str, Tensor]) -> str:
    """The wrapper that all names share, such as `module.`; an app strips it, so names count without it too."""
    if len(tensors) < 2:
        return ""
    first, last = min(tensors), max(tensors)
    end = next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: first.rfind(".", 0, end) + 1]


class NameIndex:
    """The tensor names of one file, ready to be asked many patterns.

    If all names share a prefix, they are known both with it and without.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = tensors
        shared = _shared_prefix(tensors)
        if shared:
            self.tensors = {**{name[len(shared) :]: tensor for name, tensor in tensors.items()}, **tensors}
        self._text = "\n".join(self.tensors)
        self._answers: dict[str, bool] = {}

    def __contains__(self, glob: str) -> bool:
        answer = self._answers.get(glob)
        if answer is None:
            answer = self._answers[glob] = self._find(glob)
        return answer

    def _find(self, glob: str) -> bool:
        if not _WILD.search(glob):
            return glob in self.tensors
        literal, pattern = compiled(glob)
        return literal in self._text and pattern.search(self._text) is not None

    def matching(self, glob: str) -> Iterator[Tensor]:
        """The tensors whose names fit."""
        if not _WILD.search(glob):
            if glob in self.tensors:
                yield self.tensors[glob]
            return
        literal, pattern = compiled(glob)
        if literal in self._text:
            for found in pattern.finditer(self._text):
                tensor = self.tensors.get(found[0])
                if tensor is not None:
                    yield tensor

    def count(self, glob: str) -> int:
        """How many tensors fit, each once, under its name with or without the prefix that all share."""
        return len({id(tensor) for tensor in self.matching(glob)})

    def search(self, pattern: re.Pattern[str]) -> bool:
        """Whether a regular expression, as the first version's rules use them, is found in any name."""
        return pattern.search(self._text) is not None
