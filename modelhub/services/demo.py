"""The demo: a folder with a sample library, two apps to deploy to, and a hub of its own."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelhub.core.errors import Conflict
from modelhub.core.events import Progress, Result, Task
from modelhub.core.names import printable

_MARK = ".modelhub-demo"
APPS = ("comfyui", "forge")


@dataclass(frozen=True, slots=True)
class Demo:
    """Where the parts of a demo are; `apps` names the folder of each app's models."""

    downloads: str
    hub: str
    apps: dict[str, str]
    files: int


def make_demo(folder: Path) -> Task[Demo]:
    """Build the demo in `folder`, anew if it is one already; Conflict if it holds anything else."""
    from modelhub.samples import library  # noqa: PLC0415  (only the demo needs the recipes)

    _clear(folder)
    downloads = folder / "downloads"
    count = 0
    for count, path in enumerate(library.write(downloads), 1):
        yield Progress("demo", count, 0, "files", path.name)
    apps = {app: folder / app / "models" for app in APPS}
    for place in apps.values():
        place.mkdir(parents=True)
    yield Result(Demo(str(downloads), str(folder / "hub"), {app: str(place) for app, place in apps.items()}, count))


def _clear(folder: Path) -> None:
    if folder.is_dir() and any(_others(folder)):
        if not (folder / _MARK).is_file():
            raise Conflict(
                f"{printable(folder)} holds other files than a demo's.", hint="Name another folder: modelhub demo DIR"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).touch()


def _others(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.name != _MARK)
