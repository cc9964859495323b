"""kill -9 while a hub is pruned, moved, or a file converted: what is wanted stays whole, the same command finishes."""

import json
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deep.test_kill import command, kill_after, make_library, sha256

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
ROUNDS, DEEP_ROUNDS = 4, 100


def run(*words: str, hub: Path) -> None:
    said = subprocess.run(command(hub, *words), capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr


def check(hub: Path) -> None:
    run("verify", hub=hub)
    run("audit", "verify", hub=hub)


def prune_round(folder: Path, moment: float) -> None:
    """Half of the models are deleted and pruned; the others, a copy of a deleted one and all references stay."""
    known, hub = make_library(folder / "in"), folder / "hub"
    run("scan", str(folder / "in"), hub=hub)
    run("targets", "add", "it", str(folder / "app"), hub=hub)
    run("deploy", hub=hub)
    gone = {path for path in known if path.name.startswith("small") and int(path.stem[5:]) % 2}
    run("delete", *(path.name for path in gone), hub=hub)
    prune = command(hub, "prune", "--older-than", "0d", "--yes")
    kill_after(moment, prune)
    kept = {path: digest for path, digest in known.items() if path not in gone}
    assert {path: sha256(path) for path in kept} == kept, "what was not deleted is whole"
    assert all(path.exists() for path in (folder / "app").rglob("*.safetensors")), "no dangling link"
    finished = subprocess.run(prune, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert {path: sha256(path) for path in kept} == kept
    assert not any(os.path.lexists(path) for path in gone)
    assert {path.parent.name for path in hub.glob("models/*/*")} == set(kept.values())
    check(hub)


def move_round(folder: Path, moment: float) -> None:
    known, old, new = make_library(folder / "in"), folder / "hub", folder / "new"
    run("scan", str(folder / "in"), hub=old)
    run("targets", "add", "it", str(folder / "app"), hub=old)
    run("deploy", hub=old)
    links = [path for path in (folder / "app").rglob("*.safetensors") if path.is_symlink()]
    move = command(old, "move", str(new))
    kill_after(moment, move)
    assert {path: sha256(path) for path in known} == known, "every link leads to its content all the while"
    assert all(path.exists() for path in links)
    if old.joinpath("modelhub.db").exists():
        finished = subprocess.run(move, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stderr
    assert {path: sha256(path) for path in known} == known
    assert all(str(path.resolve()).startswith(str(new)) for path in (*known, *links))
    assert not old.exists() or not list(old.rglob("*.safetensors"))
    check(new)


def write_checkpoint(path: Path) -> bytes:
    """A state dict of one tensor of 24 MB, as `torch.save` writes it; its numbers."""
    numbers = random.Random(path.name).randbytes(1 << 20) * 24
    elements = len(numbers) // 4
    pickled = (
        b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
        b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ" + struct.pack("<i", elements) + b"tQK\x00J"
        + struct.pack("<i", elements) + b"\x85K\x01\x85\x89}tRs."
    )  # fmt: skip
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", numbers)
    return numbers


def convert_round(folder: Path, moment: float) -> None:
    source, made = folder / "in/model.ckpt", folder / "in/model.safetensors"
    numbers, hub = write_checkpoint(source), folder / "hub"
    digest = sha256(source)
    convert = command(hub, "convert", str(source))
    kill_after(moment, convert)
    assert sha256(source) == digest
    if made.exists():
        assert made.read_bytes().endswith(numbers), "a final name means complete content"
        run("scan", str(made.parent), hub=hub)
    else:
        finished = subprocess.run(convert, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stderr
        assert not list(made.parent.glob(".modelhub-*"))
    assert made.read_bytes().endswith(numbers)
    listed = subprocess.run(command(hub, "list"), capture_output=True, text=True, check=True)
    assert "model.safetensors" in [model["filename"] for model in json.loads(listed.stdout)["models"]]
    check(hub)


ROUND: dict[str, tuple[Callable[[Path, float], None], float]] = {
    "prune": (prune_round, 1.6), "move": (move_round, 2.2), "convert": (convert_round, 1.8),
}  # fmt: skip
"""A round of each command, and about how many seconds the command takes when nobody kills it."""


def play(folder: Path, name: str, rounds: int, seed: int) -> None:
    one_round, longest = ROUND[name]
    chance = random.Random(seed)
    for number in range(rounds):
        one_round(folder / str(number), chance.uniform(0.3, longest))
        shutil.rmtree(folder / str(number))


@pytest.mark.parametrize("name", ROUND)
def test_a_command_killed_at_any_point_is_finished_by_the_next(tmp_path: Path, name: str) -> None:
    play(tmp_path, name, ROUNDS, seed=5)


@pytest.mark.deep
@pytest.mark.parametrize("name", ROUND)
def test_a_command_killed_a_hundred_times_is_finished_by_the_next(tmp_path: Path, name: str) -> None:
    play(tmp_path, name, DEEP_ROUNDS, seed=6)


def test_rows_that_were_acknowledged_before_a_kill_are_there(tmp_path: Path) -> None:
    """Corrections, one after the other, until the kill: every one that returned is in the database."""
    make_library(tmp_path / "in")
    hub = tmp_path / "hub"
    run("scan", str(tmp_path / "in"), hub=hub)
    for number in range(3):
        run("set", "small1.safetensors", "--tag", f"tag{number}", hub=hub)
        kill_after(0.45, command(hub, "set", "small1.safetensors", "--tag", "perhaps"))
        with sqlite3.connect(hub / "modelhub.db") as database:
            tags = {row[0] for row in database.execute("SELECT tag FROM tags")}
        database.close()
        assert {f"tag{before}" for before in range(number + 1)} <= tags
    check(hub)
