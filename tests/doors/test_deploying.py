"""Apps, targets, deployments and their undoing on the command line."""

import json
import os
from pathlib import Path

import pytest

from tests import build
from tests.apps.machine import install_apps, tree
from tests.conftest import Modelhub


@pytest.fixture
def machine(modelhub: Modelhub, downloads: Path, tmp_path: Path) -> Path:
    """A home full of apps, and a hub with three models."""
    assert modelhub("scan", downloads).code == 0
    home = tmp_path / "home"
    install_apps(home)
    return home


def snapshot(*roots: Path) -> dict[str, object]:
    """All there is below folders; databases by their rows, since reading one leaves traces beside it."""
    found: dict[str, object] = {}
    for root in roots:
        found |= {f"{root}/{name}": what for name, what in tree(root).items() if ".db" not in name}
    return found


def test_apps_are_found_shown_and_added(machine: Path, modelhub: Modelhub) -> None:
    before = snapshot(machine)
    shown = modelhub("apps", "detect", "--no-servers", "--json").json
    assert {one["app"] for one in shown["found"]} >= {"comfyui", "forge", "ollama", "lm_studio", "jan", "fooocus"}
    assert shown["added"] == []
    assert "--yes" in modelhub("apps", "detect", "--no-servers").err
    added = modelhub("apps", "detect", "--no-servers", "--yes", "--json").json["added"]
    assert {target["name"] for target in added} >= {"comfyui", "forge", "ollama"}
    assert all(target["enabled"] for target in added)
    assert snapshot(machine) == before
    again = modelhub("apps", "detect", "--no-servers", "--yes", "--json").json
    assert again["added"] == []
    assert len(modelhub("targets", "--json").json["targets"]) == len({one["name"] for one in added} | {"image_upscale"})
    assert {one["target"] for one in again["found"] if one["app"] == "comfyui"} == {"comfyui"}


def test_the_table_of_apps_says_what_each_takes_and_what_to_beware_of(modelhub: Modelhub) -> None:
    apps = {app["name"]: app for app in modelhub("apps", "--json").json["apps"]}
    assert len(apps) > 25
    assert apps["invokeai"]["hazards"]
    assert "container" in apps["diffusion_bee"]["not_possible"]
    assert "not possible" in modelhub("apps").out
    assert "InvokeAI" in modelhub("apps", "show", "invokeai").out
    assert modelhub("apps", "show", "nonsense").code == 2
    assert modelhub("apps", "models", "ollama", "--url", "http://127.0.0.1:9").code == 1
    assert modelhub("apps", "models", "mlx").code == 2


@pytest.mark.parametrize(
    "words",
    [
        ["apps", "detect", "--no-servers", "--yes", "--dry-run"], ["deploy", "--dry-run"],
        ["deploy", "undo", "--dry-run"],
        ["undeploy", "--all", "--dry-run"], ["targets", "add", "x", "/x", "--dry-run"],
        ["targets", "edit", "comfyui", "--names", "{base}/{name}", "--method", "copy", "--dry-run"],
        ["targets", "filter", "comfyui", "--include", "type=lora", "--dry-run"],
        ["doctor", "comfyui", "--repair", "--move", "--dry-run"],
    ],
)  # fmt: skip
def test_a_dry_run_changes_nothing(machine: Path, modelhub: Modelhub, tmp_path: Path, words: list[str]) -> None:
    modelhub("targets", "enable", "comfyui", "--path", machine / "ComfyUI/models")
    modelhub("deploy", "--quiet")
    (machine / "ComfyUI/models/vae/ae.safetensors").unlink()
    before, targets = snapshot(tmp_path), modelhub("targets", "--json").out
    history = modelhub("deploy", "history", "--json").out
    assert modelhub(*words).code in (0, 3)
    assert snapshot(tmp_path) == before
    assert modelhub("targets", "--json").out == targets
    assert modelhub("deploy", "history", "--json").out == history


def test_a_deployment_is_undone_by_a_word(machine: Path, modelhub: Modelhub, tmp_path: Path) -> None:
    modelhub("targets", "enable", "comfyui", "--path", machine / "ComfyUI/models")
    before = snapshot(machine)
    assert modelhub("deploy").code == 0
    assert modelhub("deploy", "--json", "history").json["runs"][0]["state"] == "done"
    assert "undo" in modelhub("deploy", "undo", "--dry-run").out
    assert modelhub("deploy", "--hub", tmp_path / "hub", "undo", hub=None).code == 0
    assert snapshot(machine) == before
    assert modelhub("deploy", "undo").code == 1
    assert modelhub("deploy", "history", "--json").json["runs"][-1]["state"] == "undone"
    assert modelhub("deploy", "apply", "comfyui", "--json").result["made"] == 3


