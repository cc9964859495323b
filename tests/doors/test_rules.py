"""Rules and look-ups through the command line: what is printed, the exit codes, and one sentence for a mistake."""

import json
from pathlib import Path

import pytest

from tests import build
from tests.conftest import Modelhub

RULE = "- {key: star, when: {all: ['star.weight']}, then: {type: lora}, because: the weight of a star}"


@pytest.fixture
def rule(tmp_path: Path) -> Path:
    path = tmp_path / "star.yaml"
    path.write_text(RULE)
    return path


def test_rules_are_listed_shown_and_added(modelhub: Modelhub, rule: Path) -> None:
    assert "dit-wan" in modelhub("rules", "list", "--table", "architecture_patterns").out
    assert "key: dit-wan" in modelhub("rules", "show", "dit-wan").out
    assert "1 rule would be yours: star" in modelhub("rules", "add", rule, "--dry-run").out
    assert modelhub("rules", "list", "--mine", "--json").out == '{"rules": []}\n'
    assert "1 rule now yours: star" in modelhub("rules", "add", rule).out
    (told,) = json.loads(modelhub("rules", "list", "--mine", "--json").out)["rules"]
    assert (told["key"], told["origin"], told["enabled"], told["says"]) == ("star", "yours", True, "lora")
    again = modelhub("rules", "add", rule)
    assert (again.code, "You have a rule 'star'" in again.err) == (1, True)
    assert modelhub("rules", "add", rule, "--replace").code == 0
    assert "1 rule of yours taken away" in modelhub("rules", "reset", "star").out


def test_a_rule_is_tried_on_a_file(modelhub: Modelhub, rule: Path, tmp_path: Path) -> None:
    modelhub("rules", "add", rule)
    path = build.safetensors(tmp_path / "x.safetensors", {"star.weight": (4, 4)})
    assert "stands" in modelhub("rules", "test", path).out
    assert json.loads(modelhub("rules", "test", path, "--json").out)["rules"][0]["key"] == "star"


def test_a_rule_is_edited_from_a_file_and_switched(modelhub: Modelhub, rule: Path) -> None:
    modelhub("rules", "add", rule)
    rule.write_text(RULE.replace("lora", "vae"))
    assert modelhub("rules", "edit", "star", "--from", rule).code == 0
    assert "type: vae" in modelhub("rules", "show", "star").out
    assert modelhub("rules", "edit", "star").code == 2, "there is no terminal to edit in"
    assert modelhub("rules", "disable", "star").out == "star: off\n"
    assert json.loads(modelhub("rules", "list", "star", "--mine", "--json").out)["rules"][0]["enabled"] is False
    assert modelhub("rules", "enable", "star").out == "star: on\n"


def test_rules_leave_and_come_back(modelhub: Modelhub, rule: Path, tmp_path: Path) -> None:
    modelhub("rules", "add", rule)
    out = tmp_path / "mine.yaml"
    assert modelhub("rules", "export", out).code == 0
    assert modelhub("rules", "reset", "--all").code == 0
    assert "now yours: star" in modelhub("rules", "import", out).out
    assert "star" in modelhub("rules", "export").out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("show", "nothing-like-it"), 1, "There is no rule 'nothing-like-it'"),
        (("list", "--table", "nothing"), 1, "There is no table 'nothing'"),
        (("add", "/nowhere/rules.yaml"), 1, "does not exist"),
        (("reset",), 2, "Name a rule, or use --all"),
        (("test", "/nowhere"), 1, "does not exist"),
    ],
)
def test_a_mistake_is_one_sentence(modelhub: Modelhub, words: tuple[str, ...], code: int, told: str) -> None:
    ran = modelhub("rules", *words)
    assert (ran.code, told in ran.err) == (code, True)


def test_a_check_of_the_rules_fails_where_one_is_wrong(modelhub: Modelhub, tmp_path: Path) -> None:
    assert modelhub("rules", "lint").code == 0
    folder = tmp_path / "hub" / "rules"
    folder.mkdir()
    (folder / "bad.yaml").write_text("nothing: []")
    ran = modelhub("rules", "lint", "--no-samples", "--json")
    assert (ran.code, json.loads(ran.out)["errors"]) == (3, 1)


def test_nobody_is_asked_offline(modelhub: Modelhub, downloads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modelhub("scan", downloads)
    assert "3 models would be asked about" in modelhub("lookup", "--dry-run").out
    assert modelhub("lookup", "--offline", "--json").out == '{"known": []}\n'
    monkeypatch.setenv("MODELHUB_EXTERNAL_APIS_ENABLED", "false")
    ran = modelhub("lookup")
    assert (ran.code, "switched off" in ran.err) == (1, True)


def test_a_site_that_cannot_be_reached_is_a_problem(
    modelhub: Modelhub, downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modelhub("scan", downloads)
    monkeypatch.setenv("MODELHUB_EXTERNAL_APIS_CIVITAI_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("random.random", lambda: 0.0)
    monkeypatch.setattr("time.sleep", lambda _: None)
    ran = modelhub("lookup", "--source", "civitai")
    assert (ran.code, "cannot be reached" in ran.err) == (3, True)


def test_a_folder_without_a_model_is_said_to_be_none(modelhub: Modelhub, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("words")
    ran = modelhub("classify", tmp_path / "notes")
    assert (ran.code, "holds no model" in ran.err) == (3, True)
