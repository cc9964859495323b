"""The catalogue of problems is whole, logs are written and turned over, reports have no secrets."""

import ast
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelhub.core import problems
from modelhub.core.errors import ModelHubError, NotFound
from modelhub.files import logs
from modelhub.services.hub import Hub
from modelhub.services.surroundings import blacked_out
from modelhub.services.verify import Scope
from tests import build
from tests.conftest import Modelhub, finish, scan

ROOT = Path(__file__).parents[2]
_AT = {"Problem": 0, "BrokenFile": 0, "Inspection": 3, "Finding": 1, "Rejected": 2, "_skipped": 1}
_NOT_CODES = {"architecture_patterns"}


def codes_in_the_program() -> Iterator[str]:
    """Every literal that is given as the code of a problem, and the codes of our errors."""
    for path in (ROOT / "modelhub").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            at = _AT.get(name)
            given = [node.args[at]] if at is not None and len(node.args) > at else []
            given += [word.value for word in node.keywords if word.arg == "code" and name in (*_AT, "FileSeen")]
            yield from (one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str))
    waiting: list[type[ModelHubError]] = [ModelHubError]
    while waiting:
        here = waiting.pop()
        yield here.code
        waiting += here.__subclasses__()


def test_every_problem_that_can_be_reported_is_in_the_catalogue() -> None:
    known = {one.code for one in problems.every()}
    assert sorted(set(codes_in_the_program()) - known - {""}) == []


def test_the_troubleshooting_page_is_made_from_the_catalogue() -> None:
    assert (ROOT / "docs/troubleshooting.md").read_text() == problems.page()


def test_a_code_is_explained(modelhub: Modelhub) -> None:
    assert "set aside" in modelhub("doctor", "--explain", "hash_mismatch").out
    assert modelhub("doctor", "--page").out == problems.page()
    with pytest.raises(NotFound):
        problems.explain("nonsense")


# Logs


def log(hub: Hub, name: str) -> str:
    path = hub.places.logs / name
    return path.read_text() if path.exists() else ""


def test_scans_and_verifications_are_logged_under_their_names(hub: Hub, downloads: Path) -> None:
    build.torch_zip(downloads / "evil.ckpt", build.malicious_pickle("true"))
    (downloads / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    scan(hub, downloads)
    assert "added" in log(hub, "model_discovery.log")
    assert "detail.safetensors: lora sd15" in log(hub, "categorization.log")
    assert "posix.system" in log(hub, "metadata_extraction.log")
    blob = Path(hub.models.details("ae").path)
    blob.unlink()
    finish(hub.verifier.verify(Scope()))
    assert "missing ae.safetensors" in log(hub, "model_validation.log")


def test_a_scan_of_known_files_says_so_in_one_line(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    before = log(hub, "model_discovery.log").count("\n")
    scan(hub, downloads)
    assert log(hub, "model_discovery.log").count("\n") == before + 1


def test_logs_are_turned_over_and_only_some_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_LARGEST", 1000)
    one = logs.LogFile(tmp_path / "a.log")
    for number in range(200):
        one.write([f"line {number} " + "x" * 100])
    assert sorted(path.name for path in tmp_path.glob("a.log*")) == [
        "a.log", "a.log.1", "a.log.2", "a.log.3", "a.log.4",
    ]  # fmt: skip
    assert max(path.stat().st_size for path in tmp_path.glob("a.log*")) < 1200
    assert "line 199" in one.tail(1)[0]


def test_a_line_of_a_log_cannot_act_on_a_terminal(tmp_path: Path) -> None:
    logs.LogFile(tmp_path / "a.log").write(["evil\x1b[2J\nname"])
    assert (tmp_path / "a.log").read_bytes().count(b"\n") == 1
    assert b"\x1b" not in (tmp_path / "a.log").read_bytes()


# Reports


def test_a_report_has_what_is_needed_and_no_secrets(
    hub: Hub, downloads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan(hub, downloads)
    hub.logbook._logs["model_discovery.log"].write(["Authorization: Bearer abcdef123456 for hf_AbCdEfGhIjKlMnOp"])
    monkeypatch.setenv("HOME", str(tmp_path))
    target = tmp_path / "report.zip"
    members = hub.upkeep.report(target)
    with zipfile.ZipFile(target) as archive:
        assert sorted(archive.namelist()) == sorted(members)
        texts = {name: archive.read(name).decode() for name in members}
    assert json.loads(texts["library.json"])["states"] == {"ok": 3}
    assert "python" in json.loads(texts["versions.json"])
    everything = "\n".join(texts.values())
    assert "abcdef123456" not in everything
    assert "AbCdEfGh" not in everything
    assert str(tmp_path) not in everything
    with pytest.raises(ModelHubError):
        hub.upkeep.report(target)


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("token = 'x8s7df6g5h'", "x8s7df6g5h"),
        ("https://me:pass1234@host/x", "pass1234"),
        ("/home/alice/models", "alice"),
        ("C:\\Users\\bob\\models", "bob"),
        ("/run/media/dave/USB", "dave"),
        ("/data/frank@example.com/x", "frank"),
        ("AGE-SECRET-KEY-1QQQQQQQQ", "QQQQ"),
        ("civitai_0123456789abcdef", "0123456789"),
    ],
)
def test_secrets_and_names_of_people_are_blacked_out(text: str, gone: str) -> None:
    assert gone not in blacked_out(text)


# Doctor


def test_doctor_tells_of_the_environment_and_of_what_waits(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)
    model = hub.models.resolve("ae")
    finish(hub.trash.delete([model], hub.trash.plan_delete([model])))
    found = {check.name: check for check in hub.upkeep.doctor()}
    assert found["environment"].message.startswith("Python 3")
    assert found["trash"].message.startswith("1 models")
    assert found["audit"].status == "ok"
    log_file = hub.places.audit
    log_file.write_bytes(log_file.read_bytes().replace(b'"scan"', b'"scam"', 1))
    assert {check.name: check.status for check in hub.upkeep.doctor()}["audit"] == "problem"


def test_a_token_that_others_can_read_is_told(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    token = tmp_path / "token"
    token.write_text("hf_x")
    token.chmod(0o644)
    assert "secrets" in {check.name for check in hub.upkeep.doctor()}
    token.chmod(0o600)
    assert "secrets" not in {check.name for check in hub.upkeep.doctor()}
