"""Digests, blobs, links and walking, each on its own."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from blake3 import blake3

from modelhub.core.errors import Changed, Conflict, HashMismatch
from modelhub.core.places import HubPlaces
from modelhub.core.types import Sha256
from modelhub.files import digest, links
from modelhub.files.blobs import Blobs, Staging
from modelhub.files.walk import Found, Unwalkable, walk


def test_one_read_gives_every_digest(tmp_path: Path) -> None:
    content = os.urandom(3 * digest.BLOCK + 17)
    path = tmp_path / "x"
    path.write_bytes(content)
    ticks: list[int] = []
    with digest.open_regular(str(path)) as stream:
        found = digest.digests(stream, tick=ticks.append)
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert found.blake3 == blake3(content).hexdigest()
    assert found.autov1 == hashlib.sha256(content[0x100000:0x110000]).hexdigest()[:8]
    assert (found.size, sum(ticks)) == (len(content), len(content))


def test_a_small_file_has_no_autov1(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"small")
    with digest.open_regular(str(tmp_path / "x")) as stream:
        assert digest.digests(stream).autov1 == ""


def test_a_file_written_to_while_it_is_hashed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a" * digest.BLOCK * 2)

    def grow(_: int) -> None:
        with path.open("ab") as stream:
            stream.write(b"more")

    with digest.open_regular(str(path)) as stream, pytest.raises(Changed):
        digest.digests(stream, tick=grow)


def test_another_scan_that_links_the_file_meanwhile_is_no_change(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a" * digest.BLOCK)
    linked: list[int] = []

    def link_once(_: int) -> None:
        if not linked:
            linked.append(1)
            os.link(path, tmp_path / "y")

    with digest.open_regular(str(path)) as stream:
        assert digest.digests(stream, tick=link_once).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.skipif(sys.platform == "win32", reason="no FIFOs there")
def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Changed, match="regular file"):
        digest.open_regular(str(tmp_path / "pipe"))


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "x")
    with pytest.raises(OSError, match="link"):
        digest.open_regular(str(tmp_path / "link"))


def test_walking_meets_everything_once_and_no_loop(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/model").write_bytes(b"x")
    (tmp_path / "a/loop").symlink_to(tmp_path)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/x").write_bytes(b"x")
    (tmp_path / "models--o--n/blobs").mkdir(parents=True)
    (tmp_path / "models--o--n/blobs/x").write_bytes(b"x")
    found = [entry for entry in walk(str(tmp_path), exclude=[".*", "models--*/blobs"]) if isinstance(entry, Found)]
    assert [(os.path.relpath(entry.path, tmp_path), entry.kind) for entry in found] == [
        ("a/loop", "link"),
        ("a/b/model", "file"),
    ]


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.scandir", refuse)
    assert list(walk(str(tmp_path))) == [Unwalkable(str(tmp_path), "permission denied")]


def test_a_link_is_made_only_where_nothing_is(tmp_path: Path) -> None:
    links.make_symlink("/somewhere", str(tmp_path / "new/link"))
    (tmp_path / "mine").write_text("mine")
    for taken in ("new/link", "mine"):
        with pytest.raises(Conflict):
            links.make_symlink("/elsewhere", str(tmp_path / taken))
    assert os.readlink(tmp_path / "new/link") == "/somewhere"


def test_only_the_link_we_know_is_removed(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/ours")
    assert links.remove_symlink(str(link), "/other") is False
    assert link.is_symlink()
    assert links.remove_symlink(str(link), "/ours") is True
    link.write_text("a file now")
    assert links.remove_symlink(str(link), "/ours") is False
    assert link.read_text() == "a file now"


def test_a_file_is_replaced_only_if_it_is_the_one_we_hashed(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"old")
    known = path.stat()
    path.write_bytes(b"newer content")
    with pytest.raises(Changed):
        links.replace_by_symlink(str(path), "/blob", inode=known.st_ino, size=known.st_size, mtime_ns=known.st_mtime_ns)
    assert path.read_bytes() == b"newer content"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_publishing_never_replaces(tmp_path: Path) -> None:
    (tmp_path / "staged").write_text("new")
    (tmp_path / "final").write_text("there already")
    assert links.publish(str(tmp_path / "staged"), str(tmp_path / "final")) is False
    assert (tmp_path / "final").read_text() == "there already"


def test_without_hard_links_content_is_published_by_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    (tmp_path / "staged").write_text("new")
    assert links.publish(str(tmp_path / "staged"), str(tmp_path / "final")) is True
    assert links.publish(str(tmp_path / "final"), str(tmp_path / "final")) is False
    assert (tmp_path / "final").read_text() == "new"


def test_a_lock_is_the_kernels(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    with links.try_lock(lock) as first, links.try_lock(lock) as second:
        assert (first, second) == (True, False)
    with links.try_lock(lock) as third:
        assert third is True


def test_leftovers_of_a_dead_process_are_swept_and_those_of_a_living_one_are_not(tmp_path: Path) -> None:
    places = HubPlaces(tmp_path)
    script = """
