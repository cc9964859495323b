"""What every screen shares: keys, help, palette, themes, sizes, names that are shown and never obeyed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from modelhub.core.errors import ConfigInvalid
from modelhub.core.query import FIELDS, STATES
from modelhub.services.hub import Hub
from modelhub.tui.actions import ACTIONS, Action, helped, keymap
from modelhub.tui.app import ModelHubApp
from modelhub.tui.frame import HubScreen
from modelhub.tui.help import HelpScreen
from modelhub.tui.library import LibraryScreen
from modelhub.tui.scanning import ScanScreen
from modelhub.tui.targets import TargetsScreen
from modelhub.tui.trash import TrashScreen
from tests import build
from tests.conftest import Modelhub, scan
from tests.tui.story import goes_to, seen, text_of, told, until, write

README = (Path(__file__).parents[2] / "README.md").read_text()
SCREENS = ("library", "dashboard", "deploy", "targets", "duplicates", "trash", "rules", "jobs")


def test_every_screen_is_a_number_away_and_its_name_is_above(hub: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        for number, name in enumerate(SCREENS, 1):
            await pilot.press(str(number))
            await pilot.pause(0.1)
            assert isinstance(app.screen, HubScreen)
            assert name == app.screen.NAME
            assert f"{number} {name.capitalize()}" in seen(app)
        await pilot.press("1")
        assert isinstance(app.screen, LibraryScreen)

    told(hub, story)


def test_a_click_on_a_name_goes_there(hub: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.click("Tabs", offset=(33, 0))
        await until(pilot, lambda: isinstance(app.screen, TargetsScreen))

    told(hub, story)


def test_help_shows_every_key_and_the_language_of_filters(hub: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("h")
        assert isinstance(app.screen, HelpScreen)
        app.screen.query_one("#dialog").styles.max_height = 200  # all of it, without scrolling
        await pilot.pause()
        for action in ACTIONS:
            assert action.help in seen(app)
        for word in (*FIELDS.values(), *STATES.values()):
            assert word in seen(app)
        await pilot.press("h")
        assert isinstance(app.screen, LibraryScreen)

    told(hub, story, size=(200, 180))


def test_help_begins_with_the_screen_one_is_on() -> None:
    assert helped(first="trash")[0][1].scope == "trash"
    assert len(helped()) == len(ACTIONS)


def test_the_palette_finds_any_action_by_its_name(hub: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("ctrl+p", *"configure")
        await until(pilot, lambda: "Configure the targets" in seen(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, TargetsScreen))

    told(hub, story)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.id)
def test_every_key_is_in_the_readme(action: Action) -> None:
    assert f"| `{action.id}` | {action.pressed} | {action.help} |" in README


@pytest.mark.parametrize("action", [one for one in ACTIONS if not one.fixed], ids=lambda action: action.id)
def test_every_action_is_there(hub: Hub, action: Action) -> None:
    """What the table names is a method of the screen, or of the app."""
    from modelhub.tui.app import _SCREENS
    from modelhub.tui.details import DetailsScreen
    from modelhub.tui.dialogs import Ask, Choose, Edit, Form, Show

    places: dict[str, Sequence[type]] = {
        "everywhere": (ModelHubApp,), "details": (DetailsScreen,), "scan": (ScanScreen,), "help": (HelpScreen,),
        "dialogs": (Ask, Choose, Form, Show, Edit), "editor": (Edit, Form),
    }  # fmt: skip
    name = (action.does or action.name).split("(")[0]
    owners = (ModelHubApp,) if name.startswith("app.") else places.get(action.scope) or (_SCREENS[action.scope],)
    for owner in owners:
        assert callable(getattr(owner, f"action_{name.removeprefix('app.')}", None)), (owner, name)


def test_the_palette_shows_the_screen_of_what_is_done_elsewhere(hub: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("ctrl+p", *"purge")
        await until(pilot, lambda: "for good" in seen(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, TrashScreen))

    told(hub, story)


# Keys of one's own


def test_keys_can_be_changed_and_the_footer_shows_the_new_ones(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ("library.scan=ctrl+s", "library.quit=Q")
    monkeypatch.setattr(hub, "settings", replace(hub.settings, keys=keys))

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        assert "^s Scan" in seen(app)
        await pilot.press("S", "q")
        assert isinstance(app.screen, LibraryScreen)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, ScanScreen))
        await pilot.press("escape", "h")
        await until(pilot, lambda: "Ctrl+S" in seen(app))

    told(hub, story)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("library.scna=x", "no action 'library.scna'"),
        ("library.scan=", "needs a key"),
        ("library.scan=X", "X would be both library.delete and library.scan|X would be both library.scan"),
        ("library.scan=T", "T would be both"),
        ("tables.move=j", "no action 'tables.move'"),
        ("library.scan=,", "needs a key"),
        ("library.scan=ctrl+", "needs a key"),
        ("library.quit=up", "would be both"),
        ("deploy.apply=1", "would be both"),
    ],
)
def test_keys_that_cannot_be_are_refused_in_a_sentence(modelhub: Modelhub, change: str, message: str) -> None:
    with pytest.raises(ConfigInvalid, match=message):
        keymap([change])


def test_two_actions_may_change_places() -> None:
    assert keymap(["library.scan=X", "library.delete=S"]) == {"library.scan": "X", "library.delete": "S"}


# Themes


def test_t_switches_the_theme_and_the_choice_is_kept(hub: Hub) -> None:
    themes: list[str] = []

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        themes.append(app.theme)
        await pilot.press("T")
        await pilot.pause()
        themes.append(app.theme)

    told(hub, story)

    async def again(app: ModelHubApp, _: Pilot[str]) -> None:
        themes.append(app.theme)

    told(hub, again)
    assert themes == ["textual-dark", "textual-light", "textual-light"]


def test_the_cursor_can_be_told_without_colours(hub: Hub, downloads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan(hub, downloads)
    monkeypatch.setenv("NO_COLOR", "1")

    async def story(app: ModelHubApp, _: Pilot[str]) -> None:
        strips = app.screen._compositor.render_strips(app.screen.size)
        styles = [segment.style for strip in strips for segment in strip if "ae.safetensors" in segment.text]
        assert styles[0] is not None
        assert styles[0].bold

    told(hub, story)


# Names and sizes

HOSTILE = (
    "[bold]a.safetensors",
    "[/]b.safetensors",
    "[@click=app.quit]q.safetensors",
    "esc\x1b[2Jape.safetensors",
    "\u202egnp.safetensors",
    "line\nbreak.safetensors",
    "模型" * 20 + ".safetensors",
    "e\u0301\u0302\u0303 combining.safetensors",
    "n" * 240 + ".safetensors",
)


def test_names_are_shown_and_never_obeyed(hub: Hub, tmp_path: Path) -> None:
    for number, name in enumerate(HOSTILE):
        said = {
            "modelspec.title": "[/bold]\x1b]0;x\x07",
            "[red]": "[/]",
            "modelspec.trigger_phrase": "[@click=app.bell]",
        }
        build.safetensors(tmp_path / "in" / name, build.SD15_LORA, metadata=said, mark=str(number))
    scan(hub, tmp_path / "in")
    hub.models.correct("1", fields={}, add_tags=["[/bold]"], notes="[/]\x1b[2J\u202e")

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.pause()
        assert "[bold]a.safetensors" in seen(app)
        for _ in HOSTILE:
            assert not {"\x1b", "\u202e", "\x07"} & set(seen(app))
            await pilot.press("enter")
            await pilot.pause()
            assert not {"\x1b", "\u202e", "\x07"} & set(seen(app))
            for key in ("v", "e", "escape", "r", "escape", "d", "escape", "v"):
                await pilot.press(key)
                await pilot.pause()
                assert not {"\x1b", "\u202e", "\x07"} & set(seen(app))
            await pilot.press("escape", "down")
        for number in range(1, 9):
            await pilot.press(str(number))
            await pilot.pause(0.1)
            assert not {"\x1b", "\u202e", "\x07"} & set(seen(app))
        await pilot.press("1", "X")
        await until(pilot, lambda: not app.running)
        assert app.is_running

    told(hub, story, size=(140, 40))


@pytest.mark.parametrize("size", [(80, 24), (200, 50), (300, 80), (30, 8), (8, 3)])
def test_every_size_of_terminal_works(hub: Hub, downloads: Path, size: tuple[int, int]) -> None:
    scan(hub, downloads)

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        assert all(len(row) <= size[0] for row in seen(app).splitlines())
        await pilot.press("end", "pageup", "home", "s", "p", "p", "enter", "v", "escape", "S", "escape")
        for number in range(1, 9):
            await pilot.press(str(number))
            await pilot.pause(0.1)
        await pilot.press("1")
        assert isinstance(app.screen, LibraryScreen)

    told(hub, story, size=size)


def test_the_screen_follows_a_terminal_that_is_resized(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.resize_terminal(160, 40)
        await until(pilot, lambda: "Why" in seen(app))
        await pilot.resize_terminal(60, 15)
        await until(pilot, lambda: "Why" not in seen(app))
        assert "3 of 3 models" in text_of(app, "#count")
        await goes_to(app, pilot, "D", HubScreen)
        await pilot.resize_terminal(160, 40)
        await pilot.pause(0.1)

    told(hub, story, size=(100, 30))


def test_letters_that_are_typed_into_a_filter_are_no_hotkeys(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("F", *"qXUZ18hT")
        assert app.screen.query_one("#query", Input).value == "qXUZ18hT"
        assert isinstance(app.screen, LibraryScreen)
        await write(pilot, "#query", "")

    told(hub, story)
