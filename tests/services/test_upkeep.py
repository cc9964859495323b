"""Verify and doctor find what is wrong and name it."""

import os
import sqlite3
from pathlib import Path

import pytest

from modelhub.core.events import Problem, Result
from modelhub.services.hub import Hub
from modelhub.services.verify import Scope, Verified
from tests import build
from tests.conftest import finish, scan


def verify(hub: Hub, *, quick: bool = False) -> tuple[Verified, dict[str, str]]:
    events = list(hub.verifier.verify(Scope(quick=quick)))
    problems = {event.sha256: event.code for event in events if isinstance(event, Problem)}
    return next(event.value for event in events if isinstance(event, Result)), problems


def blob_of(hub: Hub, name: str) -> Path:
    model = hub.models.resolve(name)
    return hub.places.models / model.sha256 / name


def flip(path: Path, at: int) -> None:
    """Change one byte and keep size and time."""
    before = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)
        stream.seek(at)
        stream.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_healthy_hub_verifies(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    value, problems = verify(hub)
    assert (value.contents, value.good, value.problems, problems) == (3, 3, 0, {})
    assert value.bytes_read == sum(path.stat().st_size for path in hub.places.models.glob("*/*"))
    assert all(file.verified_at for file in hub.models.details("ae").files)


@pytest.mark.parametrize("position", [0, 100, -1])
def test_every_flipped_bit_is_found_and_named(hub: Hub, downloads: Path, position: int) -> None:
    scan(hub, downloads)
    blob = blob_of(hub, "detail.safetensors")
    flip(blob, position % blob.stat().st_size)
    _, problems = verify(hub)
    assert problems == {blob.parent.name: "hash_mismatch"}


def test_missing_truncated_foreign_and_extra_files_are_named(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    gone, cut, crowded = (
        blob_of(hub, name) for name in ("detail.safetensors", "ae.safetensors", "EasyNegative.safetensors")
    )
    gone.unlink()
    cut.chmod(0o644)
    os.truncate(cut, 10)
    (crowded.parent / "zz extra.bin").write_bytes(b"x")
    foreign = hub.places.models / ("0" * 64)
    foreign.mkdir()
    (foreign / "x.safetensors").write_bytes(b"x")
    expected = {
        gone.parent.name: "missing",
        cut.parent.name: "wrong_size",
        crowded.parent.name: "extra",
        "0" * 64: "foreign",
    }
    assert verify(hub, quick=True)[1] == expected
    assert verify(hub)[1] == expected | {cut.parent.name: "quarantined"}
    assert foreign.exists()


def test_a_model_indexed_in_place_is_verified_there(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads, adopt="reference")
    flip(downloads / "detail.safetensors", 500)
    assert list(verify(hub)[1].values()) == ["hash_mismatch"]


def test_a_first_version_note_beside_a_blob_is_no_extra_file(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    blob = blob_of(hub, "ae.safetensors")
    blob.with_suffix(".hash").write_text(blob.parent.name)
    assert verify(hub)[1] == {}


def statuses(hub: Hub) -> dict[str, str]:
    return {check.name: check.status for check in hub.upkeep.doctor()}


def test_doctor_finds_nothing_wrong_with_a_healthy_hub(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    assert set(statuses(hub).values()) == {"ok"}


def test_doctor_names_a_missing_content_by_its_hash(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    blob = blob_of(hub, "ae.safetensors")
    blob.unlink()
    found = [check for check in hub.upkeep.doctor() if check.status == "problem"]
    assert [(check.name, check.sha256) for check in found] == [("contents", blob.parent.name)]


def test_doctor_tells_broken_links_and_lost_targets(hub: Hub, downloads: Path, tmp_path: Path) -> None:
    scan(hub, downloads)
    hub.targets.change("comfyui", enabled=True, path=str(tmp_path / "comfy"))
    finish(hub.deployment.apply(hub.deployment.plan()))
    (tmp_path / "comfy/vae/ae.safetensors").unlink()
    hub.targets.change("wan", enabled=True)
    messages = [check.message for check in hub.upkeep.doctor() if check.status == "warning"]
    assert any("should lead to ae.safetensors, but is gone" in message for message in messages)
    assert any("wan: " in message and "does not exist" in message for message in messages)


def test_doctor_names_a_rule_that_cannot_work(hub: Hub, downloads: Path) -> None:
    with sqlite3.connect(hub.places.rules) as database:
        database.execute("INSERT INTO sub_type_rules (primary_type, sub_type, pattern) VALUES ('lora', 'x', '(')")
    database.close()
    messages = [check.message for check in hub.upkeep.doctor() if check.name == "rules"]
    assert any("sub_type_rules" in message and "not valid" in message for message in messages)
    assert set(scan(hub, downloads).outcomes().values()) == {"added"}


def test_doctor_reads_a_damaged_database(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    hub.close()
    for leftover in hub.places.root.glob("classification.db-*"):
        leftover.unlink()
    with hub.places.rules.open("r+b") as stream:
        stream.seek(4096 * 3)
        stream.write(os.urandom(4096 * 4))
    check = next(check for check in hub.upkeep._check_databases() if check.name == "classification.db")
    assert check.status == "problem"


def test_build_makes_valid_files(tmp_path: Path) -> None:
    """The judge of our writers is the format's own library."""
    import safetensors

    path = build.safetensors(tmp_path / "x.safetensors", build.SDXL_LORA, metadata={"a": "b"})
    with safetensors.safe_open(path, framework="numpy") as opened:
        assert set(opened.keys()) == set(build.SDXL_LORA)


def test_a_link_to_another_model_where_a_broken_file_was_is_no_damage(
    hub: Hub, downloads: Path, tmp_path: Path
) -> None:
    scan(hub, downloads)
    broken = build.safetensors(tmp_path / "comfy/vae/ae.safetensors", build.vae(), mark="cut")
    os.truncate(broken, broken.stat().st_size - 1)
    scan(hub, tmp_path / "comfy")
    broken.unlink()
    hub.targets.change("comfyui", enabled=True, path=str(tmp_path / "comfy"))
    finish(hub.deployment.apply(hub.deployment.plan()))
    assert broken.is_symlink()
    problems = [event for event in hub.verifier.verify(Scope()) if isinstance(event, Problem)]
    assert {problem.code for problem in problems} <= {"missing"}
