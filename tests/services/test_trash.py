"""The trash: nothing deleted is lost until it is pruned, and pruning takes only what nothing needs."""

import os
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from modelhub.core.errors import Conflict, InvalidInput, NotFound
from modelhub.files.blobs import Blobs
from modelhub.services.hub import Hub
from modelhub.services.trash import Pruned, PrunePlan, parse_age
from tests.conftest import finish, scan

NOW = timedelta(0)


def delete(hub: Hub, *names: str) -> None:
    models = [hub.models.resolve(name) for name in names]
    finish(hub.trash.delete(models, hub.trash.plan_delete(models)))


def plan(hub: Hub, *, older_than: timedelta = NOW, orphans: bool = False, quarantine: bool = False) -> PrunePlan:
    return hub.trash.plan_prune(older_than=older_than, orphans=orphans, quarantine=quarantine)


def prune(hub: Hub) -> Pruned:
    done: Pruned = finish(hub.trash.prune(lambda: plan(hub)))
    return done


@pytest.fixture
def linked(hub: Hub, downloads: Path, tmp_path: Path) -> Path:
    """The models scanned, and linked into a ComfyUI."""
    scan(hub, downloads)
    hub.targets.change("comfyui", enabled=True, path=str(tmp_path / "comfy"))
    finish(hub.deployment.apply(hub.deployment.plan()))
    return tmp_path / "comfy/loras/detail.safetensors"


def blob(hub: Hub, name: str = "detail.safetensors") -> Path:
    model = hub.models.resolve(name)
    return hub.places.models / model.sha256 / name


def test_a_deleted_model_loses_its_links_and_nothing_else(hub: Hub, linked: Path, downloads: Path) -> None:
    content = blob(hub)
    hub.models.correct("detail.safetensors", fields={}, add_tags=["mine"], notes="n")
    delete(hub, "detail.safetensors")
    assert not os.path.lexists(linked)
    assert content.exists()
    assert (downloads / "detail.safetensors").exists()
    assert [one.filename for one in hub.trash.all()] == ["detail.safetensors"]
    with pytest.raises(NotFound):
        hub.models.resolve("detail.safetensors")


def test_what_comes_out_of_the_trash_is_as_it_was_and_linked_again(hub: Hub, linked: Path) -> None:
    hub.models.correct("detail.safetensors", fields={"type": "hypernetwork"}, add_tags=["mine"])
    hub.models.correct("detail.safetensors", fields={"type": ""})
    before = hub.models.details("detail.safetensors")
    delete(hub, "detail.safetensors")
    done = finish(hub.trash.restore(hub.trash.find(["detail"])))
    assert (done.models, done.links) == (1, 1)
    assert hub.models.details("detail.safetensors") == before
    assert linked.exists()
    assert hub.trash.all() == []


def test_undo_takes_back_a_deletion_and_a_correction(hub: Hub, linked: Path) -> None:
    hub.models.correct("ae.safetensors", fields={"type": "lora", "base": "sdxl"}, add_tags=["mine"], notes="first")
    hub.models.correct("ae.safetensors", fields={"base": "flux"}, remove_tags=["mine"], notes="second")
    delete(hub, "detail.safetensors")
    finish(hub.undo.run(hub.undo.plan()))
    assert linked.exists()
    assert hub.models.resolve("detail.safetensors").deleted is False
    finish(hub.undo.run(hub.undo.plan()))
    model = hub.models.resolve("ae.safetensors")
    assert (model.type, model.base, model.tags, model.notes) == ("lora", "sdxl", ("mine",), "first")
    finish(hub.undo.run(hub.undo.plan()))
    model = hub.models.resolve("ae.safetensors")
    assert (model.type, model.method, model.tags, model.notes) == ("vae", "tensors", (), "")


def test_scanning_a_deleted_file_again_restores_it(hub: Hub, linked: Path, downloads: Path, tmp_path: Path) -> None:
    copy = tmp_path / "again/detail.safetensors"
    copy.parent.mkdir()
    copy.write_bytes((downloads / "detail.safetensors").read_bytes())
    delete(hub, "detail.safetensors")
    assert scan(hub, copy.parent).summary.outcomes == {"restored": 1}
    assert plan(hub).models == ()


