"""Measuring the rules on models whose labels are known."""

import gzip
import json
import os
from pathlib import Path

import pytest

from modelhub.core.errors import InvalidInput
from modelhub.services.evaluate import Evaluation, evaluate
from modelhub.services.hub import Hub
from modelhub.services.judge import Judge
from tests import build
from tests.conftest import Modelhub, finish, scan

HEADERS = Path(__file__).parent.parent / "corpus" / "headers"


def measured(place: Path, *, blind: bool = False) -> Evaluation:
    found = finish(evaluate(Judge(0.5), place, blind=blind))
    assert isinstance(found, Evaluation)
    return found


@pytest.mark.parametrize("blind", [False, True], ids=["informative", "blind"])
@pytest.mark.parametrize("name", ["development", "pictures", "language", "further"])
def test_real_headers_are_judged_as_well_as_the_readme_says(name: str, blind: bool) -> None:
    found = measured(HEADERS / f"{name}.jsonl.gz", blind=blind)
    assert found.type_right >= 0.97
    assert found.both_right >= 0.95
    assert found.calibration_error <= 0.1
    assert found.sure_and_wrong <= 0.03 * found.models


def header(**fields: object) -> bytes:
    whole = {
        "name": "a",
        "container": "safetensors",
        "size": 9,
        "metadata": {},
        "tensors": {},
        "truth": {"type": "llm"},
    }
    return gzip.compress(json.dumps(whole | fields).encode(), mtime=0)


def test_a_pipe_is_no_file_of_headers(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jsonl.gz")
    with pytest.raises(InvalidInput, match="no regular file"):
        measured(tmp_path / "x.jsonl.gz")


def test_corrections_of_the_category_alone_can_be_measured_too(hub: Hub, tmp_path: Path) -> None:
    scan(hub, build.safetensors(tmp_path / "models" / "a.safetensors", build.SDXL_LORA).parent)
    hub.models.correct("a", fields={"primary": "VISION"})
    lines = finish(hub.models.export_corrections())
    (tmp_path / "mine.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    assert measured(tmp_path / "mine.jsonl.gz").both_right == 1.0


@pytest.mark.parametrize("word", ["a\nb", "\x1b[31m", "\udcff", "x" * 101])
def test_what_is_no_word_is_not_set(hub: Hub, tmp_path: Path, word: str) -> None:
    scan(hub, build.safetensors(tmp_path / "models" / "a.safetensors", build.SDXL_LORA).parent)
    for given in ({"fields": {"primary": word}}, {"fields": {"base": word}}, {"fields": {}, "add_tags": [word]}):
        with pytest.raises(InvalidInput, match="no word"):
            hub.models.correct("a", **given)


def test_a_folder_is_labelled_by_its_subfolders(tmp_path: Path) -> None:
    build.safetensors(tmp_path / "lora" / "a.safetensors", build.SDXL_LORA)
    build.safetensors(tmp_path / "vae" / "b.safetensors", build.SDXL_LORA, mark="2")
    found = measured(tmp_path)
    assert (found.models, found.type_right) == (2, 0.5)
    assert [(miss.type, miss.judged_type) for miss in found.misses if miss.type == "vae"] == [("vae", "lora")]
    assert found.confusion["vae"] == {"lora": 1}


def test_a_folder_is_labelled_by_a_file(tmp_path: Path) -> None:
    build.safetensors(tmp_path / "a.safetensors", build.SDXL_LORA)
    labels = {"a.safetensors": {"type": "lora", "base": "sd15", "accept_base": ["sdxl"]}, "gone.gguf": {"type": "llm"}}
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    found = measured(tmp_path)
    assert (found.models, found.type_right, found.base_right) == (2, 0.5, 1.0)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("labels.json", b"[1", "not valid JSON"),
        ("labels.json", b'["a"]', "must map paths"),
        ("labels.json", b"[" * 100_000, "not valid JSON"),
        ("labels.json", b'{"a.gguf": {"type": "llm", "accept_type": 7}}', "must map paths"),
        ("labels.json", b'{"a.gguf": {"type": "llm", "accept_type": "lora"}}', "must map paths"),
        ("labels.json", b'{"a.gguf": {"type": "llm", "accept_base": null}}', "must map paths"),
        ("labels.json", b'{"a.gguf": {"type": ["llm"]}}', "must map paths"),
        ("labels.json", b'{"a\\u0000b": {"type": "llm"}}', "must map paths"),
        ("x.jsonl.gz", header(tensors={"a": ["F16", ["x", {}]]}), "no header"),
        ("x.jsonl.gz", header(size=float("inf")), "no header"),
        ("x.jsonl.gz", header(truth={"base": "sdxl"}), "no header"),
        ("x.jsonl.gz", gzip.compress(b"[" * 200_000, mtime=0), "no header"),
        ("x.jsonl.gz", b"no gzip", "cannot be read"),
        ("x.jsonl.gz", gzip.compress(b'{"name": 1}\n', mtime=0), "no header"),
        ("other.txt", b"", "nothing labelled"),
    ],
)
def test_what_is_not_labelled_is_said(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=told):
        measured(tmp_path)


def test_corrections_leave_as_headers_without_weights(hub: Hub, modelhub: Modelhub, tmp_path: Path) -> None:
    shapes = {"secret.weight": (4, 4), "other.weight": (2, 2)}
    path = build.safetensors(tmp_path / "in" / "star.safetensors", shapes, metadata={"ss_dataset_dirs": "/home/me"})
    size = path.stat().st_size
    scan(hub, tmp_path / "in")
    assert modelhub("set", "star", "--type", "lora", "--base", "flux").code == 0
    assert "base flux, type lora" in modelhub("corrections").out
    out = tmp_path / "mine.jsonl.gz"
    assert modelhub("corrections", "export", out).code == 0
    (record,) = map(json.loads, gzip.decompress(out.read_bytes()).splitlines())
    assert record["truth"] == {"type": "lora", "base": "flux"}
    assert record["tensors"] == {"secret.weight": ["F16", [4, 4]], "other.weight": ["F16", [2, 2]]}
    assert (record["size"], record["metadata"]) == (size, {})
    assert measured(out).models == 1
    assert modelhub("corrections", "export", out).code == 1
    assert modelhub("corrections", "export", tmp_path / "x.json").code == 2


def test_the_command_says_what_was_right(modelhub: Modelhub, tmp_path: Path) -> None:
    build.safetensors(tmp_path / "vae" / "b.safetensors", build.SDXL_LORA)
    ran = modelhub("evaluate", tmp_path)
    assert ran.code == 0
    assert "1 model: type 0.0%" in ran.out
    assert "lora sdxl" in ran.out
    assert json.loads(modelhub("evaluate", tmp_path, "--json").out.splitlines()[-1])["type_right"] == 0.0
    assert modelhub("evaluate", tmp_path / "nowhere").code == 1
