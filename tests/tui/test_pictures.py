"""Every screen as a picture, in two sizes and two themes. They prove layout, and nothing else.

Pictures that were meant to change are drawn anew with DRAW_PICTURES=1; look at them before they are committed.
"""

import asyncio
import os
import re
from pathlib import Path

import pytest
from textual.app import App
from textual.widgets import Input

from modelhub.core.events import Progress
from modelhub.tui import dashboard
from modelhub.tui.app import ModelHubApp
from modelhub.tui.jobs import Job
from tests.tui import still

PICTURES = Path(__file__).parent / "pictures"
KEYS = {
    "library": ("space", "down"),
    "greeting": (),
    "details": ("enter",),
    "deploy": ("3",),
    "targets": ("4",),
    "dashboard": ("2",),
    "duplicates": ("5",),
    "trash": ("6",),
    "rules": ("7",),
    "jobs": ("8",),
    "help": ("h",),
    "scan": ("S",),
}


def finished_job(app: ModelHubApp) -> Job:
    job = Job(app, "Scan /downloads", lambda: iter(()))  # type: ignore[arg-type, return-value]
    job.began, job.state, job.seconds, job.problems = "03:04:05", "done", 75.0, 1
    job.progress = Progress("scan", 6, 6, "files", "last.gguf")
    job._say("broken     half a download.safetensors: it ends too early", trouble=True)
    return job


async def drawn(name: str, size: tuple[int, int], theme: str) -> str:
    hub = still.hub()
    if name == "greeting":
        hub.models.listed = lambda limit=None, after=0: []
    app = ModelHubApp(hub)
    async with app.run_test(size=size) as pilot:
        app.theme = theme
        app.jobs = [finished_job(app)]
        await pilot.pause()
        await pilot.press(*KEYS[name])
        for field in app.screen.query(Input):
            field.cursor_blink = False
        await app.workers.wait_for_complete()
        await pilot.pause(0.4)
        await app.workers.wait_for_complete()
        await pilot.pause()
        return plain(app)


def plain(app: App[str]) -> str:
    """The picture without the names that Rich gives its styles, which differ from picture to picture."""
    return re.sub(r"terminal-\d+", "terminal", app.export_screenshot(simplify=True)) + "\n"


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light"])
@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", KEYS)
def test_the_screen_looks_as_it_did(
    name: str, size: tuple[int, int], theme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "_look", lambda _: still.SEEN)
    picture = asyncio.run(drawn(name, size, theme))
    known = PICTURES / f"{name}-{size[0]}x{size[1]}-{theme.removeprefix('textual-')}.svg"
    if os.environ.get("DRAW_PICTURES"):
        known.parent.mkdir(exist_ok=True)
        known.write_text(picture, encoding="utf-8")
    now = tmp_path / known.name
    now.write_text(picture, encoding="utf-8")
    assert picture == known.read_text(encoding="utf-8"), f"compare {now} with {known}"
