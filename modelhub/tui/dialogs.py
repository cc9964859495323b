"""Small dialogs: a question, a choice, a form, a text to copy."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.suggester import Suggester, SuggestFromList
from textual.widgets import Button, Input, OptionList, Select, Static, TextArea
from textual.widgets.option_list import Option

from modelhub.core.errors import ModelHubError
from modelhub.core.names import printable
from modelhub.core.places import completed
from modelhub.tui.actions import bindings


class Folders(Suggester):
    """Completes the path of a folder while it is typed; → takes the suggestion."""

    async def get_suggestion(self, value: str) -> str | None:
        return completed(value)


class Ask(ModalScreen[bool]):
    """A question with yes and no; Enter is no."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("dialogs")

    def __init__(self, question: str, yes: str) -> None:
        super().__init__()
        self._question = question
        self._yes = yes

    def compose(self) -> ComposeResult:
        with Vertical(id="question"):
            yield Static(_lines(self._question), markup=False)
            with Horizontal(id="buttons"):
                yield Button(Content(f"{self._yes} (y)"), id="yes", variant="warning")
                yield Button("No (n)", id="no", variant="primary")

    def on_mount(self) -> None:
        self.query_one("#no", Button).focus()

    def key_y(self) -> None:
        self.dismiss(result=True)

    def key_n(self) -> None:
        self.dismiss(result=False)

    def key_left(self) -> None:
        self.focus_previous()

    def key_right(self) -> None:
        self.focus_next()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_cancel(self) -> None:
        self.dismiss(result=False)


class Choose(ModalScreen[str | None]):
    """One of several; the name of the choice, or None."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("dialogs")

    def __init__(self, title: str, choices: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._title = title
        self._choices = choices

    def compose(self) -> ComposeResult:
        with Vertical(id="question"):
            yield Static(printable(self._title), classes="title", markup=False)
            yield OptionList(*(Option(Content(printable(label)), id=name) for name, label in self._choices))

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)

    def action_cancel(self) -> None:
        self.dismiss(None)


@dataclass(frozen=True, slots=True)
class Field:
    """One line of a form. `choices` (value, label) make it a list; `suggested` are completed with →.

    A field that `is_folder` completes paths.
    """

    name: str
    label: str
    value: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    suggested: tuple[str, ...] = ()
    is_folder: bool = False


class Form(ModalScreen[None]):
    """Fields to fill in. `save` gets their values by name; while it refuses them the form stays, and says why."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("dialogs", "editor")

    def __init__(
        self,
        title: str,
        fields: Sequence[Field],
        save: Callable[[Mapping[str, str]], object],
        hint: str = "",
        done: str = "Save",
    ) -> None:
        super().__init__()
        self._title = title
        self._fields = fields
        self._save = save
        self._hint = hint
        self._done = done

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="form"):
            yield Static(printable(self._title), classes="title", markup=False)
            for field in self._fields:
                yield Static(printable(field.label), classes="label", markup=False)
                yield _input(field)
            yield Static(self._hint, id="hint", markup=False)
            with Horizontal(id="buttons"):
                yield Button(Content(f"{self._done} (Ctrl+S)"), id="done", variant="primary")
                yield Button("Cancel", id="cancel")

    def on_mount(self) -> None:
        self.query_one(f"#field-{self._fields[0].name}").focus()

    @on(Input.Submitted)
    @on(Button.Pressed, "#done")
    def action_save(self) -> None:
        values = {}
        for field in self._fields:
            widget = self.query_one(f"#field-{field.name}")
            value = widget.value if isinstance(widget, Input | Select) else ""
            values[field.name] = value if isinstance(value, str) else ""
        _saved(self, lambda: self._save(values))

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        self.dismiss()


def _saved(dialog: ModalScreen[None], save: Callable[[], object]) -> None:
    """Close the dialog if what it holds can be saved; else say why not."""
    try:
        save()
    except ModelHubError as error:
        hint = dialog.query_one("#hint", Static)
        hint.update(printable(f"{error.message} {error.hint}"))
        hint.add_class("refused")
    else:
        dialog.dismiss()


def _input(field: Field) -> Input | Select[str]:
    name = f"field-{field.name}"
    if field.choices:
        given = () if any(value == field.value for value, _ in field.choices) else ((field.value, field.value),)
        choices = [(Content(printable(label)), value) for value, label in (*given, *field.choices)]
        return Select(choices, value=field.value, allow_blank=False, id=name, compact=True)
    suggester: Suggester | None = None
    if field.is_folder:
        suggester = Folders(case_sensitive=True)
    elif field.suggested:
        suggester = SuggestFromList(field.suggested, case_sensitive=False)
    return Input(printable(field.value), id=name, suggester=suggester, compact=True)


class Show(ModalScreen[None]):
    """A text to read or to copy by hand."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("dialogs")

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(printable(self._title), classes="title", markup=False)
            yield TextArea(_lines(self._text), read_only=True)
            yield Static("Esc closes", id="hint", markup=False)

    def on_mount(self) -> None:
        area = self.query_one(TextArea)
        area.focus()
        area.select_all()

    def action_cancel(self) -> None:
        self.dismiss()


class Edit(ModalScreen[None]):
    """A text of several lines to change. `save` gets it; while it refuses the text the dialog stays, and says why."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("dialogs", "editor")

    def __init__(self, title: str, text: str, save: Callable[[str], object]) -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._save = save

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static(printable(self._title), classes="title", markup=False)
            yield TextArea(_lines(self._text))
            yield Static(id="hint", markup=False)
            with Horizontal(id="buttons"):
                yield Button("Save (Ctrl+S)", id="done", variant="primary")
                yield Button("Cancel", id="cancel")

    def on_mount(self) -> None:
        self.query_one(TextArea).focus()

    @on(Button.Pressed, "#done")
    def action_save(self) -> None:
        _saved(self, lambda: self._save(self.query_one(TextArea).text))

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        self.dismiss()


def _lines(text: str) -> str:
    """A text whose line breaks stay, and nothing else that a terminal could obey."""
    return "\n".join(printable(one) for one in text.splitlines())
