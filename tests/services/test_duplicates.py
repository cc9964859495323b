"""Duplicates are found by content, made one after comparing every byte, and given back by undo."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from modelhub.core.events import Problem
from modelhub.files import digest
from modelhub.services.duplicates import Group, Linked, Relatives
from modelhub.services.hub import Hub
from modelhub.services.unused import Usage
from modelhub.services.verify import Scope
from tests import build
from tests.conftest import finish, scan


def find(hub: Hub, *roots: Path, min_size: int = 1) -> list[Group]:
    return list(finish(hub.duplicates.find([str(root) for root in roots], min_size=min_size)))


def link(hub: Hub, groups: list[Group]) -> Linked:
    done: Linked = finish(hub.duplicates.link(groups))
    return done


@pytest.fixture
def pile(tmp_path: Path) -> Path:
    """Three copies, a near copy that differs in the middle, a hard link, an empty pair, and a link."""
    folder = tmp_path / "pile"
    first = build.safetensors(folder / "first.safetensors", {"a": (512, 1024)}, mark="x")
    first.write_bytes(first.read_bytes()[:-1_000_000] + os.urandom(1_000_000))
    os.utime(first, (1, 1))
    (folder / "deep").mkdir()
    for name in ("copy.safetensors", "deep/copy.gguf"):
        shutil.copyfile(first, folder / name)
    near = bytearray(first.read_bytes())
    near[len(near) // 2] ^= 1
    (folder / "near.safetensors").write_bytes(near)
    os.link(first, folder / "same file.safetensors")
    (folder / "empty1").touch()
    (folder / "empty2").touch()
    (folder / "link.safetensors").symlink_to(first)
    return folder


def test_only_equal_bytes_are_duplicates_and_the_oldest_is_kept(hub: Hub, pile: Path) -> None:
    groups = find(hub, pile)
    assert [(Path(group.kept).name, [Path(path).name for path in group.others]) for group in groups] == [
        ("first.safetensors", ["copy.safetensors", "copy.gguf"])
    ]
    assert groups[0].wasted == 2 * (pile / "first.safetensors").stat().st_size
    assert find(hub, pile, min_size=1 << 30) == []


def test_small_files_and_large_ones_are_compared_alike(hub: Hub, tmp_path: Path) -> None:
    for size in (1, 100, 70_000, 3 << 20):
        content = os.urandom(size)
        for number in range(2):
            (tmp_path / f"d{number}").mkdir(exist_ok=True)
            (tmp_path / f"d{number}/{size}.bin").write_bytes(content)
        (tmp_path / f"d0/other {size}.bin").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert len(find(hub, tmp_path / "d0", tmp_path / "d1")) == 4


def test_copies_become_one_file_and_undo_gives_each_its_own_again(hub: Hub, pile: Path) -> None:
    content, groups = (pile / "first.safetensors").read_bytes(), find(hub, pile)
    os.chmod(pile / "copy.safetensors", 0o640)
    times = (pile / "copy.safetensors").stat().st_mtime_ns
    done = link(hub, groups)
    assert (done.files, done.problems, done.freed) == (2, 0, 2 * len(content))
    assert os.path.samefile(pile / "first.safetensors", pile / "deep/copy.gguf")
    finish(hub.undo.run(hub.undo.plan()))
    copy = pile / "copy.safetensors"
    assert not os.path.samefile(pile / "first.safetensors", copy)
    assert (copy.read_bytes(), copy.stat().st_mode & 0o777, copy.stat().st_mtime_ns) == (content, 0o640, times)


def test_a_file_that_changed_since_it_was_found_stays(hub: Hub, pile: Path) -> None:
    groups = find(hub, pile)
    changed = pile / "copy.safetensors"
    before = changed.stat()
    with changed.open("r+b") as stream:
        stream.seek(700_000)
        stream.write(b"other")
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    events = list(hub.duplicates.link(groups))
    assert [event.code for event in events if isinstance(event, Problem)] == ["changed"]
    assert b"other" in changed.read_bytes()
    assert not os.path.samefile(changed, pile / "first.safetensors")


def test_copies_that_a_scan_left_become_links_into_the_store(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads, adopt="copy")
    groups = hub.duplicates.copies()
    places = [path for path in downloads.rglob("*") if path.is_file()]
    assert sorted(group.others[0] for group in groups) == sorted(map(str, places))
    link(hub, groups)
    assert all(path.is_symlink() for path in places)
    assert hub.duplicates.copies() == []
    assert set(scan(hub, downloads).outcomes().values()) == {"known"}
    finish(hub.undo.run(hub.undo.plan()))
    assert not any(path.is_symlink() for path in places)


# Relatives


def relatives(hub: Hub) -> list[Relatives]:
    return list(finish(hub.duplicates.relatives()))


def test_the_same_tensors_under_another_header_are_relatives(hub: Hub, tmp_path: Path) -> None:
    for name in ("one", "another header"):
        path = tmp_path / f"in/{name}.safetensors"
        build.safetensors(path, build.SD15_LORA, metadata={"title": name}, mark="same")
        assert digest.tensor_bytes(str(path)) > 0
    scan(hub, tmp_path / "in")
    found = [(group.kind, sorted(model.filename for model in group.models)) for group in relatives(hub)]
    assert found == [("tensors", ["another header.safetensors", "one.safetensors"])]


def test_another_precision_or_quantisation_is_a_relative(hub: Hub, tmp_path: Path) -> None:
    for name in ("Tiny-1B-fp16", "Tiny-1B", "tiny-1b-bf16", "Other-1B-fp16"):
        dtype = {"Tiny-1B": "F32", "tiny-1b-bf16": "BF16"}.get(name, "F16")
        build.safetensors(tmp_path / f"in/{name}.safetensors", build.SD15_LORA, dtype=dtype, mark=name[:5])
    scan(hub, tmp_path / "in")
    found = [(group.kind, sorted(model.filename for model in group.models)) for group in relatives(hub)]
    tiny = ["Tiny-1B-fp16.safetensors", "Tiny-1B.safetensors", "tiny-1b-bf16.safetensors"]
    assert ("variant", tiny) in found


# Unused


def usage(hub: Hub) -> dict[str, Usage]:
    return {one.filename: one for one in hub.unused.all()}


def test_what_nothing_uses_is_listed_with_what_it_would_free(hub: Hub, downloads: Path, tmp_path: Path) -> None:
    scan(hub, downloads)
    hub.targets.change("comfyui", enabled=True, path=str(tmp_path / "comfy/models"))
    finish(hub.deployment.apply(hub.deployment.plan(models=[hub.models.resolve("detail")])))
    mine = tmp_path / "comfy/models/vae/mine.safetensors"
    mine.parent.mkdir(parents=True)
    mine.symlink_to(hub.models.details("ae").path)
    (tmp_path / "comfy/run.sh").write_text('python main.py --embedding "models/EasyNegative.safetensors"\n')
    found = usage(hub)
    assert {name: sorted({use.kind for use in one.uses}) for name, one in found.items()} == {
        "detail.safetensors": ["found", "link"],
        "ae.safetensors": ["foreign", "found"],
        "EasyNegative.safetensors": ["config", "found"],
    }
    assert hub.unused.find() == []
    (tmp_path / "comfy/run.sh").unlink()
    left = hub.unused.find()
    assert [one.filename for one in left] == ["EasyNegative.safetensors"]
    assert left[0].frees == left[0].size


def test_our_own_reading_is_no_opening_and_that_of_others_is(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    database = sqlite3.connect(hub.places.library)
    database.execute("UPDATE models SET created_at = '2020-01-01 00:00:00'")
    database.commit()
    database.close()
    for model in ("detail", "ae"):
        path = hub.models.details(model).path
        os.utime(path, ns=(1_577_836_800_000_000_000, os.stat(path).st_mtime_ns))
    finish(hub.verifier.verify(Scope()))
    assert usage(hub)["ae.safetensors"].opened == ""
    path = hub.models.details("ae").path
    os.utime(path, ns=(1_700_000_000_000_000_000, os.stat(path).st_mtime_ns))
    assert usage(hub)["ae.safetensors"].opened == "2023-11-14 22:13:20"
