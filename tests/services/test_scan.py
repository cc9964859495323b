"""What a scan does to files and rows."""

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from modelhub.core import config
from modelhub.core.errors import Conflict, InvalidInput, NotFound
from modelhub.core.types import ModelFilter
from modelhub.files import links
from modelhub.services.hub import Hub, open_hub
from tests import build
from tests.conftest import scan


def stored(hub: Hub) -> dict[str, Path]:
    return {path.parent.name: path for path in hub.places.models.glob("*/*")}


def test_a_file_moves_into_the_store_and_a_link_takes_its_place(hub: Hub, downloads: Path) -> None:
    content = (downloads / "detail.safetensors").read_bytes()
    found = scan(hub, downloads)
    link = downloads / "detail.safetensors"
    assert found.outcomes() == dict.fromkeys(
        ("detail.safetensors", "EasyNegative.safetensors", "sub/ae.safetensors"), "added"
    )
    assert link.is_symlink()
    assert link.read_bytes() == content
    assert link.resolve() == hub.places.models / found.files["detail.safetensors"].sha256 / "detail.safetensors"
    assert stat.S_IMODE(link.stat().st_mode) == 0o444


def test_every_content_lies_at_its_own_sha256(hub: Hub, downloads: Path) -> None:
    import hashlib

    scan(hub, downloads)
    assert {address: hashlib.sha256(path.read_bytes()).hexdigest() for address, path in stored(hub).items()} == {
        address: address for address in stored(hub)
    }


@pytest.mark.parametrize(("adopt", "original"), [("copy", "file"), ("move", "nothing"), ("reference", "file")])
def test_other_ways_to_adopt(hub: Hub, downloads: Path, adopt: str, original: str) -> None:
    path = downloads / "detail.safetensors"
    content = path.read_bytes()
    found = scan(hub, downloads, adopt=adopt)  # type: ignore[arg-type]
    assert found.outcomes()["detail.safetensors"] == "added"
    assert path.is_symlink() is False
    assert path.exists() == (original == "file")
    blobs = [blob.read_bytes() for blob in stored(hub).values()]
    assert (content in blobs) == (adopt != "reference")
    assert len(hub.models.find(ModelFilter())) == 3


def test_a_copy_is_another_file_than_the_original(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads, adopt="copy")
    inodes = {path.stat().st_ino for path in stored(hub).values()}
    assert (downloads / "detail.safetensors").stat().st_ino not in inodes
    assert os.access(downloads / "detail.safetensors", os.W_OK)


def test_a_sparse_file_stays_sparse_when_copied(hub: Hub, tmp_path: Path) -> None:
    build.safetensors(tmp_path / "src/big.safetensors", {"a": (64, 1024, 1024)})
    scan(hub, tmp_path / "src", adopt="copy")
    (copy,) = stored(hub).values()
    assert copy.stat().st_size > 128 << 20
    assert copy.stat().st_blocks * 512 < 4 << 20


def test_identical_files_are_stored_once_and_every_place_is_remembered(hub: Hub, downloads: Path) -> None:
    shutil.copy(downloads / "detail.safetensors", downloads / "zz copy.safetensors")
    found = scan(hub, downloads)
    assert found.outcomes()["zz copy.safetensors"] == "duplicate"
    assert found.summary.bytes_duplicate == (downloads / "detail.safetensors").stat().st_size
    assert len(stored(hub)) == 3
    places = hub.models.details("detail.safetensors").locations
    assert {Path(place.path).name for place in places} == {"detail.safetensors", "zz copy.safetensors"}
    assert (downloads / "zz copy.safetensors").is_symlink()


def test_a_copy_is_not_replaced_if_the_stored_content_is_damaged(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    blob = (downloads / "detail.safetensors").resolve()
    again = downloads / "again.safetensors"
    shutil.copy(blob, again)
    blob.chmod(0o644)
    with blob.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"!")
    found = scan(hub, downloads)
    assert found.outcomes()["again.safetensors"] == "failed"
    assert found.files["again.safetensors"].code == "hash_mismatch"
    assert not again.is_symlink()


