"""Deployment, targets, dashboard, duplicates, trash, rules and jobs: one story for each key of theirs."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import TextArea

from modelhub.core.deployment import RESOLUTIONS
from modelhub.core.events import Progress, Result, Task
from modelhub.core.types import ModelFilter
from modelhub.services.hub import Hub
from modelhub.tui.app import ModelHubApp
from modelhub.tui.dashboard import DashboardScreen
from modelhub.tui.deploying import DeployScreen
from modelhub.tui.dialogs import Choose, Edit, Form, Show
from modelhub.tui.duplicates import DuplicatesScreen
from modelhub.tui.jobscreen import JobsScreen
from modelhub.tui.library import LibraryScreen
from modelhub.tui.rules import RulesScreen
from modelhub.tui.table import LineTable
from modelhub.tui.targets import TargetsScreen
from modelhub.tui.trash import TrashScreen
from tests import build
from tests.conftest import finish, scan
from tests.tui.story import Story, goes_to, notices, say_yes, seen, text_of, told, until, write


@pytest.fixture
def library(hub: Hub, downloads: Path, tmp_path: Path) -> Hub:
    """Three models, and ComfyUI enabled as the first target."""
    scan(hub, downloads)
    hub.targets.change("comfyui", enabled=True, path=str(tmp_path / "comfy"))
    return hub


def links(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "comfy").rglob("*") if path.is_symlink()}


# Deployment


def on_deploy(hub: Hub, story: Story, size: tuple[int, int] = (120, 30)) -> None:
    async def first(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await goes_to(app, pilot, "D", DeployScreen)
        await until(pilot, lambda: "already right" in text_of(app, "#count"))
        await story(app, pilot)

    told(hub, first, size)


def test_the_plan_is_seen_before_it_is_done_and_u_takes_it_back(library: Hub, tmp_path: Path) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        assert "3 to make" in text_of(app, "#count")
        assert "0/3" in seen(app)
        assert not links(tmp_path)
        await pilot.press("a")
        await say_yes(app, pilot)
        await until(pilot, lambda: "3 links made" in notices(app))
        assert len(links(tmp_path)) == 3
        await until(pilot, lambda: "0 to make" in text_of(app, "#count"))
        assert "3/3" in seen(app)
        await pilot.press("U")
        await until(pilot, lambda: "Take back: " in seen(app))
        await say_yes(app, pilot)
        await until(pilot, lambda: "Undone" in notices(app))
        assert not links(tmp_path)

    on_deploy(library, story)


def test_what_was_asked_about_is_done_whatever_is_planned_meanwhile(library: Hub, tmp_path: Path) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        screen = app.screen
        assert isinstance(screen, DeployScreen)
        await pilot.press("a")
        await until(pilot, lambda: "make 3 links" in seen(app))
        screen.action_removal()  # another plan is made under the question
        await until(pilot, lambda: not screen._looking)
        await say_yes(app, pilot)
        await until(pilot, lambda: "3 links made" in notices(app))

    on_deploy(library, story)
    assert len(links(tmp_path)) == 3


def test_nothing_is_applied_while_the_plan_is_being_made(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        screen = app.screen
        assert isinstance(screen, DeployScreen)
        screen.action_removal()
        screen.action_apply()
        await until(pilot, lambda: "plan is being made" in notices(app))

    on_deploy(library, story)


def test_only_selected_models_are_deployed(library: Hub, tmp_path: Path) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("space")
        await goes_to(app, pilot, "D", DeployScreen)
        await until(pilot, lambda: "a: 1 selected model: 1 to make" in text_of(app, "#count"))
        await pilot.press("a")
        await say_yes(app, pilot)
        await until(pilot, lambda: "1 link made" in notices(app))

    told(library, story, size=(120, 30))
    assert links(tmp_path) == {"ae.safetensors"}


def test_space_leaves_a_target_out(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("space")
        await until(pilot, lambda: "0 to make" in text_of(app, "#count"))
        await pilot.press("a")
        await until(pilot, lambda: "nothing to do" in notices(app))
        await pilot.press("space")
        await until(pilot, lambda: "3 to make" in text_of(app, "#count"))

    on_deploy(library, story)


def test_e_switches_a_target_off(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("E")
        await until(pilot, lambda: "No target is enabled" in text_of(app, "#count"))
        assert not library.targets.get("comfyui").enabled

    on_deploy(library, story)


def test_x_goes_through_the_ways_out_of_a_conflict(library: Hub, tmp_path: Path) -> None:
    taken = tmp_path / "comfy/loras/detail.safetensors"
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"mine")

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        for resolution in (*RESOLUTIONS[1:], RESOLUTIONS[0]):
            await pilot.press("x")
            await until(
                pilot,
                lambda wanted=resolution: (
                    isinstance(app.screen, DeployScreen) and app.screen._resolution == wanted  # type: ignore[misc]
                ),
            )
        await until(pilot, lambda: "1 conflict (x: keep)" in text_of(app, "#count"))
        assert "conflict" in seen(app)

    on_deploy(library, story)
    assert taken.read_bytes() == b"mine"


def test_r_plans_to_remove_our_links(library: Hub, tmp_path: Path) -> None:
    finish(library.deployment.apply(library.deployment.plan()))

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("r")
        await until(pilot, lambda: "3 to remove" in text_of(app, "#count"))
        await pilot.press("a")
        await say_yes(app, pilot)
        await until(pilot, lambda: "3 removed" in notices(app))

    on_deploy(library, story)
    assert not links(tmp_path)


# Targets


def on_targets(hub: Hub, story: Story) -> None:
    async def first(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await goes_to(app, pilot, "c", TargetsScreen)
        await until(pilot, lambda: "enabled" in text_of(app, "#count"))
        await story(app, pilot)

    told(hub, first, size=(120, 30))


@pytest.mark.parametrize("key", ["E", "space"])
def test_a_target_is_switched_on_and_off(library: Hub, key: str) -> None:
    async def story(_: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press(key)
        await until(pilot, lambda: not library.targets.get("comfyui").enabled)

    on_targets(library, story)


@pytest.mark.parametrize("key", ["enter", "e"])
def test_a_target_is_changed(library: Hub, key: str, tmp_path: Path) -> None:
    async def story(_: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press(key)
        await write(pilot, "#field-path", str(tmp_path / "elsewhere"))
        await write(pilot, "#field-names", "{base}/{clean}")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: library.targets.get("comfyui").base_path == str(tmp_path / "elsewhere"))

    on_targets(library, story)
    assert library.targets.get("comfyui").options.naming == "{base}/{clean}"


def test_a_folder_is_added_and_forgotten_again(library: Hub, tmp_path: Path) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("a")
        assert isinstance(app.screen, Form)
        await write(pilot, "#field-name", "usb")
        await write(pilot, "#field-path", str(tmp_path / "usb"))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "usb" in seen(app))
        await pilot.press("end")
        await pilot.press("X")
        await say_yes(app, pilot)
        await until(pilot, lambda: all(one.name != "usb" for one in library.targets.all()))

    on_targets(library, story)


def test_what_is_wrong_with_a_target_is_told(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("a")
        await write(pilot, "#field-name", "a/b")
        await write(pilot, "#field-path", "/x")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "no good name" in text_of(app, "#hint"))

    on_targets(library, story)


def test_m_maps_a_type_to_a_folder(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("m")
        assert isinstance(app.screen, Choose)
        app.screen.dismiss("lora")
        await until(pilot, lambda: isinstance(app.screen, Form))
        await write(pilot, "#field-folder", "my loras")
        await pilot.press("enter")
        await until(pilot, lambda: library.targets.get("comfyui").folders["lora"] == "my loras")

    on_targets(library, story)


def test_f_finds_apps_and_adds_one(library: Hub, tmp_path: Path) -> None:
    root = tmp_path / "home/ComfyUI"
    for place in ("main.py", "comfy/sd.py", "models/loras/put_loras_here", "folder_paths.py", "nodes.py"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).touch()
    (root / "comfy_extras").mkdir()
    library.targets.change("comfyui", enabled=False)

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("f")
        await until(pilot, lambda: isinstance(app.screen, Choose))
        assert "ComfyUI" in seen(app)
        await pilot.press("enter")
        await until(pilot, lambda: any(str(root) in one.base_path for one in library.targets.all() if one.enabled))

    on_targets(library, story)


def test_shift_d_goes_from_the_targets_to_the_deployment(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await goes_to(app, pilot, "D", DeployScreen)

    on_targets(library, story)


# Dashboard


def test_the_dashboard_counts_and_v_proves_every_file(library: Hub) -> None:
    finish(library.deployment.apply(library.deployment.plan()))

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await goes_to(app, pilot, "2", DashboardScreen)
        await until(pilot, lambda: "3 models" in seen(app))
        for word in ("lora", "flux", "comfyui", "3 of 3", "Disk of the hub", "Links save", "Health"):
            assert word in seen(app)
        await pilot.press("V")
        await until(pilot, lambda: "3 of 3 files are whole" in notices(app))
        library.models.correct("detail", fields={"type": "vae"})
        await pilot.press("r")
        await until(pilot, lambda: "lora" not in seen(app))

    told(library, story, size=(120, 50))


# Duplicates


def linked(folder: Path) -> int:
    return sum(path.is_symlink() or path.stat().st_nlink > 1 for path in folder.rglob("*.safetensors"))


@pytest.mark.parametrize("key", ["L", "enter", "A"])
def test_copies_become_links_and_files_again(hub: Hub, downloads: Path, key: str) -> None:
    scan(hub, downloads, adopt="copy")

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await goes_to(app, pilot, "5", DuplicatesScreen)
        await until(pilot, lambda: "3 files with copies" in text_of(app, "#count"))
        await pilot.press(key)
        await say_yes(app, pilot)
        await until(pilot, lambda: "made links" in notices(app))
        assert linked(downloads) == (3 if key == "A" else 1)
        await pilot.press("U")
        await until(pilot, lambda: "Take back: " in seen(app))
        await say_yes(app, pilot)
        await until(pilot, lambda: "Undone" in notices(app))

    told(hub, story)


# Trash


def test_what_is_in_the_trash_comes_back_with_its_links(library: Hub, tmp_path: Path) -> None:
    finish(library.deployment.apply(library.deployment.plan()))
    model = library.models.resolve("detail")
    finish(library.trash.delete([model], library.trash.plan_delete([model])))

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await goes_to(app, pilot, "6", TrashScreen)
        await until(pilot, lambda: "1 model," in text_of(app, "#count"))
        await pilot.press("r")
        await until(pilot, lambda: "Nothing is in the trash" in seen(app))
        await goes_to(app, pilot, "Z", LibraryScreen)
        await until(pilot, lambda: "3 of 3 models" in seen(app))

    told(library, story)
    assert "detail.safetensors" in links(tmp_path)


def test_p_removes_for_good_and_asks_first(library: Hub) -> None:
    model = library.models.resolve("detail")
    blob = Path(library.models.details("detail").path)
    finish(library.trash.delete([model], library.trash.plan_delete([model])))

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await goes_to(app, pilot, "6", TrashScreen)
        await until(pilot, lambda: "1 model," in text_of(app, "#count"))
        await pilot.press("P")
        await until(pilot, lambda: "cannot be undone" in seen(app))
        assert library.trash.all()
        await say_yes(app, pilot)
        await until(pilot, lambda: not library.trash.all())

    assert blob.exists()
    told(library, story)
    assert not blob.exists()


# Rules


def on_rules(hub: Hub, story: Story) -> None:
    async def first(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await goes_to(app, pilot, "7", RulesScreen)
        await until(pilot, lambda: "rules, 0 of them yours" in text_of(app, "#count"))
        await story(app, pilot)

    told(hub, first, size=(140, 30))


def find_rule(hub: Hub, table: str) -> str:
    return next(rule.key for rule in hub.rules.listed(table=table))


def test_rules_are_found_by_what_they_say(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("F", *"controlnet", "escape")
        await pilot.pause()
        assert isinstance(app.focused, LineTable)
        assert "controlnet" in seen(app).lower()
        await pilot.press("F", *"zzzz")
        await pilot.pause()
        assert "No rule fits" in seen(app)

    on_rules(library, story)


def test_a_rule_is_edited_into_one_of_yours_and_taken_back(library: Hub) -> None:
    key = find_rule(library, "model_types")

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await write(pilot, "#query", key)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Edit))
        area = app.screen.query_one(TextArea)
        area.text = area.text.replace("- Checkpoint", "- Whole model")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: bool(library.rules.listed(mine=True)))
        await until(pilot, lambda: "1 of them yours" in text_of(app, "#count"))
        await pilot.press("home", "X")
        await say_yes(app, pilot)
        await until(pilot, lambda: not library.rules.listed(mine=True))

    on_rules(library, story)


def test_what_is_no_rule_is_refused(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, Edit))
        app.screen.query_one(TextArea).text = "architecture_patterns: 5"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: bool(text_of(app, "#hint")))
        assert not library.rules.listed(mine=True)

    on_rules(library, story)


def test_a_new_rule_is_added(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, Edit))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "Saved: my-rule" in notices(app))

    on_rules(library, story)
    assert [rule.key for rule in library.rules.listed(mine=True)] == ["my-rule"]


@pytest.mark.parametrize("key", ["E", "space"])
def test_a_rule_is_switched_off_and_on(library: Hub, key: str) -> None:
    name = find_rule(library, "architecture_patterns")

    async def story(_: ModelHubApp, pilot: Pilot[str]) -> None:
        await write(pilot, "#query", name)
        await pilot.press(key)
        await until(pilot, lambda: any(not rule.enabled for rule in library.rules.listed(mine=True)))

    on_rules(library, story)


def test_t_tries_the_rules_on_the_model_under_the_cursor(library: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, Show))
        assert "vae" in app.screen.query_one(TextArea).text
        assert "fires" in app.screen.query_one(TextArea).text

    on_rules(library, story)


# Jobs


def endless() -> Task[None]:
    for number in range(10_000):
        yield Progress("wait", number, 10_000, "bytes", "file")
        time.sleep(0.01)
    yield Result(None)


def test_what_runs_is_seen_with_its_speed_and_can_be_stopped(hub: Hub) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        job = app.start("Read a lot", endless)
        await until(pilot, lambda: "Read a lot" in seen(app) and "left" in seen(app))  # in the line above the footer
        await goes_to(app, pilot, "8", JobsScreen)
        await until(pilot, lambda: "running" in seen(app) and "/s" in seen(app))
        await pilot.press("x")
        await until(pilot, lambda: job.state == "stopped")
        await until(pilot, lambda: "stopped after" in seen(app))

    told(hub, story, size=(120, 30))


def test_the_log_of_a_task_says_what_went_wrong(hub: Hub, tmp_path: Path) -> None:
    whole = build.safetensors(tmp_path / "in/bad.safetensors", build.SDXL_LORA)
    whole.write_bytes(whole.read_bytes()[:-10])

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        app.start("Scan", lambda: hub.scan([str(tmp_path / "in")]))
        await until(pilot, lambda: not app.running)
        await goes_to(app, pilot, "8", JobsScreen)
        await until(pilot, lambda: "The tensors need" in seen(app))
        assert "done" in seen(app)

    told(hub, story, size=(160, 30))


def test_q_asks_while_something_runs_and_stops_it_cleanly(hub: Hub) -> None:
    closed: list[bool] = []

    def watched() -> Iterator[Progress]:
        try:
            yield from endless()  # type: ignore[misc]
        finally:
            closed.append(True)

    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        app.start("Read a lot", watched)  # type: ignore[arg-type]
        await pilot.press("q")
        await until(pilot, lambda: "Still running: Read a lot" in seen(app))
        await pilot.press("n")
        assert app.is_running
        await pilot.press("q")
        await say_yes(app, pilot)
        await until(pilot, lambda: not app.is_running)

    told(hub, story)
    assert closed == [True]


def test_a_task_that_cannot_begin_says_why(hub: Hub, tmp_path: Path) -> None:
    async def story(app: ModelHubApp, pilot: Pilot[str]) -> None:
        app.start("Scan", lambda: hub.scan([str(tmp_path / "nowhere")]))
        await until(pilot, lambda: "does not exist" in notices(app))

    told(hub, story)
    assert hub.models.count(ModelFilter()) == 0
