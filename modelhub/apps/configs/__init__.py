"""Apps' own configuration files: what is ours goes in or out, and all else stays as it is written.

Pure: text in, text out. A file that cannot be read as the app reads it is refused with a ConfigInvalid.
"""

from collections.abc import Callable, Mapping

from modelhub.apps.configs import fds, ini, json_lists, local_tree, yaml_blocks
from modelhub.apps.configs.wanted import Entry, Wanted
from modelhub.core.errors import ConfigInvalid
from modelhub.core.names import printable

Merge = Callable[[str | None, Wanted], str | None]

_MERGES: Mapping[str, Merge] = {
    "comfyui": yaml_blocks.comfyui,
    "fooocus": json_lists.fooocus,
    "wan2gp": json_lists.wan2gp,
    "swarmui": fds.swarmui,
    "presets": ini.presets,
    "llama_swap": yaml_blocks.llama_swap,
}
_ENTRIES: Mapping[str, Callable[[str], dict[str, Entry]]] = {
    "presets": ini.entries,
    "llama_swap": yaml_blocks.entries,
}
WITH_ENTRIES = tuple(_ENTRIES)
"""Kinds of configuration that name each model."""

KINDS = frozenset({*_MERGES, "local_tree"})

BY_CONFIG: Mapping[str, frozenset[str]] = {
    "fooocus": frozenset({"checkpoint", "lora", "unknown"}),
    "wan2gp": frozenset({"checkpoint", "unet", "gguf", "vae", "text_encoder", "clip_vision", "unknown"}),
}
"""Types that an app takes from further folders; the others must lie in its own. Not listed: all of them."""


def merged(kind: str, path: str, before: bytes | None, wanted: Wanted) -> dict[str, bytes | None]:
    """What the files of a configuration are to hold, by path; None for one that is to go.

    Raises ConfigInvalid, naming the file, if it cannot be read, and Unreadable if there must be one and is none.
    """
    if kind == "local_tree":
        return local_tree.files(path, wanted)
    text = read_text(path, before)
    try:
        made = _MERGES[kind](text, wanted)
    except ConfigInvalid as error:
        raise ConfigInvalid(f"{printable(path)} {error.message}", hint=error.hint) from error
    return {path: None if made is None else made.encode("utf-8")}


def entries(kind: str, path: str, content: bytes | None) -> dict[str, Entry]:
    """The models that a configuration names, by name; none if it cannot be read."""
    if content is None or kind not in _ENTRIES:
        return {}
    try:
        return _ENTRIES[kind](read_text(path, content) or "")
    except ConfigInvalid:
        return {}


def read_text(path: str, content: bytes | None) -> str | None:
    if content is None:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigInvalid(f"{printable(path)} is not UTF-8 text.", hint="Save it as UTF-8.") from error


__all__ = ["BY_CONFIG", "KINDS", "WITH_ENTRIES", "Entry", "Wanted", "entries", "merged"]
