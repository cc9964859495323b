"""The lines of the library's table: their columns, their cells, their orders."""

from typing import Any

from modelhub.core.names import human_size, printable
from modelhub.core.types import TAGS_PARTED, Listed
from modelhub.services.search import searched
from modelhub.tui.table import Column, Row

COLUMNS = (
    Column("Name", 0, searched=True, middle=True),
    Column("Type", 15, searched=True),
    Column("Base", 12, searched=True),
    Column("Quant", 8, least=90),
    Column("Sure", 7, right=True),
    Column("Size", 9, right=True),
    Column("Tags", 20, least=130, searched=True),
)


class Entry:
    """One model as the table and its filters use it."""

    __slots__ = ("listed", "text")

    def __init__(self, listed: Listed) -> None:
        self.listed = listed
        self.text = searched(listed)

    @property
    def key(self) -> int:
        return self.listed.id

    @property
    def troubled(self) -> bool:
        return self.listed.condition != "ok"

    @property
    def cells(self) -> Row:
        one = self.listed
        base = " ".join(dict.fromkeys(word for word in (one.base, one.sub_type) if word))
        sure = "by hand" if one.by_hand else f"{one.confidence:.0%}"
        return (
            printable(one.filename), printable(one.type), printable(base),
            printable(one.quantization or one.precision), sure if one.condition == "ok" else one.condition,
            human_size(one.size), printable(one.tags.replace(TAGS_PARTED, ", ")),
        )  # fmt: skip


ORDERS: tuple[Any, ...] = (
    lambda entry: entry.listed.filename.casefold(),
    lambda entry: (entry.listed.type, entry.listed.base),
    lambda entry: (entry.listed.base, entry.listed.sub_type),
    lambda entry: entry.listed.quantization or entry.listed.precision,
    lambda entry: (entry.listed.condition == "ok", -entry.listed.confidence),
    lambda entry: -entry.listed.size,
    lambda entry: entry.listed.tags,
)
"""How each column orders the rows."""
