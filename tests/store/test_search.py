"""The index of trigrams: off in small libraries, filled when it is needed, kept by triggers, the same answers."""

import sqlite3
from pathlib import Path

import pytest

from modelhub.core.types import ModelFilter
from modelhub.services.hub import Hub
from modelhub.services.search import Narrowing
from modelhub.store import search
from tests.conftest import scan


def names(hub: Hub, text: str) -> list[str]:
    return sorted(model.filename for model in hub.models.find(ModelFilter(text=text)))


WORDS = (
    "detail",
    "DETAIL",
    "lora",
    "safetensors",
    "sd15",
    "de",
    "etai",
    'a"b',
    "%",
    "_",
    "mine",
    "nothing like it",
    "é",
)


@pytest.mark.parametrize("word", WORDS)
def test_an_index_gives_the_same_answers(hub: Hub, downloads: Path, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    scan(hub, downloads)
    hub.models.correct("ae", fields={}, add_tags=["mine", "nothing like it"])
    plain = names(hub, word)
    monkeypatch.setattr(search, "LARGE", 1)
    assert names(hub, word) == plain


def indexed(hub: Hub) -> bool:
    with sqlite3.connect(hub.places.library) as database:
        found = database.execute("SELECT 1 FROM meta WHERE key = 'search_index'").fetchone() is not None
    database.close()
    return found


def test_it_is_filled_only_when_a_large_library_is_searched(
    hub: Hub, downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan(hub, downloads)
    names(hub, "detail")
    assert not indexed(hub)
    monkeypatch.setattr(search, "LARGE", 1)
    names(hub, "detail")
    assert indexed(hub)


def test_what_is_changed_by_hand_is_found(hub: Hub, downloads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan(hub, downloads)
    monkeypatch.setattr(search, "LARGE", 1)
    assert names(hub, "renamed") == []
    with sqlite3.connect(hub.places.library) as database:
        database.execute("UPDATE models SET filename = 'renamed.safetensors' WHERE filename = 'ae.safetensors'")
        database.execute("DELETE FROM models WHERE filename = 'detail.safetensors'")
    database.close()
    assert names(hub, "renamed") == ["renamed.safetensors"]
    assert names(hub, "ae.safe") == []
    assert names(hub, "detail") == []
    with sqlite3.connect(hub.places.library) as database:
        database.execute("INSERT INTO models_search (models_search) VALUES ('integrity-check')")
    database.close()


def test_each_letter_looks_through_what_is_left() -> None:
    looked_at: list[str] = []

    def texts(row: str) -> tuple[str, str]:
        looked_at.append(row)
        return row, row[::-1]

    narrowing = Narrowing[str](texts)
    rows = ["dream one", "dream two", "style three"]
    narrowing.take(rows)
    assert narrowing.fit(["d", ""]) == rows[:2]
    looked_at.clear()
    assert narrowing.fit(["dream t", ""]) == rows[1:2]
    assert looked_at == rows[:2]
    assert narrowing.fit(["dream t", "OWT"]) == rows[1:2]
    assert narrowing.fit(["", ""]) == rows
    assert narrowing.fit(["x", ""]) == []
    narrowing.take(["x"])
    assert narrowing.fit(["x", ""]) == ["x"]
