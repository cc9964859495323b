"""One model: what it is, why, where its files are, and what it says about itself."""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer, Static

from modelhub.core.names import human_size, printable
from modelhub.core.types import Evidence, ModelFile
from modelhub.services.library import ModelDetails
from modelhub.tui.actions import bindings

_BAR = 20
_MOST = 200
_LABEL = 13
_LONGEST = 300
_INDENT = 2


class DetailsScreen(Screen[None]):
    """Text only; every word of the model's own is made printable first."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("details")

    def __init__(self, details: ModelDetails) -> None:
        super().__init__()
        self._details = details

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(_written(self._details), markup=False)
        yield Footer()

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()

    def action_back(self) -> None:
        self.dismiss()


def _written(details: ModelDetails) -> Group:
    model = details.model
    gone = {False: " (gone)", True: ""}
    parts: list[RenderableType] = [Text(printable(model.filename), "bold"), Text(), _pairs(_overview(details))]
    parts += [_heading("Why"), _evidence(details.evidence)]
    parts += [_heading("Files"), _files(details.files[:_MOST])]
    parts += _listing("Found at", (printable(one.path) + gone[one.present] for one in details.locations))
    parts += _listing("Deployed at", map(printable, details.deployed))
    said = ((printable(key), printable(value)[:_LONGEST]) for _, key, value in details.metadata[:_MOST])
    parts += [_heading("It says of itself"), _pairs(said)]
    return Group(*parts)


def _evidence(evidence: Sequence[Evidence]) -> RenderableType:
    if not evidence:
        return Text("  No method had anything to say.")
    grid = _grid(9, _BAR, 4, None)
    for one in evidence:
        claim = " ".join(word for word in (one.base or one.sub_type, one.claim) if word) or "against"
        because = f"{claim}: {printable(one.because)}"
        grid.add_row(
            Text(one.method, "dim"), Text(_bar(one.confidence), "green"), f"{one.confidence:.0%}", Text(because)
        )
    return grid


def _files(files: Sequence[ModelFile]) -> Table:
    grid = _grid(9, 12, None)
    for file in files:
        role = "" if file.role == "main" else f" ({file.role})"
        grid.add_row(Text(human_size(file.size), justify="right"), file.sha256[:12], Text(printable(file.name) + role))
    return grid


def _overview(details: ModelDetails) -> Iterator[tuple[str, str]]:
    model = details.model
    yield "Type", f"{model.type}, {model.confidence:.0%} sure"
    yield "Base", " / ".join(dict.fromkeys(word for word in (model.base, model.sub_type, model.variant) if word))
    yield "State", model.state + (f": {printable(model.message)}" if model.message else "")
    yield "Format", " ".join(word for word in (model.format, model.quantization or model.precision) if word)
    yield "Size", human_size(model.size)
    yield "Parameters", f"{model.parameters:,}" if model.parameters else ""
    yield "Context", f"{model.context_length:,} tokens" if model.context_length else ""
    yield "Trigger words", printable(model.triggers)
    yield "Tags", printable(", ".join(model.tags))
    yield "Notes", printable(model.notes)
    yield "SHA-256", model.sha256
    yield "Path", printable(details.path)


def _grid(*widths: int | None) -> Table:
    """Columns of these widths after an indent; None takes what is left and folds."""
    grid = Table.grid(padding=(0, 0, 0, _INDENT))
    for width in widths:
        grid.add_column(width=width + _INDENT if width else None, ratio=None if width else 1, overflow="fold")
    return grid


def _pairs(pairs: Iterable[tuple[str, str]]) -> Table:
    grid = _grid(_LABEL, None)
    for label, value in pairs:
        if value:
            grid.add_row(Text(label, "dim"), Text(value))
    return grid


def _heading(title: str) -> Text:
    return Text(f"\n{title}", "bold")


def _listing(title: str, lines: Iterable[str]) -> list[RenderableType]:
    grid = _grid(None)
    for one in list(lines)[:_MOST]:
        grid.add_row(Text(one))
    return [_heading(title), grid] if grid.row_count else []


def _bar(share: float) -> str:
    full = round(share * _BAR)
    return "━" * full + "╌" * (_BAR - full)
