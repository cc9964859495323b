"""Deployment: what is planned, what is done, and what is never touched."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from modelhub.core import config
from modelhub.core.deployment import Conflict, MakeLink, Plan, RemoveLink, Skip
from modelhub.core.errors import InvalidInput
from modelhub.core.events import Problem
from modelhub.services.hub import Hub, open_hub
from tests import build
from tests.conftest import crash_while_placing, finish, scan


@pytest.fixture
def comfyui(hub: Hub, downloads: Path, tmp_path: Path) -> Path:
    """A hub with three models, and an enabled ComfyUI."""
    scan(hub, downloads)
    base = tmp_path / "ComfyUI/models"
    hub.targets.change("comfyui", enabled=True, path=str(base))
    return base


def deploy(hub: Hub) -> Plan:
    plan = hub.deployment.plan()
    finish(hub.deployment.apply(plan))
    return plan


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else "file"
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def test_a_new_hub_has_four_targets_all_disabled(hub: Hub) -> None:
    targets = [(target.name, target.enabled, target.base_path) for target in hub.targets.all()]
    assert targets == [
        ("comfyui", False, "~/comfy/ComfyUI/models"),
        ("wan", False, "~/pinokio/api/wan.git/app"),
        ("forge", False, "~/pinokio/api/stable-diffusion-webui-forge.git/app/models"),
        ("image_upscale", False, "~/pinokio/api/Image-Upscale.git/models"),
    ]


def test_models_are_linked_one_by_one_into_the_folder_of_their_type(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    assert sorted(tree(comfyui)) == [
        "embeddings/EasyNegative.safetensors",
        "loras/detail.safetensors",
        "vae/ae.safetensors",
    ]
    assert all(Path(target).is_relative_to(hub.places.models) for target in tree(comfyui).values())


def test_a_plan_touches_nothing(hub: Hub, comfyui: Path) -> None:
    assert len(hub.deployment.plan().links) == 3
    assert not comfyui.exists()


def test_deploying_twice_changes_nothing(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    before = {path: path.lstat().st_ino for path in comfyui.rglob("*")}
    plan = deploy(hub)
    assert {step.code for step in plan.skips} == {"linked"}
    assert (plan.links, plan.removals, plan.conflicts) == ((), (), ())
    assert {path: path.lstat().st_ino for path in comfyui.rglob("*")} == before


@pytest.mark.parametrize("what", ["file", "folder", "link", "dangling link"])
def test_what_is_the_users_is_never_touched(hub: Hub, comfyui: Path, tmp_path: Path, what: str) -> None:
    path = comfyui / "loras/detail.safetensors"
    path.parent.mkdir(parents=True)
    if what == "file":
        path.write_bytes(b"mine")
    elif what == "folder":
        path.mkdir()
        (path / "x").write_bytes(b"mine")
    else:
        other = tmp_path / "other"
        if what == "link":
            other.write_bytes(b"mine")
        path.symlink_to(other)
    before = path.lstat()
    plan = deploy(hub)
    assert [conflict.path for conflict in plan.conflicts] == [str(path)]
    assert path.lstat() == before
    finish(hub.deployment.apply(hub.deployment.plan_removal()))
    assert path.lstat() == before


def test_a_link_that_an_app_made_a_file_is_left_alone_and_told(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    path = comfyui / "loras/detail.safetensors"
    path.unlink()
    path.write_bytes(b"rewritten by the app")
    plan = deploy(hub)
    assert [(step.path, step.by) for step in plan.conflicts] == [(str(path), "a file, where our link was")]
    removal = hub.deployment.plan_removal()
    assert str(path) not in [step.path for step in removal.removals]
    finish(hub.deployment.apply(removal))
    assert path.read_bytes() == b"rewritten by the app"
    assert tree(comfyui) == {"loras/detail.safetensors": "file"}


def test_a_link_that_was_removed_comes_back(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    (comfyui / "vae/ae.safetensors").unlink()
    assert [Path(step.path).name for step in deploy(hub).links] == ["ae.safetensors"]


def test_undeploying_removes_our_links_and_nothing_else(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    (comfyui / "loras/mine.safetensors").write_bytes(b"mine")
    finish(hub.deployment.apply(hub.deployment.plan_removal(["comfyui"])))
    assert tree(comfyui) == {"loras/mine.safetensors": "file"}
    assert hub.deployment.status()[0].deployed == 0
    deploy(hub)
    assert len(tree(comfyui)) == 4


def test_a_corrected_type_moves_the_link(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    hub.models.correct("detail.safetensors", fields={"type": "hypernetwork"})
    plan = deploy(hub)
    assert [type(step) for step in plan.steps if not isinstance(step, Skip)] == [RemoveLink, MakeLink]
    assert "hypernetworks/detail.safetensors" in tree(comfyui)
    assert "loras/detail.safetensors" not in tree(comfyui)


def test_the_link_of_a_deleted_model_goes(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    with sqlite3.connect(hub.places.library) as database:
        database.execute("UPDATE models SET deleted = 1 WHERE filename = 'ae.safetensors'")
    database.close()
    assert [step.because for step in deploy(hub).removals] == ["the model was deleted"]
    assert "vae/ae.safetensors" not in tree(comfyui)


def test_the_link_of_a_model_whose_file_is_gone_goes(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    blob = (comfyui / "vae/ae.safetensors").resolve()
    blob.unlink()
    assert [step.because for step in deploy(hub).removals] == ["its file is gone"]
    assert not os.path.lexists(comfyui / "vae/ae.safetensors")


def test_two_models_of_one_name_get_names_that_stay(hub: Hub, comfyui: Path, downloads: Path) -> None:
    second = build.safetensors(downloads / "other/DETAIL.safetensors", build.SD15_LORA, mark="other")
    digest = scan(hub, downloads).files["other/DETAIL.safetensors"].sha256
    assert second.is_symlink()
    for _ in range(2):
        deploy(hub)
        assert {name for name in tree(comfyui) if name.startswith("loras")} == {
            "loras/detail.safetensors",
            f"loras/DETAIL-{digest[:8]}.safetensors",
        }


def test_the_extension_of_a_link_is_lower_case(hub: Hub, comfyui: Path, downloads: Path) -> None:
    build.safetensors(downloads / "Loud.SAFETENSORS", build.SD15_LORA, mark="loud")
    scan(hub, downloads)
    deploy(hub)
    assert "loras/Loud.safetensors" in tree(comfyui)


def test_unknown_and_broken_models_are_not_deployed_unless_named(hub: Hub, comfyui: Path, downloads: Path) -> None:
    build.safetensors(downloads / "mystery.safetensors", {"a": (2, 2)})
    cut = build.safetensors(downloads / "cut_lora.safetensors", build.SD15_LORA, mark="cut")
    os.truncate(cut, cut.stat().st_size - 1)
    scan(hub, downloads)
    assert {step.name: step.code for step in deploy(hub).skips} == {
        "mystery.safetensors": "unknown",
        "cut_lora.safetensors": "broken",
    }
    named = [hub.models.resolve("mystery.safetensors"), hub.models.resolve("cut_lora.safetensors")]
    plan = hub.deployment.plan(models=named)
    assert [Path(step.path).name for step in plan.links] == ["mystery.safetensors"]


def test_a_model_indexed_in_place_is_linked_to_its_place(hub: Hub, tmp_path: Path, comfyui: Path) -> None:
    source = build.safetensors(tmp_path / "library/far.safetensors", build.SDXL_LORA)
    scan(hub, tmp_path / "library", adopt="reference")
    deploy(hub)
    assert tree(comfyui)["loras/far.safetensors"] == str(source)


def test_a_crash_between_link_and_row_is_finished_by_the_next_run(hub: Hub, comfyui: Path) -> None:
    crash_while_placing(hub, hub.deployment.plan(), 2)
    assert len(tree(comfyui)) == 2
    deploy(hub)
    assert hub.deployment.status()[0].deployed == 3
    assert hub.deployment.plan().links == ()


def test_a_link_that_somebody_else_made_is_right_and_stays_theirs(hub: Hub, comfyui: Path, downloads: Path) -> None:
    """As after a scan of an app's own folder, which leaves links there."""
    build.safetensors(comfyui / "loras/mine.safetensors", build.SDXL_LORA, mark="mine")
    scan(hub, comfyui)
    before = tree(comfyui)
    assert {skip.name: skip.code for skip in deploy(hub).skips} == {"mine.safetensors": "linked"}
    finish(hub.undo.run(hub.undo.plan()))
    assert tree(comfyui) == before
    deploy(hub)
    finish(hub.deployment.apply(hub.deployment.plan_removal(["comfyui"])))
    assert tree(comfyui) == before


