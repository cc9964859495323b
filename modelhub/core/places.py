"""Where things live on each platform: settings, the default hub, and the files shipped with us."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

APP = "modelhub"
_PACKAGE = Path(__file__).resolve().parent.parent


def bundled(name: str) -> Path:
    """A file or folder shipped with the program: beside the package in a checkout, inside it in a wheel."""
    checkout = _PACKAGE.parent
    if (checkout / "pyproject.toml").is_file():
        return checkout / name
    return _PACKAGE / "_bundled" / name


def user_config_file(environ: Mapping[str, str]) -> Path:
    chosen = environ.get("MODELHUB_CONFIG")
    if chosen:
        return Path(chosen).expanduser()
    return Path(platformdirs.user_config_dir(APP, appauthor=False)) / "config.yaml"


def user_rules(environ: Mapping[str, str]) -> Path:
    """The folder of a user's own classification rules, which hold in every hub."""
    return user_config_file(environ).parent / "rules"


def user_apps(environ: Mapping[str, str]) -> Path:
    """The folder of a user's own apps, which can be deployed to from every hub."""
    return user_config_file(environ).parent / "apps"


def default_hub() -> Path:
    return Path(platformdirs.user_data_dir(APP, appauthor=False)) / "hub"


def expand(path: str) -> str:
    """`path` with `~` replaced and made absolute, links in it left as they are."""
    return os.path.abspath(os.path.expanduser(path))


@dataclass(frozen=True, slots=True)
class HubPlaces:
    """The layout of a hub, which is a promise to people who look into it."""

    root: Path

    @property
    def library(self) -> Path:
        return self.root / "modelhub.db"

    @property
    def rules(self) -> Path:
        return self.root / "classification.db"

    @property
    def own_rules(self) -> Path:
        """The folder of the classification rules that hold in this hub."""
        return self.root / "rules"

    @property
    def own_apps(self) -> Path:
        """The folder of the apps that are known in this hub only."""
        return self.root / "apps"

    @property
    def deployed(self) -> Path:
        """Folders of links for apps that are pointed at them, one for each target."""
        return self.root / "deployed"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def partial(self) -> Path:
        return self.root / "partial"

    @property
    def backups(self) -> Path:
        return self.root / "backups"

    @property
    def lock(self) -> Path:
        """Held by everything that brings files into the store, and by what takes them out."""
        return self.root / ".store.lock"

    @property
    def quarantine(self) -> Path:
        """Contents that are not what their address says, each in a folder of that address."""
        return self.root / "quarantine"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def audit(self) -> Path:
        return self.logs / "audit.jsonl"

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"


def completed(typed: str) -> str | None:
    """`typed` and the rest of the first folder in order of name that starts with it, with a closing slash."""
    above, start = os.path.split(os.path.expanduser(typed))
    if typed == "~":
        return typed + os.sep
    if not above or len(start) > len(typed):
        return None
    try:
        names = sorted(entry.name for entry in os.scandir(above) if entry.is_dir())
    except OSError:
        return None
    fitting = (name for name in names if name.startswith(start) and (start or not name.startswith(".")))
    name = next(fitting, None)
    return None if name is None else typed[: len(typed) - len(start)] + name + os.sep
