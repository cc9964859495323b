"""Backups, bundles, merging and moving: nothing is lost on the way, and nothing that arrives is believed unproved."""

import base64
import csv
import itertools
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from modelhub.core import config
from modelhub.core.errors import Conflict, DatabaseBroken, HashMismatch, InvalidInput, ModelHubError, NoSpace, NotFound
from modelhub.core.events import Problem, Progress, Result
from modelhub.core.types import ModelFilter
from modelhub.files import sealing
from modelhub.services import backup, moving
from modelhub.services.bundles import Exported, Imported
from modelhub.services.hub import Hub, open_hub
from modelhub.services.verify import Scope
from tests import build
from tests.conftest import Modelhub, finish, scan


def another(tmp_path: Path, name: str = "other") -> Hub:
    return open_hub(config.load({}, hub=str(tmp_path / name)))


def names(hub: Hub) -> list[str]:
    return sorted(model.filename for model in hub.models.find(ModelFilter()))


def verified(hub: Hub) -> bool:
    return bool(finish(hub.verifier.verify(Scope())).problems == 0)


# Backup and restore


def test_a_backup_made_in_use_brings_everything_back(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    hub.models.correct("ae", fields={}, add_tags=["before"])
    made = backup.make(hub.places)
    hub.models.correct("ae", fields={"type": "lora"}, add_tags=["after"])
    before = backup.restore(hub.places, made, lambda: None)
    assert hub.models.resolve("ae").tags == ("before",)
    assert before is not None
    backup.restore(hub.places, backup.choose(hub.places, before.moment), lambda: None)
    assert hub.models.resolve("ae").tags == ("after", "before")


def test_only_the_newest_backups_made_by_hand_are_kept(hub: Hub) -> None:
    for _ in range(4):
        backup.make(hub.places, keep=2)
    backup.make(hub.places, label="before-restore")
    assert [one.label for one in backup.every(hub.places)].count("by-hand") == 2
    assert len(backup.every(hub.places)) == 3


def test_a_damaged_database_is_replaced_and_kept_beside(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    made = backup.make(hub.places)
    hub.close()
    hub.places.library.write_bytes(b"SQLite format 3\0" + os.urandom(8000))
    backup.restore(hub.places, made, lambda: None)
    with another(hub.places.root.parent, hub.places.root.name) as again:
        assert len(names(again)) == 3
    assert hub.places.library.with_name("modelhub.db.damaged").exists()


def test_a_database_that_is_gone_or_empty_is_no_new_hub(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    made = backup.make(hub.places)
    hub.close()
    hub.places.library.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(DatabaseBroken, match="though the store beside it holds files"):
            open_hub(hub.settings)
        for name in ("modelhub.db", "modelhub.db-wal", "modelhub.db-shm"):
            (hub.places.root / name).unlink(missing_ok=True)
    backup.restore(hub.places, made, lambda: None)
    with open_hub(hub.settings) as again:
        assert len(names(again)) == 3


def test_what_a_restored_library_does_not_know_is_not_taken_for_rubbish(
    hub: Hub, downloads: Path, tmp_path: Path
) -> None:
    scan(hub, downloads)
    made = backup.make(hub.places)
    later = build.safetensors(tmp_path / "later/x.safetensors", build.FLUX_LORA)
    scan(hub, later.parent)
    backup.restore(hub.places, made, lambda: None)
    planned = hub.trash.plan_prune(older_than=timedelta(0), orphans=True)
    assert (planned.orphans, [one.name for one in planned.kept]) == ((), ["x.safetensors"])
    assert "knows it" in planned.kept[0].because
    assert scan(hub, later.parent).outcomes() == {"x.safetensors": "added"}
    assert verified(hub)


def test_what_is_no_sound_backup_is_refused_and_nothing_changes(hub: Hub, downloads: Path, tmp_path: Path) -> None:
    scan(hub, downloads)
    torn = tmp_path / "torn.db"
    torn.write_bytes(backup.make(hub.places).files[0].read_bytes()[:20_000])
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE mine (id)")
    database.close()
    for path in (torn, other):
        with pytest.raises(DatabaseBroken):
            backup.restore(hub.places, backup.choose(hub.places, str(path)), lambda: None)
    assert len(names(hub)) == 3
    with pytest.raises(NotFound):
        backup.choose(hub.places, "1999")


# Bundles


@pytest.fixture
def bundle(hub: Hub, downloads: Path, tmp_path: Path) -> Path:
    scan(hub, downloads)
    hub.models.correct("ae", fields={"base": "sdxl"}, add_tags=["mine"], notes="a note")
    finish(hub.bundles.write(str(tmp_path / "bundle"), hub.models.find(ModelFilter())))
    return tmp_path / "bundle"


def read(hub: Hub, folder: Path) -> tuple[Imported, list[Problem]]:
    events = list(hub.bundles.read(str(folder)))
    value = next(event.value for event in events if isinstance(event, Result))
    return value, [event for event in events if isinstance(event, Problem)]


def test_a_bundle_carries_models_with_all_that_was_set_by_hand(bundle: Path, tmp_path: Path) -> None:
    with another(tmp_path) as other:
        value, problems = read(other, bundle)
        assert (value.new, value.known, problems) == (3, 0, [])
        model = other.models.resolve("ae")
        assert (model.base, model.tags, model.notes, model.method) == ("sdxl", ("mine",), "a note", "manual")
        assert verified(other)
        assert read(other, bundle)[0].known == 3


def test_a_model_that_is_there_is_completed_not_changed(hub: Hub, bundle: Path) -> None:
    hub.models.correct("ae", fields={"base": "flux"}, remove_tags=["mine"], notes="mine now")
    assert read(hub, bundle)[0].known == 3
    model = hub.models.resolve("ae")
    assert (model.base, model.tags, model.notes) == ("flux", ("mine",), "mine now")


def test_writing_a_bundle_goes_on_where_it_was_stopped(hub: Hub, downloads: Path, tmp_path: Path) -> None:
    scan(hub, downloads)
    models, folder = hub.models.find(ModelFilter()), tmp_path / "bundle"
    running = hub.bundles.write(str(folder), models)
    for event in running:
        if isinstance(event, Progress) and event.done:
            break
    running.close()
    (folder / "files" / (".modelhub-" + "0" * 32)).write_text("left by a crash")
    done: Exported = finish(hub.bundles.write(str(folder), models))
    assert done.there >= 1
    assert done.there + done.files == 3
    with another(tmp_path) as other:
        assert read(other, folder)[0].new == 3


def test_a_damaged_file_of_a_bundle_is_named_and_its_model_stays_out(bundle: Path, tmp_path: Path) -> None:
    victim = min((bundle / "files").iterdir())
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    with another(tmp_path) as other:
        value, problems = read(other, bundle)
        assert (value.new, [problem.sha256 for problem in problems]) == (2, [victim.name])
        assert verified(other)


def test_a_bundle_cannot_say_that_an_unsafe_model_is_safe(hub: Hub, tmp_path: Path) -> None:
    path = build.torch_zip(tmp_path / "in/evil.ckpt", build.malicious_pickle("true"))
    scan(hub, path.parent)
    folder = tmp_path / "bundle"
    finish(hub.bundles.write(str(folder), hub.models.find(ModelFilter())))
    listed = folder / "models.json"
    listed.write_text(listed.read_text().replace('"unsafe"', '"ok"'))
    with another(tmp_path) as other:
        read(other, folder)
        assert other.models.resolve("evil").state == "unsafe"


@pytest.mark.parametrize(
    ("table", "field", "value"),
    [
        ("model", "filename", "../../../../esc/evil.safetensors"),
        ("model", "filename", ""),
        ("model", "filename", ".."),
        ("model", "filename", "a\0b"),
        ("model", "filename", "\ud800x"),
        ("model", "filename", None),
        ("model", "license", 1 << 63),
        ("model", "license", ["x"]),
        ("model", "file_hash", "ab" * 32),
        ("tags", "", [1]),
        ("tags", "", [{}]),
        ("evidence", "", [{"unknown": "1"}]),
        ("corrections", "", {"field": "base"}),
    ],
)
def test_rows_that_ours_could_not_have_written_are_refused(
    bundle: Path, tmp_path: Path, table: str, field: str, value: object
) -> None:
    listed = bundle / "models.json"
    rows = [json.loads(line) for line in listed.read_text().splitlines()]
    if field:
        rows[0][table][field] = value
    else:
        rows[0][table] = value
    listed.write_text("\n".join(map(json.dumps, rows)))
    with another(tmp_path) as other:
        with pytest.raises(InvalidInput):
            read(other, bundle)
        assert not list(other.places.models.iterdir())


def test_an_import_that_was_killed_leaves_no_model_that_was_not_judged(hub: Hub, tmp_path: Path) -> None:
    path = build.torch_zip(tmp_path / "in/evil.ckpt", build.malicious_pickle("true"))
    scan(hub, path.parent)
    folder = tmp_path / "bundle"
    finish(hub.bundles.write(str(folder), hub.models.find(ModelFilter())))
    listed = folder / "models.json"
    listed.write_text(listed.read_text().replace('"unsafe"', '"ok"'))
    with another(tmp_path) as other:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(other.models, "judge_again", dies(lambda _: [], at=1))
            with pytest.raises(Killed):
                read(other, folder)
        assert (other.models.resolve("evil").state, other.models.resolve("evil").code) == ("unsafe", "not_judged")
        read(other, folder)
        assert other.models.resolve("evil").code == "unsafe_pickle"


def test_a_list_that_is_cut_off_is_noticed(bundle: Path, tmp_path: Path) -> None:
    listed = bundle / "models.json"
    listed.write_text("".join(listed.read_text().splitlines(keepends=True)[:2]))
    with another(tmp_path) as other, pytest.raises(InvalidInput, match="is not whole"):
        read(other, bundle)


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
@pytest.mark.parametrize("name", [b"bad\xff\xfe.safetensors", b"back\\slash.safetensors", b"new\nline.safetensors"])
def test_every_name_that_a_file_may_have_travels(hub: Hub, tmp_path: Path, name: bytes) -> None:
    path = build.safetensors(tmp_path / "in/x.safetensors", build.SD15_LORA)
    os.rename(path, os.fsencode(path.parent) + b"/" + name)
    scan(hub, path.parent)
    finish(hub.bundles.write(str(tmp_path / "bundle"), hub.models.find(ModelFilter())))
    with another(tmp_path) as other:
        assert read(other, tmp_path / "bundle")[0].new == 1
        assert verified(other)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name_bytes", {"b64": base64.b64encode(b"../../evil").decode()}),
        ("name_bytes", {"b64": base64.b64encode(b"..").decode()}),
        ("relative_path", "../../evil"),
        ("relative_path", "/etc/evil"),
        ("relative_path", ""),
        ("sha256", "../../../etc"),
        ("size", -1),
        ("size", "many"),
        ("size", True),
        ("size", 1 << 70),
        ("name", None),
        ("role", "owner"),
    ],
)
def test_a_hostile_bundle_is_refused_before_anything_is_taken(
    bundle: Path, tmp_path: Path, field: str, value: object
) -> None:
    listed = bundle / "models.json"
    rows = [json.loads(line) for line in listed.read_text().splitlines()]
    rows[0]["files"][0][field] = value
    listed.write_text("\n".join(map(json.dumps, rows)))
    with another(tmp_path) as other:
        with pytest.raises(InvalidInput):
            read(other, bundle)
        assert names(other) == []
        assert not list(other.places.models.iterdir())


@pytest.mark.parametrize("head", ["", "{", "[]", '{"format": "zip"}', '{"format": "modelhub-bundle", "version": 99}'])
def test_what_is_no_bundle_is_told(hub: Hub, tmp_path: Path, head: str) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b/bundle.json").write_text(head)
    with pytest.raises(ModelHubError):
        read(hub, tmp_path / "b")
    with pytest.raises(Conflict):
        finish(hub.bundles.write(str(tmp_path), []))


def test_an_encrypted_bundle_opens_with_its_key_only(hub: Hub, downloads: Path, tmp_path: Path) -> None:
    pyrage = pytest.importorskip("pyrage")
    scan(hub, downloads)
    key, other_key = (pyrage.x25519.Identity.generate() for _ in range(2))
    folder = tmp_path / "sealed"
    models = hub.models.find(ModelFilter())
    finish(hub.bundles.write(str(folder), models, sealing.Sealing([str(key.to_public())])))
    assert all(path.read_bytes().startswith(b"age-encryption.org/v1") for path in (folder / "files").iterdir())
    assert b"safetensors" not in (folder / "models.json.age").read_bytes()
    with another(tmp_path) as other:
        with pytest.raises(InvalidInput, match="is encrypted"):
            read(other, folder)
        with pytest.raises(HashMismatch, match="cannot be decrypted"):
            finish(other.bundles.read(str(folder), sealing.Sealing((), [str(other_key)])))
        assert finish(other.bundles.read(str(folder), sealing.Sealing((), [str(key)]))).new == 3
        assert verified(other)
        assert not list(other.places.partial.iterdir())


def test_a_passphrase_opens_a_bundle(hub: Hub, downloads: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyrage")
    scan(hub, downloads)
    folder = tmp_path / "sealed"
    folder.mkdir()
    key_file = str(folder / "bundle.key.age")
    models = hub.models.find(ModelFilter())
    finish(hub.bundles.write(str(folder), models, sealing.with_passphrase(key_file, "correct horse")))
    with pytest.raises(HashMismatch, match="passphrase"):
        sealing.with_passphrase(key_file, "wrong")
    with another(tmp_path) as other:
        cipher = sealing.with_passphrase(key_file, "correct horse")
        assert finish(other.bundles.read(str(folder), cipher)).new == 3


# The list


def test_the_list_is_written_as_csv_json_and_yaml(modelhub: Modelhub, downloads: Path, tmp_path: Path) -> None:
    modelhub("scan", str(downloads))
    modelhub("set", "ae", "--tag", "=cmd|' /C calc'!A0")
    modelhub("export", "--to", str(tmp_path / "list.csv"), "--type", "vae")
    with (tmp_path / "list.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows] == ["ae.safetensors"]
    assert rows[0]["tags"].startswith("'="), "no cell is a formula"
    modelhub("export", "--to", str(tmp_path / "list.json"))
    modelhub("export", "--to", str(tmp_path / "manifest.yml"))
    listed = json.loads((tmp_path / "list.json").read_text())["models"]
    assert yaml.safe_load((tmp_path / "manifest.yml").read_text())["models"] == listed
    assert len(listed) == 3


# Merge


def test_two_hubs_become_one_and_links_lead_to_it(hub: Hub, downloads: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    build.safetensors(mine / "own.safetensors", build.FLUX_LORA)
    shutil.copy(downloads / "detail.safetensors", mine / "detail.safetensors")
    scan(hub, downloads)
    hub.models.correct("detail", fields={}, add_tags=["theirs"])
    hub.targets.change("comfyui", enabled=True, path=str(tmp_path / "comfy"))
    finish(hub.deployment.apply(hub.deployment.plan()))
    with another(tmp_path) as other:
        scan(other, mine)
        assert finish(other.merging.merge(str(hub.places.root), dry_run=True)).models.new == 2
        done = finish(other.merging.merge(str(hub.places.root)))
        assert (done.models.new, done.models.known, done.links) == (2, 1, 6)
        assert len(names(other)) == 4
        assert other.models.resolve("detail").tags == ("theirs",)
        for path in (*downloads.rglob("*.safetensors"), *(tmp_path / "comfy").rglob("*.safetensors")):
            assert str(path.resolve()).startswith(str(other.places.models))
        assert verified(other)
        shutil.rmtree(hub.places.root)
        assert verified(other)
        assert set(scan(other, downloads).outcomes().values()) == {"known"}


def test_a_hub_is_not_merged_with_itself_nor_with_what_is_none(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="this hub itself"):
        finish(hub.merging.merge(str(hub.places.root)))
    with pytest.raises(NotFound):
        finish(hub.merging.merge(str(tmp_path)))


# Move


@pytest.fixture
def lived_in(hub: Hub, downloads: Path, tmp_path: Path) -> Hub:
    scan(hub, downloads)
    hub.targets.change("comfyui", enabled=True, path=str(tmp_path / "comfy"))
    finish(hub.deployment.apply(hub.deployment.plan()))
    hub.models.correct("ae", fields={}, add_tags=["mine"])
    return hub


def check_moved(new: Path, downloads: Path, comfy: Path) -> None:
    with another(new.parent, new.name) as moved:
        assert verified(moved)
        assert moved.models.resolve("ae").tags == ("mine",)
        places = [*downloads.rglob("*.safetensors"), *comfy.rglob("*.safetensors")]
        assert len(places) == 6
        assert all(str(path.resolve()).startswith(str(new)) for path in places)
        assert set(scan(moved, downloads).outcomes().values()) == {"known"}
        assert {check.status for check in moved.upkeep.doctor()} == {"ok"}
        assert moved.deployment.plan().links == ()
        assert moved.audit.verify()[1] is None


def test_a_hub_moves_with_all_that_leads_to_it(lived_in: Hub, downloads: Path, tmp_path: Path) -> None:
    done = finish(moving.move(lived_in.settings, str(tmp_path / "new")))
    assert (done.files, done.links, done.left) == (3, 6, 0)
    assert not lived_in.places.root.exists()
    check_moved(tmp_path / "new", downloads, tmp_path / "comfy")


class Killed(BaseException):
    """kill -9, as near as a test in one process can come."""


def dies(real: Callable[..., object], *, at: int) -> Callable[..., object]:
    """The same function, until it is called for the n-th time."""
    calls = itertools.count(1)

    def die(*given: object) -> object:
        if next(calls) == at:
            raise Killed
        return real(*given)

    return die


def test_a_move_that_was_killed_at_any_step_goes_on(
    lived_in: Hub, downloads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_carry", "_copy_beside", "_relink", "_remove", "_remove_beside", "_remove_links"):
        monkeypatch.setattr(moving, name, dies(getattr(moving, name), at=1 if name in ("_relink", "_remove") else 2))
        with pytest.raises(Killed):
            finish(moving.move(lived_in.settings, str(tmp_path / "new")))
        monkeypatch.undo()
        assert all(path.exists() for path in downloads.rglob("*.safetensors"))
        assert all(path.exists() for path in (tmp_path / "comfy").rglob("*.safetensors"))
    finish(moving.move(lived_in.settings, str(tmp_path / "new")))
    check_moved(tmp_path / "new", downloads, tmp_path / "comfy")


def test_where_no_hard_link_can_be_made_every_copy_is_proved(
    lived_in: Hub, downloads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelhub.services.moving.links.hard_link", lambda *_: False)
    finish(moving.move(lived_in.settings, str(tmp_path / "new")))
    check_moved(tmp_path / "new", downloads, tmp_path / "comfy")


def test_a_damaged_content_stops_the_move_and_nothing_is_removed(
    lived_in: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = Path(lived_in.models.details("ae").path)
    blob.chmod(0o644)
    with blob.open("r+b") as stream:
        stream.seek(300)
        stream.write(b"damage")
    monkeypatch.setattr("modelhub.services.moving.links.hard_link", lambda *_: False)
    with pytest.raises(HashMismatch, match="is damaged"):
        finish(moving.move(lived_in.settings, str(tmp_path / "new")))
    assert len(names(lived_in)) == 3


def test_a_hub_that_was_moved_says_where_it_is(lived_in: Hub, tmp_path: Path) -> None:
    finish(moving.move(lived_in.settings, str(tmp_path / "new"), keep_old=True))
    with pytest.raises(Conflict, match="was moved to"):
        open_hub(lived_in.settings)
    assert Path(lived_in.places.library).exists()


def test_a_target_that_is_not_there_is_left_alone(lived_in: Hub, tmp_path: Path) -> None:
    shutil.move(tmp_path / "comfy", tmp_path / "unplugged")
    events = list(moving.move(lived_in.settings, str(tmp_path / "new")))
    assert any("is not there" in event.message for event in events if isinstance(event, Problem))
    assert not (tmp_path / "comfy").exists()


def test_a_hub_is_not_moved_into_itself_nor_over_anything(lived_in: Hub, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").touch()
    for folder, error in ((lived_in.places.root / "x", InvalidInput), (tmp_path / "full", Conflict)):
        with pytest.raises(error):
            finish(moving.move(lived_in.settings, str(folder)))
    assert finish(moving.move(lived_in.settings, str(tmp_path / "new"), dry_run=True)).files == 3
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a device that is always full")
def test_a_full_disk_is_that_of_the_copy(hub: Hub, downloads: Path, tmp_path: Path) -> None:
    scan(hub, downloads)
    small = tmp_path / "small"
    small.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(small)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises(NoSpace, match=str(small)):
            backup.make(hub.places, folder=small)
        assert not list(small.iterdir())
    finally:
        subprocess.run(["umount", "-l", small], check=False)
