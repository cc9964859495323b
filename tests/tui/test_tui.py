"""The terminal interface, driven by its keys."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from modelhub.core.types import ModelFilter
from modelhub.services.hub import Hub
from modelhub.tui.actions import ACTIONS
from modelhub.tui.app import ModelHubApp
from modelhub.tui.details import DetailsScreen
from modelhub.tui.help import HelpScreen
from modelhub.tui.library import LibraryScreen
from modelhub.tui.scanning import ScanScreen
from modelhub.tui.table import Column, LineTable, layout, line
from tests import build
from tests.conftest import finish, scan

Story = Callable[[ModelHubApp, Pilot[None]], Awaitable[None]]
README = (Path(__file__).parents[2] / "README.md").read_text()


def told(hub: Hub, story: Story, size: tuple[int, int] = (100, 30)) -> None:
    """Run a story on the interface of a hub."""

    async def run() -> None:
        app = ModelHubApp(hub)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await story(app, pilot)

    asyncio.run(run())


def seen(app: ModelHubApp) -> str:
    """What stands on the screen, line by line."""
    return "\n".join(
        "".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips(app.screen.size)
    )


def text_of(app: ModelHubApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).render())


async def until(pilot: Pilot[None], true: Callable[[], bool]) -> None:
    for _ in range(200):
        if true():
            return
        await pilot.pause(0.02)
    raise AssertionError


def test_an_empty_hub_says_what_to_do(hub: Hub) -> None:
    async def story(app: ModelHubApp, _pilot: Pilot[None]) -> None:
        assert "Press S to scan" in seen(app)

    told(hub, story)


def test_models_are_listed_and_filtered_while_one_types(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)

    async def story(app: ModelHubApp, pilot: Pilot[None]) -> None:
        assert "3 of 3 models" in text_of(app, "#count")
        await pilot.press("F", *"detail")
        await pilot.pause()
        assert "1 of 3 models" in text_of(app, "#count")
        assert "EasyNegative" not in seen(app)
        await pilot.press("tab", *"vae")
        await pilot.pause()
        assert "No model fits" in seen(app)
        await pilot.press("escape", "r")
        await pilot.pause()
        assert "3 of 3 models" in text_of(app, "#count")
        assert isinstance(app.focused, LineTable)

    told(hub, story)


def test_deleting_letters_brings_rows_back(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)

    async def story(app: ModelHubApp, pilot: Pilot[None]) -> None:
        await pilot.press("F", *"det", "backspace", "backspace", "backspace")
        await pilot.pause()
        assert "3 of 3 models" in text_of(app, "#count")

    told(hub, story)


def test_details_show_the_evidence(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)

    async def story(app: ModelHubApp, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        assert isinstance(app.screen, DetailsScreen)
        await pilot.pause()
        assert "Why" in seen(app)
        assert "tensors" in seen(app)
        await pilot.press("escape")
        assert isinstance(app.screen, LibraryScreen)

    told(hub, story)


def test_scanning_previews_first_and_then_fills_the_table(hub: Hub, downloads: Path) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[None]) -> None:
        await pilot.press("S")
        assert isinstance(app.screen, ScanScreen)
        app.screen.query_one("#path", Input).value = str(downloads)
        await pilot.press("enter")
        await until(pilot, lambda: "Would be: 3 files" in text_of(app, "#progress"))
        assert hub.models.count(ModelFilter()) == 0
        await pilot.press("enter")
        await until(pilot, lambda: "Done: 3 files: 3 added" in text_of(app, "#progress"))
        await pilot.press("escape")
        await until(pilot, lambda: "3 of 3 models" in text_of(app, "#count"))

    told(hub, story)


def test_a_scan_that_cannot_be_says_so_in_the_dialog(hub: Hub, tmp_path: Path) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[None]) -> None:
        await pilot.press("S", "enter")
        await until(pilot, lambda: "Name a folder" in text_of(app, "#progress"))
        app.screen.query_one("#path", Input).value = str(tmp_path / "nowhere")
        await pilot.press("enter")
        await until(pilot, lambda: "does not exist" in text_of(app, "#progress"))

    told(hub, story)


def test_a_running_scan_can_be_stopped_and_loses_nothing(hub: Hub, tmp_path: Path) -> None:
    for number in range(300):
        build.safetensors(tmp_path / f"in/{number}.safetensors", {"emb_params": (8, 768)}, mark=str(number))

    async def story(app: ModelHubApp, pilot: Pilot[None]) -> None:
        await pilot.press("S")
        app.screen.query_one("#path", Input).value = str(tmp_path / "in")
        await pilot.click("#scan")
        await until(pilot, lambda: bool(text_of(app, "#progress")))  # it runs
        await pilot.press("escape")
        await until(
            pilot,
            lambda: (
                isinstance(app.screen, LibraryScreen)  # it was quicker than the key
                or any(word in text_of(app, "#progress") for word in ("Stopped", "Done"))
            ),
        )

    told(hub, story)
    assert len([path for path in (tmp_path / "in").iterdir() if path.read_bytes()]) == 300


def test_help_shows_every_key(hub: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[None]) -> None:
        await pilot.press("h")
        assert isinstance(app.screen, HelpScreen)
        await pilot.pause()
        for action in ACTIONS:
            assert action.help in seen(app)
        await pilot.press("h")
        assert isinstance(app.screen, LibraryScreen)

    told(hub, story, size=(160, 50))


def test_the_theme_switches_and_q_leaves(hub: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[None]) -> None:
        before = app.theme
        await pilot.press("T")
        assert app.theme != before
        await pilot.press("q")
        await pilot.pause()
        assert not app.is_running

    told(hub, story)


def test_names_are_shown_and_never_obeyed(hub: Hub, tmp_path: Path) -> None:
    names = (
        "[bold]a.safetensors",
        "[@click=app.quit]q.safetensors",
        "esc\x1b[2Jape.safetensors",
        "\u202egnp.safetensors",
    )
    for name in names:
        build.safetensors(tmp_path / "in" / name, build.SD15_LORA, metadata={"modelspec.title": "[/bold]\x1b]0;x\x07"})
    scan(hub, tmp_path / "in")

    async def story(app: ModelHubApp, pilot: Pilot[None]) -> None:
        await pilot.pause()
        assert "[bold]a.safetensors" in seen(app)
        assert not {"\x1b", "\u202e", "\x07"} & set(seen(app))
        for _ in names:
            await pilot.press("enter")
            await pilot.pause()
            assert not {"\x1b", "\u202e", "\x07"} & set(seen(app))
            await pilot.press("escape", "down")
        assert app.is_running

    told(hub, story)


@pytest.mark.parametrize("size", [(80, 24), (200, 50), (30, 8)])
def test_every_size_of_terminal_works(hub: Hub, downloads: Path, size: tuple[int, int]) -> None:
    scan(hub, downloads)

    async def story(app: ModelHubApp, pilot: Pilot[None]) -> None:
        assert all(len(row) <= size[0] for row in seen(app).splitlines())
        await pilot.press("end", "pageup", "home", "s", "enter", "escape", "S", "escape")
        await pilot.pause()
        assert isinstance(app.screen, LibraryScreen)

    told(hub, story, size=size)


def test_links_are_on_at_each_start_and_shift_y_switches_them(hub: Hub, downloads: Path) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[None]) -> None:
        assert "links on" in text_of(app, "#count")
        await pilot.press("Y")
        assert "links off" in text_of(app, "#count")
        await pilot.press("S")
        app.screen.query_one("#path", Input).value = str(downloads)
        await pilot.click("#scan")
        await until(pilot, lambda: "3 added" in text_of(app, "#progress"))

    told(hub, story)
    assert not any(path.is_symlink() for path in downloads.rglob("*"))


def test_n_shows_only_models_without_civitai_data(hub: Hub, downloads: Path) -> None:
    (downloads / "detail.civitai.info").write_text("{}")
    scan(hub, downloads)

    async def story(app: ModelHubApp, pilot: Pilot[None]) -> None:
        await pilot.press("n")
        assert "2 of 3 models" in text_of(app, "#count")
        await pilot.press("n")
        assert "3 of 3 models" in text_of(app, "#count")

    told(hub, story)


def test_arrows_turn_pages_of_a_thousand(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)

    async def story(app: ModelHubApp, pilot: Pilot[None]) -> None:
        table = app.screen.query_one(LineTable)
        await pilot.press("right")
        assert table.cursor == 2
        await pilot.press("left")
        assert table.cursor == 0

    told(hub, story)


def test_the_cursor_follows_the_keys_and_stops_at_the_ends(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)

    async def story(app: ModelHubApp, pilot: Pilot[None]) -> None:
        table = app.screen.query_one(LineTable)
        await pilot.press("up")
        assert table.cursor == 0
        await pilot.press("pagedown")
        assert table.cursor == 2
        await pilot.press("down")
        assert table.cursor == 2

    told(hub, story)


def test_columns_give_way_on_narrow_terminals_and_wide_letters_keep_them_straight() -> None:
    columns = (Column("Name", 0), Column("Size", 6, right=True), Column("State", 8, least=60))
    assert [place for place, _, _ in layout(columns, 40)] == [0, 1]
    assert [place for place, _, _ in layout(columns, 80)] == [0, 1, 2]
    from rich.cells import cell_len

    places = layout(columns, 40)
    rows = [("模型" * 30, "1 kB", ""), ("plain", "12 kB", ""), ("é" * 60, "", "")]
    assert {cell_len(line(row, places)) for row in rows} == {cell_len(line(rows[0], places))}


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: f"{action.scope}-{action.name}")
def test_every_key_is_in_the_readme(action: object) -> None:
    from modelhub.tui.actions import Action

    assert isinstance(action, Action)
    assert f"| {action.pressed} | {action.help} |" in README


def test_a_model_is_deleted_and_undone_by_two_keys(hub: Hub, downloads: Path) -> None:
    scan(hub, downloads)

    async def story(app: ModelHubApp, pilot: Pilot[None]) -> None:
        await pilot.press("X")
        await until(pilot, lambda: len(hub.models.find(ModelFilter())) == 2)
        await until(pilot, lambda: "2 of 2 models" in seen(app))
        await pilot.press("U")
        await until(pilot, lambda: "3 of 3 models" in seen(app))
        assert len(hub.models.find(ModelFilter())) == 3
        await pilot.press("U")
        await until(pilot, lambda: any("nothing to undo" in one.message for one in app._notifications))

    told(hub, story)


def test_what_is_in_the_trash_is_seen_and_comes_back_with_its_links(hub: Hub, downloads: Path, tmp_path: Path) -> None:
    scan(hub, downloads)
    hub.targets.change("comfyui", enabled=True, path=str(tmp_path / "comfy"))
    finish(hub.deployment.apply(hub.deployment.plan()))
    model = hub.models.resolve("detail")
    finish(hub.trash.delete([model], hub.trash.plan_delete([model])))

    async def story(app: ModelHubApp, pilot: Pilot[None]) -> None:
        await pilot.press("Z")
        await until(pilot, lambda: "1 models" in seen(app))
        assert "detail.safetensors" in seen(app)
        await pilot.press("r")
        await until(pilot, lambda: "Nothing is in the trash" in seen(app))
        await pilot.press("escape")
        await until(pilot, lambda: "3 of 3 models" in seen(app))
        assert (tmp_path / "comfy/loras/detail.safetensors").exists()

    told(hub, story)
