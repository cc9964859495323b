"""A model gets another name, and a hash file beside it."""

import subprocess
from pathlib import Path

import pytest

from modelhub.core.errors import InvalidInput
from modelhub.core.events import Problem
from modelhub.core.types import ModelFilter
from modelhub.services.hub import Hub
from tests import build
from tests.conftest import Modelhub, finish, scan


def test_a_renamed_model_keeps_its_ending_and_its_links_follow(hub: Hub, downloads: Path, tmp_path: Path) -> None:
    scan(hub, downloads)
    hub.targets.add("apps", str(tmp_path / "apps"), app="folder")
    finish(hub.deployment.apply(hub.deployment.plan()))
    model = hub.models.correct("detail", fields={}, name="Sharper hands")
    assert model.filename == "Sharper hands.safetensors"
    finish(hub.deployment.apply(hub.deployment.plan()))
    names = {path.name for path in (tmp_path / "apps").rglob("*.safetensors")}
    assert "Sharper hands.safetensors" in names
    assert not any("detail" in name for name in names)


def test_undo_gives_the_name_back(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    hub.models.correct("detail", fields={}, name="other")
    finish(hub.undo.run(hub.undo.plan()))
    assert hub.models.resolve("detail").filename.startswith("detail")


def test_a_scan_knows_a_renamed_folder_again(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "in/tiny"
    build.safetensors(folder / "model.safetensors", {"model.embed_tokens.weight": (8, 8)})
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}')
    scan(hub, tmp_path / "in", adopt="reference")
    (model,) = hub.models.find(ModelFilter())
    hub.models.correct(str(model.id), fields={}, name="mine")
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "x": 1}')
    scan(hub, tmp_path / "in", adopt="reference")
    (again,) = hub.models.find(ModelFilter())
    assert (again.id, again.filename) == (model.id, "mine")


@pytest.mark.parametrize("name", ["a/b", ".hidden", "x\n", "x\x1b[2J", "n" * 300, "  "])
def test_what_is_no_name_is_refused(hub: Hub, downloads: Path, name: str) -> None:
    scan(hub, downloads)
    with pytest.raises(InvalidInput, match="is no name"):
        hub.models.correct("detail", fields={}, name=name)


@pytest.mark.parametrize("adopt", ["symlink", "reference"])
def test_hash_files_are_proved_by_sha256sum(modelhub: Modelhub, tmp_path: Path, adopt: str) -> None:
    build.safetensors(tmp_path / "in/back\\slash.safetensors", build.SDXL_LORA)
    build.safetensors(tmp_path / "in/plain.safetensors", build.SD15_LORA)
    modelhub("scan", str(tmp_path / "in"), "--adopt", adopt)
    assert "2 hash files would be written" in modelhub("hash", "--all", "--dry-run").out
    assert not list((tmp_path / "in").glob("*.sha256"))
    assert "2 hash files written, 0 there." in modelhub("hash", "--all").out
    for path in (tmp_path / "in").glob("*.sha256"):
        subprocess.run(["sha256sum", "--status", "-c", path.name], cwd=tmp_path / "in", check=True)
    assert "0 hash files written, 2 there." in modelhub("hash", "--all").out


def test_a_hash_file_that_says_something_else_is_left(hub: Hub, tmp_path: Path) -> None:
    path = build.safetensors(tmp_path / "in/a.safetensors", build.SDXL_LORA)
    other = Path(f"{path}.sha256")
    other.write_text("0" * 64)
    scan(hub, tmp_path / "in")
    problems = [event for event in hub.hash_files.write(hub.models.find(ModelFilter())) if isinstance(event, Problem)]
    assert "says something else" in problems[0].message
    assert other.read_text() == "0" * 64


def test_a_file_that_was_changed_since_gets_no_hash_file(hub: Hub, tmp_path: Path) -> None:
    path = build.safetensors(tmp_path / "in/a.safetensors", build.SDXL_LORA)
    scan(hub, tmp_path / "in", adopt="reference")
    build.safetensors(path, build.SD15_LORA)
    problems = [event for event in hub.hash_files.write(hub.models.find(ModelFilter())) if isinstance(event, Problem)]
    assert "was changed since it was scanned" in problems[0].message
    assert not Path(f"{path}.sha256").exists()
