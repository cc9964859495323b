"""kill -9 at random points: no content is ever lost, no torn file has a final name, a second run finishes."""

import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import build
from tests.formats.test_bundles import write_llama

MODES = ("symlink", "copy", "move")
ROUNDS = 30
DEEP_ROUNDS = 300
BIG = {"blocks.0.weight": (24, 1024, 1024)}


def make_library(folder: Path) -> dict[Path, str]:
    """Forty small models, two of 48 MB and a copy; each path with the SHA-256 of its content."""
    for number in range(40):
        build.safetensors(folder / f"{number % 4}/small{number}.safetensors", build.SD15_LORA, mark=f"mark {number}")
    for number in range(2):
        build.safetensors(folder / f"big{number}.safetensors", BIG, mark=f"big {number}")
    shutil.copy(folder / "0/small0.safetensors", folder / "zz copy.safetensors")
    return {path: sha256(path) for path in sorted(folder.rglob("*.safetensors"))}


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def command(hub: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "modelhub", "--hub", str(hub), *words, "--json"]


def kill_after(seconds: float, words: list[str]) -> int:
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    return process.wait()


def check_after_kill(hub: Path, known: dict[Path, str], mode: str) -> None:
    stored = {path: sha256(path) for path in hub.glob("models/*/*")}
    assert {path: path.parent.name for path in stored} == stored, "a final name means complete content"
    for path, digest in known.items():
        if mode != "move" or path.exists():
            assert sha256(path) == digest, "every source is reachable with its content"
        else:
            assert digest in stored.values()
    if (hub / "modelhub.db").exists():
        database = sqlite3.connect(hub / "modelhub.db")
        tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
        rows = {row[0] for row in database.execute("SELECT file_hash FROM models")} if "models" in tables else set()
        database.close()
        assert rows <= set(stored.values()), "every row has its whole blob"


def check_when_finished(hub: Path, known: dict[Path, str], mode: str) -> None:
    check_after_kill(hub, known, mode)
    database = sqlite3.connect(hub / "modelhub.db")
    assert {row[0] for row in database.execute("SELECT file_hash FROM models")} == set(known.values())
    assert database.execute("SELECT count(*) FROM deploy_targets").fetchone() == (4,)
    database.close()
    assert {path.parent.name for path in hub.glob("models/*/*")} == set(known.values())
    assert not list((hub / "partial").iterdir())
    left = [path for path in known if path.is_symlink() or path.exists()]
    assert len(left) == (0 if mode == "move" else len(known))
    assert all(path.is_symlink() == (mode == "symlink") for path in left)


