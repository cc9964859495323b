"""Targets: what they take, which way it gets there, what stands in the way, and what is wrong with them."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from modelhub.core.deployment import Conflict, Note, Plan
from modelhub.core.errors import Changed, InvalidInput, NotFound
from modelhub.core.rules import typed_condition
from modelhub.services import mapping
from modelhub.services.hub import Hub
from tests import build
from tests.apps.machine import mlx_folder
from tests.conftest import finish, scan


@pytest.fixture
def comfyui(hub: Hub, downloads: Path, tmp_path: Path) -> Path:
    """A hub with a LoRA, a VAE and an embedding, and an enabled ComfyUI."""
    scan(hub, downloads)
    hub.targets.change("comfyui", enabled=True, path=str(tmp_path / "ComfyUI/models"))
    return tmp_path / "ComfyUI/models"


def deploy(hub: Hub, **more: Any) -> Plan:
    plan = hub.deployment.plan(**more)
    assert finish(hub.deployment.apply(plan)).problems == 0
    return plan


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


# What a target takes


@pytest.mark.parametrize(
    ("include", "exclude", "left"),
    [
        (["type=lora"], [], ["loras/detail.safetensors"]),
        (["type=lora", "type=vae"], [], ["loras/detail.safetensors", "vae/ae.safetensors"]),
        (["type=lora size>1G"], [], []),
        ([], ["type=lora,vae"], ["embeddings/EasyNegative.safetensors"]),
        ([], ["tag=private"], ["embeddings/EasyNegative.safetensors", "loras/detail.safetensors"]),
        (["name=*negative*"], [], ["embeddings/EasyNegative.safetensors"]),
        (["base=sd15"], ["name=easy*"], ["loras/detail.safetensors"]),
        (["folder=*/downloads/sub"], [], ["vae/ae.safetensors"]),
    ],
)
def test_a_target_takes_what_its_filters_let_through(
    hub: Hub, comfyui: Path, include: list[str], exclude: list[str], left: list[str]
) -> None:
    hub.models.correct("ae.safetensors", fields={}, add_tags=["private"])
    hub.targets.filter(
        "comfyui", include=[typed_condition(one) for one in include], exclude=[typed_condition(one) for one in exclude]
    )
    deploy(hub)
    assert names(comfyui) == left


def test_a_filter_that_is_set_later_takes_links_away(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    hub.targets.filter("comfyui", include=[typed_condition("type=vae")])
    assert {removal.because for removal in deploy(hub).removals} == {"the target's filter does not include it"}
    assert names(comfyui) == ["vae/ae.safetensors"]


@pytest.mark.parametrize("text", ["", "lora", "kind=lora", "size=5", "size>big", "type>3", 'name="open'])
def test_a_condition_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        typed_condition(text)


def test_names_follow_the_targets_template_and_old_links_move(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    hub.targets.change("comfyui", naming="{base|type}/{clean}")
    deploy(hub)
    assert names(comfyui) == [
        "embeddings/sd15/easynegative.safetensors", "loras/sd15/detail.safetensors", "vae/flux/ae.safetensors",
    ]  # fmt: skip
    assert hub.deployment.plan().links == ()


def test_options_written_by_hand_that_cannot_be_right_are_told_and_nothing_is_deployed(hub: Hub, comfyui: Path) -> None:
    with hub.targets._targets._database.write() as connection:
        connection.exec_driver_sql("UPDATE deploy_targets SET options = '{\"include\": 3}' WHERE name = 'comfyui'")
    assert [target.name for target in hub.targets.all()] == ["comfyui", "wan", "forge", "image_upscale"]
    with pytest.raises(InvalidInput, match="The options of the target comfyui cannot be read"):
        hub.deployment.plan()


# Which way


def test_where_no_symlink_can_be_made_hard_links_are_and_the_reason_is_told(
    hub: Hub, comfyui: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", refused)
    plan = deploy(hub)
    assert [note.code for note in plan.notes] == ["method"]
    assert "hard links instead of symlinks" in plan.notes[0].message
    assert {step.how for step in plan.links} == {"hardlink"}
    assert not any(path.is_symlink() for path in comfyui.rglob("*"))
    assert hub.deployment.status()[0].deployed == 3
    assert hub.deployment.plan().links == ()
    finish(hub.deployment.apply(hub.deployment.plan_removal(["comfyui"])))
    assert names(comfyui) == []


def test_where_no_link_can_be_made_nothing_is_copied_and_the_way_out_is_told(
    hub: Hub, comfyui: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "symlink", refused)
    monkeypatch.setattr(os, "link", refused)
    (note,) = hub.deployment.plan().steps
    assert isinstance(note, Note)
    assert note.code == "no_method"
    assert "--method copy" in note.message
    hub.targets.change("comfyui", method="copy")
    plan = deploy(hub)
    assert plan.bytes_copied > 0 == plan.bytes_saved
    assert hub.deployment.plan().links == ()


@pytest.mark.parametrize("method", ["copy", "hardlink"])
def test_another_method_replaces_the_links(hub: Hub, comfyui: Path, method: str) -> None:
    deploy(hub)
    hub.targets.change("comfyui", method=method)
    deploy(hub)
    assert len(names(comfyui)) == 3
    assert not any(path.is_symlink() for path in comfyui.rglob("*"))


def test_a_copy_that_somebody_edited_is_theirs(hub: Hub, comfyui: Path) -> None:
    hub.targets.change("comfyui", method="copy")
    deploy(hub)
    path = comfyui / "vae/ae.safetensors"
    path.chmod(0o644)
    path.write_bytes(b"edited")
    plan = hub.deployment.plan_removal(["comfyui"])
    assert [conflict.path for conflict in plan.conflicts] == [str(path)]
    finish(hub.deployment.apply(plan))
    assert names(comfyui) == ["vae/ae.safetensors"]


def test_a_method_the_app_does_not_have_is_refused(hub: Hub) -> None:
    with pytest.raises(InvalidInput, match="cannot be given models by native"):
        hub.targets.change("comfyui", method="native")
    with pytest.raises(InvalidInput, match="no method"):
        hub.targets.change("comfyui", method="magic")


@pytest.mark.parametrize("app", ["diffusion_bee", "sillytavern", "open_webui", "amuse"])
def test_an_app_that_takes_no_models_says_why(hub: Hub, tmp_path: Path, app: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        hub.targets.add("x", str(tmp_path), app=app)
    assert len(refused.value.message) > 50


def test_an_app_in_a_flatpak_is_told_before_anything_is_written(hub: Hub, comfyui: Path, tmp_path: Path) -> None:
    hub.targets.change("comfyui", path=str(tmp_path / "home/.var/app/org.comfy.ComfyUI/models"))
    notes = hub.deployment.plan().notes
    assert [note.code for note in notes] == ["sandbox"]
    assert "flatpak override" in notes[0].message


# What stands in the way


@pytest.fixture
def in_the_way(comfyui: Path) -> Path:
    path = comfyui / "loras/detail.safetensors"
    path.parent.mkdir(parents=True)
    return build.safetensors(path, build.SDXL_LORA, mark="the user's own")


def test_kept_files_are_told_with_what_could_be_done(hub: Hub, in_the_way: Path) -> None:
    (conflict,) = deploy(hub).conflicts
    assert conflict == Conflict(
        "comfyui", conflict.model_id, str(in_the_way), "a file", ("keep", "skip", "rename", "adopt"), "keep"
    )
    assert not in_the_way.is_symlink()


def test_skipped_files_are_no_conflict(hub: Hub, in_the_way: Path) -> None:
    plan = deploy(hub, resolution="skip")
    assert plan.conflicts == ()
    assert "taken" in {skip.code for skip in plan.skips}


def test_a_renamed_link_stands_beside_the_users_file_and_keeps_its_name(hub: Hub, in_the_way: Path) -> None:
    deploy(hub, resolution="rename")
    assert len(names(in_the_way.parent)) == 2
    assert hub.deployment.plan().conflicts == ()
    assert hub.deployment.plan().links == ()


def test_an_adopted_file_is_in_the_hub_and_undo_gives_it_back(hub: Hub, in_the_way: Path, comfyui: Path) -> None:
    before = in_the_way.read_bytes()
    mtime = in_the_way.stat().st_mtime_ns
    plan = hub.deployment.plan(resolution="adopt")
    adopted = finish(hub.adopt(plan))
    finish(hub.deployment.apply(hub.deployment.plan(resolution="rename"), adopted))
    assert in_the_way.is_symlink()
    assert in_the_way.resolve().is_relative_to(hub.places.models)
    assert len([name for name in names(comfyui) if name.startswith("loras/")]) == 2
    finish(hub.undo.run(hub.undo.plan()))
    assert names(comfyui) == ["loras/detail.safetensors"]
    assert not in_the_way.is_symlink()
    assert in_the_way.read_bytes() == before
    assert in_the_way.stat().st_mtime_ns == mtime


def test_links_of_a_hub_that_moved_are_pointed_to_its_new_place_at_once(
    hub: Hub, comfyui: Path, tmp_path: Path, new_hub: Any
) -> None:
    deploy(hub)
    hub.close()
    (tmp_path / "hub").rename(tmp_path / "moved")
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub").rmdir()
    from modelhub.core import config
    from modelhub.services.hub import open_hub

    with open_hub(config.load({}, hub=str(tmp_path / "moved"))) as moved:
        plan = moved.deployment.plan()
        assert all(step.replaces for step in plan.links)
        assert finish(moved.deployment.apply(plan)).replaced == 3
        assert all((comfyui / name).resolve().is_relative_to(tmp_path / "moved") for name in names(comfyui))
        finish(moved.undo.run(moved.undo.plan()))


# Undo


def test_what_changed_since_is_left_alone_and_told(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    path = comfyui / "vae/ae.safetensors"
    path.unlink()
    path.write_bytes(b"mine")
    undoing = hub.undo.plan()
    assert [conflict.path for conflict in undoing.plan.conflicts] == [str(path)]
    finish(hub.undo.run(undoing))
    assert names(comfyui) == ["vae/ae.safetensors"]


def test_an_undeployment_can_be_undone(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    finish(hub.deployment.apply(hub.deployment.plan_removal(["comfyui"])))
    assert names(comfyui) == []
    finish(hub.undo.run(hub.undo.plan()))
    assert len(names(comfyui)) == 3
    assert hub.deployment.status()[0].deployed == 3


def test_runs_are_undone_one_after_the_other_until_there_is_none(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    hub.models.correct("detail.safetensors", fields={"type": "hypernetwork"})
    deploy(hub)
    finish(hub.undo.run(hub.undo.plan()))
    assert "loras/detail.safetensors" in names(comfyui)
    finish(hub.undo.run(hub.undo.plan()))
    assert hub.models.resolve("detail.safetensors").type == "lora"
    finish(hub.undo.run(hub.undo.plan()))
    assert not comfyui.exists()
    with pytest.raises(NotFound, match="nothing to undo"):
        hub.undo.plan()


def test_undo_of_a_deployment_passes_over_what_changed_models_only(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    hub.models.correct("detail.safetensors", fields={}, add_tags=["kept"])
    finish(hub.undo.run(hub.undo.plan(of_models=False)))
    assert names(comfyui) == []
    assert hub.models.resolve("detail.safetensors").tags == ("kept",)


def test_undo_of_another_method_brings_back_the_links(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    before = {name: os.readlink(comfyui / name) for name in names(comfyui)}
    hub.targets.change("comfyui", method="copy")
    deploy(hub)
    assert finish(hub.undo.run(hub.undo.plan())).problems == 0
    assert {name: os.readlink(comfyui / name) for name in names(comfyui)} == before


def test_what_was_gone_before_does_not_come_back(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    (comfyui / "vae/ae.safetensors").unlink()
    finish(hub.deployment.apply(hub.deployment.plan_removal(["comfyui"])))
    finish(hub.undo.run(hub.undo.plan()))
    assert names(comfyui) == ["embeddings/EasyNegative.safetensors", "loras/detail.safetensors"]


def test_our_part_of_a_configuration_that_was_edited_since_goes_and_the_edit_stays(hub: Hub, comfyui: Path) -> None:
    path = comfyui.parent / "extra_model_paths.yaml"
    comfyui.mkdir(parents=True)
    path.write_text("own:\n  loras: x\n")
    hub.targets.change("comfyui", method="config")
    deploy(hub)
    path.write_text(path.read_text() + "# by the user\nmore:\n  vae: y\n")
    assert finish(hub.undo.run(hub.undo.plan())).problems == 0
    assert path.read_text() == "own:\n  loras: x\n# by the user\nmore:\n  vae: y\n"


def test_another_method_takes_our_part_out_of_the_configuration(hub: Hub, comfyui: Path) -> None:
    path = comfyui.parent / "extra_model_paths.yaml"
    hub.targets.change("comfyui", method="config")
    deploy(hub)
    assert "modelhub" in path.read_text()
    hub.targets.change("comfyui", method="")
    deploy(hub)
    assert not path.exists()
    assert len(names(comfyui)) == 3


@pytest.mark.parametrize("app", ["comfyui", "fooocus"])
def test_a_hub_that_moved_is_found_by_its_configurations(hub: Hub, comfyui: Path, tmp_path: Path, app: str) -> None:
    from modelhub.core import config
    from modelhub.services.hub import open_hub

    hub.targets.add("it", str(tmp_path / "it/models"), app=app, method="config")
    deploy(hub, target_names=["it"])
    path = tmp_path / ("it/extra_model_paths.yaml" if app == "comfyui" else "it/config.txt")
    hub.close()
    (tmp_path / "hub").rename(tmp_path / "moved")
    with open_hub(config.load({}, hub=str(tmp_path / "moved"))) as moved:
        deploy(moved, target_names=["it"])
        assert f"{tmp_path}/moved/deployed/it" in path.read_text()
        assert f"{tmp_path}/hub/" not in path.read_text()
        finish(moved.deployment.apply(moved.deployment.plan_removal(["it"])))
        assert not path.exists()


def test_a_configuration_by_a_link_stays_a_link(hub: Hub, comfyui: Path, tmp_path: Path) -> None:
    path = comfyui.parent / "extra_model_paths.yaml"
    comfyui.mkdir(parents=True)
    path.symlink_to(tmp_path / "dot/extra.yaml")
    hub.targets.change("comfyui", method="config")
    deploy(hub)
    assert (tmp_path / "dot/extra.yaml").is_file()
    finish(hub.undo.run(hub.undo.plan()))
    assert os.readlink(path) == str(tmp_path / "dot/extra.yaml")
    assert not (tmp_path / "dot").exists()


def test_an_older_run_is_not_undone_under_a_later_one(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    hub.targets.change("comfyui", method="hardlink")
    deploy(hub)
    with pytest.raises(Changed, match="Run 2 changed the same target"):
        hub.undo.plan(1)
    finish(hub.undo.run(hub.undo.plan()))
    finish(hub.undo.run(hub.undo.plan(1)))
    assert not comfyui.exists()


def test_a_configuration_that_lost_our_part_is_found(hub: Hub, comfyui: Path) -> None:
    path = comfyui.parent / "extra_model_paths.yaml"
    hub.targets.change("comfyui", method="config")
    comfyui.mkdir(parents=True)
    deploy(hub)
    assert hub.checkup.all(hub.targets.get("comfyui")) == []
    path.unlink()
    assert [finding.code for finding in hub.checkup.all(hub.targets.get("comfyui"))] == ["config"]
    path.write_text("[")
    assert [finding.code for finding in hub.checkup.all(hub.targets.get("comfyui"))] == ["config"]
    path.unlink()
    deploy(hub)
    assert hub.checkup.all(hub.targets.get("comfyui")) == []


def test_another_method_remakes_folders_too(hub: Hub, comfyui: Path, tmp_path: Path) -> None:
    mlx_folder(tmp_path / "in/Smol-mlx")
    scan(hub, tmp_path / "in")
    hub.targets.add("mlx", str(tmp_path / "mlx"), app="mlx")
    deploy(hub, target_names=["mlx"])
    hub.targets.change("mlx", method="hardlink")
    assert deploy(hub, target_names=["mlx"]).conflicts == ()
    assert not any(path.is_symlink() for path in (tmp_path / "mlx").rglob("*"))
    assert (tmp_path / "mlx/Smol-mlx/model.safetensors").is_file()


def test_a_copy_whose_rights_changed_is_still_ours(hub: Hub, comfyui: Path) -> None:
    hub.targets.change("comfyui", method="copy")
    deploy(hub)
    (comfyui / "vae/ae.safetensors").chmod(0o600)
    assert hub.deployment.plan().links == ()
    finish(hub.deployment.apply(hub.deployment.plan_removal(["comfyui"])))
    assert names(comfyui) == []


# Doctor of one target


def test_a_sound_target_has_no_findings(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    assert hub.checkup.all(hub.targets.get("comfyui")) == []


def test_each_trouble_has_a_name_and_a_way_out(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    rewritten = comfyui / "vae/ae.safetensors"
    rewritten.unlink()
    rewritten.write_bytes(b"an app rewrote it")
    (comfyui / "embeddings/EasyNegative.safetensors").unlink()
    (comfyui / "loras/broken.safetensors").symlink_to("/nowhere")
    (comfyui / "loras/orphan.safetensors").symlink_to(hub.places.models / ("0" * 64) / "x.safetensors")
    build.safetensors(comfyui / "loras/wrong.safetensors", build.vae(16), mark="mine")
    (comfyui / "loras/Loud.SAFETENSORS").write_bytes(b"x")
    findings = {finding.code: finding for finding in hub.checkup.all(hub.targets.get("comfyui"))}
    assert set(findings) >= {"became_file", "gone", "foreign_broken", "orphan", "misplaced", "not_listed"}
    assert all(finding.message and finding.hint for finding in findings.values())
    assert findings["misplaced"].facts["to"] == str(comfyui / "vae/wrong.safetensors")


def test_misplaced_files_are_moved_and_moved_back(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    wrong = build.safetensors(comfyui / "loras/wrong.safetensors", build.vae(16), mark="mine")
    findings = hub.checkup.all(hub.targets.get("comfyui"))
    assert finish(hub.checkup.move(findings, dry_run=True)).moved == 1
    assert wrong.exists()
    assert finish(hub.checkup.move(findings, dry_run=False)).moved == 1
    assert (comfyui / "vae/wrong.safetensors").is_file()
    finish(hub.undo.run(hub.undo.plan()))
    assert wrong.is_file()
    assert not (comfyui / "vae/wrong.safetensors").exists()


def test_only_dead_links_into_this_hub_are_cleaned_up(hub: Hub, comfyui: Path) -> None:
    deploy(hub)
    orphan, users = comfyui / "loras/orphan.safetensors", comfyui / "loras/broken.safetensors"
    orphan.symlink_to(hub.places.models / ("0" * 64) / "x.safetensors")
    users.symlink_to("/nowhere")
    findings = hub.checkup.all(hub.targets.get("comfyui"))
    assert hub.checkup.clean(findings, dry_run=True) == [str(orphan)]
    assert orphan.is_symlink()
    hub.checkup.clean(findings, dry_run=False)
    assert not orphan.is_symlink()
    assert users.is_symlink()


# Apps of one's own, and mappings


def test_an_app_needs_yaml_only(hub: Hub, comfyui: Path, tmp_path: Path) -> None:
    hub.places.own_apps.mkdir()
    (hub.places.own_apps / "mine.yaml").write_text(
        "my_app:\n  display_name: My App\n  folders: {lora: adapters, vae: '{base}'}\n  marks: [mine.py]\n"
        "  endings: {'*': [.safetensors]}\n"
    )
    hub.targets.add("mine", str(tmp_path / "my app"), app="my_app")
    deploy(hub, target_names=["mine"])
    assert names(tmp_path / "my app") == ["adapters/detail.safetensors", "flux/ae.safetensors"]


@pytest.mark.parametrize(
    "text",
    [
        "- a", "x: 1", "x: {color: red}", "x: {methods: [magic]}", "x: {layout: none}", "x: {folders: {lora: ../../y}}",
        "x: {config: {kind: nonsense, file: x}}", "x: {layout: entries}", "x: {marks: ['a ~ [']}", "x: {methods: []}",
        "x: {unique: 5}", "x: {unique: {lora: size}}", "x: {naming: '{nope}'}",
        "x: {rules: [{when: {nope: 1}}]}", "x: {exact_names: 3}", "x: [", "\xff: {}",
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_right_is_left_out_and_told(hub: Hub, text: str) -> None:
    hub.places.own_apps.mkdir()
    (hub.places.own_apps / "bad.yaml").write_text(text, encoding="latin-1")
    (hub.places.own_apps / "good.yaml").write_text("good: {folders: {lora: x}}")
    assert "good" in hub.targets.apps()
    assert "x" not in hub.targets.apps()
    assert len(hub.targets.app_problems()) == 1


def test_a_target_whose_app_is_gone_is_told_and_its_links_stay(hub: Hub, comfyui: Path, tmp_path: Path) -> None:
    test_an_app_needs_yaml_only(hub, comfyui, tmp_path)
    (hub.places.own_apps / "mine.yaml").unlink()
    with pytest.raises(InvalidInput, match="'my_app' of the target mine is not known"):
        hub.deployment.plan(["mine"])
    assert len(names(tmp_path / "my app")) == 2


def test_a_mapping_is_taken_in_and_given_out_as_it_was(hub: Hub, comfyui: Path, tmp_path: Path) -> None:
    given = {
        "comfyui": {"root": str(comfyui), "filters": {"type": ["lora"]}, "method": "hardlink"},
        "tree": {
            "root": str(tmp_path / "tree"), "handler": "folder", "exclude": [{"tag": "private"}],
            "rules": [{"patterns": ["diffusion/**/*.safetensors"], "filters": {"base": "sd15"}, "target": "sd/{type}"}],
        },
    }  # fmt: skip
    mapping.apply(mapping.read(json.dumps(given), hub.targets), hub.targets)
    deploy(hub)
    assert names(comfyui) == ["loras/detail.safetensors"]
    assert "sd/lora/detail.safetensors" in names(tmp_path / "tree")
    first = mapping.exported(hub.targets)
    mapping.apply(mapping.read(json.dumps(first), hub.targets), hub.targets)
    assert mapping.exported(hub.targets) == first


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", "{}", '{"a": 1}', '{"a": {"handler": "nope", "root": "/x"}}', '{"a": {"colour": 1}}',
        '{"comfyui": {"method": "magic"}}', '{"comfyui": {"filters": {"nope": 1}}}', '{"a": {}}',
        '{"comfyui": {"rules": [{"nope": 1}]}}', '{"comfyui": {"rules": [{"target": "../../x"}]}}',
    ],
)  # fmt: skip
def test_a_mapping_that_cannot_be_right_changes_nothing(hub: Hub, text: str) -> None:
    before = hub.targets.all()
    with pytest.raises((InvalidInput, NotFound)):
        mapping.apply(mapping.read(text, hub.targets), hub.targets)
    assert hub.targets.all() == before
