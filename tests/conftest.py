"""Fixtures that every test may ask for: a hub of its own, the command line, sample files."""

import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelhub.cli import run
from modelhub.core import config
from modelhub.core.deployment import Plan
from modelhub.core.events import FileSeen, Problem, Result
from modelhub.core.types import Adopt
from modelhub.files import placements
from modelhub.services.hub import Hub, open_hub
from modelhub.services.tally import ScanSummary
from tests import build


@pytest.fixture(autouse=True)
def _a_home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the settings and folders of whoever runs it."""
    for name in list(os.environ):
        if name.startswith("MODELHUB_") or name in ("AI_MODELS_ROOT", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@dataclass
class Scanned:
    """What a scan said."""

    files: dict[str, FileSeen]
    problems: list[Problem]
    summary: ScanSummary

    def outcomes(self) -> dict[str, str]:
        return {name: seen.outcome for name, seen in self.files.items()}


def scan(hub: Hub, *roots: Path, adopt: Adopt | None = None, dry_run: bool = False) -> Scanned:
    """Scan and collect; files by their names below the first root."""
    files: dict[str, FileSeen] = {}
    problems: list[Problem] = []
    summary: list[ScanSummary] = []
    for event in hub.scan([str(root) for root in roots], adopt=adopt, dry_run=dry_run):
        if isinstance(event, FileSeen):
            files[os.path.relpath(event.path, roots[0])] = event
        elif isinstance(event, Problem):
            problems.append(event)
        elif isinstance(event, Result):
            summary.append(event.value)
    return Scanned(files, problems, summary[0])


def finish(task: Any) -> Any:
    """The value of a task; its problems do not matter here."""
    return [event for event in task if isinstance(event, Result)][-1].value


class Crash(BaseException):
    """The end of the program at a point of a test's choice."""


def crash_while_placing(hub: Hub, plan: Plan, number: int) -> None:
    """Carry a plan out until `number` files are in their places; the rest of the program never runs."""
    done = itertools.count()
    real = placements.place

    def place(*given: Any) -> None:
        if next(done) == number:
            raise Crash
        real(*given)

    with pytest.MonkeyPatch.context() as patch, suppress(Crash):
        patch.setattr(placements, "place", place)
        finish(hub.deployment.apply(plan))


@pytest.fixture
def new_hub(tmp_path: Path) -> Iterator[Callable[[], Hub]]:
    """Opens the hub at tmp_path/hub, again at each call."""
    opened: list[Hub] = []

    def make() -> Hub:
        opened.append(open_hub(config.load({}, hub=str(tmp_path / "hub"))))
        return opened[-1]

    yield make
    for hub in opened:
        hub.close()


@pytest.fixture
def hub(new_hub: Callable[[], Hub]) -> Hub:
    return new_hub()


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    """Three models in a folder: a LoRA, a VAE and an embedding."""
    folder = tmp_path / "downloads"
    build.safetensors(folder / "detail.safetensors", build.SD15_LORA)
    build.safetensors(folder / "sub/ae.safetensors", build.vae(16))
    build.safetensors(folder / "EasyNegative.safetensors", {"emb_params": (8, 768)})
    return folder


@dataclass
class Ran:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def result(self) -> dict[str, Any]:
        assert self.lines[-1]["kind"] == "result"
        return self.lines[-1]

    def files(self) -> dict[str, dict[str, Any]]:
        return {Path(line["path"]).name: line for line in self.lines if line["kind"] == "file"}


Modelhub = Callable[..., Ran]


@pytest.fixture
def modelhub(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Modelhub:
    """Runs a command on the hub at tmp_path/hub."""

    def command(*words: str | Path, hub: Path | None = tmp_path / "hub") -> Ran:
        arguments: Sequence[str] = [str(word) for word in words]
        code = run([*(["--hub", str(hub)] if hub else []), *arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return command
