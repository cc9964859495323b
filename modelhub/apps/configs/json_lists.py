"""JSON files of apps with lists of folders: ours is added behind the user's own, and taken out again."""

import json
import re
from collections.abc import Sequence
from typing import Any

from modelhub.apps.configs.wanted import Wanted
from modelhub.core.errors import ConfigInvalid

_FOOOCUS = {"checkpoints": "path_checkpoints", "loras": "path_loras"}
"""The only keys of `config.txt` that take several folders; a folder given for another would replace the user's."""


def fooocus(text: str | None, wanted: Wanted) -> str | None:
    """`config.txt` with our folders of checkpoints and LoRAs behind the user's own, or the app's default.

    All folders named must exist, or Fooocus drops the whole list.
    """
    document = _document(text)
    for folder, key in _FOOOCUS.items():
        mine = [f"{wanted.root}/{one}" for one in wanted.folders.get(folder, ())]
        default = f"{wanted.own}/{folder}"
        _put(document, key, mine, wanted, default)
    return _written(text, document)


def wan2gp(text: str | None, wanted: Wanted) -> str | None:
    """`wgp_config.json` with our folder at the end of `checkpoints_paths`."""
    if text is None:
        if not wanted.folders:
            return None
        raise ConfigInvalid("does not exist yet.", hint="Start Wan2GP once, so that it writes its settings.")
    document = _document(text)
    mine = [f"{wanted.root}/{one}" for one in wanted.folders.get("ckpts", ())]
    _put(document, "checkpoints_paths", mine, wanted, "ckpts", ".")
    return _written(text, document)


def _put(document: dict[str, Any], key: str, mine: Sequence[str], wanted: Wanted, *default: str) -> None:
    given = document.get(key)
    listed = [given] if isinstance(given, str) else given
    if listed is not None and not (isinstance(listed, list) and all(isinstance(one, str) for one in listed)):
        raise ConfigInvalid(f"has {key}, which is no folder and no list of folders.", hint="Correct it first.")
    ours = tuple(f"{root}/" for root in (wanted.root, *wanted.former))
    users = [one for one in listed or () if not one.startswith(ours)]
    if not mine:
        if listed is not None and len(users) != len(listed):
            if users == list(default):
                del document[key]
            else:
                document[key] = users if len(users) > 1 or len(listed) == 1 else users[0]
        return
    document[key] = [*(users or default), *mine]


def _document(text: str | None) -> dict[str, Any]:
    try:
        document = json.loads(text) if text and text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise ConfigInvalid("is not valid JSON.", hint="Correct it, or move it away; nothing was changed.") from error
    if not isinstance(document, dict):
        raise ConfigInvalid("does not hold keys and values.", hint="Correct it, or move it away.")
    return document


def _written(text: str | None, document: dict[str, Any]) -> str | None:
    """The text as it was if it says the same already, else with the indentation it had."""
    if text is not None and _document(text) == document:
        return text
    if not document:
        return None
    found = re.search(r"\n([ \t]+)\"", text or "")
    indent: str | int = found[1] if found else 4
    end = "\n" if text is None or text.endswith("\n") else ""
    made = json.dumps(document, indent=indent, ensure_ascii=False) + end
    return made.replace("\n", "\r\n") if "\r\n" in (text or "") else made
