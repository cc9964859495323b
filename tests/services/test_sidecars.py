"""What other programs wrote beside a model counts, less than its tensors; odd files beside it cost nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from modelhub.core.types import Classified
from modelhub.services.hub import Hub
from modelhub.services.judge import Judge
from tests import build
from tests.conftest import finish, scan

MYSTERY = {"x.weight": (4, 4)}
PONY = ("lora", "sdxl", "pony", ("score_9", "pony girl"))
WRITTEN: dict[str, Any] = {
    ".civitai.info": {
        "baseModel": "Pony", "trainedWords": ["score_9", "pony girl"], "model": {"name": "a", "type": "LORA"},
    },
    ".cm-info.json": {"BaseModel": "Pony", "TrainedWords": ["score_9", "pony girl"], "ModelType": "LORA"},
    ".metadata.json": {
        "base_model": "Pony",
        "civitai": {"trainedWords": ["score_9", "pony girl"], "model": {"type": "LORA"}},
    },
}  # fmt: skip


def beside(folder: Path, ending: str, content: Any) -> Path:
    path = build.safetensors(folder / "0001.safetensors", MYSTERY)
    (folder / f"0001{ending}").write_text(json.dumps(content))
    return path


def told(classified: Classified) -> tuple[str, str, str, tuple[str, ...]]:
    verdict = classified.verdict
    return verdict.type, verdict.base, verdict.sub_type, classified.facts.triggers


@pytest.mark.parametrize("ending", WRITTEN)
def test_what_helpers_wrote_tells_type_family_and_words(tmp_path: Path, ending: str) -> None:
    classified = Judge(0.5).at(str(beside(tmp_path, ending, WRITTEN[ending])))
    assert told(classified) == PONY
    assert f"0001{ending} says “Pony LORA”" in [one.because for one in classified.verdict.evidence]


def test_what_a_user_wrote_in_a_webui_counts(tmp_path: Path) -> None:
    path = build.safetensors(tmp_path / "0001.safetensors", build.SDXL_LORA)
    (tmp_path / "0001.json").write_text('{"sd version": "SDXL", "activation text": "one, two words"}')
    assert told(Judge(0.5).at(str(path))) == ("lora", "sdxl", "sdxl", ("one", "two words"))


def test_it_counts_at_a_scan_and_when_judged_again(hub: Hub, tmp_path: Path) -> None:
    beside(tmp_path / "models", ".civitai.info", WRITTEN[".civitai.info"])
    scan(hub, tmp_path / "models")
    for _ in range(2):
        model = hub.models.resolve("0001")
        assert (model.type, model.base, model.sub_type) == PONY[:3]
        finish(hub.models.reclassify([model]))


def test_tensors_outweigh_it(tmp_path: Path) -> None:
    path = build.safetensors(tmp_path / "0001.safetensors", build.SDXL_LORA)
    wrong = {"baseModel": "Flux.1 D", "model": {"type": "VAE"}}
    (tmp_path / "0001.civitai.info").write_text(json.dumps(wrong))
    assert Judge(0.5).at(str(path)).verdict.type == "lora"


@pytest.mark.parametrize("ending", [*WRITTEN, ".json"])
@pytest.mark.parametrize(
    "content",
    [
        [], 7, None, "x",
        {"baseModel": [1], "BaseModel": {}, "base_model": 7, "civitai": 3, "sd version": [], "activation text": {}},
        {"trainedWords": "x", "TrainedWords": {"a": 1}, "model": [], "ModelType": [1], "civitai": {"model": 1}},
    ],
)  # fmt: skip
def test_odd_content_tells_nothing(tmp_path: Path, ending: str, content: Any) -> None:
    assert told(Judge(0.5).at(str(beside(tmp_path, ending, content)))) == ("unknown", "", "", ())


def test_other_json_beside_a_model_tells_nothing(tmp_path: Path) -> None:
    path = beside(tmp_path, ".json", {"nodes": [], "links": []})
    assert Judge(0.5).at(str(path)).verdict.evidence == ()
