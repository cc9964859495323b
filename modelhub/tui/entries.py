"""The lines of the library's table: their columns, their cells, their orders."""

from typing import Any

from modelhub.core.names import human_size, printable
from modelhub.core.types import TAGS_PARTED, Listed
from modelhub.services.search import searched
from modelhub.tui.table import Column, Row

COLUMNS = (
    Column("Name", 0, searched=True),
    Column("Type", 16, searched=True),
    Column("Base", 14, searched=True),
    Column("Quant", 10, least=100),
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
        sure = "by hand" if one.by_hand else f"{one.confidence:.0%}"
        return (
            printable(one.filename), printable(one.type), printable(one.sub_type or one.base),
            printable(one.quantization or one.precision), sure if one.condition == "ok" else one.condition,
            human_size(one.size), printable(one.tags.replace(TAGS_PARTED, ", ")),
        )  # fmt: skip


ORDERS: tuple[Any, ...] = (
    lambda entry: entry.listed.filename.casefold(),
    lambda entry: (entry.listed.type, entry.listed.base),
    lambda entry: entry.listed.sub_type or entry.listed.base,
    lambda entry: entry.listed.quantization or entry.listed.precision,
    lambda entry: (entry.listed.condition == "ok", -entry.listed.confidence),
    lambda entry: -entry.listed.size,
    lambda entry: entry.listed.tags,
)
"""How each column orders the rows."""
