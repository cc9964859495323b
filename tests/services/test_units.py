"""Models of many files in the library: adopted, found again, deployed, removed as one."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from modelhub.core.types import Adopt, ModelFilter
from modelhub.services.hub import Hub
from modelhub.services.units import Unit
from modelhub.services.verify import Scope
from tests import build
from tests.conftest import crash_while_placing, finish, scan
from tests.formats.test_bundles import CONFIG, write_llama


def only(hub: Hub, text: str = "") -> str:
    (model,) = hub.models.find(ModelFilter(text=text))
    return model.filename


@pytest.mark.parametrize("adopt", ["symlink", "copy", "reference", "move", "hardlink"])
def test_a_folder_is_one_model_and_a_second_scan_knows_it(hub: Hub, tmp_path: Path, adopt: Adopt) -> None:
    place = write_llama(tmp_path / "in/Llama-tiny")
    first = scan(hub, tmp_path / "in", adopt=adopt)
    assert first.outcomes() == {"Llama-tiny": "added"}
    assert only(hub) == "Llama-tiny"
    details = hub.models.details("Llama-tiny")
    assert {file.name: file.role for file in details.files}["README.md"] == "companion"
    assert details.files[0].role == "main"
    if adopt != "move":
        again = scan(hub, tmp_path / "in", adopt=adopt)
        assert again.outcomes() == {"Llama-tiny/model-00001-of-00002.safetensors": "known"}
        assert (place / "config.json").read_text().startswith("{")
    assert not finish(hub.verifier.verify(Scope())).problems
    assert not finish(hub.verifier.verify(Scope(quick=True))).problems


def test_files_that_models_share_are_stored_once(hub: Hub, tmp_path: Path) -> None:
    one = write_llama(tmp_path / "in/one")
    two = write_llama(tmp_path / "in/two")
    build.safetensors(two / "model-00001-of-00002.safetensors", {"model.embed_tokens.weight": (16, 8)}, mark="other")
    scan(hub, tmp_path / "in")
    assert len(hub.models.find(ModelFilter())) == 2
    assert os.path.realpath(one / "config.json") == os.path.realpath(two / "config.json")


def test_what_goes_along_is_copied_and_stays_writable(hub: Hub, tmp_path: Path) -> None:
    build.safetensors(tmp_path / "in/a.safetensors", build.SD15_LORA)
    (tmp_path / "in/a.yaml").write_text("model: {}\n")
    scan(hub, tmp_path / "in")
    assert (tmp_path / "in/a.safetensors").is_symlink()
    assert not (tmp_path / "in/a.yaml").is_symlink()
    assert os.access(tmp_path / "in/a.yaml", os.W_OK)
    assert [file.role for file in hub.models.details("a.safetensors").files] == ["main", "companion"]


def test_a_companion_that_comes_later_joins_its_model(hub: Hub, tmp_path: Path) -> None:
    build.safetensors(tmp_path / "in/a.safetensors", build.SD15_LORA)
    scan(hub, tmp_path / "in")
    (tmp_path / "in/a.preview.png").write_bytes(b"\x89PNG")
    scan(hub, tmp_path / "in")
    (tmp_path / "in/a.preview.png").write_bytes(b"\x89PNG changed")
    assert scan(hub, tmp_path / "in").outcomes() == {"a.safetensors": "known"}
    details = hub.models.details("a.safetensors")
    assert [(file.name, file.size) for file in details.files][1] == ("a.preview.png", 12)


def test_a_missing_shard_is_named_and_the_model_heals_when_it_comes(hub: Hub, tmp_path: Path) -> None:
    whole = write_llama(tmp_path / "whole")
    place = tmp_path / "in/Tiny"
    place.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "README.md", "model-00001-of-00002.safetensors"):
        shutil.copy(whole / name, place / name)
    assert scan(hub, tmp_path / "in").outcomes() == {"Tiny": "broken"}
    (model,) = hub.models.find(ModelFilter())
    assert (model.code, "model-00002-of-00002.safetensors" in model.message) == ("missing_part", True)
    assert scan(hub, tmp_path / "in").outcomes() == {"Tiny": "broken"}
    hub.models.correct("Tiny", fields={}, add_tags=["mine"])
    shutil.copy(whole / "model-00002-of-00002.safetensors", place)
    scan(hub, tmp_path / "in")
    (healed,) = hub.models.find(ModelFilter())
    assert (healed.id, healed.state, healed.tags) == (model.id, "ok", ("mine",))


def test_an_edited_card_does_not_make_another_model(hub: Hub, tmp_path: Path) -> None:
    place = write_llama(tmp_path / "in/Tiny")
    scan(hub, tmp_path / "in")
    (before,) = hub.models.find(ModelFilter())
    (place / "README.md").write_text("# other words\n")
    scan(hub, tmp_path / "in")
    (after,) = hub.models.find(ModelFilter())
    assert (before.id, before.sha256) == (after.id, after.sha256)


def test_a_part_that_vanishes_makes_the_model_missing_and_a_companion_does_not(hub: Hub, tmp_path: Path) -> None:
    place = write_llama(tmp_path / "in/Tiny")
    scan(hub, tmp_path / "in", adopt="reference")
    (place / "README.md").unlink()
    scan(hub, tmp_path / "in", adopt="reference")
    assert [model.missing for model in hub.models.find(ModelFilter())] == [False]
    shutil.move(place / "model-00002-of-00002.safetensors", tmp_path)
    scan(hub, tmp_path / "in", adopt="reference")
    assert True in [model.missing or model.state == "broken" for model in hub.models.find(ModelFilter())]


def test_a_part_deleted_from_its_place_does_not_break_the_stored_model(hub: Hub, tmp_path: Path) -> None:
    place = write_llama(tmp_path / "in/Tiny")
    scan(hub, tmp_path / "in", adopt="copy")
    (before,) = hub.models.find(ModelFilter())
    (place / "model-00002-of-00002.safetensors").unlink()
    for _ in range(2):
        assert set(scan(hub, tmp_path / "in", adopt="copy").outcomes().values()) == {"known"}
        (after,) = hub.models.find(ModelFilter())
        assert (after.sha256, after.state, after.missing) == (before.sha256, "ok", False)


def test_a_move_that_was_interrupted_between_files_is_finished(hub: Hub, tmp_path: Path) -> None:
    place = write_llama(tmp_path / "in/Tiny")
    left = ("config.json", "model-00001-of-00002.safetensors")
    for name in left:
        os.link(place / name, tmp_path / name)
    scan(hub, tmp_path / "in", adopt="move")
    for name in left:
        os.link(tmp_path / name, place / name)
    scan(hub, tmp_path / "in", adopt="move")
    assert not (place / "model-00001-of-00002.safetensors").exists()
    assert [model.state for model in hub.models.find(ModelFilter())] == ["ok"]


def test_another_model_in_the_same_folder_is_another_model(hub: Hub, tmp_path: Path) -> None:
    place = write_llama(tmp_path / "in/Tiny")
    scan(hub, tmp_path / "in", adopt="copy")
    for path in place.glob("*.safetensors"):
        build.safetensors(path, {"model.embed_tokens.weight": (32, 8)}, mark=f"new {path.name}")
    scan(hub, tmp_path / "in", adopt="copy")
    assert len(hub.models.find(ModelFilter())) == 2
    assert not finish(hub.verifier.verify(Scope())).problems


def test_a_folder_deploys_as_a_folder_of_links_and_leaves_nothing_behind(hub: Hub, tmp_path: Path) -> None:
    write_llama(tmp_path / "in/Tiny")
    scan(hub, tmp_path / "in")
    hub.targets.add("plain", str(tmp_path / "app"), app="folder", display_name="", enabled=True)
    assert finish(hub.deployment.apply(hub.deployment.plan(["plain"]))).made == 1
    linked = tmp_path / "app/llm/Tiny"
    assert (linked / "model-00002-of-00002.safetensors").is_symlink()
    assert (linked / "config.json").read_text().startswith("{")
    assert hub.deployment.plan(["plain"]).links == ()
    assert [status.deployed for status in hub.deployment.status() if status.name == "plain"] == [1]
    (linked / "mine.txt").write_text("a file of the user's")
    finish(hub.deployment.apply(hub.deployment.plan_removal(["plain"])))
    assert [path.name for path in linked.iterdir()] == ["mine.txt"]
    (linked / "mine.txt").unlink()


def test_shards_and_companions_are_linked_beside_one_another(hub: Hub, tmp_path: Path) -> None:
    build.safetensors(tmp_path / "in/a.safetensors", build.SD15_LORA)
    (tmp_path / "in/a.yaml").write_text("model: {}\n")
    scan(hub, tmp_path / "in")
    hub.targets.add("plain", str(tmp_path / "app"), app="folder", display_name="", enabled=True)
    finish(hub.deployment.apply(hub.deployment.plan(["plain"])))
    assert sorted(path.name for path in (tmp_path / "app/lora").iterdir()) == ["a.safetensors", "a.yaml"]
    finish(hub.deployment.apply(hub.deployment.plan_removal(["plain"])))
    assert list((tmp_path / "app/lora").iterdir()) == []


def split(place: Path, mark: str) -> None:
    for number in range(1, 4):
        build.gguf(place / f"llama-7b-q4-0000{number}-of-00003.gguf", build.llm_pairs("llama", f"{mark} {number}"))


def test_split_files_keep_the_names_by_which_they_find_one_another(hub: Hub, tmp_path: Path) -> None:
    split(tmp_path / "in/one", "one")
    split(tmp_path / "in/two", "two")
    scan(hub, tmp_path / "in")
    hub.targets.add("plain", str(tmp_path / "app"), app="folder", display_name="", enabled=True)
    assert finish(hub.deployment.apply(hub.deployment.plan(["plain"]))).made == 2
    folders = {path.parent for path in (tmp_path / "app").rglob("llama-7b-q4-00001-of-00003.gguf")}
    assert len(folders) == 2
    assert all(len(list(folder.glob("*-of-00003.gguf"))) == 3 for folder in folders)
    assert hub.deployment.plan(["plain"]).links == ()


def test_what_took_the_place_of_one_link_stays_and_the_others_go(hub: Hub, tmp_path: Path) -> None:
    split(tmp_path / "in", "one")
    scan(hub, tmp_path / "in")
    hub.targets.add("plain", str(tmp_path / "app"), app="folder", display_name="", enabled=True)
    finish(hub.deployment.apply(hub.deployment.plan(["plain"])))
    (first,) = (tmp_path / "app").rglob("*-00001-of-00003.gguf")
    first.unlink()
    first.write_text("a file of the user's")
    finish(hub.deployment.apply(hub.deployment.plan_removal(["plain"])))
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_weights_that_a_graph_names_belong_to_it(hub: Hub, tmp_path: Path) -> None:
    for place in ("one", "two"):
        build.onnx(tmp_path / "in" / place / "model.onnx", {f"{place}.w": (2, 2)}, external="weights.bin.data")
        (tmp_path / "in" / place / "weights.bin.data").write_bytes(place.encode() * 16)
    scan(hub, tmp_path / "in", adopt="move")
    assert not list((tmp_path / "in").rglob("*.data"))
    models = hub.models.find(ModelFilter())
    assert [model.state for model in models] == ["ok", "ok"]


def test_a_damaged_stored_copy_never_costs_the_good_one(hub: Hub, tmp_path: Path) -> None:
    one, two = write_llama(tmp_path / "xA/m"), write_llama(tmp_path / "xB/m")
    scan(hub, tmp_path / "xA", adopt="copy")
    scan(hub, tmp_path / "xB", adopt="reference")
    for stored in hub.places.models.glob("*/*.safetensors"):
        stored.chmod(0o644)
        content = bytearray(stored.read_bytes())
        content[-3] ^= 1
        stored.write_bytes(content)
    good = {path.name: path.read_bytes() for path in one.iterdir()}
    shutil.rmtree(tmp_path / "xA")
    (two / "README.md").write_text("hi")
    for adopt in ("move", "symlink"):
        scan(hub, tmp_path / "xB", adopt=adopt)
        assert all(path.read_bytes() == good[path.name] for path in two.glob("*.safetensors"))


def test_two_revisions_of_one_repository_are_two_models(hub: Hub, tmp_path: Path) -> None:
    for revision in ("aaaa", "bbbb"):
        place = write_llama(tmp_path / f"models--org--Tiny/snapshots/{revision}")
        (place / "config.json").write_text(json.dumps(CONFIG | {"revision": revision}))
    for _ in range(2):
        scan(hub, tmp_path, adopt="reference")
        assert len({model.sha256 for model in hub.models.find(ModelFilter())}) == 2


def test_a_file_that_turns_out_to_be_a_part_keeps_its_id(hub: Hub, tmp_path: Path) -> None:
    whole = write_llama(tmp_path / "whole", shards=1)
    place = tmp_path / "in/Tiny"
    place.mkdir(parents=True)
    shutil.copy(whole / "model-00001-of-00001.safetensors", place / "model.safetensors")
    scan(hub, tmp_path / "in")
    hub.models.correct("model.safetensors", fields={}, add_tags=["mine"])
    (before,) = hub.models.find(ModelFilter())
    shutil.copy(whole / "config.json", place)
    scan(hub, tmp_path / "in")
    (after,) = hub.models.find(ModelFilter())
    assert (after.id, after.filename, after.tags) == (before.id, "Tiny", ("mine",))
    assert len(hub.models.details("Tiny").files) == 2


def test_what_a_user_keeps_beside_a_model_stays_the_users(hub: Hub, tmp_path: Path) -> None:
    place = write_llama(tmp_path / "in/Tiny")
    own = ("train.py", "requirements.txt", "settings.yaml", "thesis.pdf", "holiday.jpg")
    for name in own:
        (place / name).write_text("mine")
    scan(hub, tmp_path / "in", adopt="move")
    assert all((place / name).read_text() == "mine" for name in own)


def test_a_file_that_is_named_is_taken_alone(hub: Hub, tmp_path: Path) -> None:
    place = write_llama(tmp_path / "in/Tiny", shards=1)
    shutil.move(place / "model-00001-of-00001.safetensors", place / "model.safetensors")
    scan(hub, place / "model.safetensors", adopt="move")
    assert (place / "config.json").exists()
    assert not (place / "model.safetensors").exists()


def test_an_interrupted_deployment_of_many_links_is_finished_by_the_next(hub: Hub, tmp_path: Path) -> None:
    write_llama(tmp_path / "in/Tiny")
    scan(hub, tmp_path / "in")
    hub.targets.add("plain", str(tmp_path / "app"), app="folder", display_name="", enabled=True)
    (step,) = hub.deployment.plan(["plain"]).links
    crash_while_placing(hub, hub.deployment.plan(["plain"]), 2)
    assert finish(hub.deployment.apply(hub.deployment.plan(["plain"]))).made == 1
    assert all(os.path.realpath(path) == os.path.realpath(source) for path, source, *_ in step.files)


def test_a_dry_run_foresees_folders_as_one(hub: Hub, tmp_path: Path) -> None:
    write_llama(tmp_path / "in/Tiny")
    assert scan(hub, tmp_path / "in", dry_run=True).outcomes() == {"Tiny": "added"}
    assert hub.models.find(ModelFilter()) == []


def test_models_of_many_are_judged_again_from_the_store(hub: Hub, tmp_path: Path) -> None:
    write_llama(tmp_path / "in/Tiny")
    scan(hub, tmp_path / "in")
    shutil.rmtree(tmp_path / "in")
    models = hub.models.find(ModelFilter())
    done = finish(hub.models.reclassify(models))
    assert (done.changed, done.unreachable) == (0, 0)


def test_strict_ways_to_adopt_say_why_they_cannot(
    new_hub: Callable[[], Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelhub.files import links

    monkeypatch.setattr(links, "hard_link", lambda source, target: False)
    monkeypatch.setattr(links, "reflink", lambda source, target: False)
    build.safetensors(tmp_path / "in/a.safetensors", build.SD15_LORA)
    for adopt in ("hardlink", "reflink"):
        found = scan(new_hub(), tmp_path / "in", adopt=adopt)
        assert (found.files["a.safetensors"].outcome, found.files["a.safetensors"].code) == ("failed", "cannot_link")
        assert (tmp_path / "in/a.safetensors").is_file()


def test_a_disk_without_symlinks_is_explained_and_nothing_is_lost(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_source: str, _path: str) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    build.safetensors(tmp_path / "in/a.safetensors", build.SD15_LORA)
    monkeypatch.setattr(os, "symlink", refuse)
    (problem,) = scan(hub, tmp_path / "in").problems
    assert (problem.code, "has none" in problem.message) == ("cannot_link", True)
    assert (tmp_path / "in/a.safetensors").is_file()
    assert len(hub.models.find(ModelFilter())) == 1


def test_a_hard_link_shares_the_content_with_the_original(hub: Hub, tmp_path: Path) -> None:
    build.safetensors(tmp_path / "in/a.safetensors", build.SD15_LORA)
    scan(hub, tmp_path / "in", adopt="hardlink")
    (stored,) = hub.places.models.glob("*/a.safetensors")
    assert os.path.samefile(stored, tmp_path / "in/a.safetensors")
    assert not (tmp_path / "in/a.safetensors").is_symlink()
    assert scan(hub, tmp_path / "in", adopt="hardlink").outcomes() == {"a.safetensors": "known"}


def test_a_part_that_goes_while_the_scan_runs_is_no_crash(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write_llama(tmp_path / "in/Tiny")
    build.safetensors(tmp_path / "in/zz.safetensors", build.SD15_LORA)
    from modelhub.services.units import Units

    look = Units.of

    def look_and_lose(self: Units, path: str) -> Unit:
        unit = look(self, path)
        if unit.bundle.whole:
            (place / "tokenizer.json").unlink(missing_ok=True)
        return unit

    monkeypatch.setattr(Units, "of", look_and_lose)
    assert scan(hub, tmp_path / "in").outcomes() == {"Tiny": "skipped", "zz.safetensors": "added"}
