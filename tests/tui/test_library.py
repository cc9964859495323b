"""The library screen, as its manual has it: one story for each key."""

import json
import subprocess
from pathlib import Path

import pyrage
import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Select

from modelhub.core.types import ModelFilter
from modelhub.services.hub import Hub
from modelhub.tui.app import ModelHubApp
from modelhub.tui.deploying import DeployScreen
from modelhub.tui.details import DetailsScreen
from modelhub.tui.dialogs import Choose, Form
from modelhub.tui.library import LibraryScreen
from modelhub.tui.scanning import ScanScreen
from modelhub.tui.table import LineTable
from modelhub.tui.targets import TargetsScreen
from modelhub.tui.trash import TrashScreen
from tests import build
from tests.conftest import scan
from tests.tui.story import goes_to, notices, say_yes, seen, text_of, told, until, write


def cursor_on(app: ModelHubApp) -> str:
    """The name of the model under the cursor."""
    one = app.library.under_cursor
    return "" if one is None else one.filename


@pytest.fixture
def library(hub: Hub, downloads: Path) -> Hub:
    """A hub with an embedding, a LoRA and a VAE: EasyNegative, ae, detail."""
    scan(hub, downloads)
    return hub


# Moving


def test_up_and_down_move_and_stop_at_the_ends(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        assert cursor_on(app) == "ae.safetensors"
        await pilot.press("up")
        assert cursor_on(app) == "ae.safetensors"
        await pilot.press("down", "down", "down")
        assert cursor_on(app) == "EasyNegative.safetensors"

    told(library, story)


def test_pgdn_pgup_home_and_end_move_by_screens_and_to_the_ends(hub: Hub, tmp_path: Path) -> None:
    for number in range(60):
        build.safetensors(tmp_path / f"in/{number:02}.safetensors", {"emb_params": (2, 768)}, mark=str(number))
    scan(hub, tmp_path / "in")

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        table = app.screen.query_one(LineTable)
        await pilot.press("pagedown")
        assert table.cursor == table.size.height - 1
        await pilot.press("pageup")
        assert table.cursor == 0
        await pilot.press("end")
        assert table.cursor == 59
        assert "59.safetensors" in seen(app)
        await pilot.press("home")
        assert "00.safetensors" in seen(app)

    told(hub, story)


def test_left_and_right_turn_pages_of_the_size_in_the_settings(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        build.safetensors(tmp_path / f"in/{number:02}.safetensors", {"emb_params": (2, 768)}, mark=str(number))
    scan(hub, tmp_path / "in")
    assert hub.settings.page_size == 1000
    from dataclasses import replace

    monkeypatch.setattr(hub, "settings", replace(hub.settings, page_size=5))

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        table = app.screen.query_one(LineTable)
        await pilot.press("right")
        assert table.cursor == 5
        await pilot.press("right", "right")
        assert table.cursor == 11
        await pilot.press("left")
        assert table.cursor == 6

    told(hub, story)


# Filters


def test_f_filters_while_one_types_and_r_clears_all_filters(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
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

    told(library, story)


def test_a_click_into_a_field_filters_too(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.click("#tag")
        await pilot.press(*"none")
        await pilot.pause()
        assert "0 of 3 models" in text_of(app, "#count")

    told(library, story)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("type:vae", 1),
        ("-type:vae", 2),
        ("size:<10K", 0),
        ("is:deployed", 0),
        ("is:ok det", 1),
        ('"no such"', 0),
        ("base:flux", 1),
        ("tag:art", 1),
    ],
)
def test_the_filter_takes_the_language_of_modelhub_list(library: Hub, typed: str, shown: int) -> None:
    library.models.correct("detail", fields={}, add_tags=["art"])

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await write(pilot, "#query", typed)
        assert f"{shown} of 3 models" in text_of(app, "#count")
        assert len(library.models.find(ModelFilter(text=typed))) == shown

    told(library, story)


def test_what_cannot_be_asked_is_told_while_it_is_typed(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await write(pilot, "#query", "is:nice")
        assert "'nice' is no state" in text_of(app, "#count")
        await write(pilot, "#query", "is:ok")
        assert "3 of 3" in text_of(app, "#count")

    told(library, story)


def test_what_was_searched_for_is_made_visible(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await write(pilot, "#query", "TAIL")
        strips = app.screen._compositor.render_strips(app.screen.size)
        marked = [segment.text for strip in strips for segment in strip if segment.style and segment.style.underline]
        assert "tail" in marked

    told(library, story)


def test_deleting_letters_brings_rows_back(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("F", *"det", "backspace", "backspace", "backspace")
        await pilot.pause()
        assert "3 of 3 models" in text_of(app, "#count")

    told(library, story)


def test_the_cursor_stays_on_its_model_when_rows_go_and_come(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("down")
        assert cursor_on(app) == "detail.safetensors"
        await write(pilot, "#query", "easy")
        assert cursor_on(app) == "EasyNegative.safetensors"
        await write(pilot, "#query", "")
        assert cursor_on(app) == "detail.safetensors"
        await pilot.press("o")
        assert cursor_on(app) == "detail.safetensors"

    told(library, story)


def test_n_shows_only_models_without_civitai_data(hub: Hub, downloads: Path) -> None:
    (downloads / "detail.civitai.info").write_text("{}")
    scan(hub, downloads)

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("n")
        assert "2 of 3 models" in text_of(app, "#count")
        assert "without Civitai data" in text_of(app, "#count")
        await pilot.press("n")
        assert "3 of 3 models" in text_of(app, "#count")

    told(hub, story)


# Order


def order(app: ModelHubApp) -> list[str]:
    return [entry.listed.filename.split(".")[0] for entry in app.library._shown]


def test_s_sorts_by_the_next_column_and_o_turns_the_order_around(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        assert order(app) == ["ae", "detail", "EasyNegative"]
        await pilot.press("o")
        assert order(app) == ["EasyNegative", "detail", "ae"]
        await pilot.press("s")
        assert order(app) == ["EasyNegative", "detail", "ae"]  # embedding, lora, vae
        assert "Type ▾" in seen(app)
        await pilot.press("o")
        assert order(app) == ["ae", "detail", "EasyNegative"]
        assert "Type ▴" in seen(app)

    told(library, story)


def test_a_click_on_a_column_sorts_by_it_and_another_one_turns_it_around(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        sizes = [one.size for one in sorted(library.models.listed(), key=lambda one: -one.size)]
        await pilot.click("Header", offset=(app.screen.query_one("Header").size.width - 8, 0))
        assert [entry.listed.size for entry in app.library._shown] == sizes
        await pilot.click("Header", offset=(app.screen.query_one("Header").size.width - 8, 0))
        assert [entry.listed.size for entry in app.library._shown] == sizes[::-1]

    told(library, story)


# Selecting


def test_space_selects_and_the_selection_survives_filters(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("space")
        assert "1 selected" in text_of(app, "#count")
        assert cursor_on(app) == "detail.safetensors"
        assert "●" in seen(app)
        await write(pilot, "#query", "easy")
        assert "1 selected" in text_of(app, "#count")
        assert [one.filename for one in app.library.selected] == ["ae.safetensors"]
        await write(pilot, "#query", "")
        await pilot.press("home", "space")
        assert "selected" not in text_of(app, "#count")

    told(library, story)


def test_v_selects_a_range(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("space", "down", "V")
        assert "3 selected" in text_of(app, "#count")

    told(library, story)


def test_a_selects_all_that_are_shown_and_none_again(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await write(pilot, "#query", "type:vae,lora")
        await pilot.press("A")
        assert "2 selected" in text_of(app, "#count")
        await pilot.press("A")
        assert "selected" not in text_of(app, "#count")

    told(library, story)


# What is done with models


@pytest.mark.parametrize("key", ["enter", "d"])
def test_enter_and_d_show_the_details(library: Hub, key: str) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await goes_to(app, pilot, key, DetailsScreen)
        assert "Why" in seen(app)
        assert "tensors" in seen(app)
        await goes_to(app, pilot, "escape", LibraryScreen)

    told(library, story)


def test_two_clicks_on_a_row_show_its_details(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.click("#models", offset=(5, 1), times=2)
        await until(pilot, lambda: isinstance(app.screen, DetailsScreen))
        assert "detail.safetensors" in seen(app)

    told(library, story)


def test_p_shows_a_preview_that_follows_the_cursor(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        assert "vae, " not in seen(app)
        await pilot.press("p")
        await until(pilot, lambda: "vae, " in seen(app))
        await pilot.press("down")
        await until(pilot, lambda: "lora, " in seen(app))
        await pilot.press("p")
        await until(pilot, lambda: "lora, " not in seen(app))

    told(library, story)


def test_wide_terminals_show_the_preview_at_once(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await until(pilot, lambda: "Why" in seen(app))

    told(library, story, size=(160, 40))


def test_shift_s_looks_first_and_then_fills_the_table(hub: Hub, downloads: Path) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("S")
        assert isinstance(app.screen, ScanScreen)
        await write(pilot, "#path", str(downloads))
        await pilot.press("enter")
        await until(pilot, lambda: "Would be: 3 files" in text_of(app, "#progress"))
        assert hub.models.count(ModelFilter()) == 0
        await pilot.press("enter")
        await until(pilot, lambda: "Done: 3 files: 3 added" in text_of(app, "#progress"))
        await pilot.press("escape")
        await until(pilot, lambda: "3 of 3 models" in text_of(app, "#count"))
        assert (downloads / "detail.safetensors").is_symlink()

    told(hub, story)


def test_the_path_of_a_scan_is_completed(hub: Hub, downloads: Path) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("S", *str(downloads)[:-3])
        await pilot.pause(0.1)
        await pilot.press("right")
        assert app.screen.query_one("#path", Input).value == f"{downloads}/"

    told(hub, story)


def test_a_scan_that_cannot_be_says_so_in_the_dialog(hub: Hub, tmp_path: Path) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("S", "enter")
        await until(pilot, lambda: "Name a folder" in text_of(app, "#progress"))
        await write(pilot, "#path", str(tmp_path / "nowhere"))
        await pilot.press("enter")
        await until(pilot, lambda: "does not exist" in text_of(app, "#progress"))

    told(hub, story)


def test_a_running_scan_can_be_stopped_and_loses_nothing(hub: Hub, tmp_path: Path) -> None:
    for number in range(300):
        build.safetensors(tmp_path / f"in/{number}.safetensors", {"emb_params": (8, 768)}, mark=str(number))

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("S")
        await write(pilot, "#path", str(tmp_path / "in"))
        await pilot.click("#scan")
        await until(pilot, lambda: bool(text_of(app, "#progress")))  # it runs
        await pilot.press("escape")
        await until(pilot, lambda: not app.running)

    told(hub, story)
    assert len([path for path in (tmp_path / "in").iterdir() if path.read_bytes()]) == 300


def test_rows_arrive_while_a_scan_runs_and_the_cursor_stays_on_its_model(hub: Hub, tmp_path: Path) -> None:
    build.safetensors(tmp_path / "in/k.safetensors", build.vae())
    build.safetensors(tmp_path / "in/m.safetensors", build.SD15_LORA)
    scan(hub, tmp_path / "in")

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        for name in ("a", "b", "z"):
            build.safetensors(tmp_path / f"more/{name}.safetensors", build.SDXL_LORA, mark=name)
        await pilot.press("down")  # the cursor that nobody moved stays at the top
        scan(hub, tmp_path / "more")
        app.library.take_new()
        await pilot.pause()
        assert "5 of 5 models" in text_of(app, "#count")
        assert order(app) == ["a", "b", "k", "m", "z"]
        assert cursor_on(app) == "m.safetensors"

    told(hub, story)


def test_y_switches_the_links_of_scans_off_and_they_are_on_at_each_start(hub: Hub, downloads: Path) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        assert "links on" in text_of(app, "#count")
        await pilot.press("Y")
        assert "links off" in text_of(app, "#count")
        await pilot.press("S")
        await write(pilot, "#path", str(downloads))
        await pilot.click("#scan")
        await until(pilot, lambda: "3 added" in text_of(app, "#progress"))

    told(hub, story)
    assert not any(path.is_symlink() for path in downloads.rglob("*"))


def test_x_deletes_and_u_takes_it_back(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("X")
        await until(pilot, lambda: len(library.models.find(ModelFilter())) == 2)
        await until(pilot, lambda: "2 of 2 models" in seen(app))
        await pilot.press("U")
        await until(pilot, lambda: "3 of 3 models" in seen(app))
        assert len(library.models.find(ModelFilter())) == 3
        await until(pilot, lambda: not app.running)
        await pilot.press("U")
        await until(pilot, lambda: "nothing to undo" in notices(app))

    told(library, story)


def test_x_asks_before_it_deletes_several(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("A", "X")
        await until(pilot, lambda: "Put 3 models" in seen(app))
        await pilot.press("n", "X")
        assert library.models.count(ModelFilter()) == 3
        await say_yes(app, pilot)
        await until(pilot, lambda: library.models.count(ModelFilter()) == 0)

    told(library, story)


def test_the_cursor_keeps_its_place_when_its_model_is_deleted(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("down")
        assert cursor_on(app) == "detail.safetensors"
        await pilot.press("X")
        await until(pilot, lambda: "2 of 2 models" in seen(app))
        assert cursor_on(app) == "EasyNegative.safetensors"  # and not the first row, which nobody looks at

    told(library, story)


def test_x_asks_where_what_is_selected_is_not_under_the_cursor(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("space")
        await write(pilot, "#query", "easy")
        await pilot.press("X")
        await until(pilot, lambda: "Put ae.safetensors" in seen(app))
        await pilot.press("n")
        assert library.models.count(ModelFilter()) == 3

    told(library, story)


def test_z_goes_to_the_trash_and_c_to_the_targets_and_d_to_the_deployment(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        for key, screen in (("Z", TrashScreen), ("c", TargetsScreen), ("D", DeployScreen)):
            await goes_to(app, pilot, key, screen)
            await goes_to(app, pilot, "q", LibraryScreen)

    told(library, story)


def test_h_writes_hash_files_beside_the_selected_models(library: Hub, downloads: Path) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("A", "H")
        await until(pilot, lambda: "3 hash files written" in notices(app))

    told(library, story)
    subprocess.run(["sha256sum", "--status", "-c", "detail.safetensors.sha256"], cwd=downloads, check=True)


@pytest.mark.parametrize(("which", "judged"), [("selected", 1), ("filtered", 2), ("stale", 0), ("all", 3)])
def test_r_reclassifies_what_is_chosen(library: Hub, which: str, judged: int) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await write(pilot, "#query", "type:vae,lora")
        await pilot.press("R")
        assert isinstance(app.screen, Choose)
        choices = app.screen.query_one(OptionList)
        choices.highlighted = choices.get_option_index(which)
        await pilot.press("enter")
        await until(pilot, lambda: f"{judged} judged" in notices(app))

    told(library, story)


@pytest.mark.parametrize("form", ["csv", "json", "yaml", "bundle"])
def test_e_exports_in_every_form(library: Hub, tmp_path: Path, form: str) -> None:
    target = tmp_path / "out"

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("space", "e")
        assert isinstance(app.screen, Form)
        app.screen.query_one("#field-form", Select).value = form
        await write(pilot, "#field-target", str(target))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "1 model written" in notices(app))

    told(library, story)
    if form == "json":
        assert [one["name"] for one in json.loads(target.read_text())["models"]] == ["ae.safetensors"]
    elif form != "bundle":
        assert "ae.safetensors" in target.read_text()
    else:
        assert any(target.rglob("*"))


def test_l_says_that_asking_is_switched_off(library: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    monkeypatch.setattr(library.lookup, "_settings", replace(library.settings, external_apis=False))

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("L")
        await until(pilot, lambda: "external_apis" in notices(app))

    told(library, story)


def test_a_bundle_is_encrypted_for_the_key_that_is_given(library: Hub, tmp_path: Path) -> None:
    key = pyrage.x25519.Identity.generate().to_public()

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("space", "e")
        await write(pilot, "#field-target", str(tmp_path / "out"))
        await write(pilot, "#field-recipient", str(key))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "Only a bundle is encrypted" in text_of(app, "#hint"))
        app.screen.query_one("#field-form", Select).value = "bundle"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "1 model written" in notices(app))

    told(library, story)
    assert [path for path in (tmp_path / "out").rglob("*.age") if path.read_bytes().startswith(b"age-encryption.org")]


# The first run


def test_an_empty_hub_says_what_to_do_and_does_it(hub: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        assert "Scan a folder of models" in seen(app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ScanScreen))
        await pilot.press("escape")
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, TargetsScreen))

    told(hub, story)


def test_the_sample_library_can_be_asked_for(hub: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("down", "down", "enter")
        await until(pilot, lambda: not app.is_running)

    assert told(hub, story).return_value == "demo"
