"""The details of a model, as their manual has it: one story for each key."""

import os
from pathlib import Path

import pyperclip
import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea, Tree

from modelhub.core.types import ModelFilter
from modelhub.services.hub import Hub
from modelhub.tui import describe
from modelhub.tui.app import ModelHubApp
from modelhub.tui.details import DetailsScreen
from modelhub.tui.library import LibraryScreen
from tests import build
from tests.conftest import scan
from tests.tui.story import Story, goes_to, notices, say_yes, seen, text_of, told, until, write


@pytest.fixture
def library(hub: Hub, tmp_path: Path) -> Hub:
    """One LoRA with trigger words."""
    metadata = {"modelspec.trigger_phrase": "ink wash", "ss_network_dim": "8", "x": '{"deep": {"er": [1, 2]}}'}
    build.safetensors(tmp_path / "in/ink it's.safetensors", build.SDXL_LORA, metadata=metadata)
    scan(hub, tmp_path / "in")
    return hub


@pytest.fixture
def clipboard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was put into the desktop's clipboard."""
    taken: list[str] = []
    for name in ("SSH_CONNECTION", "SSH_TTY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pyperclip, "copy", taken.append)
    return taken


def on_details(hub: Hub, story: Story, size: tuple[int, int] = (100, 30)) -> None:
    async def first(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await goes_to(app, pilot, "enter", DetailsScreen)
        await story(app, pilot)

    told(hub, first, size)


def test_everything_is_told(library: Hub) -> None:
    async def story(app: ModelHubApp, _: Pilot[str]) -> None:
        for heading in ("Why", "Files", "Hashes", "Found at"):
            assert heading in seen(app)
        assert library.models.resolve("1").sha256[:20] in seen(app).replace("\n", "")

    on_details(library, story, size=(100, 50))


def test_t_copies_the_trigger_words(library: Hub, clipboard: list[str]) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("t")
        await until(pilot, lambda: "Copied" in notices(app))

    on_details(library, story)
    assert clipboard == ["ink wash"]


def test_l_copies_a_command_that_a_shell_understands(library: Hub, clipboard: list[str], tmp_path: Path) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("l")
        await until(pilot, lambda: "Copied" in notices(app))

    on_details(library, story)
    os.makedirs(tmp_path / "here")
    import subprocess

    subprocess.run(["sh", "-c", clipboard[0]], cwd=tmp_path / "here", check=True)
    assert (tmp_path / "here/ink it's.safetensors").resolve().is_file()


def test_m_copies_the_path(library: Hub, clipboard: list[str]) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("m")
        await until(pilot, lambda: "Copied" in notices(app))

    on_details(library, story)
    assert Path(clipboard[0]).is_file()


def test_where_there_is_no_clipboard_the_text_is_shown(library: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise pyperclip.PyperclipException

    monkeypatch.setattr(pyperclip, "copy", refuse)
    monkeypatch.setenv("TERM", "linux")

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("t")
        await until(pilot, lambda: bool(app.screen.query(TextArea)))
        assert app.screen.query_one(TextArea).text == "ink wash"

    on_details(library, story)


def test_a_terminal_that_takes_osc_52_needs_no_desktop(library: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise AssertionError("over ssh the desktop is another one")

    monkeypatch.setattr(pyperclip, "copy", refuse)
    monkeypatch.setenv("SSH_CONNECTION", "1")
    monkeypatch.setenv("TERM", "xterm-256color")

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("t")
        await until(pilot, lambda: "Copied: ink wash" in notices(app))
        assert app.clipboard == "ink wash"

    on_details(library, story)


def test_a_path_that_is_no_text_is_told_and_not_copied(hub: Hub, tmp_path: Path) -> None:
    folder = os.fsdecode(bytes(tmp_path) + b"/d_\xff")
    os.makedirs(folder)
    build.safetensors(Path(folder) / "a.safetensors", build.SDXL_LORA)
    scan(hub, Path(folder), adopt="reference")

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("m")
        await until(pilot, lambda: "cannot be copied" in notices(app))
        await pilot.press("l")
        assert app.is_running

    on_details(hub, story)


def test_a_type_that_is_no_rule_any_more_can_still_be_edited(library: Hub) -> None:
    library.rules.enable("model_types:lora", enabled=False)

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("e")
        await write(pilot, "#field-notes", "still here")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "still here" in seen(app))

    on_details(library, story)


def test_notes_of_several_lines_and_tags_with_commas_survive_an_edit(library: Hub) -> None:
    library.models.correct("1", fields={}, add_tags=["a,b"], notes="one\ntwo")

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("e")
        await write(pilot, "#field-notes", "one\\ntwo!")
        await write(pilot, "#field-tags", "a,b, c")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "two!" in seen(app))

    on_details(library, story)
    model = library.models.resolve("1")
    assert (model.notes, model.tags) == ("one\ntwo!", ("a,b", "c"))


def test_r_gives_another_name(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("r")
        await write(pilot, "#field-name", "Brush")
        await pilot.press("enter")
        await until(pilot, lambda: "Brush.safetensors" in seen(app))

    on_details(library, story)
    assert library.models.resolve("Brush").filename == "Brush.safetensors"


def test_e_corrects_type_base_tags_and_notes_by_hand(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("e")
        await write(pilot, "#field-base", "flux")
        await write(pilot, "#field-tags", "art, line")
        await write(pilot, "#field-notes", "mine")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "set by hand" in seen(app))

    on_details(library, story)
    model = library.models.resolve("1")
    assert (model.base, model.tags, model.notes, model.method) == ("flux", ("art", "line"), "mine", "manual")


def test_what_cannot_be_set_is_told_and_nothing_is_changed(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("r")
        await write(pilot, "#field-name", "a/b")
        await pilot.press("enter")
        await until(pilot, lambda: "is no name" in text_of(app, "#hint"))
        assert app.screen.query_one("#field-name", Input).value == "a/b"  # nothing typed is lost

    on_details(library, story)
    assert library.models.resolve("1").filename == "ink it's.safetensors"


def test_c_judges_it_again(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("c")
        await until(pilot, lambda: "still lora" in notices(app))

    on_details(library, story)


def test_v_shows_all_it_says_of_itself_as_a_tree(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        assert "ss_network_dim" not in seen(app)
        await pilot.press("v")
        await pilot.pause()
        assert isinstance(app.focused, Tree)
        assert "ss_network_dim" in seen(app)
        assert "er" in seen(app)
        await pilot.press("v")
        await pilot.pause()
        assert "Why" in seen(app)

    on_details(library, story)


def test_d_deletes_and_asks_first(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("d", "enter")  # the way out is the one that Enter takes
        await pilot.pause()
        assert library.models.count(ModelFilter()) == 1
        await pilot.press("d")
        await say_yes(app, pilot)
        await until(pilot, lambda: library.models.count(ModelFilter()) == 0)
        await until(pilot, lambda: isinstance(app.screen, LibraryScreen))

    on_details(library, story)


@pytest.mark.parametrize("key", ["escape", "q"])
def test_esc_and_q_go_back(library: Hub, key: str) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await goes_to(app, pilot, key, LibraryScreen)

    on_details(library, story)


def test_metadata_becomes_a_tree_whatever_its_keys_are() -> None:
    said = [
        ("gguf", "general.name", "x"), ("gguf", "general", "both"), ("gguf", "general.a.b", "1"),
        ("safetensors", "json", '{"a": [1, {"b": 2}]}'), ("safetensors", "no json", "{"), ("safetensors", "..", "dots"),
    ]  # fmt: skip
    assert describe.tree_of(said) == {
        "gguf": {"general": {"name": "x", "": "both", "a": {"b": "1"}}},
        "safetensors": {"json": {"a": [1, {"b": 2}]}, "no json": "{", "": {"": {"": "dots"}}},
    }
