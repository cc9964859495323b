"""The index of trigrams: off in small libraries, filled when it is needed, kept by triggers, the same answers."""

import sqlite3
from pathlib import Path

import pytest

from modelhub.core.query import parse
from modelhub.core.types import Listed, ModelFilter
from modelhub.services.hub import Hub
from modelhub.services.search import Narrowing, searched
from modelhub.store import search
from tests import build
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


class Row:
    """A model as a table holds it."""

    def __init__(self, listed: Listed) -> None:
        self.listed = listed

    @property
    def text(self) -> str:
        return searched(self.listed)


def rows_of(hub: Hub) -> list[Row]:
    return [Row(one) for one in hub.models.listed()]


def test_each_letter_looks_through_what_is_left(hub: Hub, tmp_path: Path) -> None:
    for number, name in enumerate(("dream one", "dream two", "style three")):
        build.safetensors(tmp_path / f"in/{name}.safetensors", build.SDXL_LORA, mark=str(number))
    scan(hub, tmp_path / "in")
    looked_at: list[Row] = []

    class Watched(Row):
        @property
        def text(self) -> str:
            looked_at.append(self)
            return searched(self.listed)

    narrowing = Narrowing[Watched]()
    rows = [Watched(one) for one in hub.models.listed()]
    narrowing.take(rows)
    assert narrowing.fit(parse("dr")) == rows[:2]
    looked_at.clear()
    assert narrowing.fit(parse("drea")) == rows[:2]
    assert looked_at == rows[:2]
    assert narrowing.fit(parse("drea TWO")) == rows[1:2]
    assert narrowing.fit(parse("dream two -one")) == rows[1:2]
    assert narrowing.fit(()) == rows
    assert narrowing.fit(parse("zzz")) == []
    narrowing.take(rows[:1])
    assert narrowing.fit(parse("dr")) == rows[:1]


FILTERS = (
    "", "ink", "INK pony", "-ink", '"ink pony"', "type:lora", "type:=lora", "type:lora,vae", "-type:lora", "base:sd",
    "base:=sd15", "sub:pony", "tag:art", "tag:=art", "tag:=ar", "art", "tag:art,x", "quant:f16", "format:gguf",
    "category:lang", "can:completion", "license:mit", "size:>2000", "size:<2000", "-size:>2000", "size:1K..3K",
    "sure:>90", "sure:<=97%", "is:deployed", "is:ok", "-is:ok", "is:review", "is:unknown", "is:corrected", "is:listed",
    "is:missing,broken", "is:offline", "is:duplicate", "-is:duplicate", "trigger:a", "name:ära", "no:such", "50%_off",
    "type:lora -sub:pony size:>1 ink",
)  # fmt: skip


@pytest.mark.parametrize("text", FILTERS)
def test_the_database_and_the_memory_understand_a_filter_alike(hub: Hub, tmp_path: Path, text: str) -> None:
    build.safetensors(tmp_path / "in/ink.safetensors", build.SDXL_LORA, mark="1")
    build.safetensors(tmp_path / "in/ink_pony.safetensors", build.SDXL_LORA, mark="2")
    build.safetensors(tmp_path / "in/ÄRA.safetensors", build.vae())
    build.safetensors(tmp_path / "in/what.safetensors", {"x.y": (3, 3)})
    build.gguf(tmp_path / "in/tiny-F16.gguf", build.llm_pairs("llama", "tiny"), build.LLM_TENSORS)
    scan(hub, tmp_path / "in")
    build.safetensors(tmp_path / "copy/Detail.safetensors", build.SD15_LORA)
    scan(hub, tmp_path / "copy", adopt="copy")
    hub.models.correct("ink", fields={}, add_tags=["art", "two words"])
    hub.models.correct("what", fields={"type": "vae"})
    narrowing = Narrowing[Row]()
    narrowing.take(rows_of(hub))
    in_memory = sorted(row.listed.filename for row in narrowing.fit(parse(text)))
    assert in_memory == sorted(model.filename for model in hub.models.find(ModelFilter(text=text)))
    expected = {"": 6, "is:duplicate": 1, "tag:=art": 1, "tag:=ar": 0, "type:lora,vae": 5, "size:1K..3K -type:lora": 0}
    assert text not in expected or len(in_memory) == expected[text]
