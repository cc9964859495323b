"""Classification rules as their users see them: listed, shown, tried, added, changed, put back, checked."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelhub.classify import gather, lint, rulebook
from modelhub.classify.globs import NameIndex
from modelhub.classify.lint import Finding
from modelhub.classify.rulebook import ArchitectureRule, RuleBook
from modelhub.core.errors import Conflict, InvalidInput, ModelHubError, NotFound
from modelhub.core.names import printable
from modelhub.core.types import Classified
from modelhub.services.judge import Judge
from modelhub.store import rule_files, rule_rows
from modelhub.store.rule_forms import FORMS, Row
from modelhub.store.rules import KEYS, Rules

_ELSEWHERE = "model_categorization"


@dataclass(frozen=True, slots=True)
class RuleInfo:
    """One rule: where it stands, whose it is (`ours`, `yours`, or a file of yours), and what it says in short."""

    table: str
    key: str
    origin: str
    enabled: bool
    says: str
    because: str


@dataclass(frozen=True, slots=True)
class Tried:
    """A rule of the architectures that fires for a model, and whether another one goes before it."""

    key: str
    says: str
    because: str
    silenced: bool


class RuleDesk:
    """The rules of a hub: those we ship, a user's rows over them, and files in a user's folders over both."""

    def __init__(self, rules: Rules, judge: Judge, folder: Path) -> None:
        self._rules = rules
        self._judge = judge
        self.folder = folder

    def listed(self, *, table: str = "", text: str = "", mine: bool = False) -> list[RuleInfo]:
        """Every rule, a user's before ours; `text` is looked for in keys and in what they say."""
        if table and table not in FORMS:
            raise NotFound(f"There is no table {printable(table)!r}.", hint=f"Tables: {', '.join(FORMS)}.")
        found = [info for info in self._every() if not table or info.table == table]
        folded = text.casefold()
        return [
            info
            for info in found
            if (not mine or info.origin != "ours")
            and (not folded or folded in f"{info.key} {info.says} {info.because}".casefold())
        ]

    def _every(self) -> Iterator[RuleInfo]:
        for table, rows in self._all_rows().items():
            for row in rows:
                origin = row.get("file") or ("yours" if row["origin"] == "user" else "ours")
                because = str(row.get("because") or row.get("description") or "")
                yield RuleInfo(
                    table, str(row[KEYS[table]]), origin, bool(row.get("enabled", True)), _says(row), because
                )

    def _all_rows(self) -> dict[str, list[Row]]:
        """Every row by table: those of files in the user's folders, the user's, ours."""
        own, _ = rule_files.folder_rows(self._judge.folders)
        return {table: [*own.get(table, ()), *rows] for table, rows in self._rules.all_rows().items()}

    def show(self, key: str) -> str:
        """The rule of that key as YAML, as a rule file would hold it: the user's if there are two."""
        table, row = self._find(key)
        return rule_files.dump(rule_files.document_of({table: [row]}))

    def add(
        self, content: str | bytes, where: str, *, replace: bool = False, only: str = "", dry_run: bool = False
    ) -> list[str]:
        """Take rules in from the text of a rule file; their keys. `only` is the one rule that it may hold.

        Raises ConfigInvalid for one that cannot be right, Conflict for one that is there, unless it may be replaced.
        """
        rows = rule_files.rows_of(_collected(rule_files.parse(content, where), where), where)
        if only:
            table, row = self._find(only)
            keys = [(other, one[KEYS[other]]) for other, found in rows.items() for one in found]
            if keys != [(table, row[KEYS[table]])]:
                told = f"{where} must hold the rule {printable(only)!r} of {table} and no other."
                raise InvalidInput(told, hint="`modelhub rules add` takes further rules.")
        own = self._rules.own_rows()
        for table, found in rows.items():
            held = {row[KEYS[table]] for row in own[table]}
            there = [row[KEYS[table]] for row in found if row[KEYS[table]] in held]
            if there and not replace:
                raise Conflict(
                    f"You have a rule {there[0]!r} in {table}.", hint="Use --replace, or `modelhub rules edit`."
                )
        self._check(rows, where)
        if not dry_run:
            self._rules.put(rows)
            self._forget()
        return [str(row[KEYS[table]]) for table, found in rows.items() for row in found]

    def enable(self, key: str, *, enabled: bool) -> list[str]:
        """Switch a rule off, or on again; ours stays as it is under a row of the user's that hides it.

        Keys of the rules that build on one that is off, and so never fire either.
        """
        table, row = self._find(key)
        if row.get("file"):
            raise InvalidInput(f"{printable(key)!r} is a rule of {row['file']}.", hint="Change it there.")
        if enabled and row["origin"] == "user" and not row["enabled"] and self._same_as_ours(table, row):
            self._rules.remove(table, row[KEYS[table]])
        else:
            self._rules.put({table: [row | {"enabled": enabled}]})
        self._forget()
        return [] if enabled else self._building_on(row[KEYS[table]])

    def _building_on(self, key: str) -> list[str]:
        return [rule.key for rule in self._judge.book.architectures if key in rule.when.requires]

    def reset(self, key: str = "") -> int:
        """Take the user's rows away, of one key or all of them, so that ours hold; how many there were."""
        tables, name = _named(key)
        gone = 0
        for table, rows in self._rules.own_rows().items():
            for row in rows if table in tables else ():
                if not name or row[KEYS[table]] == name:
                    gone += self._rules.remove(table, str(row[KEYS[table]]))
        if key and not gone:
            raise NotFound(f"You have no rule {printable(key)!r}.", hint="`modelhub rules list --mine` shows yours.")
        self._forget()
        return gone

    def export(self, *, everything: bool = False) -> str:
        """The user's rules as one rule file; all that are in force if asked for."""
        rows: Mapping[str, Sequence[Any]] = self._rules.rows()[0] if everything else self._rules.own_rows()
        return rule_files.dump(rule_files.document_of(rows))

    def try_on(self, path: str) -> tuple[Classified, list[Tried]]:
        """A file or folder judged, with the architecture rules that fire for it, those that are silenced too."""
        classified = self._judge.at(path)
        fired = gather.trial(classified.inspection, NameIndex(classified.inspection.tensors), self._judge.book)
        return classified, [Tried(rule.key, _claims(rule), rule.because, not stands) for rule, stands in fired]

    def lint(self, *, samples: bool = True) -> list[Finding]:
        """What is wrong with the rules in force, and what never matters: checked against the sample library too."""
        book = self._judge.book
        findings = [Finding("error", "", "", message) for message in book.problems]
        findings += lint.dangling(book)
        findings += self._shadowing()
        if samples:
            findings += self._never_matching(book)
        return findings

    def _shadowing(self) -> Iterator[Finding]:
        """A user's rule that hides ours, which may be what is wanted and may be a slip."""
        rows = self._rules.all_rows()
        for table, found in rows.items():
            ours = {row[KEYS[table]] for row in found if row["origin"] == "seed"}
            for row in found:
                if row["origin"] == "user" and row[KEYS[table]] in ours:
                    what = "hides" if row["enabled"] else "switches off"
                    yield Finding("note", table, str(row[KEYS[table]]), f"It {what} the shipped rule of the same key.")

    def _never_matching(self, book: RuleBook) -> Iterator[Finding]:
        """Rules of the user's that fire for none of the sample library, or are silenced whenever they do."""
        own = {info.key for info in self._every() if info.origin != "ours" and info.table == "architecture_patterns"}
        if not own:
            return
        fired, stood = Counter[str](), Counter[str]()
        for classified in _samples(self._judge):
            for rule, stands in gather.trial(classified.inspection, NameIndex(classified.inspection.tensors), book):
                fired[rule.key] += 1
                stood[rule.key] += stands
        for rule in book.architectures:
            if rule.key in own and not fired[rule.key]:
                message = "It fires for none of the sample library; try it: `modelhub rules test PATH`."
                yield Finding("note", "architecture_patterns", rule.key, message)
            elif rule.key in own and not stood[rule.key]:
                message = "Whenever it fires another rule goes before it."
                yield Finding("warning", "architecture_patterns", rule.key, message)

    def _find(self, key: str) -> tuple[str, Row]:
        """The row of that key, the user's if there are two; `table:key` where several tables have it."""
        tables, name = _named(key)
        found: dict[str, Row] = {}
        for table, rows in self._all_rows().items():
            for row in rows:
                if table in tables and row[KEYS[table]] == name:
                    found.setdefault(table, row)
        if not found:
            raise NotFound(f"There is no rule {printable(key)!r}.", hint="`modelhub rules list` shows them.")
        if len(found) > 1:
            told = ", ".join(f"{table}:{name}" for table in found)
            raise InvalidInput(f"Several tables have a rule {printable(key)!r}.", hint=f"Say which: {told}.")
        return next(iter(found.items()))

    def _same_as_ours(self, table: str, row: Row) -> bool:
        entry = FORMS[table].to_entry
        return any(
            other["origin"] == "seed" and other[KEYS[table]] == row[KEYS[table]] and entry(other) == entry(row)
            for other in self._rules.all_rows()[table]
        )

    def _check(self, new: Mapping[str, Sequence[Row]], where: str) -> None:
        """Whether a book can be made of the rules in force with these over them, and they name what there is."""
        rows, digest = self._rules.rows()
        rows, _ = rule_rows.sound(rows)
        named = {table: [row | {"origin": "user"} for row in found] for table, found in new.items()}
        book = rulebook.build(
            {table: rule_files.over(table, found, named.get(table, ())) for table, found in rows.items()}, digest
        )
        keys = {
            str(row[name])
            for table, found in new.items()
            for row in found
            for name in (KEYS[table], "term")
            if name in row
        }
        wrong = [
            *(message for message in book.problems if any(repr(key) in message for key in keys)),
            *(f"{one.table}, rule {one.key!r}: {one.message}" for one in lint.dangling(book) if one.key in keys),
        ]
        if wrong:
            raise InvalidInput(f"{where}: {wrong[0]}", hint="Correct the rule; nothing was changed.")

    def _forget(self) -> None:
        self._judge.__dict__.pop("book", None)


