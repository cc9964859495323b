"""The rules of classification: browsed, tried on a model, changed, switched off, put back."""

from collections.abc import Sequence
from functools import partial

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input

from modelhub.core.errors import NotFound
from modelhub.core.names import printable
from modelhub.services.rules import RuleInfo
from modelhub.tui.actions import bindings
from modelhub.tui.dialogs import Ask, Edit, Show
from modelhub.tui.frame import TableScreen
from modelhub.tui.jobs import quick
from modelhub.tui.table import Column, Line, LineTable, Row

_NEW = """\
architecture_patterns:
  - key: my-rule
    when:
      all: ["lora_unet_*"]
    then: {type: lora, base: sdxl, confidence: 0.9}
    because: why it is so
"""


class _Line:
    def __init__(self, rule: RuleInfo) -> None:
        self.rule = rule
        self.key = (rule.table, rule.key)
        self.troubled = not rule.enabled
        self.cells: Row = (
            printable(rule.key), rule.table, printable(rule.origin), "" if rule.enabled else "off",
            printable(rule.says), printable(rule.because),
        )  # fmt: skip


class RulesScreen(TableScreen):
    NAME = "rules"
    BINDINGS = bindings("rules")
    COLUMNS = (
        Column("Rule", 30, searched=True), Column("Table", 22, least=100), Column("Whose", 6), Column("", 3),
        Column("Says", 24, searched=True), Column("Because", 0, least=120, searched=True),
    )  # fmt: skip
    EMPTY = "No rule fits."

    def content(self) -> ComposeResult:
        yield Input(placeholder="Filter by key and by what rules say", id="query", compact=True)
        yield from super().content()

    def read(self) -> tuple[Sequence[Line], str]:
        rules = self.hub.rules.listed()
        yours = {(rule.table, rule.key) for rule in rules if rule.origin == "yours"}
        in_force = (rule for rule in rules if rule.origin != "ours" or (rule.table, rule.key) not in yours)
        lines = [_Line(rule) for rule in in_force]
        mine = sum(line.rule.origin != "ours" for line in lines)
        return lines, f"{len(lines):,} rules, {mine} of them yours"

    def take(self, lines: Sequence[Line], told: str) -> None:
        super().take(lines, told)
        self._typed()

    @on(Input.Changed)
    def _typed(self) -> None:
        word = self.query_one("#query", Input).value.strip().casefold()
        fitting = [
            line
            for line in self.lines
            if word in f"{line.rule.key} {line.rule.says} {line.rule.because} {line.rule.table}".casefold()
        ]
        self.table.show(fitting, [word] if word else [])
        self.query_one("#empty").display = not fitting

    @on(Input.Submitted)
    def action_back(self) -> None:
        """From the filter to the table, and from there to the library."""
        if isinstance(self.focused, Input):
            self.set_focus(self.table)
        else:
            super().action_back()

    def action_filter(self) -> None:
        self.set_focus(self.query_one("#query", Input))

    @property
    def _rule(self) -> RuleInfo | None:
        line = self.table.current
        return line.rule if isinstance(line, _Line) else None

    @on(LineTable.Chosen)
    def action_edit(self) -> None:
        rule = self._rule
        if rule is None:
            return
        name = f"{rule.table}:{rule.key}"
        text = self.attempt(lambda: self.hub.rules.show(name))
        if text is None:
            return
        if rule.origin not in ("ours", "yours"):
            self.app.push_screen(Show(f"{rule.key} is a rule of {rule.origin}; change it there", text))
        else:
            title = f"{rule.key}: what you save is a rule of yours over ours"
            self.app.push_screen(Edit(title, text, partial(self._edited, name, text)))

    def _edited(self, name: str, before: str, after: str) -> None:
        if after.strip() != before.strip():
            self._save(after, only=name)

    def action_add(self) -> None:
        self.app.push_screen(Edit("A rule of yours", _NEW, self._save))

    def _save(self, text: str, *, only: str = "") -> None:
        keys = self.hub.rules.add(text, "what you wrote", replace=bool(only), only=only)
        self.main.say(f"Saved: {', '.join(keys)}. R in the library judges models by it.")
        self.shown()

    def action_enable(self) -> None:
        rule = self._rule
        if rule is not None:
            name = f"{rule.table}:{rule.key}"
            silent = self.attempt(lambda: self.hub.rules.enable(name, enabled=not rule.enabled))
            if silent:
                self.main.say(f"These build on it and never fire now: {', '.join(silent)}", "warning")
            self.shown()

    def action_reset(self) -> None:
        rule = self._rule
        if rule is None or rule.origin != "yours":
            self.main.say("It is no rule of yours.", "warning")
        else:
            question = f"Take your rule {rule.key} away? This cannot be undone."
            self.app.push_screen(Ask(question, "Take away"), partial(self._reset, f"{rule.table}:{rule.key}"))

    def _reset(self, name: str, sure: bool | None) -> None:
        if sure:
            self.attempt(lambda: self.hub.rules.reset(name))
            self.shown()

    def action_try_on(self) -> None:
        listed = self.main.library.under_cursor
        if listed is None:
            self.main.say("There is no model to try the rules on.", "warning")
            return
        self.main.start(
            f"Try the rules on {listed.filename}",
            lambda: quick(lambda: self._tried(listed.id)),
            lambda told: self.main.show(f"Rules that fire for {listed.filename}", told),
        )

    def _tried(self, model_id: int) -> str:
        path = self.hub.models.details(str(model_id)).path
        if not path:
            raise NotFound("The model cannot be reached.", hint="Is its drive away?")
        classified, tried = self.hub.rules.try_on(path)
        verdict = classified.verdict
        told = [f"{verdict.base or verdict.sub_type} {verdict.type}, {verdict.confidence:.0%} sure".strip(), ""]
        told += [f"{'silenced' if one.silenced else 'fires':9} {one.key}: {one.says} ({one.because})" for one in tried]
        return "\n".join(told if tried else [*told, "No rule of the architectures fires."])