import os, sys
from pathlib import Path
from modelhub.core.places import HubPlaces
from modelhub.files.blobs import Staging
staging = Staging(HubPlaces(Path(sys.argv[1]))).__enter__()
open(staging.folder + "/half", "w").write("x")
os._exit(9)
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert len(list(places.partial.iterdir())) == 2
    with Staging(places) as living:
        assert [path.name for path in places.partial.iterdir() if path.is_dir()] == [os.path.basename(living.folder)]
        with Staging(places):
            assert os.path.isdir(living.folder)
    assert list(places.partial.iterdir()) == []


def test_a_stored_content_of_another_size_is_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "models" / ("a" * 64)
    folder.mkdir(parents=True)
    (folder / "x").write_bytes(b"four")
    blobs = Blobs(HubPlaces(tmp_path))
    assert blobs.find("a" * 64, 4) == str(folder / "x")
    with pytest.raises(HashMismatch, match="4 bytes where 5 are right"):
        blobs.find("a" * 64, 5)
    assert blobs.find("b" * 64, 5) is None


@pytest.mark.parametrize("keep", [True, False])
def test_content_is_staged_and_published_read_only(tmp_path: Path, keep: bool) -> None:
    places = HubPlaces(tmp_path / "hub")
    places.models.mkdir(parents=True)
    source = tmp_path / "model.gguf"
    source.write_bytes(b"content" * 1000)
    blobs = Blobs(places)
    with Staging(places) as staging, digest.open_regular(str(source)) as stream:
        digests = digest.digests(stream)
        staged = staging.place(stream, str(source), digests, "copy" if keep else "second_name")
        assert blobs.publish([staged]) == set()
    stored = Path(blobs.find(digests.sha256, digests.size) or "")
    assert stored.read_bytes() == source.read_bytes()
    assert stored.stat().st_mode & 0o222 == 0
    assert (stored.stat().st_ino == source.stat().st_ino) != keep
    assert stored.parent.name == Sha256(hashlib.sha256(source.read_bytes()).hexdigest())


def test_content_that_was_written_to_after_hashing_is_not_published(tmp_path: Path) -> None:
    places = HubPlaces(tmp_path / "hub")
    places.models.mkdir(parents=True)
    source = tmp_path / "model.gguf"
    source.write_bytes(b"content" * 1000)
    blobs = Blobs(places)
    with Staging(places) as staging, digest.open_regular(str(source)) as stream:
        staged = staging.place(stream, str(source), digest.digests(stream), "second_name")
        source.write_bytes(b"other")
        assert blobs.publish([staged]) == {staged.path}
    assert list(places.models.iterdir()) == []


def test_equal_content_is_proved_byte_by_byte(tmp_path: Path) -> None:
    for name, content in (("a", b"x" * 5000), ("b", b"x" * 5000), ("c", b"x" * 4999 + b"y")):
        (tmp_path / name).write_bytes(content)
    with digest.open_regular(str(tmp_path / "a")) as a, digest.open_regular(str(tmp_path / "b")) as b:
        assert digest.same_content(a, b)
        assert digest.same_content(a, a)
        with digest.open_regular(str(tmp_path / "c")) as c:
            assert not digest.same_content(a, c)


@pytest.mark.parametrize("end", [5 << 20, (5 << 20) + 12345, (1 << 20) + 70_000])
def test_holes_hash_like_zeros(tmp_path: Path, end: int) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as stream:
        stream.write(b"head")
        stream.seek(3 << 20)
        stream.write(b"middle")
        stream.truncate(end)
    with digest.open_regular(str(path)) as opened:
        found = digest.digests(opened)
    content = path.read_bytes()
    assert (found.sha256, found.size) == (hashlib.sha256(content).hexdigest(), end)
    assert found.blake3 == blake3(content).hexdigest()
    assert found.autov1 == hashlib.sha256(content[1 << 20 : (1 << 20) + 65536]).hexdigest()[:8]