def rule_text(path: Path) -> bytes:
    """What a rule file holds. Raises ConfigInvalid for what cannot be one."""
    return rule_files.text(path)


def _named(key: str) -> tuple[Sequence[str], str]:
    """The tables where a rule may be, and its key; `table:key` where several tables have it."""
    wanted, _, rest = key.partition(":")
    return ([wanted], rest) if rest and wanted in KEYS else (list(KEYS), key)


def _collected(document: Any, where: str) -> Any:
    """A collection of tables; a bare list is of architecture patterns, the rules of the seeds' guide are categories."""
    if isinstance(document, list):
        return {"architecture_patterns": document}
    if isinstance(document, Mapping) and "categorization_rules" in document:
        told = list(_categorization(document["categorization_rules"]))
        if not told:
            raise InvalidInput(f"{where} holds no category with keywords.", hint="See the README.")
        return {"category_rules": told}
    return document


def _categorization(told: Any) -> Iterator[dict[str, Any]]:
    """Rules of a `model_categorization.json`: keywords, file patterns and modalities by level and category."""
    levels = {"primary_category": "primary", "secondary_category": "secondary", "specialization": "specialization"}
    for name, categories in told.items() if isinstance(told, Mapping) else ():
        for value, rule in categories.items() if isinstance(categories, Mapping) else ():
            level = levels.get(str(name))
            words = rule.get("keywords", ()) if isinstance(rule, Mapping) else ()
            if level is None or not isinstance(words, list) or not words:
                continue
            pattern = "|".join(f"(?<![a-z]){_escaped(str(word))}(?![a-z])" for word in words)
            key = f"{_ELSEWHERE}-{level}-{str(value).lower()}"
            yield {"key": key, "level": level, "value": str(value).upper(), "keywords": pattern, "confidence": 0.9}


def _escaped(word: str) -> str:
    return "".join(char if char.isalnum() else rf"\{char}" for char in word)


def _samples(judge: Judge) -> Iterator[Classified]:
    from modelhub.samples import library  # noqa: PLC0415  (only this check needs the recipes)

    with tempfile.TemporaryDirectory(prefix="modelhub-") as folder:
        for path in list(library.write(Path(folder))):
            try:
                yield judge.at(str(path))
            except ModelHubError:
                continue  # a file of the samples that is no model


def _says(row: Row) -> str:
    """What a row claims, in a few words."""
    told = [
        str(row[name])
        for name in ("model_type", "base", "variant", "level", "value", "primary_type", "sub_type", "display_name")
        if row.get(name)
    ]
    return " ".join(dict.fromkeys(told)) or str(row.get("weight") or row.get("pattern") or "")


def _claims(rule: ArchitectureRule) -> str:
    return " ".join(dict.fromkeys(word for word in (rule.type, rule.base, rule.sub_type, rule.variant) if word))
