"""The shipped apps, read from their table."""

from functools import cache
from pathlib import Path

import yaml

from modelhub.core.deployment import App
from modelhub.core.errors import NotFound
from modelhub.core.names import printable

PLAIN_FOLDER = "folder"
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def apps() -> dict[str, App]:
    """Every app by its name. A plain folder takes every type, each in a folder of the type's name."""
    text = Path(__file__).with_name("folder_apps.yaml").read_text(encoding="utf-8")
    entries = yaml.load(text, Loader=_Loader)  # noqa: S506  (a safe loader)
    return {
        name: App(
            name=name,
            display_name=entry["display_name"],
            default_path=entry["default_path"],
            folders=entry["folders"],
            default_target=entry.get("default_target", False),
        )
        for name, entry in entries.items()
    }


def app(name: str) -> App:
    known = apps()
    if name not in known:
        raise NotFound(f"There is no app {printable(name)!r}.", hint=f"Apps: {', '.join(known)}.")
    return known[name]