def test_a_second_scan_knows_everything_and_opens_no_file(
    hub: Hub, downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (downloads / "notes.txt").write_text("hello")
    (downloads / "pointer.bin").write_text("version https://git-lfs.github.com/spec/v1\nsize 5\n")
    scan(hub, downloads)
    scan(hub, downloads, adopt="reference")

    def no_opening(path: str) -> None:
        raise AssertionError(path)

    monkeypatch.setattr("modelhub.files.digest.open_regular", no_opening)
    found = scan(hub, downloads)
    assert set(found.outcomes().values()) == {"known", "skipped"}
    assert found.files["pointer.bin"].code == "lfs_pointer"


@pytest.mark.parametrize("adopt", ["symlink", "reference"])
def test_a_renamed_file_keeps_its_identity_type_and_tags(hub: Hub, downloads: Path, adopt: str) -> None:
    scan(hub, downloads, adopt=adopt)  # type: ignore[arg-type]
    hub.models.correct("detail.safetensors", fields={"type": "embedding"}, add_tags=["mine"])
    before = hub.models.resolve("detail.safetensors")
    (downloads / "elsewhere").mkdir()
    (downloads / "detail.safetensors").rename(downloads / "elsewhere/renamed.safetensors")
    found = scan(hub, downloads, adopt=adopt)  # type: ignore[arg-type]
    after = hub.models.resolve(str(before.id))
    assert found.outcomes()["elsewhere/renamed.safetensors"] == "known"
    assert (after.id, after.type, after.tags, after.missing) == (before.id, "embedding", ("mine",), False)
    assert len(hub.models.find(ModelFilter())) == 3


def test_a_vanished_file_is_missing_and_never_dropped(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads, adopt="reference")
    (downloads / "detail.safetensors").unlink()
    assert scan(hub, downloads, adopt="reference").summary.missing == 1
    assert hub.models.resolve("detail.safetensors").missing
    build.safetensors(downloads / "detail.safetensors", build.SD15_LORA)
    assert scan(hub, downloads, adopt="reference").summary.missing == 0
    assert not hub.models.resolve("detail.safetensors").missing


def test_a_folder_that_cannot_be_read_makes_nothing_missing(
    hub: Hub, downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan(hub, downloads, adopt="reference")
    listed = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr("os.scandir", refuse)
    found = scan(hub, downloads, adopt="reference")
    assert [problem.code for problem in found.problems] == ["unreadable"]
    assert found.summary.missing == 0


def test_changed_content_under_the_same_size_and_time_is_noticed(hub: Hub, downloads: Path) -> None:
    path = downloads / "detail.safetensors"
    first = scan(hub, downloads, adopt="reference").files["detail.safetensors"].sha256
    before = path.stat()
    with path.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"x")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = scan(hub, downloads, adopt="reference").files["detail.safetensors"]
    assert (second.outcome, second.sha256 == first) == ("added", False)


def test_a_deleted_model_that_is_scanned_again_is_restored(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    with sqlite3.connect(hub.places.library) as database:
        database.execute("UPDATE models SET deleted = 1 WHERE filename = 'detail.safetensors'")
    database.close()
    assert scan(hub, downloads).outcomes()["detail.safetensors"] == "restored"
    assert hub.models.resolve("detail.safetensors").deleted is False


def test_a_dry_run_says_the_same_and_changes_nothing(hub: Hub, downloads: Path) -> None:
    shutil.copy(downloads / "detail.safetensors", downloads / "zz copy.safetensors")
    before = sorted((path, path.lstat().st_ino, path.is_symlink()) for path in downloads.rglob("*"))
    foreseen = scan(hub, downloads, dry_run=True)
    assert sorted((path, path.lstat().st_ino, path.is_symlink()) for path in downloads.rglob("*")) == before
    assert hub.models.find(ModelFilter()) == []
    assert not stored(hub)
    assert foreseen.outcomes() == scan(hub, downloads).outcomes()


def test_what_is_no_model_is_skipped_and_said(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "readme.txt").write_text("no model")
    (folder / "page.safetensors").write_text("<!DOCTYPE html><html></html>")
    (folder / "half.safetensors.part").write_bytes(b"x")
    (folder / "empty.ckpt").write_bytes(b"")
    (folder / "zeros.gguf").write_bytes(b"\0" * 5000)
    build.safetensors(folder / "going on.safetensors", build.SD15_LORA)
    (folder / "going on.safetensors.aria2").write_bytes(b"")
    os.mkfifo(folder / "pipe.safetensors")
    (folder / "loop").symlink_to(folder)
    (folder / "dangling.safetensors").symlink_to("nowhere")
    found = scan(hub, folder)
    assert set(found.outcomes().values()) == {"skipped"}
    assert {name: seen.code for name, seen in found.files.items()} == {
        "readme.txt": "extension",
        "page.safetensors": "web_page",
        "half.safetensors.part": "partial_download",
        "empty.ckpt": "empty",
        "zeros.gguf": "partial_download",
        "going on.safetensors": "partial_download",
        "going on.safetensors.aria2": "partial_download",
        "pipe.safetensors": "not_a_file",
        "loop": "link",
        "dangling.safetensors": "broken_link",
    }


def test_broken_and_unsafe_files_stay_where_they_are_and_are_kept_in_the_library(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    whole = build.safetensors(folder / "cut.safetensors", build.SD15_LORA)
    with whole.open("r+b") as stream:
        stream.truncate(whole.stat().st_size - 1)
    build.torch_zip(folder / "evil.ckpt", build.malicious_pickle("touch /tmp/never"))
    found = scan(hub, folder)
    assert found.outcomes() == {"cut.safetensors": "broken", "evil.ckpt": "unsafe"}
    assert found.files["cut.safetensors"].code == "truncated"
    assert found.files["evil.ckpt"].code == "unsafe_pickle"
    assert not (folder / "cut.safetensors").is_symlink()
    assert {model.state for model in hub.models.find(ModelFilter())} == {"broken", "unsafe"}
    assert scan(hub, folder).outcomes() == found.outcomes()


def test_hard_names_survive(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "names"
    names = [
        b"new\nline.safetensors",
        b"esc\x1b[31m.safetensors",
        b"\xff\xfe.safetensors",
        b"\\xff\\xfe.safetensors",
        b"[bold]x[/].safetensors",
    ]
    for name in names:
        build.safetensors(folder / os.fsdecode(name), build.SD15_LORA, mark=repr(name))
    found = scan(hub, folder)
    assert set(found.outcomes().values()) == {"added"}
    assert all((folder / os.fsdecode(name)).is_symlink() for name in names)
    assert all((folder / os.fsdecode(name)).exists() for name in names)
    assert set(scan(hub, folder).outcomes().values()) == {"known"}


def test_an_interrupted_scan_is_finished_by_the_next(hub: Hub, downloads: Path) -> None:
    """A crash after the rows and before the links: the second scan puts the links there."""
    task = hub.scan([str(downloads)])
    originals = {path: path.read_bytes() for path in downloads.rglob("*.safetensors")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("modelhub.files.links.replace_by_symlink", _crash)
        with pytest.raises(KeyboardInterrupt):
            list(task)
    assert {path: path.read_bytes() for path in originals} == originals
    assert not any(path.is_symlink() for path in originals)
    found = scan(hub, downloads)
    assert set(found.outcomes().values()) == {"known"}
    assert all(path.is_symlink() and path.read_bytes() == content for path, content in originals.items())
    assert list(hub.places.partial.iterdir()) == []


def _crash(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_closing_a_scan_cancels_it_and_leaves_nothing_behind(hub: Hub, downloads: Path) -> None:
    task = hub.scan([str(downloads)])
    next(task)
    task.close()
    assert not any(path.is_symlink() for path in downloads.rglob("*"))
    assert list(hub.places.partial.iterdir()) == []


def test_a_file_that_changes_meanwhile_is_refused(hub: Hub, downloads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelhub.files import digest

    honest = digest.sample

    def meddle(stream: object, size: int) -> str:
        (downloads / "detail.safetensors").write_bytes(b"something else")
        return honest(stream, size)  # type: ignore[arg-type]

    monkeypatch.setattr("modelhub.files.digest.sample", meddle)
    build.safetensors(downloads / "detail.safetensors", build.SD15_LORA)
    found = scan(hub, downloads / "detail.safetensors")
    said = [seen.code for seen in found.files.values()] + [problem.code for problem in found.problems]
    assert "changed" in said
    assert (downloads / "detail.safetensors").read_bytes() == b"something else"


def test_the_hub_itself_is_not_scanned(hub: Hub, tmp_path: Path, downloads: Path) -> None:
    scan(hub, downloads)
    names = scan(hub, tmp_path).outcomes()
    assert {name: outcome for name, outcome in names.items() if name.startswith("hub")} == {"hub": "skipped"}
    for inside in (hub.places.root, hub.places.models, next(hub.places.models.glob("*/*"))):
        with pytest.raises(InvalidInput, match="store"):
            scan(hub, inside)


@pytest.mark.parametrize("adopt", ["symlink", "move"])
def test_by_no_way_is_a_stored_file_taken_for_a_found_one(
    hub: Hub, tmp_path: Path, downloads: Path, adopt: str
) -> None:
    """A store reached through a link, or that of another hub: its files are its own."""
    scan(hub, downloads)
    before = {path: path.read_bytes() for path in hub.places.models.glob("*/*")}
    (tmp_path / "alias").symlink_to(tmp_path)
    with open_hub(config.load({}, hub=str(tmp_path / "second"))) as second:
        scan(second, tmp_path / "alias/.", adopt=adopt)  # type: ignore[arg-type]
    scan(hub, tmp_path / "alias/.", adopt=adopt)  # type: ignore[arg-type]
    assert {path: path.read_bytes() for path in hub.places.models.glob("*/*")} == before
    assert not any(path.is_symlink() for path in before)


def test_links_are_not_made_onto_themselves(tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(b"x")
    (tmp_path / "alias").symlink_to(tmp_path)
    known = blob.stat()
    facts = {"inode": known.st_ino, "size": known.st_size, "mtime_ns": known.st_mtime_ns}
    with pytest.raises(Conflict, match="stored file itself"):
        links.replace_by_symlink(str(tmp_path / "alias/blob"), str(blob), **facts)
    with pytest.raises(Conflict, match="stored file itself"):
        links.remove_file(str(tmp_path / "alias/blob"), str(blob), **facts)
    assert blob.read_bytes() == b"x"


def test_a_file_that_could_not_be_taken_keeps_its_mode(
    hub: Hub, downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = downloads / "detail.safetensors"
    honest = links.sync

    def write_then_sync(paths: Iterable[str]) -> None:
        os.utime(path, (1, 1))
        honest(paths)

    monkeypatch.setattr("modelhub.files.links.sync", write_then_sync)
    assert scan(hub, downloads).outcomes()["detail.safetensors"] == "failed"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert not path.is_symlink()


def test_private_files_stay_private(hub: Hub, downloads: Path) -> None:
    (downloads / "detail.safetensors").chmod(0o600)
    scan(hub, downloads)
    assert stat.S_IMODE((downloads / "detail.safetensors").stat().st_mode) == 0o400


def test_what_was_copied_is_linked_once_links_are_wanted(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads, adopt="copy")
    assert scan(hub, downloads, adopt="copy").outcomes()["detail.safetensors"] == "known"
    scan(hub, downloads, adopt="symlink")
    assert (downloads / "detail.safetensors").is_symlink()


def test_a_link_whose_content_is_gone_is_told_and_the_model_is_missing(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    shutil.rmtree((downloads / "detail.safetensors").resolve().parent)
    found = scan(hub, downloads)
    assert (found.outcomes()["detail.safetensors"], found.files["detail.safetensors"].code) == (
        "failed",
        "blob_missing",
    )
    assert hub.models.resolve("detail.safetensors").missing


def test_links_of_a_hub_that_moved_are_pointed_there(
    downloads: Path, tmp_path: Path, new_hub: Callable[[], Hub]
) -> None:
    scan(new_hub(), downloads)
    (tmp_path / "hub").rename(tmp_path / "moved")
    with open_hub(config.load({}, hub=str(tmp_path / "moved"))) as moved:
        assert set(scan(moved, downloads).outcomes().values()) == {"known"}
    assert (downloads / "detail.safetensors").resolve().is_relative_to(tmp_path / "moved")


def test_the_stored_name_is_the_one_on_disk(hub: Hub, downloads: Path, tmp_path: Path) -> None:
    """Indexed under one name, stored later from a copy of another name."""
    scan(hub, downloads, adopt="reference")
    (tmp_path / "b").mkdir()
    shutil.copy(downloads / "detail.safetensors", tmp_path / "b/other.safetensors")
    scan(hub, tmp_path / "b")
    details = hub.models.details("detail")
    assert Path(details.path).is_file()
    assert Path(details.path).name == "other.safetensors"


def test_one_file_that_breaks_the_reader_is_not_the_end(
    hub: Hub, downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("modelhub.services.judge.Judge.stream", explode)
    found = scan(hub, downloads)
    assert set(found.outcomes().values()) == {"failed"}
    assert "bug in ModelHub" in found.files["detail.safetensors"].message


def test_a_temporary_link_of_a_crash_is_swept(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    leftover = downloads / f".modelhub-{'0' * 32}"
    leftover.symlink_to((downloads / "detail.safetensors").resolve())
    os.utime(leftover, (1, 1), follow_symlinks=False)
    scan(hub, downloads)
    assert not leftover.is_symlink()


def test_a_hugging_face_cache_is_indexed_where_it_lies(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "cache/models--org--name"
    blob = build.safetensors(repository / "blobs/abcdef", build.SD15_LORA)
    link = repository / "snapshots/main/lora.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to("../../blobs/abcdef")
    found = scan(hub, tmp_path / "cache")
    assert list(found.outcomes().values()) == ["added"]
    assert blob.is_file()
    assert not blob.is_symlink()
    assert os.readlink(link) == "../../blobs/abcdef"
    assert hub.models.resolve("lora.safetensors").type == "lora"
    monkeypatch.setattr("modelhub.files.digest.digests", lambda *_, **__: pytest.fail("hashed again"))
    assert list(scan(hub, tmp_path / "cache").outcomes().values()) == ["known"]


def test_a_path_that_does_not_exist_is_refused(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        hub.scan([str(tmp_path / "nowhere")])


def test_two_hubs_opened_at_once_are_one(new_hub: Callable[[], Hub], downloads: Path) -> None:
    first, second = new_hub(), new_hub()
    scan(first, downloads)
    assert set(scan(second, downloads).outcomes().values()) == {"known"}