def test_prune_removes_what_is_old_enough_with_the_links_that_would_lead_nowhere(
    hub: Hub, linked: Path, downloads: Path
) -> None:
    content, found = blob(hub), downloads / "detail.safetensors"
    delete(hub, "detail.safetensors")
    assert plan(hub, older_than=timedelta(days=1)).models == ()
    done = prune(hub)
    assert (done.models, done.files, done.links, done.problems) == (1, 1, 1, 0)
    assert not content.parent.exists()
    assert not os.path.lexists(found)
    assert hub.trash.all() == []
    assert len(list(hub.places.models.iterdir())) == 2
    assert prune(hub).models == 0


def test_what_was_pruned_is_no_longer_offered_to_undo(hub: Hub, linked: Path) -> None:
    hub.models.correct("ae", fields={}, add_tags=["mine"])
    delete(hub, "detail.safetensors")
    prune(hub)
    finish(hub.undo.run(hub.undo.plan()))
    assert hub.models.resolve("ae").tags == ()
    finish(hub.undo.run(hub.undo.plan()))
    assert not os.path.lexists(linked)


def test_a_note_of_the_first_version_goes_with_its_content(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    content = blob(hub)
    content.with_suffix(".hash").write_text(content.parent.name)
    delete(hub, "detail.safetensors")
    prune(hub)
    assert not content.parent.exists()


def test_a_model_deleted_by_hand_is_dated_by_the_database(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    database = sqlite3.connect(hub.places.library)
    database.execute("UPDATE models SET updated_at = '2020-01-01 00:00:00'")
    database.execute("UPDATE models SET deleted = 1 WHERE filename = 'ae.safetensors'")
    database.commit()
    database.close()
    assert plan(hub, older_than=timedelta(hours=1)).models == ()
    assert [one.filename for one in plan(hub).models] == ["ae.safetensors"]


def test_what_somebody_else_links_to_is_kept(hub: Hub, linked: Path, tmp_path: Path) -> None:
    mine = tmp_path / "comfy/vae/my own name.safetensors"
    mine.parent.mkdir(exist_ok=True)
    mine.symlink_to(blob(hub))
    delete(hub, "detail.safetensors")
    planned = plan(hub)
    assert (planned.models, planned.contents) == ((), ())
    assert "my own name" in planned.kept[0].because
    assert prune(hub).kept == 1
    assert mine.exists()


def test_a_content_of_another_model_is_kept(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    kept = blob(hub, "ae.safetensors")
    delete(hub, "detail.safetensors")
    database = sqlite3.connect(hub.places.library)
    database.execute(
        "INSERT INTO model_files (model_id, sha256, relative_path, role) SELECT id, ?, 'part', 'part' FROM models"
        " WHERE filename = 'detail.safetensors'",
        (kept.parent.name,),
    )
    database.commit()
    database.close()
    prune(hub)
    assert kept.exists()


def test_a_reference_is_forgotten_and_its_file_stays(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads, adopt="reference")
    delete(hub, "detail.safetensors")
    done = prune(hub)
    assert (done.models, done.files) == (1, 0)
    assert (downloads / "detail.safetensors").exists()


def test_nothing_is_pruned_while_a_scan_runs_and_no_scan_begins_meanwhile(hub: Hub, linked: Path) -> None:
    delete(hub, "detail.safetensors")
    with Blobs(hub.places).working(), pytest.raises(Conflict, match="running on this hub"):
        prune(hub)
    with Blobs(hub.places).alone(), pytest.raises(Conflict, match="being removed"):
        finish(hub.scan([str(linked.parent)]))
    assert prune(hub).models == 1


def test_orphans_are_reported_and_go_only_when_asked_for(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    orphan = hub.places.models / ("0" * 64) / "x.safetensors"
    orphan.parent.mkdir()
    orphan.write_bytes(b"x")
    prune(hub)
    assert orphan.exists()
    assert plan(hub, orphans=True, older_than=timedelta(days=1)).orphans == ()
    finish(hub.trash.prune(lambda: plan(hub, orphans=True)))
    assert not orphan.parent.exists()


def test_a_file_with_other_names_frees_nothing_and_the_plan_says_so(hub: Hub, downloads: Path, tmp_path: Path) -> None:
    scan(hub, downloads)
    os.link(blob(hub), tmp_path / "other name")
    delete(hub, "detail.safetensors")
    assert [one.frees for one in plan(hub).contents] == [0]
    prune(hub)
    assert (tmp_path / "other name").stat().st_size > 0


@pytest.mark.parametrize("text", ["", "d", "3x", "-1d", "1.5d", "999999d"])
def test_an_age_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no age"):
        parse_age(text)
