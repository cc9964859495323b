"""Hostile files: none is executed, none accepted, none takes long or much; and sound ones are not refused."""

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelhub.core.names import printable
from modelhub.formats.inspect import inspect
from tests import hostile
from tests.conftest import Modelhub
from tests.hostile import folders, headers

_SECONDS, _MEGABYTES = 10, 1024
_PROCESSES = 2
_SMALL = 1 << 20
_SHOWN = 50
_LONG = {"endless", "laughs"}


@dataclass(frozen=True)
class Examined:
    """What came of looking at every case, in processes of their own; and the canaries that were there afterwards."""

    outcomes: list[dict[str, Any]]
    fired: list[str]


def _examine() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        cases = hostile.write(Path(folder))
        (Path(folder) / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.hostile.look", folder, str(number), str(_PROCESSES)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(_PROCESSES)
        ]
        lines = [line for one in started for line in one.communicate(timeout=300)[0].splitlines()]
        assert len(lines) == len(cases)
        return {"outcomes": [json.loads(line) for line in lines], "fired": os.listdir(f"{folder}/canaries")}


@pytest.fixture(scope="module")
def examined(tmp_path_factory: pytest.TempPathFactory) -> Examined:
    """Examined once, by whichever of the test processes comes first."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    with (shared / "hostile.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = shared / "hostile.json"
        if not told.exists():
            told.write_text(json.dumps(_examine()), encoding="utf-8")
    return Examined(**json.loads(told.read_text(encoding="utf-8")))


def test_there_are_many_attacks_of_every_class(examined: Examined) -> None:
    attacks = Counter(case["class"] for case in examined.outcomes if case["expected"] != "accepted")
    assert attacks.total() > 600
    assert min(attacks.values()) >= 8
    assert sum(case["expected"] == "accepted" and case["class"] == "benign" for case in examined.outcomes) >= 25


def test_none_is_executed(examined: Examined) -> None:
    assert examined.outcomes
    assert not examined.fired


def test_none_that_is_malicious_or_broken_is_accepted(examined: Examined) -> None:
    assert not [one["file"] for one in examined.outcomes if one["expected"] == "refused" and one["state"] == "ok"]


def test_none_that_is_sound_is_refused(examined: Examined) -> None:
    assert not {
        one["file"]: one["message"]
        for one in examined.outcomes
        if one["expected"] == "accepted" and one["state"] != "ok"
    }


def test_what_would_run_is_never_called_merely_damaged_or_sound(examined: Examined) -> None:
    """Who unpickles an armed case runs it; under a suffix of models it must be `unsafe`, or not be taken for one."""
    armed = [one for one in examined.outcomes if one["armed"]]
    assert not [(one["file"], one["state"]) for one in armed if one["state"] not in ("unsafe", "not_model")]


def test_every_refusal_has_a_code_and_a_sentence(examined: Examined) -> None:
    refused = [one for one in examined.outcomes if one["state"] != "ok"]
    assert not [one["file"] for one in refused if not one["code"] or not one["message"].endswith(".")]
    assert not [one["file"] for one in refused if len(one["message"]) > 1000]


def test_each_takes_little_time_and_memory(examined: Examined) -> None:
    slow = {one["file"]: one["seconds"] for one in examined.outcomes if one["seconds"] >= _SECONDS}
    assert (slow, max(one["megabytes"] for one in examined.outcomes) < _MEGABYTES) == ({}, True)


def test_chat_templates_are_kept_as_they_are_and_never_rendered(tmp_path: Path) -> None:
    templates = [case for case in headers.cases() if case.name.startswith("template")]
    assert templates
    for case in templates:
        path = case.write(tmp_path)
        with path.open("rb") as stream:
            found = inspect(stream, path.stat().st_size, path.name)
        assert str(case.canary(tmp_path)) in str(found.metadata["tokenizer.chat_template"])
        assert not case.canary(tmp_path).exists()


def test_a_scan_takes_only_the_sound_ones(tmp_path: Path, modelhub: Modelhub) -> None:
    found = tmp_path / "found"
    (found / "canaries").mkdir(parents=True)
    expected = {}
    for case in hostile.every_case():
        if case.kind not in _LONG and not case.holes:
            path = case.write(found)
            expected[str(path)] = case.expected
            if path.stat().st_size > _SMALL:
                path.unlink()
    ran = modelhub("scan", found, "--adopt", "copy", "--json")
    assert ran.code == 3
    seen = {line["path"]: line["outcome"] for line in ran.lines if line["kind"] == "file"}
    taken = {path for path, outcome in seen.items() if outcome in ("added", "duplicate")}
    assert taken
    assert not {path for path in taken if expected.get(path) == "refused"}
    _assert_inert(modelhub)
    assert not list((found / "canaries").iterdir())


def test_a_folder_of_pipes_links_and_names_is_walked_to_its_end(tmp_path: Path) -> None:
    found = folders.lay_out(tmp_path / "found")
    command = [
        sys.executable,
        "-m",
        "modelhub",
        "--hub",
        str(tmp_path / "hub"),
        "scan",
        str(found),
        "--adopt",
        "copy",
        "--json",
    ]
    ran = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": os.getcwd()}, stdin=subprocess.DEVNULL,
                         capture_output=True, timeout=60, check=False)  # fmt: skip
    assert b"Traceback" not in ran.stderr, ran.stderr.decode()[-2000:]
    assert ran.returncode in (0, 3)
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    added = [line for line in lines if line["kind"] == "file" and line["outcome"] in ("added", "duplicate")]
    assert len(added) >= len(folders.NAMES)
    told = ran.stdout.decode()
    assert not [line["path"] for line in added if "/special/" in line["path"]]
    assert "root:x:0" not in told
    assert not list(tmp_path.rglob("canary*"))


def test_what_it_held_is_shown_without_acting_on_the_terminal(tmp_path: Path, modelhub: Modelhub) -> None:
    found = folders.lay_out(tmp_path / "found")
    modelhub("scan", found, "--adopt", "copy")
    _assert_inert(modelhub)


def _assert_inert(modelhub: Modelhub) -> None:
    """Lists and reports hold no character that acts on a terminal, whatever names and values the models brought."""
    listed = modelhub("list", "--json")
    assert listed.code == 0
    ids = [str(line["id"]) for line in _models(listed.json)]
    assert ids
    few = ids[:: len(ids) // _SHOWN + 1]
    for words in (("list",), *(("show", each) for each in few), *(("explain", each) for each in few)):
        ran = modelhub(*words)
        assert ran.code == 0, (words, ran.err)
        for line in (ran.out + ran.err).split("\n"):
            assert printable(line.replace("\t", " ")) == line.replace("\t", " "), (words, line)


def _models(told: Any) -> list[dict[str, Any]]:
    return list(told["models"] if isinstance(told, dict) else told)


def test_the_attacks_are_attacks(tmp_path: Path) -> None:
    """Unpickled the naive way, with stand-ins for the libraries, every armed one touches its canary."""
    (tmp_path / "canaries").mkdir()
    armed = [case for case in hostile.every_case() if case.armed]
    for case in armed:
        case.write(tmp_path)
    command = [sys.executable, "-m", "tests.hostile.fire", str(tmp_path)]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    assert len(armed) > 80
    assert not [case.name for case in armed if not case.canary(tmp_path).exists()]
