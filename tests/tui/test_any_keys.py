"""Random keys on a hostile library: whatever is pressed, the program lives, and no file of the user's is lost."""

import random
from pathlib import Path

import pytest
from textual.pilot import Pilot

from modelhub.services.hub import Hub
from modelhub.tui.actions import ACTIONS
from modelhub.tui.app import ModelHubApp
from tests import build
from tests.conftest import scan
from tests.tui.story import told
from tests.tui.test_frame import HOSTILE

STEPS = 250
KEYS = sorted(
    {key for action in ACTIONS for key in action.keys.split(",")} - {"ctrl+q", "S"}
    | {"y", "n", "tab", "shift+tab", "backspace", "delete", "a", ":", "<", "[", "]", '"', "ctrl+c", "ctrl+a", "f1"}
)
LEAVING = ("q",)
"""Pressed only where it does not end the story."""


@pytest.mark.parametrize("seed", range(4))
def test_any_keys_may_be_pressed(hub: Hub, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")  # exports go where one is
    for number, name in enumerate(HOSTILE):
        said = {"[/]": "[/bold]\x1b[2J", "modelspec.trigger_phrase": "[@click=app.quit]x[/]"}
        build.safetensors(tmp_path / "in" / name, build.SD15_LORA, metadata=said, mark=str(number))
    (tmp_path / "in/broken.gguf").write_bytes(b"GGUF\x03\0\0\0")
    scan(hub, tmp_path / "in", adopt="copy")
    hub.targets.change("comfyui", enabled=True, path=str(tmp_path / "comfy"))
    before = {path: path.read_bytes() for path in (tmp_path / "in").iterdir() if path.is_file()}
    chance = random.Random(seed)
    pressed: list[str] = []

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        for _ in range(STEPS):
            key = chance.choice(KEYS)
            if key in LEAVING and app.screen is app.library:
                continue
            pressed.append(key)
            await pilot.press(key)
            if chance.random() < 0.05:
                await pilot.resize_terminal(chance.randint(20, 200), chance.randint(5, 60))
            assert app.is_running, pressed[-10:]

    told(hub, story, size=(100, 30))
    for path, content in before.items():
        assert path.read_bytes() == content
