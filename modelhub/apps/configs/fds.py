"""SwarmUI's `Settings.fds`: one line of it, and every other byte stays.

Source: FreneticUtilities' FDS format: `key: value`, deeper lines belong to the key above, a backslash is written
`a backslash is written`, and the entries of ModelRoot are split at semicolons without being trimmed.
"""

import re

from modelhub.apps.configs.wanted import Wanted
from modelhub.core.errors import ConfigInvalid

_LINE = re.compile(r"^([ \t]+)ModelRoot:[ ]?([^\r\n]*)", re.MULTILINE)
_SECTION = re.compile(r"^Paths:[ \t]*\r?$", re.MULTILINE)


def swarmui(text: str | None, wanted: Wanted) -> str | None:
    """The settings with our folder behind the user's model roots, or without it if nothing is deployed."""
    if text is None:
        if not wanted.folders:
            return None
        raise ConfigInvalid("does not exist yet.", hint="Start SwarmUI once, so that it writes its settings.")
    ours = wanted.root.replace("\\", "/")
    if ";" in ours or ours != ours.strip():
        raise ConfigInvalid("cannot name a folder with a semicolon.", hint="Use links: --method symlink.")
    section = _SECTION.search(text)
    if section is None:
        raise ConfigInvalid("has no section Paths.", hint="Start SwarmUI once and save its settings.")
    line = _LINE.search(text, section.end())
    outside = re.compile(r"^[^\s#]", re.MULTILINE).search(text, section.end())
    if line is None or (outside is not None and outside.start() < line.start()):
        raise ConfigInvalid("has no Paths.ModelRoot.", hint="Start SwarmUI once and save its settings.")
    value = line[2].rstrip()
    roots = ["Models"] if value in ("", "\\x") else value.split(";")
    former = {root.replace("\\", "/") for root in wanted.former}
    users = [root for root in roots if root != ours and root not in former]
    made = ";".join([*users, ours] if wanted.folders else users)
    if made == ";".join(roots):
        return text
    return f"{text[: line.start()]}{line[1]}ModelRoot: {made}{text[line.end() :]}"
