"""A power cut at any moment: what was not fsynced is gone, and yet nothing is lost, and a second run finishes."""

import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from modelhub.services.hub import Hub
from tests import build
from tests.conftest import scan
from tests.deep import power_cut
from tests.deep.power_cut import DATABASES, NEVER, CannotTrace, Play, Recording, When
from tests.deep.tracer import Moment

NO_SHARED_MEMORY = """
from modelhub.store import engine
connect = engine.connect
engine.connect = lambda path, **_: connect(path, wal=False)
"""
SMALL_BATCHES = "from modelhub.services import batch\nbatch._FILES = 5"


def make_library(folder: Path) -> dict[Path, str]:
    """Twelve small models and one of three megabytes, none of which holds zeros where data should be."""
    chance = random.Random(0)
    for number in range(12):
        build.safetensors(folder / f"{number % 3}/small{number}.safetensors", build.SD15_LORA, mark=f"{number}")
    build.safetensors(folder / "big.safetensors", {"blocks.0.weight": (3, 512, 1024)}, mark="big")
    for path in folder.rglob("*.safetensors"):
        with path.open("r+b") as stream:
            start = 8 + int.from_bytes(stream.read(8), "little")
            stream.seek(start)
            stream.write(chance.randbytes(path.stat().st_size - start))
    return {path: power_cut.sha256(path.read_bytes()) for path in sorted(folder.rglob("*.safetensors"))}


def in_the_hub(hub: Path) -> set[str]:
    with closing(sqlite3.connect(hub / "modelhub.db")) as database:
        rows = {row[0] for row in database.execute("SELECT file_hash FROM models")}
    stored = {path: power_cut.sha256(path.read_bytes()) for path in hub.glob("models/*/*")}
    assert {path: path.parent.name for path in stored} == stored
    assert not [path for path in hub.glob("partial/*") if path.name not in ("deploy.lock", "store.lock")]
    assert rows == set(stored.values())
    with Hub.open(hub) as opened:
        assert opened.audit.verify()[1] is None
    return rows


def scan_play(folder: Path, adopt: str, *, before: str = "") -> Play:
    known = make_library(folder / "disk/in")
    hub = folder / "disk/hub"

    def finished() -> None:
        assert in_the_hub(hub) == set(known.values())
        left = {path for path in known if path.is_symlink() or path.exists()}
        assert left == (set() if adopt == "move" else set(known))
        assert all(path.is_symlink() == (adopt == "symlink") for path in left)
        assert all(power_cut.sha256(path.read_bytes()) == known[path] for path in left)

    words = ("scan", str(folder / "disk/in"), "--adopt", adopt, "--json")
    return Play(folder / "disk", hub, words, known, finished, f"{SMALL_BATCHES}\n{before}")


def deploy_play(folder: Path, method: str) -> Play:
    """A library that was scanned, and an app's folder that is not there yet."""
    scanned = scan_play(folder, "symlink")
    models = folder / "disk/app/models"
    assert scanned.run().returncode == 0
    add = replace(scanned, words=("targets", "add", "it", str(models), "--app", "comfyui", "--method", method))
    assert add.run().returncode == 0
    place = scanned.hub / "deployed/it" if method == "config" else models

    def finished() -> None:
        scanned.finished()
        placed = {power_cut.sha256(path.read_bytes()) for path in place.rglob("*.safetensors")}
        assert placed == in_the_hub(scanned.hub) - {scanned.contents[folder / "disk/in/big.safetensors"]}
        assert (models.parent / "extra_model_paths.yaml").exists() == (method == "config")

    return replace(scanned, words=("deploy", "--json"), finished=finished)


def recorded(play: Play, killed_at: Moment = NEVER) -> Recording:
    try:
        return power_cut.record(play, killed_at=killed_at)
    except CannotTrace as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("adopt", ["symlink", "copy", "move"])
def test_a_scan_loses_nothing_when_the_power_is_cut(tmp_path: Path, adopt: str) -> None:
    recording = recorded(scan_play(tmp_path, adopt))
    assert power_cut.violations(recording, recording.moments(24, seed=1), again=8) == []


@pytest.mark.parametrize("method", ["symlink", "config"])
def test_a_deployment_loses_nothing_when_the_power_is_cut(tmp_path: Path, method: str) -> None:
    recording = recorded(deploy_play(tmp_path, method))
    assert power_cut.violations(recording, recording.moments(24, seed=2), again=8) == []


@pytest.mark.parametrize("adopt", ["symlink", "move"])
def test_what_a_killed_scan_left_is_durable_before_the_next_relies_on_it(tmp_path: Path, adopt: str) -> None:
    play = scan_play(tmp_path, adopt)
    recording = recorded(play, Moment("link", f"{play.hub}/models/", 4))
    assert power_cut.violations(recording, recording.moments(50, seed=3), again=0) == []


