"""YAML files of apps: our block is cut out and put in as text, so that every other byte stays.

PyYAML says where blocks begin and end, as it is what ComfyUI reads its file with. What was made is read again before
it is given out: all else must be as it was.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from modelhub.apps.configs.dumping import dumped
from modelhub.apps.configs.wanted import Entry, Wanted
from modelhub.core.errors import ConfigInvalid

_HINT = "Correct the file, or move it away; nothing was changed."
_NOTE = "# ModelHub writes this block; the rest of the file is yours."
_OWN_KEYS = ("base_path", "is_default")


def comfyui(text: str | None, wanted: Wanted) -> str | None:
    """`extra_model_paths.yaml` with our block, or without it if no folder is in use."""
    document = _document(text)
    _require_startable(document)
    standing = document.get(wanted.block)
    if standing is not None and not any(_is_ours(standing, root) for root in (wanted.root, *wanted.former)):
        raise ConfigInvalid(f"has a block {wanted.block!r} that is not ours.", hint="Give that block another name.")
    without = _without(text or "", wanted.block)
    others = {name: value for name, value in document.items() if name != wanted.block}
    if not wanted.folders:
        return _checked(without, others)
    block: dict[str, str] = {"base_path": wanted.root}
    for category, folders in wanted.folders.items():
        block[category] = "\n".join(folders) + "\n" if len(folders) > 1 else folders[0]
    made = _appended(without, f"{_NOTE}\n{dumped({wanted.block: block})}")
    return _checked(made, others | {wanted.block: block})


def _is_ours(block: Any, root: str) -> bool:
    return isinstance(block, dict) and str(block.get("base_path", "")).rstrip("/") == root.rstrip("/")


def _require_startable(document: Mapping[str, Any]) -> None:
    """ComfyUI stops at its start on anything else than text; our block must not be blamed for that."""
    for name, block in document.items():
        if block is None:
            continue
        if not isinstance(block, dict):
            raise ConfigInvalid(f"has {name!r} without keys, which stops ComfyUI at its start.", hint=_HINT)
        for key, value in block.items():
            if key not in _OWN_KEYS and not isinstance(value, str):
                told = f"has {name}.{key}, which is no text and stops ComfyUI at its start."
                raise ConfigInvalid(told, hint="Write one folder in a line, several after `|`.")


def llama_swap(text: str | None, wanted: Wanted) -> str | None:
    """llama-swap's configuration with our entries under `models:`, and none that we gave before and want no more.

    An entry that names the right files stays as it is, with whatever the user added to it.
    """
    document = _document(text)
    models = document.get("models")
    if models is not None and not isinstance(models, dict):
        raise ConfigInvalid("has `models` without keys below.", hint=_HINT)
    standing = entries(text or "")
    right = {name for name, entry in wanted.entries.items() if name in wanted.ours and standing.get(name) == entry}
    new = {name: _swap_entry(entry) for name, entry in sorted(wanted.entries.items()) if name not in right}
    without = text or ""
    for name in sorted((wanted.ours - right) & set(models or {})):
        without = _without(without, "models", name)
    kept = {name: entry for name, entry in (models or {}).items() if name in right or name not in wanted.ours}
    expected = document | ({"models": kept | new} if models or new else {})
    if not new:
        if models and not kept:
            without = _without(without, "models")
            without = _appended(without, "models: {}\n") if without.strip() else ""
        return _checked(without, expected if without else {})
    found = _key(without, "models")
    if found is not None and isinstance(found[1], yaml.MappingNode) and found[1].value:
        key, node = found
        if node.flow_style:
            raise ConfigInvalid("has `models` in braces.", hint="Write one model in a line, as llama-swap's example.")
        column = node.value[0][0].start_mark.column
        indented = "".join(f"{' ' * column}{line}\n" for line in dumped(new).splitlines())
        lines = without.splitlines(keepends=True)
        at = key.start_mark.line + 1
        made = "".join([*lines[:at], indented, *lines[at:]])
    else:
        if found is not None:
            without = _without(without, "models")
        made = _appended(without, dumped({"models": new}))
    return _checked(made, expected)


def _swap_entry(entry: Entry) -> dict[str, str]:
    projector = f" --mmproj {_quoted(entry.mmproj)}" if entry.mmproj else ""
    return {"cmd": f"llama-server --port ${{PORT}} --model {_quoted(entry.model)}{projector}"}


def entries(text: str) -> dict[str, Entry]:
    """The models of llama-swap's configuration whose command names a file."""
    found = {}
    models = _document(text).get("models")
    for name, entry in (models if isinstance(models, dict) else {}).items():
        command = str(entry.get("cmd", "")) if isinstance(entry, dict) else ""
        found[str(name)] = Entry(_argument(command, "--model"), _argument(command, "--mmproj"))
    return found


def _quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _argument(command: str, flag: str) -> str:
    """The path after a flag, as we quote it."""
    _, found, rest = command.partition(f"{flag} ")
    if not found:
        return ""
    if not rest.startswith('"'):
        return rest.split(" ", 1)[0]
    made, position = "", 1
    while position < len(rest) and rest[position] != '"':
        position += rest[position] == "\\"
        made += rest[position : position + 1]
        position += 1
    return made


def _document(text: str | None) -> dict[str, Any]:
    try:
        document = yaml.safe_load(text or "")
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise ConfigInvalid(f"is not valid YAML{where}.", hint=_HINT) from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigInvalid("does not hold keys and values.", hint=_HINT)
    return document


def _key(text: str, key: str) -> tuple[yaml.Node, Any] | None:
    """A key of the document and its value, with their places in the text."""
    root = yaml.compose(text)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    return next(((name, value) for name, value in pairs if name.value == key), None)


def _without(text: str, *keys: str) -> str:
    """The text without a key and all below it, and without our note above it."""
    root = yaml.compose(text)
    end = len(text.splitlines())
    for depth, key in enumerate(keys):
        if not isinstance(root, yaml.MappingNode):
            return text
        if root.flow_style:
            raise ConfigInvalid("is written in braces.", hint="Write it in lines, as the app's own example is.")
        places = [(name.value, name.start_mark.line, value) for name, value in root.value]
        index = next((number for number, place in enumerate(places) if place[0] == key), None)
        if index is None:
            return text
        start = places[index][1]
        end = places[index + 1][1] if index + 1 < len(places) else end
        root = places[index][2]
        if depth + 1 < len(keys):
            continue
    lines = text.splitlines(keepends=True)
    while end > start + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1  # what stands before the next key belongs to that
    if start and lines[start - 1].strip() == _NOTE:
        start -= 1
    return "".join([*lines[:start], *lines[end:]])


def _appended(text: str, block: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    gap = "" if not text or text.endswith(("\n", "\r")) else newline
    return text + gap + block.replace("\n", newline)


def _checked(made: str, expected: Mapping[str, Any]) -> str | None:
    """What was made, if it is read as it should be; None if nothing is left of a file."""
    if _document(made) != expected:
        raise ConfigInvalid("is written in a way that cannot be changed safely.", hint="Write it in plain lines first.")
    return made if made.strip() else None