@pytest.mark.parametrize(
    ("resolution", "code", "made"), [("keep", 3, 2), ("skip", 0, 2), ("rename", 0, 3), ("adopt", 0, 3)]
)
def test_a_file_in_the_way_is_dealt_with_as_asked(
    machine: Path, modelhub: Modelhub, resolution: str, code: int, made: int
) -> None:
    modelhub("targets", "enable", "comfyui", "--path", machine / "ComfyUI/models")
    build.safetensors(machine / "ComfyUI/models/vae/ae.safetensors", build.vae(), mark="mine")
    said = modelhub("deploy", "--on-conflict", resolution, "--json")
    assert (said.code, said.result["made"]) == (code, made)
    assert (machine / "ComfyUI/models/vae/ae.safetensors").is_symlink() == (resolution == "adopt")


def test_status_counts_by_type(machine: Path, modelhub: Modelhub) -> None:
    modelhub("targets", "enable", "comfyui", "--path", machine / "ComfyUI/models")
    modelhub("deploy", "--quiet")
    shown = modelhub("status", "--json").json["targets"][0]
    assert shown["by_type"] == {"embedding": [1, 1], "lora": [1, 1], "vae": [1, 1]}
    assert shown["free"] > 0
    assert "embedding" in modelhub("status", "--types").out


def test_doctor_looks_at_one_target_and_mends_it(machine: Path, modelhub: Modelhub) -> None:
    models = machine / "ComfyUI/models"
    (models / "loras/mine.safetensors").unlink()
    modelhub("targets", "enable", "comfyui", "--path", models)
    modelhub("deploy", "--quiet")
    assert modelhub("doctor", "comfyui").code == 0
    (models / "vae/ae.safetensors").unlink()
    build.safetensors(models / "loras/wrong.safetensors", build.vae(16), mark="mine")
    shown = modelhub("doctor", "comfyui", "--json")
    assert shown.code == 3
    assert {finding["code"] for finding in shown.json["findings"]} == {"gone", "misplaced"}
    assert {"type", "folder", "real", "exists", "files"} <= set(shown.json["folders"][0])
    assert modelhub("doctor", "comfyui", "--repair", "--move").code == 0
    assert (models / "vae/wrong.safetensors").is_file()
    assert modelhub("doctor", "comfyui").code == 0
    assert modelhub("doctor", "--repair").code == 2


def test_targets_are_filtered_named_and_given_a_method(machine: Path, modelhub: Modelhub) -> None:
    modelhub("targets", "enable", "comfyui", "--path", machine / "ComfyUI/models")
    assert "type=lora" in modelhub("targets", "filter", "comfyui", "--include", "type=lora size<1G").out
    assert modelhub("targets", "filter", "comfyui", "--exclude", "nonsense=1").code == 2
    assert modelhub("targets", "edit", "comfyui", "--method", "copy", "--names", "{base}/{clean}").code == 0
    assert modelhub("targets", "edit", "comfyui", "--method", "native").code == 2
    assert modelhub("targets", "edit", "comfyui", "--names", "{nope}").code == 2
    assert modelhub("deploy", "--json").result["bytes_copied"] > 0
    assert (machine / "ComfyUI/models/loras/sd15/detail.safetensors").is_file()
    assert "everything" in modelhub("targets", "filter", "comfyui", "--clear").out


def test_a_mapping_goes_out_and_in(machine: Path, modelhub: Modelhub, tmp_path: Path) -> None:
    path = tmp_path / "mapping.json"
    assert modelhub("mapping", "export", path).code == 0
    assert modelhub("mapping", "export", path).code == 1
    mapping = json.loads(path.read_text())
    wanted = {"enabled": True, "root": str(machine / "ComfyUI/models"), "include": [{"type": "vae"}]}
    mapping["apps"]["comfyui"] |= wanted
    path.write_text(json.dumps(mapping))
    assert "would be changed" in modelhub("mapping", "import", path, "--dry-run").out
    assert modelhub("mapping", "import", path).code == 0
    assert modelhub("deploy", "--json").result["made"] == 1
    path.write_text("{")
    assert modelhub("mapping", "import", path).code == 2
    assert modelhub("mapping", "import", tmp_path / "nothing").code == 1


def test_an_app_that_cannot_be_asked_to_look_again_is_told(machine: Path, modelhub: Modelhub) -> None:
    forge = machine / "stable-diffusion-webui-forge/models"
    modelhub("targets", "add", "forge2", forge, "--app", "forge", "--url", "http://127.0.0.1:9")
    said = modelhub("deploy", "forge2", "--refresh")
    assert said.code == 3
    assert "cannot be reached" in said.err
    assert os.path.islink(forge / "Lora/detail.safetensors")