def test_what_a_killed_scan_left_of_known_contents_is_durable_before_the_next_relies_on_it(tmp_path: Path) -> None:
    play = scan_play(tmp_path, "symlink")
    index = replace(play, words=("scan", str(tmp_path / "disk/in"), "--adopt", "reference"))
    assert index.run().returncode == 0
    recording = recorded(play, Moment("link", f"{play.hub}/models/", 4))
    assert power_cut.violations(recording, recording.moments(50, seed=4), again=0) == []


def test_a_hub_of_which_only_the_folder_was_made_is_durable_once_it_is_used(tmp_path: Path) -> None:
    play = scan_play(tmp_path, "symlink")
    recording = recorded(play, Moment("mkdir", str(play.hub), 1))
    assert power_cut.violations(recording, [(len(recording.events), "nothing")], again=0) == []


def test_a_hub_whose_folder_of_models_was_removed_gets_a_durable_one(tmp_path: Path) -> None:
    play = scan_play(tmp_path, "symlink")
    nothing = tmp_path / "disk/nothing"
    nothing.mkdir()
    assert replace(play, words=("scan", str(nothing))).run().returncode == 0
    (play.hub / "models").rmdir()
    recording = recorded(play)
    assert power_cut.violations(recording, recording.moments(50, seed=8), again=0) == []


def test_a_staging_folder_whose_lock_is_lost_is_swept(hub: Hub, downloads: Path) -> None:
    staged = hub.places.partial / ("0" * 32)
    staged.mkdir(parents=True)
    (staged / "model").write_bytes(b"half of it")
    scan(hub, downloads)
    assert not staged.exists()


def is_backup(path: str) -> bool:
    return "/backups/" in path and path.endswith(".db")


def test_a_backup_is_durable_when_it_is_said_to_be_made(tmp_path: Path) -> None:
    play = scan_play(tmp_path, "symlink")
    assert play.run().returncode == 0
    recording = recorded(replace(play, words=("db", "backup")))
    (cut,) = power_cut.cuts(recording, [(len(recording.events), "nothing")], seed=0)
    made = [power_cut.rows_of({"": left.content}) for path, left in cut.tree.items() if is_backup(path)]
    assert [bool(rows) for rows in made] == [True, True]


def test_a_hub_on_a_network_share_loses_nothing_either(tmp_path: Path) -> None:
    recording = recorded(scan_play(tmp_path, "symlink", before=NO_SHARED_MEMORY))
    assert recording.after("remove", "modelhub.db-journal")
    assert power_cut.violations(recording, recording.moments(50, seed=9), again=25) == []


def test_a_database_is_opened_whose_first_journal_came_back(tmp_path: Path) -> None:
    recording = recorded(scan_play(tmp_path, "copy"))
    moments: list[When] = [(number, "nothing") for number in recording.after("remove", "-journal")]
    assert len(moments) == len(DATABASES)
    assert power_cut.violations(recording, moments) == []


NO_FOLDER_IS_SYNCED = """
from modelhub.files import links
links.sync = lambda paths: None
"""
THE_DATABASE_IS_NOT_SYNCED = """
from modelhub.store import engine
connect = engine.connect
def hasty(*given, **more):
    raw = connect(*given, **more)
    raw.execute("PRAGMA synchronous = OFF")
    return raw
engine.connect = hasty
"""


@pytest.mark.parametrize("fault", [NO_FOLDER_IS_SYNCED, THE_DATABASE_IS_NOT_SYNCED], ids=["folders", "database"])
def test_the_simulation_sees_a_program_that_does_not_wait_for_the_disk(tmp_path: Path, fault: str) -> None:
    recording = recorded(scan_play(tmp_path, "symlink", before=fault))
    found = power_cut.violations(recording, recording.moments(25, seed=5), again=0)
    assert any("lost: rows" in one or "nowhere" in one for one in found)


@pytest.mark.deep
@pytest.mark.parametrize("adopt", ["symlink", "copy", "move"])
def test_a_scan_loses_nothing_when_the_power_is_cut_a_hundred_times(tmp_path: Path, adopt: str) -> None:
    recording = recorded(scan_play(tmp_path, adopt))
    assert power_cut.violations(recording, recording.moments(100, seed=6)) == []


@pytest.mark.deep
@pytest.mark.parametrize("method", ["symlink", "hardlink", "copy", "config"])
def test_a_deployment_loses_nothing_when_the_power_is_cut_a_hundred_times(tmp_path: Path, method: str) -> None:
    recording = recorded(deploy_play(tmp_path, method))
    assert power_cut.violations(recording, recording.moments(100, seed=7)) == []
