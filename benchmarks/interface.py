"""The terminal interface on a hub of 100,000 models: until the first rows, all rows, and each key of a filter."""

import asyncio
import sqlite3
import sys
import time
from pathlib import Path

from textual.widgets import Static

from benchmarks.measure import verdict, workplace
from modelhub.core import config
from modelhub.services.hub import Hub, open_hub
from modelhub.tui.app import ModelHubApp
from tests import build

MODELS = 100_000


def fill(hub: Hub, place: Path) -> None:
    """One scanned model, and as many rows like it."""
    build.safetensors(place / "in/model.safetensors", build.SDXL_LORA)
    for _ in hub.scan([str(place / "in")], adopt="reference"):
        pass
    with sqlite3.connect(hub.places.library) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(models)") if row[1] not in ("id", "file_hash")]
        copied = ", ".join("'model ' || value || '.safetensors'" if name == "filename" else name for name in columns)
        database.execute(
            f"INSERT INTO models (file_hash, {', '.join(columns)}) WITH RECURSIVE numbers(value) AS"
            f" (SELECT 1 UNION ALL SELECT value + 1 FROM numbers WHERE value < {MODELS})"
            f" SELECT printf('%064x', value), {copied} FROM models, numbers WHERE id = 1"
        )


async def measure(hub: Hub) -> tuple[float, float, float]:
    """Seconds until the first rows and until all of them, and CPU milliseconds for each key of a filter."""
    app = ModelHubApp(hub)
    started = time.perf_counter()
    async with app.run_test(size=(200, 50)) as pilot:
        while not app.screen.query("#count") or " of " not in str(app.screen.query_one("#count", Static).render()):
            await pilot.pause(0.005)
        first = time.perf_counter() - started
        while f"of {MODELS + 1:,}" not in str(app.screen.query_one("#count", Static).render()):
            await pilot.pause(0.005)
        everything = time.perf_counter() - started
        await pilot.press("F")
        cpu = time.process_time()
        keys = "model 12345"
        await pilot.press(*keys)
        await pilot.pause()
        return first, everything, (time.process_time() - cpu) / len(keys) * 1e3


def main() -> bool:
    with workplace() as place, open_hub(config.load({}, hub=str(place / "hub"))) as hub:
        fill(hub, place)
        first, everything, key = asyncio.run(measure(hub))
    print(f"{MODELS} models: all rows after {everything:.2f} s; {key:.0f} ms of CPU for each key of a filter")
    return verdict("first rows after imports, seconds", first, "<= 1.5", kept=first <= 1.5)


if __name__ == "__main__":
    sys.exit(not main())
