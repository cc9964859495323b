"""Many programs at once on one hub: no error, no row lost, no row twice; locks are the kernel's and leave nothing."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelhub.files import links
from modelhub.services.hub import Hub
from modelhub.store.engine import Database, connect
from tests import build
from tests.conftest import scan

_HOLDS = """
import sys, time, pathlib
from modelhub.files import links
with links.try_lock(pathlib.Path(sys.argv[1])) as free:
    print(free, flush=True)
    time.sleep(60)
"""
_WAITS = """
import sys, pathlib
from modelhub.files import links
with links.locked(pathlib.Path(sys.argv[1])):
    print('got')
"""
COMMAND = [sys.executable, "-m", "modelhub"]


def start(hub: Path, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*COMMAND, "--hub", str(hub), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_four_writers_and_readers_work_at_once_without_an_error(tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    for number in range(40):
        build.safetensors(tmp_path / f"in{number % 2}/{number}.safetensors", build.SD15_LORA, mark=f"mark {number}")
    subprocess.run([*COMMAND, "--hub", str(hub), "scan", str(tmp_path / "in0")], check=True, capture_output=True)
    writers = [
        start(hub, "scan", str(tmp_path / "in1")),
        start(hub, "reclassify", "--all"),
        start(hub, "set", "0.safetensors", "--tag", "a"),
        start(hub, "set", "2.safetensors", "--tag", "b"),
        start(hub, "delete", "4.safetensors"),
        start(hub, "verify"),
    ]
    readers = [start(hub, *words) for words in (("list",), ("stats",), ("status",), ("doctor",))]
    said = [(process.args, *process.communicate(), process.returncode) for process in (*writers, *readers)]
    assert [one for one in said if one[3] != 0] == []
    listed = subprocess.run([*COMMAND, "--hub", str(hub), "list", "--json"], check=True, capture_output=True, text=True)
    models = {model["filename"]: model for model in json.loads(listed.stdout)["models"]}
    assert len(models) == 39
    assert models["0.safetensors"]["tags"] == ["a"]
    assert models["2.safetensors"]["tags"] == ["b"]
    checked = subprocess.run(
        [*COMMAND, "--hub", str(hub), "audit", "verify"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_a_reader_sees_one_moment_while_a_writer_writes(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    database = Database(hub.places.library)
    with database.read() as reading:
        before = reading.exec_driver_sql("SELECT count(*) FROM tags").scalar()
        hub.models.correct("ae", fields={}, add_tags=["new"])
        assert reading.exec_driver_sql("SELECT count(*) FROM tags").scalar() == before
    database.close()


def test_a_lock_dies_with_its_process_and_needs_no_hand(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    held = subprocess.Popen([sys.executable, "-c", _HOLDS, str(lock)], stdout=subprocess.PIPE, text=True)
    assert held.stdout is not None
    assert held.stdout.readline().strip() == "True"
    with links.try_lock(lock) as free, links.try_lock(lock, shared=True) as shared:
        assert (free, shared) == (False, False)
    held.send_signal(signal.SIGKILL)
    held.communicate()
    with links.try_lock(lock) as free:
        assert free


def test_several_may_share_a_lock_that_none_may_have_alone(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    with links.try_lock(lock, shared=True) as first, links.try_lock(lock, shared=True) as second:
        assert (first, second) == (True, True)
        with links.try_lock(lock) as alone:
            assert not alone


def test_who_waits_for_a_lock_gets_it(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    with links.try_lock(lock) as free:
        assert free
        waiting = subprocess.Popen([sys.executable, "-c", _WAITS, str(lock)], stdout=subprocess.PIPE, text=True)
        time.sleep(0.3)
        assert waiting.poll() is None
    assert waiting.communicate(timeout=30)[0].strip() == "got"


@pytest.mark.parametrize("wal", [True, False])
def test_on_a_network_share_the_databases_work_without_wal(tmp_path: Path, wal: bool) -> None:
    raw = connect(tmp_path / "x.db", wal=wal)
    assert raw.execute("PRAGMA journal_mode").fetchone()[0] == ("wal" if wal else "delete")
    assert raw.execute("PRAGMA synchronous").fetchone()[0] >= 2
    raw.execute("CREATE TABLE t (a)")
    raw.execute("INSERT INTO t VALUES (1)")
    raw.close()
    again = connect(tmp_path / "x.db", wal=not wal)
    assert again.execute("SELECT a FROM t").fetchone() == (1,)
    again.close()


def test_a_busy_database_is_waited_for(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    holding = sqlite3.connect(hub.places.library, isolation_level=None, check_same_thread=False)
    holding.execute("BEGIN IMMEDIATE")
    process = start(hub.places.root, "set", "ae", "--tag", "waited")
    time.sleep(1.5)
    assert process.poll() is None
    holding.execute("COMMIT")
    holding.close()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert hub.models.resolve("ae").tags == ("waited",)
    assert not [name for name in os.listdir(hub.places.root) if name.endswith(".pid")]
