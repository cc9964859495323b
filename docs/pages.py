"""Writes what is made from the program itself: the README's table of keys, and the pictures of the interface.

`make docs` runs it; `python docs/pages.py --keys` leaves the pictures alone.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from modelhub.core import config
from modelhub.services.hub import open_hub
from modelhub.tui.actions import helped
from modelhub.tui.app import ModelHubApp

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- keys: made by `make docs` -->\n", "<!-- end of keys -->\n"
SIZE = (120, 34)
PICTURES = {
    "library": ("F", *"sd15 -type:embedding ", "enter", "down", "down"),
    "details": ("F", *"dreamshaper", "enter", "enter"),
    "deploy": ("3",),
    "dashboard": ("2",),
}
"""Name of a picture, and the keys that lead to it."""


def keys_table() -> str:
    rows = [
        f"| {scope} | `{action.id}` | {action.pressed} | {action.help} |\n" for scope, action in helped(first="library")
    ]
    return "".join(["| where | action | key | what it does |\n|---|---|---|---|\n", *rows])


def write_keys() -> None:
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{keys_table()}\n{END}{after}", encoding="utf-8")


async def draw(hub_folder: Path) -> None:
    for name, keys in PICTURES.items():
        with open_hub(config.load({}, hub=str(hub_folder))) as hub:
            app = ModelHubApp(hub)
            async with app.run_test(size=SIZE) as pilot:
                await pilot.pause(0.5)
                await pilot.press(*keys)
                await pilot.pause(2)
                app.save_screenshot(f"{name}.svg", str(HERE))


def main() -> None:
    write_keys()
    if "--keys" in sys.argv:
        return
    folder = Path(tempfile.gettempdir()) / "models"  # a name that stays, since it is in the pictures
    shutil.rmtree(folder, ignore_errors=True)
    try:
        place = folder / "demo"
        command = [sys.executable, "-m", "modelhub", "demo", str(place), "--tables", "--quiet"]
        subprocess.run(command, check=True, env=os.environ | {"HOME": str(folder)}, stdout=subprocess.DEVNULL)  # noqa: S603  (ours)
        asyncio.run(draw(place / "hub"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
