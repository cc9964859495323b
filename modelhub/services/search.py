"""Filtering while one types: rows in memory, and each further letter looks only through what is left."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Narrowing(Generic[T]):
    """Rows that hold a word in each of some texts; made for a hundred thousand of them.

    `texts` gives the texts of a row, already case-folded, in the order of the words that are asked for.
    """

    def __init__(self, texts: Callable[[T], Sequence[str]]) -> None:
        self._texts = texts
        self._all: list[T] = []
        self._left: list[T] = []
        self._words: tuple[str, ...] = ()

    @property
    def all(self) -> list[T]:
        return self._all

    def take(self, rows: list[T]) -> None:
        """Other rows, or the same in another order."""
        self._all = rows
        self._left, self._words = rows, ()

    def fit(self, words: Sequence[str]) -> list[T]:
        """Rows of which each text holds the word of its place; an empty word fits all."""
        asked = tuple(word.casefold() for word in words)
        longer = len(asked) == len(self._words) and all(map(str.startswith, asked, self._words))
        rows = self._left if longer else self._all
        wanted = [
            (place, word) for place, word in enumerate(asked) if word and (not longer or word != self._words[place])
        ]
        texts = self._texts
        if len(wanted) == 1:
            place, word = wanted[0]
            rows = [row for row in rows if word in texts(row)[place]]
        elif wanted:
            rows = [row for row in rows if all(word in texts(row)[place] for place, word in wanted)]
        self._left, self._words = rows, asked
        return rows
