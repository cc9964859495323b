"""A model in words and bars: the parts of which details and preview are made. Every word of its own is made inert."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from modelhub.core.names import human_size, printable
from modelhub.core.types import Evidence, ModelFile
from modelhub.services.library import ModelDetails
from modelhub.services.lookup import external_says

_BAR = 20
_MOST = 200
_LABEL = 13
_INDENT = 2
_SHORT_HASH = 12


def page(details: ModelDetails) -> Group:
    """All of a model but what it says of itself."""
    model = details.model
    gone = {False: " (gone)", True: ""}
    parts: list[RenderableType] = [Text(printable(model.filename), "bold"), Text(), pairs(overview(details))]
    parts += [heading("Why"), evidence(details.evidence)]
    parts += [heading("Files"), files(details.files[:_MOST])]
    parts += [heading("Hashes"), pairs(hashes(details))]
    parts += listing("Found at", (printable(one.path) + gone[one.present] for one in details.locations))
    parts += listing("Deployed at", map(printable, details.deployed))
    parts += listing("Sites say", (f"{one.source}: {printable(external_says(one))}" for one in details.external))
    return Group(*parts)


def preview(details: ModelDetails) -> Group:
    """The same for a narrow pane."""
    model = details.model
    parts: list[RenderableType] = [Text(printable(model.filename), "bold", overflow="fold")]
    parts += [pairs(overview(details)), heading("Why"), reasons(details.evidence)]
    parts += listing("Deployed at", map(printable, details.deployed))
    return Group(*parts)


def overview(details: ModelDetails) -> Iterator[tuple[str, str]]:
    model = details.model
    by_hand = model.method == "manual"
    yield "Type", f"{model.type}, {'set by hand' if by_hand else f'{model.confidence:.0%} sure'}"
    yield "Base", " / ".join(dict.fromkeys(word for word in (model.base, model.sub_type, model.variant) if word))
    yield "State", model.condition + (f": {printable(model.message)}" if model.message else "")
    yield "Format", " ".join(word for word in (model.format, model.quantization or model.precision) if word)
    yield "Size", human_size(model.size)
    yield "Parameters", f"{model.parameters:,}" if model.parameters else ""
    yield "Context", f"{model.context_length:,} tokens" if model.context_length else ""
    yield "Category", "/".join(level for level in model.category if level)
    yield "Can", ", ".join(model.capabilities)
    yield "Licence", printable(model.license)
    yield "Trigger words", printable(model.triggers)
    yield "Tags", printable(", ".join(model.tags))
    yield "Notes", printable(model.notes)
    yield "Path", printable(details.path)


def hashes(details: ModelDetails) -> Iterator[tuple[str, str]]:
    yield "SHA-256", details.model.sha256
    if len(details.files) == 1:
        yield "AutoV2", details.model.sha256[:10].upper()
        yield "BLAKE3", details.files[0].blake3


def evidence(said: Sequence[Evidence]) -> RenderableType:
    """Each method's claims with a bar of their weight."""
    if not said:
        return Text("  No method had anything to say.")
    grid = _grid(9, _BAR, 4, None)
    for one in said:
        grid.add_row(
            Text(one.method, "dim"), Text(bar(one.confidence), "green"), f"{one.confidence:.0%}", Text(_claim(one))
        )
    return grid


def reasons(said: Sequence[Evidence]) -> RenderableType:
    grid = _grid(4, None)
    for one in said:
        grid.add_row(f"{one.confidence:.0%}", Text(f"{one.method}: {_claim(one)}"))
    return grid


def _claim(one: Evidence) -> str:
    claim = " ".join(word for word in (one.base or one.sub_type, one.claim) if word) or "against"
    return f"{claim}: {printable(one.because)}"


def files(held: Sequence[ModelFile]) -> Table:
    grid = _grid(9, _SHORT_HASH, None)
    for file in held:
        role = "" if file.role == "main" else f" ({file.role})"
        grid.add_row(
            Text(human_size(file.size), justify="right"), file.sha256[:_SHORT_HASH], Text(printable(file.name) + role)
        )
    return grid


def pairs(said: Iterable[tuple[str, str]]) -> Table:
    grid = _grid(_LABEL, None)
    for label, value in said:
        if value:
            grid.add_row(Text(label, "dim"), Text(value))
    return grid


def heading(title: str) -> Text:
    return Text(f"\n{title}", "bold")


def listing(title: str, lines: Iterable[str]) -> list[RenderableType]:
    grid = _grid(None)
    for one in list(lines)[:_MOST]:
        grid.add_row(Text(one))
    return [heading(title), grid] if grid.row_count else []


def bar(share: float, width: int = _BAR) -> str:
    full = round(share * width)
    return "━" * full + "╌" * (width - full)


def _grid(*widths: int | None) -> Table:
    """Columns of these widths after an indent; None takes what is left and folds."""
    grid = Table.grid(padding=(0, 0, 0, _INDENT), expand=True)
    for width in widths:
        grid.add_column(width=width + _INDENT if width else None, ratio=None if width else 1, overflow="fold")
    return grid


def tree_of(metadata: Iterable[tuple[str, str, str]]) -> dict[str, Any]:
    """What a model says of itself, as a tree: by its container, then by the dots in its keys; JSON is opened.

    Values are as they were; whoever shows them makes them printable.
    """
    root: dict[str, Any] = {}
    for kind, key, value in metadata:
        at = root.setdefault(kind, {})
        *above, last = key.split(".")
        for word in above:
            below = at.get(word)
            if not isinstance(below, dict):
                below = at[word] = {} if below is None else {"": below}
            at = below
        told = _opened(value)
        if isinstance(at.get(last), dict) and not isinstance(told, dict):
            at[last][""] = told
        else:
            at[last] = told
    return root


def _opened(value: str) -> Any:
    if value[:1] not in ("{", "["):
        return value
    try:
        told = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return told if isinstance(told, dict | list) else value