def one_round(folder: Path, mode: str, moment: float) -> None:
    known = make_library(folder / "in")
    hub = folder / "hub"
    scan = command(hub, "scan", str(folder / "in"), "--adopt", mode)
    kill_after(moment, scan)
    check_after_kill(hub, known, mode)
    finished = subprocess.run(scan, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    check_when_finished(hub, known, mode)
    shutil.rmtree(folder)


def run_rounds(folder: Path, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    started = time.monotonic()
    one_round(folder / "whole", "symlink", 60.0)
    longest = time.monotonic() - started
    for number in range(rounds):
        one_round(folder / str(number), MODES[number % 3], chance.uniform(0.15, max(1.0, longest * 0.6)))


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_scan_killed_at_any_point_loses_nothing(tmp_path: Path) -> None:
    run_rounds(tmp_path, ROUNDS, seed=1)


@pytest.mark.deep
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_scan_killed_three_hundred_times_loses_nothing(tmp_path: Path) -> None:
    run_rounds(tmp_path, DEEP_ROUNDS, seed=2)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_scan_of_a_folder_killed_at_any_point_ends_as_one_whole_model(tmp_path: Path) -> None:
    chance = random.Random(4)
    for number in range(12):
        mode, hub = MODES[number % 3], tmp_path / f"hub{number}"
        place = write_llama(tmp_path / f"in{number}/Tiny", shards=9)
        known = {path: sha256(path) for path in sorted(place.iterdir())}
        scan = command(hub, "scan", str(place.parent), "--adopt", mode)
        kill_after(chance.uniform(0.3, 1.2), scan)
        stored = {sha256(path) for path in hub.glob("models/*/*")}
        assert all((path.exists() and sha256(path) == digest) or digest in stored for path, digest in known.items())
        subprocess.run(scan, capture_output=True, check=True)
        listed = subprocess.run(command(hub, "list"), capture_output=True, text=True, check=True)
        assert [(one["filename"], one["state"]) for one in json.loads(listed.stdout)["models"]] == [("Tiny", "ok")]
        assert subprocess.run(command(hub, "verify"), capture_output=True, check=False).returncode == 0
        left = [path for path in known if path.suffix == ".safetensors" and path.exists()]
        assert len(left) == (0 if mode == "move" else 9)
        assert all(path.is_symlink() == (mode == "symlink") for path in left)


USERS = "# mine\nbig:\n    base_path: /mnt/big  # slow\n"


def kill_deployments(folder: Path, method: str, rounds: int, seed: int) -> None:
    """Deployments, undoings and undeployments killed at random points; each is finished by running it again."""
    make_library(folder / "in")
    hub, app = folder / "hub", folder / "comfy"
    models, own = app / "models", app / "extra_model_paths.yaml"
    subprocess.run(command(hub, "scan", str(folder / "in")), check=True, capture_output=True)
    add = command(hub, "targets", "add", "it", str(models), "--app", "comfyui", "--method", method)
    subprocess.run(add, check=True, capture_output=True)
    models.mkdir(parents=True)
    (models / "mine.safetensors").write_text("mine")
    own.write_text(USERS)
    chance = random.Random(seed)
    place = hub / "deployed/it" if method == "config" else models
    for number in range(rounds):
        kill_after(chance.uniform(0.25, 0.9), command(hub, "deploy"))
        assert all(os.path.exists(path) for path in place.rglob("*.safetensors")), "no dangling link"
        assert own.read_text().startswith(USERS)
        assert subprocess.run(command(hub, "deploy"), capture_output=True, check=False).returncode == 0
        made = [path for path in place.rglob("*.safetensors") if path.name != "mine.safetensors"]
        assert len(made) == 40
        back = ["undeploy", "--all"] if number % 2 else ["deploy", "undo"]
        kill_after(chance.uniform(0.25, 0.9), command(hub, *back))
        assert subprocess.run(command(hub, "undeploy", "--all"), capture_output=True, check=False).returncode == 0
        assert [path.name for path in app.rglob("*") if not path.is_dir()] == [
            "extra_model_paths.yaml",
            "mine.safetensors",
        ]
        assert not list(place.rglob(".modelhub-*"))
        assert own.read_text() == USERS
        assert (models / "mine.safetensors").read_text() == "mine"


@pytest.mark.parametrize("method", ["symlink", "copy", "config"])
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_deployment_killed_at_any_point_is_finished_by_the_next(tmp_path: Path, method: str) -> None:
    kill_deployments(tmp_path, method, 4, seed=3)


@pytest.mark.deep
@pytest.mark.parametrize("method", ["symlink", "hardlink", "copy", "config"])
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_deployment_killed_a_hundred_times_is_finished_by_the_next(tmp_path: Path, method: str) -> None:
    kill_deployments(tmp_path, method, 100, seed=4)


def test_two_scans_at_once_make_exact_rows_without_an_error(tmp_path: Path) -> None:
    known = make_library(tmp_path / "in")
    hub = tmp_path / "hub"
    scan = command(hub, "scan", str(tmp_path / "in"))
    running = [subprocess.Popen(scan, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    check_when_finished(hub, known, "symlink")


@pytest.mark.skipif(not sys.platform.startswith("linux") or os.geteuid() != 0, reason="needs root to mount")
def test_a_full_disk_is_one_clear_line_and_what_fits_is_taken(tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    hub.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", hub], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        folder = tmp_path / "in"
        big = build.safetensors(folder / "big.safetensors", BIG)
        with big.open("r+b") as stream:
            stream.seek(4096)
            stream.write(os.urandom(40 << 20))
        for number in range(3):
            build.safetensors(folder / f"small{number}.safetensors", build.SD15_LORA, mark=str(number))
        said = subprocess.run(command(hub, "scan", str(folder)), capture_output=True, text=True, check=False)
        assert said.returncode == 3, said.stderr
        assert '"code": "no_space"' in said.stdout
        assert said.stdout.count('"outcome": "added"') == 3
        assert not big.is_symlink()
        assert "Traceback" not in said.stderr
    finally:
        subprocess.run(["umount", "-l", hub], check=False)
