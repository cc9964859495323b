"""The command line: what it prints where, its exit codes, and that it never shows a traceback."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelhub import __version__
from modelhub.cli.app import COMMANDS
from tests import build
from tests.conftest import Modelhub

MODELHUB = [sys.executable, "-m", "modelhub"]


def ran(*words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MODELHUB, *map(str, words)], capture_output=True, text=True, check=False, **options)


@pytest.fixture
def scanned(modelhub: Modelhub, downloads: Path, tmp_path: Path) -> Modelhub:
    """A hub with three models and an enabled ComfyUI."""
    assert modelhub("scan", downloads).code == 0
    assert modelhub("targets", "enable", "comfyui", "--path", tmp_path / "comfy").code == 0
    return modelhub


def test_version_and_help() -> None:
    assert ran("--version").stdout == f"modelhub {__version__}\n"
    shown = ran("--help").stdout
    assert all(f"  {name} " in shown for name in COMMANDS)


def test_no_words_shows_the_help() -> None:
    assert "Usage: modelhub" in ran().stdout + ran().stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_names_the_common_options(command: str) -> None:
    shown = ran(command, "--help")
    assert shown.returncode == 0
    assert all(option in shown.stdout for option in ("--hub", "--config", "--json", "--quiet"))


def test_common_options_stand_before_or_after_the_command(tmp_path: Path, downloads: Path, modelhub: Modelhub) -> None:
    assert modelhub("--hub", tmp_path / "a", "--quiet", "scan", downloads, "--adopt", "reference", hub=None).code == 0
    assert modelhub("scan", downloads, "--adopt", "reference", "--quiet", "--hub", tmp_path / "b", hub=None).code == 0
    first = modelhub("--json", "list", "--hub", tmp_path / "a", hub=None)
    second = modelhub("list", "--json", "--hub", tmp_path / "b", hub=None)
    assert [model["sha256"] for model in first.json["models"]] == [model["sha256"] for model in second.json["models"]]
    assert modelhub("targets", "--json", "list", "--hub", tmp_path / "b", hub=None).json["targets"]


def test_scan_says_one_json_line_for_each_file_and_the_result_last(modelhub: Modelhub, downloads: Path) -> None:
    (downloads / "notes.txt").write_text("x")
    said = modelhub("scan", downloads, "--json")
    files = said.files()
    assert said.code == 0
    assert files["detail.safetensors"]["outcome"] == "added"
    assert len(files["detail.safetensors"]["sha256"]) == 64
    assert (files["detail.safetensors"]["type"], files["detail.safetensors"]["sub_type"]) == ("lora", "sd15")
    assert 0.9 < files["detail.safetensors"]["confidence"] <= 1
    assert (files["notes.txt"]["outcome"], files["notes.txt"]["code"]) == ("skipped", "extension")
    assert said.result["outcomes"] == {"added": 3, "skipped": 1}


def test_a_scan_with_problems_exits_with_3(modelhub: Modelhub, tmp_path: Path) -> None:
    path = build.safetensors(tmp_path / "in/cut.safetensors", build.SD15_LORA)
    os.truncate(path, path.stat().st_size - 1)
    (tmp_path / "in/pointer.gguf").write_text("version https://git-lfs.github.com/spec/v1\nsize 1\n")
    said = modelhub("scan", tmp_path / "in")
    assert said.code == 3
    assert "broken" in said.err
    assert "lfs_pointer" in said.out


def test_pointers_and_pipes_alone_are_no_problem(modelhub: Modelhub, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/pointer.gguf").write_text("version https://git-lfs.github.com/spec/v1\nsize 1\n")
    os.mkfifo(tmp_path / "in/pipe")
    assert modelhub("scan", tmp_path / "in").code == 0


def test_a_dry_run_leaves_no_hub_behind(modelhub: Modelhub, downloads: Path, tmp_path: Path) -> None:
    said = modelhub("scan", downloads, "--dry-run", "--json")
    assert said.result["dry_run"] is True
    assert said.result["outcomes"] == {"added": 3}
    assert not (tmp_path / "hub").exists()
    assert modelhub("targets", "add", "x", tmp_path / "x", "--dry-run").code == 0
    assert not (tmp_path / "hub").exists()


def test_names_that_are_not_utf8_carry_their_bytes(modelhub: Modelhub, tmp_path: Path) -> None:
    import base64

    name = b"\xff\x1b[31m\n.safetensors"
    build.safetensors(tmp_path / "in" / os.fsdecode(name), build.SD15_LORA)
    (line,) = (line for line in modelhub("scan", tmp_path / "in", "--json").lines if line["kind"] == "file")
    assert os.path.basename(base64.b64decode(line["path_b64"])) == name
    shown = modelhub("list")
    assert "\x1b" not in shown.out
    assert "\\xff\\x1b[31m\\n.safetensors" in shown.out
    json.loads(modelhub("show", "1", "--json").out)


def test_list_filters_sorts_and_limits(scanned: Modelhub) -> None:
    def names(*words: str) -> list[str]:
        return [model["filename"] for model in scanned("list", *words, "--json").json["models"]]

    assert names("--type", "vae") == ["ae.safetensors"]
    assert names("--sort", "size", "--limit", "1") == ["ae.safetensors"]
    assert names("EASY") == ["EasyNegative.safetensors"]
    assert names("--max-size", "20kB") == ["EasyNegative.safetensors"]
    assert names("--base", "sd15", "--sort", "name") == ["detail.safetensors", "EasyNegative.safetensors"]
    assert scanned("list", "--quiet", "--type", "vae").out.strip().isdigit()
    assert scanned("list", "--max-size", "big").code == 2


def test_show_tells_everything(scanned: Modelhub) -> None:
    scanned("deploy", "--quiet")
    shown = scanned("show", "detail", "--json").json
    assert (shown["type"], shown["base"], shown["state"]) == ("lora", "sd15", "ok")
    assert shown["files"][0]["blake3"]
    assert shown["locations"][0]["path"].endswith("detail.safetensors")
    assert shown["deployed"][0].endswith("comfy/loras/detail.safetensors")
    assert shown["evidence"][0]["because"]
    assert "blake3" in scanned("show", "detail").out


def test_explain_works_on_models_and_files(scanned: Modelhub, tmp_path: Path) -> None:
    assert "low-rank pairs" in scanned("explain", "detail").out
    path = build.safetensors(tmp_path / "other.safetensors", build.SDXL_LORA)
    assert "sdxl" in scanned("explain", path).out
    assert scanned("explain", path, "--json").json["evidence"]
    assert scanned("explain", "nowhere").code == 1


def test_classify_needs_no_hub(modelhub: Modelhub, downloads: Path, tmp_path: Path) -> None:
    (downloads / "readme.txt").write_text("x")
    lines = modelhub("classify", downloads, "--json").lines
    assert {Path(line["path"]).name: line["type"] for line in lines} == {
        "EasyNegative.safetensors": "embedding",
        "detail.safetensors": "lora",
        "ae.safetensors": "vae",
    }
    promised = "path type base sub_type confidence format precision quantization architecture candidates evidence"
    assert set(promised.split()) <= set(lines[0])
    assert not (tmp_path / "hub").exists()
    assert "lora" in modelhub("classify", downloads / "detail.safetensors").out


def test_set_sticks(scanned: Modelhub) -> None:
    assert scanned("set", "detail", "--type", "embedding", "--tag", "mine", "--note", "hello").code == 0
    assert scanned("reclassify", "--all").code == 0
    shown = scanned("show", "detail", "--json").json
    assert (shown["type"], shown["tags"], shown["notes"], shown["corrections"]) == (
        "embedding",
        ["mine"],
        "hello",
        {"type": "embedding"},
    )
    assert scanned("set", "detail", "--type", "", "--untag", "mine").code == 0
    shown = scanned("show", "detail", "--json").json
    assert (shown["type"], shown["tags"]) == ("lora", [])
    assert scanned("set", "detail", "--type", "nonsense").code == 2
    assert scanned("set", "detail").code == 2


def test_reclassify_counts(scanned: Modelhub) -> None:
    assert scanned("reclassify", "--json").result["models"] == 0
    assert scanned("reclassify", "--all", "--dry-run", "--json").result == {
        "kind": "result",
        "models": 3,
        "changed": 0,
        "unreachable": 0,
    }
    assert scanned("reclassify", "detail", "--all").code == 2


def test_types_and_stats(scanned: Modelhub, modelhub: Modelhub, tmp_path: Path) -> None:
    assert {"name": "lora", "display_name": "LoRA"} in modelhub("types", "--json", hub=tmp_path / "none").json["types"]
    stats = scanned("stats", "--json").json
    assert (stats["models"], {one["type"]: one["models"] for one in stats["types"]}) == (
        3,
        {"lora": 1, "vae": 1, "embedding": 1},
    )
    assert "33%" in scanned("stats").out


def test_deploy_undeploy_and_status(scanned: Modelhub, tmp_path: Path) -> None:
    plan = scanned("deploy", "--dry-run", "--json")
    assert [line["kind"] for line in plan.lines] == ["make_link"] * 3 + ["result"]
    assert not (tmp_path / "comfy").exists()
    assert scanned("deploy", "--json").result["made"] == 3
    assert scanned("deploy", "comfyui", "--json").result["linked"] == 3
    status = scanned("status", "--json").json["targets"][0]
    assert (status["name"], status["deployed"], status["available"], status["broken"]) == ("comfyui", 3, 3, 0)
    assert "comfyui" in scanned("status").out
    assert scanned("undeploy", "--model", "detail", "--json").result["removed"] == 1
    assert scanned("undeploy", "--all", "--dry-run", "--json").result["removed"] == 2
    assert scanned("undeploy").code == 2
    assert scanned("undeploy", "--target", "comfyui").code == 0
    assert not list((tmp_path / "comfy").rglob("*.safetensors"))


def test_a_conflict_exits_with_3_and_leaves_the_file(scanned: Modelhub, tmp_path: Path) -> None:
    mine = tmp_path / "comfy/loras/detail.safetensors"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    said = scanned("deploy")
    assert said.code == 3
    assert "is taken by a file; left as it is" in said.err
    assert mine.read_text() == "mine"


def test_deploying_to_nothing_says_what_to_do(modelhub: Modelhub, downloads: Path) -> None:
    modelhub("scan", downloads)
    said = modelhub("deploy")
    assert said.code == 2
    assert "targets enable" in said.err
    assert "targets enable forge" in modelhub("deploy", "forge").err


def test_targets_are_added_edited_mapped_and_removed(modelhub: Modelhub, tmp_path: Path) -> None:
    assert modelhub("targets", "add", "mine", tmp_path / "mine", "--app", "comfyui", "--json").json["enabled"] is True
    assert modelhub("targets", "add", "mine", tmp_path / "mine").code == 1
    assert modelhub("targets", "add", "no", tmp_path / "x", "--app", "nonsense").code == 1
    assert modelhub("targets", "map", "mine", "lora", "my loras", "--json").json["folders"]["lora"] == "my loras"
    assert modelhub("targets", "map", "mine", "lora", "/absolute").code == 2
    assert modelhub("targets", "map", "mine", "lora").code == 2
    assert "lora" not in modelhub("targets", "map", "mine", "lora", "--remove", "--json").json["folders"]
    assert "checkpoints" in modelhub("targets", "map", "mine").out
    assert modelhub("targets", "edit", "mine", "--path", tmp_path / "other", "--display-name", "Mine").code == 0
    assert modelhub("targets", "disable", "mine", "--json").json["enabled"] is False
    assert modelhub("targets", "enable", "mine", "--json").json["base_path"] == str(tmp_path / "other")
    assert modelhub("targets", "remove", "mine").code == 0
    assert "mine" not in [target["name"] for target in modelhub("targets", "list", "--json").json["targets"]]
    assert "comfyui" in modelhub("targets").out


def test_verify_and_doctor_name_blobs_by_their_hash(scanned: Modelhub, tmp_path: Path) -> None:
    assert scanned("verify").code == 0
    assert scanned("doctor").code == 0
    blob = next((tmp_path / "hub/models").glob("*/detail.safetensors"))
    blob.chmod(0o644)
    with blob.open("r+b") as stream:
        stream.seek(2000)
        stream.write(b"!")
    said = scanned("verify", "--json")
    assert said.code == 3
    assert [line["sha256"] for line in said.lines if line["kind"] == "problem"] == [blob.parent.name]
    assert not blob.exists(), "it was set aside"
    assert scanned("verify", "--quick").code == 3
    said = scanned("doctor", "--json")
    assert said.code == 3
    assert blob.parent.name in [check["sha256"] for check in said.json["checks"]]


def test_db_status_upgrade_and_backup(scanned: Modelhub, tmp_path: Path) -> None:
    states = scanned("db", "status", "--json").json["databases"]
    assert [(one["tree"], one["condition"]) for one in states] == [
        ("modelhub", "current"),
        ("classification", "current"),
    ]
    assert "current" in scanned("db", "upgrade").out
    saved = scanned("db", "backup", "--json").json["backups"]
    assert len(saved) == 2
    assert all(Path(path).stat().st_size for path in saved)
    assert scanned("db", "upgrade", hub=tmp_path / "mistyped").code == 1
    assert not (tmp_path / "mistyped").exists()


def test_paths_config_and_completion(modelhub: Modelhub, tmp_path: Path) -> None:
    assert modelhub("paths", "--json").json["hub"] == str(tmp_path / "hub")
    shown = modelhub("config", "show", "--json").json
    assert shown["scan.adopt"] == {"value": "symlink", "source": "default"}
    assert modelhub("config", "path").out.strip().endswith("config.yaml")
    for shell in ("bash", "zsh", "fish"):
        assert "_MODELHUB_COMPLETE" in modelhub("completion", shell).out


@pytest.mark.parametrize("command", ["list", "stats", "status", "verify", "doctor", "deploy", "reclassify", "show x"])
def test_without_a_hub_a_command_says_so_in_one_sentence(modelhub: Modelhub, tmp_path: Path, command: str) -> None:
    said = modelhub(*command.split())
    assert said.code == 1
    assert said.out == ""
    assert said.err.startswith(f"Error: There is no hub in {tmp_path / 'hub'}.")
    assert not (tmp_path / "hub").exists()


def test_errors_leave_stdout_empty_also_in_json(modelhub: Modelhub, tmp_path: Path) -> None:
    said = modelhub("scan", tmp_path / "nowhere", "--json")
    assert (said.code, said.out) == (1, "")
    assert "does not exist" in said.err
    said = modelhub("lsit", hub=None)
    assert said.code == 2
    assert "Did you mean 'list'?" in said.err


def test_a_bug_is_one_line_and_a_traceback_on_request(
    modelhub: Modelhub, scanned: Modelhub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelhub.services.library.Models.statistics", lambda _: 1 / 0)
    said = modelhub("stats")
    assert said.code == 1
    assert "This is a bug in ModelHub: ZeroDivisionError" in said.err
    monkeypatch.setenv("MODELHUB_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        modelhub("stats")


def test_no_colour_where_there_is_no_terminal(scanned: Modelhub) -> None:
    assert "\x1b" not in scanned("list").out
    assert "\x1b" not in scanned("deploy").out


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ there")
def _heed_interrupts() -> None:
    """A test run in the background of a shell is told to ignore them, and so would be what it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_an_interrupted_scan_exits_with_130_and_leaves_everything_in_place(tmp_path: Path) -> None:
    for number in range(6):
        build.safetensors(tmp_path / f"in/{number}.safetensors", {"a": (512, 1024, 1024)}, mark=str(number))
    process = subprocess.Popen(
        [*MODELHUB, "--hub", str(tmp_path / "hub"), "scan", str(tmp_path / "in"), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heed_interrupts,  # noqa: PLW1509  (no thread of ours runs here)
    )
    while not list(tmp_path.glob("hub/partial/*/")):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.strip()) == (130, "Interrupted.")
    assert not list((tmp_path / "hub/partial").iterdir())
    assert all(path.stat().st_size == 1 << 30 or path.exists() for path in (tmp_path / "in").iterdir())


def test_a_reader_that_goes_away_is_no_error(scanned: Modelhub, tmp_path: Path) -> None:
    command = f"{sys.executable} -m modelhub --hub '{tmp_path}/hub' list | head -n 1"
    said = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert said.stdout.startswith("id")
    assert "Traceback" not in said.stderr
