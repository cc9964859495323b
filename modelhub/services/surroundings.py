"""What a hub stands on: the program's environment, its file system, settings, logs; and a report without secrets."""

import hashlib
import importlib.metadata
import importlib.util
import io
import json
import os
import platform
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from modelhub import __version__
from modelhub.core.config import Settings
from modelhub.core.errors import from_os_error
from modelhub.core.names import printable, storable
from modelhub.core.places import HubPlaces
from modelhub.files.volumes import Volumes
from modelhub.services.checks import Check
from modelhub.services.logbook import NAMES, Logbook
from modelhub.store.health import SQLITE_VERSION

_EXTRAS = {"model_signing": "signing", "pyrage": "encryption"}
_PACKAGES = ("textual", "sqlalchemy", "alembic", "click", "rich", "httpx", "blake3", "msgspec", "pyyaml")
_SECRETS = (
    re.compile(r"(hf_|sk-|ghp_|gho_|civitai_)[A-Za-z0-9_-]{8,}"),
    re.compile(r"(?i)(bearer|token|api[_-]?key|password|passphrase|secret)([\"'\s:=]+)[^\s\"',;&]+"),
    re.compile(r"(://)[^/\s:@]+:[^/\s@]+@"),
    re.compile(r"AGE-SECRET-KEY-[A-Z0-9]+"),
)
_TAIL = 400


def environment(settings: Settings, places: HubPlaces) -> Iterator[Check]:
    """The interpreter, its SQLite, optional libraries, secrets that others can read."""
    version = ".".join(map(str, sys.version_info[:3]))
    missing = [extra for module, extra in _EXTRAS.items() if importlib.util.find_spec(module) is None]
    without = f"; without the extras {', '.join(missing)}" if missing else ""
    told = f"Python {version}, SQLite {SQLITE_VERSION}, {platform.system()} {platform.machine()}{without}."
    yield Check("environment", "ok", told)
    for path in _secret_files():
        if path.is_file() and path.stat().st_mode & 0o077 and os.name == "posix":
            told = f"{printable(path)} holds a token, and others can read it."
            yield Check("secrets", "warning", told, f"chmod 600 {printable(path)}")
    volume = Volumes().of(str(places.root))
    if volume.network:
        yield Check(
            "file system",
            "warning",
            f"The hub is on a network share ({volume.kind}); its databases work in the slow, safe mode without WAL.",
            "Keep the hub on a local disk, and deploy to the share.",
        )
    names = ", ".join(printable(path) for path in settings.files) or "none of your own"
    yield Check("settings", "ok", f"Settings files: {names}.")


def _secret_files() -> Iterable[Path]:
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    return (home / "token", home / "stored_tokens")


def write_report(
    target: Path, checks: Iterable[Check], settings: Settings, logbook: Logbook, facts: Mapping[str, Any]
) -> list[str]:
    """A zip for a bug report: checks, settings, versions, counts and the ends of the logs; the names of its members.

    Home folders, user names, and whatever looks like a token or password are blacked out; no database, no model and
    no file name that only the library knows is in it, but for what the logs say.
    """
    told = {
        "doctor.json": [_fields(check) for check in checks],
        "settings.json": {one.key: {"value": one.value, "source": one.source} for one in settings.listing},
        "versions.json": _versions(),
        "library.json": facts,
    }
    texts = {name: json.dumps(value, indent=2, default=str) for name, value in told.items()}
    texts |= {f"logs/{name}": "\n".join(logbook.tail(name, _TAIL)) for name in NAMES}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(name, blacked_out(text))
    try:
        with target.open("xb") as stream:
            stream.write(packed.getvalue())
    except OSError as error:
        raise from_os_error(error, printable(target)) from error
    return list(texts)


def _fields(check: Check) -> dict[str, str]:
    return {"name": check.name, "status": check.status, "message": check.message, "hint": check.hint}


def _versions() -> dict[str, str]:
    found = {"modelhub": __version__, "python": sys.version, "sqlite": SQLITE_VERSION}
    found |= {"system": platform.platform(), "encoding": sys.getfilesystemencoding()}
    for name in (*_PACKAGES, *_EXTRAS):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def blacked_out(text: str) -> str:
    """Without home folders, user names and what looks like a secret; equal ones stay recognisable as equal."""
    text = storable(text)
    home = os.path.expanduser("~")
    if len(home) > 1:
        text = text.replace(home, "~")
    text = re.sub(r"[\w.+-]+@[\w-]+\.[\w.]+", "***@***", text)
    text = re.sub(r"(/home/|/Users/|/media/|\\Users\\)([^/\\\s\"']+)", lambda found: found[1] + _short(found[2]), text)
    for pattern in _SECRETS:
        text = pattern.sub(lambda found: f"{''.join(found.groups())}***" if found.groups() else "***", text)
    return text


def _short(name: str) -> str:
    return f"user-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
