"""One model: what it is, why, where its files are, and what it says about itself."""

from collections.abc import Iterable, Iterator
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer, Static

from modelhub.core.names import human_size, printable
from modelhub.services.library import ModelDetails
from modelhub.tui.actions import bindings

_BAR = 20
_MOST = 200
_LABEL = 16


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


def _written(details: ModelDetails) -> Text:
    model = details.model
    text = Text(overflow="fold")
    text.append(f"{printable(model.filename)}\n\n", "bold")
    _pairs(text, _overview(details))
    _heading(text, "Why")
    for one in details.evidence:
        text.append(f"  {one.method:9} ", "dim")
        text.append(_bar(one.confidence), "green")
        claim = " ".join(word for word in (one.base or one.sub_type, one.claim) if word) or "against"
        text.append(f" {one.confidence:4.0%}  {claim}: {printable(one.because)}\n")
    if not details.evidence:
        text.append("  No method had anything to say.\n")
    _heading(text, "Files")
    for file in details.files[:_MOST]:
        role = "" if file.role == "main" else f" ({file.role})"
        text.append(f"  {human_size(file.size):>9}  {file.sha256[:12]}  {printable(file.name)}{role}\n")
    _listing(
        text, "Found at", (f"{printable(one.path)}{'' if one.present else ' (gone)'}" for one in details.locations)
    )
    _listing(text, "Deployed at", map(printable, details.deployed))
    _heading(text, "It says of itself")
    _pairs(text, ((printable(key), printable(value)[:300]) for _, key, value in details.metadata[:_MOST]))
    return text


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


def _pairs(text: Text, pairs: Iterable[tuple[str, str]]) -> None:
    for label, value in pairs:
        if value:
            text.append(f"  {label:{_LABEL}} ", "dim")
            text.append(f"{value}\n")


def _heading(text: Text, title: str) -> None:
    text.append(f"\n{title}\n", "bold")


def _listing(text: Text, title: str, lines: Iterable[str]) -> None:
    listed = list(lines)
    if listed:
        _heading(text, title)
        for one in listed[:_MOST]:
            text.append(f"  {one}\n")


def _bar(share: float) -> str:
    full = round(share * _BAR)
    return "━" * full + "╌" * (_BAR - full)