def test_two_targets_on_one_folder_leave_each_others_links(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    before = tree(comfyui)
    hub.targets.add("second", str(comfyui), app="comfyui")
    finish(hub.deployment.apply(hub.deployment.plan(["second"])))
    finish(hub.deployment.apply(hub.deployment.plan_removal(["second"])))
    assert tree(comfyui) == before


def test_forge_reads_embeddings_beside_its_models(hub: Hub, comfyui: Path, tmp_path: Path) -> None:
    hub.targets.change("forge", enabled=True, path=str(tmp_path / "forge/models"))
    deploy(hub)
    assert (tmp_path / "forge/embeddings/EasyNegative.safetensors").is_symlink()
    assert (tmp_path / "forge/models/Lora/detail.safetensors").is_symlink()


def test_a_plain_folder_gets_a_sub_folder_for_each_type(hub: Hub, comfyui: Path, tmp_path: Path) -> None:
    hub.targets.add("mine", str(tmp_path / "mine"), app="folder", display_name="", enabled=True)
    deploy(hub)
    assert sorted(tree(tmp_path / "mine")) == [
        "embedding/EasyNegative.safetensors",
        "lora/detail.safetensors",
        "vae/ae.safetensors",
    ]


def test_a_mapping_can_be_changed_and_removed(hub: Hub, comfyui: Path) -> None:
    hub.targets.map_type("comfyui", "lora", "loras/from the hub")
    hub.targets.map_type("comfyui", "vae", None)
    deploy(hub)
    assert sorted(tree(comfyui)) == ["embeddings/EasyNegative.safetensors", "loras/from the hub/detail.safetensors"]


def test_a_target_with_links_is_not_forgotten(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    with pytest.raises(InvalidInput, match="still has 3 links"):
        hub.targets.remove("comfyui")
    finish(hub.deployment.apply(hub.deployment.plan_removal(["comfyui"])))
    hub.targets.remove("comfyui")
    assert "comfyui" not in [target.name for target in hub.targets.all()]


def test_a_plan_counts_what_copies_would_have_cost(hub: Hub, comfyui: Path) -> None:
    plan = hub.deployment.plan()
    assert plan.bytes_saved == sum(step.size for step in plan.links) > 0


def test_one_target_failing_does_not_stop_the_others(hub: Hub, comfyui: Path, tmp_path: Path) -> None:
    hub.targets.change("forge", enabled=True, path=str(tmp_path / "blocked/models"))
    (tmp_path / "blocked").write_text("a file where a folder should be")
    plan = hub.deployment.plan()
    problems = [event for event in hub.deployment.apply(plan) if event.kind == "problem"]
    assert len(problems) == 3
    assert len(tree(comfyui)) == 3
    assert (tmp_path / "blocked").read_text() == "a file where a folder should be"
    shutil.rmtree(comfyui)


def test_conflict_is_a_value_one_can_show() -> None:
    assert Conflict("comfyui", 1, "/x", "a file").kind == "conflict"


def test_a_link_that_was_made_but_not_noted_is_ours_all_the_same(hub: Hub, comfyui: Path) -> None:
    """A crash between link and note, then a correction: the old link must not be forgotten."""
    deploy(hub)
    with sqlite3.connect(hub.places.library) as database:
        database.execute("UPDATE deploy_links SET is_deployed = 0")
    database.close()
    hub.models.correct("detail.safetensors", fields={"type": "hypernetwork"})
    deploy(hub)
    assert sorted(tree(comfyui)) == [
        "embeddings/EasyNegative.safetensors",
        "hypernetworks/detail.safetensors",
        "vae/ae.safetensors",
    ]


def test_a_link_that_cannot_be_removed_is_one_problem(hub: Hub, comfyui: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(hub)
    unlink = os.unlink

    def refuse(path: str, **options: object) -> None:
        if "loras" in str(path):
            raise PermissionError(1, "Operation not permitted", path)
        unlink(path)

    monkeypatch.setattr("os.unlink", refuse)
    events = list(hub.deployment.apply(hub.deployment.plan_removal()))
    items = [event.item for event in events if isinstance(event, Problem)]
    assert items == [str(comfyui / "loras/detail.safetensors")]
    assert sorted(tree(comfyui)) == ["loras/detail.safetensors"]


def test_a_name_of_full_length_is_shortened_for_the_second_model(hub: Hub, comfyui: Path, downloads: Path) -> None:
    name = "x" * 243 + ".safetensors"
    for folder in ("one", "two"):
        build.safetensors(downloads / folder / name, build.SD15_LORA, mark=folder)
    scan(hub, downloads)
    deploy(hub)
    assert len([found for found in tree(comfyui) if "xxx" in found]) == 2


def test_defaults_are_made_once_also_after_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config.load({}, hub=str(tmp_path / "fresh"))
    with monkeypatch.context() as patch:
        patch.setattr("modelhub.services.targets.TargetDesk.create_defaults", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            open_hub(settings)
    with open_hub(settings) as hub:
        assert len(hub.targets.all()) == 4
        hub.targets.remove("wan")
    with open_hub(settings) as hub:
        assert len(hub.targets.all()) == 3


def test_a_row_that_holds_a_path_makes_no_link_outside_of_its_folder(hub: Hub, downloads: Path, tmp_path: Path) -> None:
    scan(hub, downloads)
    with sqlite3.connect(hub.places.library) as database:
        database.execute("UPDATE models SET filename = '../../../esc/evil.safetensors' WHERE filename LIKE 'detail%'")
    database.close()
    hub.targets.change("comfyui", enabled=True, path=str(tmp_path / "a/b/c/comfy"))
    plan = hub.deployment.plan()
    assert all(os.path.normpath(step.path).startswith(str(tmp_path / "a/b/c/comfy")) for step in plan.links)
    finish(hub.deployment.apply(plan))
    assert not list(tmp_path.rglob("esc*"))
