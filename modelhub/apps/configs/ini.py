"""llama-server's presets: a section for each model, in a file that may hold the user's own."""

import configparser
import io
import re

import configupdater

from modelhub.apps.configs.wanted import Entry, Wanted
from modelhub.core.errors import ConfigInvalid

_FIRST = re.compile(r"^\s*\[", re.MULTILINE)
_NEW = "version = 1\n\n"


def presets(text: str | None, wanted: Wanted) -> str | None:
    """The presets with a section for each of our models; sections of the user's stay as they are written."""
    head, updater = _read(text if text is not None else _NEW)
    for name in wanted.ours - set(wanted.entries):
        if updater.has_section(name):
            updater.remove_section(name)
    new = ""
    for name, entry in sorted(wanted.entries.items()):
        told = {"model": entry.model} | ({"mmproj": entry.mmproj} if entry.mmproj else {})
        if not updater.has_section(name):
            new += "".join([f"[{name}]\n", *(f"{key} = {value}\n" for key, value in told.items()), "\n"])
            continue
        for key in ("model", "mmproj"):
            if key not in told and updater.has_option(name, key):
                updater.remove_option(name, key)
            elif key in told and not (updater.has_option(name, key) and updater[name][key].value == told[key]):
                updater.set(name, key, told[key])
    made = head + str(updater)
    if new and not made.endswith("\n"):
        made += "\n"
    if not wanted.entries and made.strip() == _NEW.strip() and wanted.ours:
        return None
    return made + new


def entries(text: str) -> dict[str, Entry]:
    """Every preset by name; one of the user's may name no file."""
    _, updater = _read(text)
    found = {}
    for name in updater.sections():
        section = updater[name]
        told = {key: str(section[key].value or "") for key in ("model", "mmproj") if key in section}
        found[name] = Entry(told.get("model", ""), told.get("mmproj", ""))
    return found


def _read(text: str) -> tuple[str, configupdater.ConfigUpdater]:
    """The lines before the first section, and the sections."""
    first = _FIRST.search(text)
    at = first.start() if first else len(text)
    updater = configupdater.ConfigUpdater(
        delimiters=("=",), comment_prefixes=("#", ";"), inline_comment_prefixes=None, allow_no_value=True, strict=True
    )
    try:
        updater.read_file(io.StringIO(text[at:]))
    except (configparser.Error, ValueError) as error:
        raise ConfigInvalid("is not a valid list of presets.", hint="Correct it, or move it away.") from error
    return text[:at], updater
