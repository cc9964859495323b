"""The rules of the house, proved at run time: imports, the wheel, the documentation."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from modelhub.cli import app
from modelhub.core import errors
from modelhub.core.places import bundled
from tests import build
from tests.conftest import Modelhub

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = sorted((ROOT / "modelhub").rglob("*.py"))


def imported_by(*words: str) -> set[str]:
    script = (
        f"import sys\nfrom modelhub.cli import run\nrun({list(words)!r})\nsys.stderr.write('\\n'.join(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {line.split(".")[0] for line in said.stderr.splitlines()}


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_help_and_version_import_no_third_party_beyond_the_cli_library(words: list[str]) -> None:
    heavy = {"alembic", "blake3", "msgspec", "platformdirs", "rich", "sqlalchemy", "yaml"}
    assert not imported_by(*words) & heavy


def test_list_imports_neither_alembic_nor_a_terminal_toolkit(
    modelhub: Modelhub, downloads: Path, tmp_path: Path
) -> None:
    modelhub("scan", downloads)
    found = imported_by("--hub", str(tmp_path / "hub"), "list")
    assert "sqlalchemy" in found
    assert not found & {"alembic", "textual", "huggingface_hub"}


def test_import_contracts_hold() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    assert not [path for path in CODE if path.stem in ("utils", "helpers", "common", "manager", "misc")]


def test_no_unfinished_work_is_left() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
    found = [
        f"{path}:{number}"
        for path in CODE
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if marks.search(line)
    ]
    assert not found


def test_broad_excepts_are_only_where_the_design_allows_them() -> None:
    found = [path.name for path in CODE if re.search(r"except (Exception|BaseException)\b", path.read_text())]
    assert sorted(found) == [
        "__init__.py", "backups.py", "blobs.py", "bundles.py", "links.py", "plugins.py", "scan.py", "signatures.py",
    ]  # fmt: skip


def test_modules_stay_readable() -> None:
    assert not {path.name: count for path in CODE if (count := path.read_text().count("\n")) > 420}


@pytest.mark.parametrize("command", app.COMMANDS)
def test_every_command_is_in_the_readme(command: str) -> None:
    assert f"`modelhub {command}" in README


def test_every_sub_command_and_option_is_in_the_readme() -> None:
    import importlib

    import click

    def options(command: click.Command) -> set[str]:
        own = {
            name
            for parameter in command.params
            for name in (*parameter.opts, *parameter.secondary_opts)
            if name.startswith("--")
        }
        return (
            own.union(*(options(sub) for sub in command.commands.values())) if isinstance(command, click.Group) else own
        )

    for name, (place, _) in app.COMMANDS.items():
        module, attribute = place.split(":")
        command = getattr(importlib.import_module(module), attribute)
        if isinstance(command, click.Group):
            assert all(f"`modelhub {name} {sub}" in README for sub in command.commands)
        assert not [option for option in options(command) if f"`{option}" not in README], name


def test_every_setting_is_in_the_readme_with_its_variable() -> None:
    for section, keys in yaml.safe_load(bundled("config.yaml").read_text()).items():
        for key in keys:
            assert f"`{section}.{key}`" in README
            if (section, key) != ("model_hub", "path"):
                assert f"`MODELHUB_{section.upper()}_{key.upper()}`" in README


def test_every_exit_code_is_in_the_readme() -> None:
    used = {
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.ModelHubError)
    }
    for code in used | {0, 3, 130}:
        assert re.search(rf"^\| `{code}` \|", README, re.MULTILINE)


def test_the_two_commands_of_the_readme_are_targets_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in ("run", "test", "check", "bench", "test-deep"):
        assert f"make {target}" in README
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_every_dependency_has_its_reason_beside_it() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)
    for requirement in (*project["project"]["dependencies"], *project["dependency-groups"]["dev"]):
        assert re.search(rf'"{re.escape(requirement)}",\s+# \w', text), requirement


def test_the_wheel_holds_everything_and_works_outside_the_checkout(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("modelhub_tui-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (
        *ROOT.glob("migrations/**/*.py"),
        *ROOT.glob("migrations/**/*.json"),
        *ROOT.glob("classification_seed/*.yaml"),
    ):
        assert f"modelhub/_bundled/{path.relative_to(ROOT).as_posix()}" in names
    assert {"modelhub/_bundled/config.yaml", "modelhub/apps/apps.yaml", "modelhub/py.typed"} <= names
    assert not [name for name in names if name.startswith(("tests", "benchmarks"))]
    place = tmp_path / "a place with 50% and a space"
    zipfile.ZipFile(wheel).extractall(place)
    model = build.safetensors(tmp_path / "models/x.safetensors", build.SD15_LORA)
    script = (
        f"import sys; sys.path.insert(0, {str(place)!r}); from modelhub.cli import run; sys.exit(run(sys.argv[1:]))"
    )
    said = subprocess.run(
        [sys.executable, "-P", "-c", script, "--hub", place / "hub", "scan", model.parent, "--json"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert '"type": "lora"' in said.stdout


def test_a_new_migration_is_started_by_a_command(tmp_path: Path) -> None:
    import shutil

    shutil.copytree(ROOT / "migrations", tmp_path / "migrations")
    said = subprocess.run(
        [sys.executable, "-m", "migrations", "modelhub", "volumes of files"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    made = Path(said.stdout.strip())
    assert re.fullmatch(r"\d{4}_volumes_of_files\.py", made.name)
    assert 'down_revision = "0007"' in made.read_text()
    assert (
        subprocess.run([sys.executable, "-m", "migrations"], cwd=tmp_path, capture_output=True, check=False).returncode
        == 2
    )


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)\)", README)
    assert len([one for one in linked if one.startswith("tests/")]) >= 15
    assert [one for one in linked if not (ROOT / one).is_file()] == []
