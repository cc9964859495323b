"""Formats that other packages add: the example of the README, and plugins that fail in every way."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelhub.core import plugins
from modelhub.services.hub import Hub
from modelhub.services.judge import Judge
from tests import build
from tests.conftest import Modelhub, scan
from tests.plugins.starfile import MAGIC, StarFile

Install = Callable[..., None]


class Point:
    """An entry point, as far as it is asked."""

    def __init__(self, name: str, made: Any) -> None:
        self.name = name
        self._made = made

    def load(self) -> Any:
        if isinstance(self._made, Exception):
            raise self._made
        return self._made


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    def installed(**made: Any) -> None:
        points = [Point(name, one) for name, one in made.items()]
        monkeypatch.setattr(plugins, "entry_points", lambda *, group: points if group == plugins.GROUP else [])
        plugins.formats.cache_clear()
        plugins._warnings.clear()

    yield installed
    plugins.formats.cache_clear()
    plugins._warnings.clear()


def star(path: Path, **about: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"about": about, "tensors": {"blk.weight": ["F16", [8, 8]]}}
    path.write_bytes(MAGIC + json.dumps(told).encode() + b"\n" + bytes(128))
    return path


def test_a_plugin_tells_what_its_files_are(install: Install, tmp_path: Path, modelhub: Modelhub) -> None:
    install(starfile=StarFile)
    path = star(tmp_path / "in" / "model.star", hears=True)
    found = Judge(0.5).at(str(path))
    assert found.inspection.container == "starfile"
    assert found.inspection.metadata["star.hears"] == "True"
    assert (found.facts.parameters, found.facts.modalities) == (64, ("AUDIO",))
    told = json.loads(modelhub("classify", tmp_path / "in", "--json").out)
    assert (told["format"], told["modalities"]) == ("starfile", ["AUDIO"])


def test_files_of_a_plugin_are_scanned_and_judged_by_rules(install: Install, hub: Hub, tmp_path: Path) -> None:
    install(starfile=StarFile())
    rule = "- {key: star, when: {container: starfile, metadata: {star.hears: 'True'}}, then: {type: stt}, because: x}"
    hub.rules.add(rule, "mine.yaml")
    star(tmp_path / "in" / "model.star", hears=True)
    assert scan(hub, tmp_path / "in").outcomes() == {"model.star": "added"}
    assert hub.models.resolve("model.star").type == "stt"


def test_without_the_plugin_the_file_is_no_model(install: Install, hub: Hub, tmp_path: Path) -> None:
    install()
    star(tmp_path / "in" / "model.star")
    assert scan(hub, tmp_path / "in").outcomes() == {"model.star": "skipped"}


class Failing(StarFile):
    """Fails where it is told to."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __getattribute__(self, name: str) -> Any:
        if name == object.__getattribute__(self, "where"):
            raise RuntimeError(f"{name} is out of order")
        return object.__getattribute__(self, name)


@pytest.mark.parametrize(
    "made",
    [ImportError("no module named starlib"), Failing("can_handle"), Failing("extract_metadata"),
     Failing("list_tensors"), Failing("detect_modalities"), Failing("suffixes"), object()],
    ids=["load", "can_handle", "extract_metadata", "list_tensors", "detect_modalities", "suffixes", "nothing"],
)  # fmt: skip
def test_a_plugin_that_fails_costs_its_own_name_only(
    install: Install, made: Any, tmp_path: Path, modelhub: Modelhub
) -> None:
    install(broken=made)
    star(tmp_path / "in" / "model.star")
    build.safetensors(tmp_path / "in" / "ink.safetensors", build.SDXL_LORA)
    ran = modelhub("classify", tmp_path / "in", "--json")
    told = [json.loads(line) for line in ran.out.splitlines()]
    assert [one["type"] for one in told if one["path"].endswith("ink.safetensors")] == ["lora"]
    assert "'broken' failed and was left out" in ran.err
    assert "Traceback" not in ran.err


def test_a_plugin_is_not_asked_about_formats_of_ours(install: Install, tmp_path: Path) -> None:
    class Greedy(StarFile):
        def can_handle(self, head: bytes, name: str) -> bool:
            return True

    install(greedy=Greedy)
    path = build.safetensors(tmp_path / "ink.safetensors", build.SDXL_LORA)
    assert Judge(0.5).at(str(path)).inspection.container == "safetensors"
