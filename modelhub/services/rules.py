"""Classification rules as their users see them: listed, shown, tried, added, changed, put back, checked."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelhub.classify import gather, rulebook
from modelhub.classify.globs import NameIndex
from modelhub.classify.rulebook import ArchitectureRule, RuleBook
from modelhub.core.errors import Conflict, InvalidInput, ModelHubError, NotFound
from modelhub.core.names import printable
from modelhub.core.types import Classified
from modelhub.services.judge import Judge
from modelhub.store import rule_files
from modelhub.store.rule_files import FORMS, Row
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


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with a rule, or worth knowing; only errors make a check fail."""

    level: str
    table: str
    key: str
    message: str


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
        own, _ = rule_files.folder_rows(self._judge.folders)
        for table, rows in self._rules.all_rows().items():
            for row in (*own.get(table, ()), *rows):
                origin = row.get("file") or ("yours" if row["origin"] == "user" else "ours")
                because = str(row.get("because") or row.get("description") or "")
                yield RuleInfo(
                    table, str(row[KEYS[table]]), origin, bool(row.get("enabled", True)), _says(row), because
                )

    def show(self, key: str) -> str:
        """The rule of that key as YAML, as a rule file would hold it: the user's if there are two."""
        table, row = self._find(key)
        return rule_files.dump(rule_files.document_of({table: [row]}))

    def add(self, content: str, where: str, *, replace: bool = False, dry_run: bool = False) -> list[str]:
        """Take rules in from the text of a rule file; their keys.

        Raises ConfigInvalid for one that cannot be right, Conflict for one that is there, unless it may be replaced.
        """
        rows = rule_files.rows_of(_collected(rule_files.parse(content, where)), where)
        own = self._rules.own_rows()
        for table, found in rows.items():
            held = {row[KEYS[table]] for row in own[table]}
            twice = [key for key, count in Counter(row[KEYS[table]] for row in found).items() if count > 1]
            if twice:
                raise InvalidInput(f"{where}: {table} has the rule {twice[0]!r} twice.", hint="Leave one.")
            there = [row[KEYS[table]] for row in found if row[KEYS[table]] in held]
            if there and not replace:
                raise Conflict(f"You have a rule {there[0]!r} in {table}.", hint="`modelhub rules edit` changes it.")
        self._check(rows, where)
        if not dry_run:
            self._rules.put(rows)
            self._forget()
        return [str(row[KEYS[table]]) for table, found in rows.items() for row in found]

    def enable(self, key: str, *, enabled: bool) -> None:
        """Switch a rule off, or on again; ours stays as it is under a row of the user's that hides it."""
        table, row = self._find(key)
        if enabled and row["origin"] == "user" and not row["enabled"] and self._same_as_ours(table, row):
            self._rules.remove(table, key)
        else:
            self._rules.put({table: [row]}, enabled=enabled)
        self._forget()

    def reset(self, key: str = "") -> int:
        """Take the user's rows away, of one key or all of them, so that ours hold; how many there were."""
        gone = 0
        for table, rows in self._rules.own_rows().items():
            for row in rows:
                if not key or row[KEYS[table]] == key:
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
        findings += _dangling(book)
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
        wanted, _, rest = key.partition(":")
        tables = [wanted] if rest and wanted in KEYS else list(KEYS)
        name = rest if rest and wanted in KEYS else key
        found: dict[str, Row] = {}
        for table, rows in self._rules.all_rows().items():
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
        named = {table: [row | {"origin": "user"} for row in found] for table, found in new.items()}
        book = rulebook.build(
            {table: rule_files.over(table, found, named.get(table, ())) for table, found in rows.items()}, digest
        )
        keys = {str(row[KEYS[table]]) for table, found in new.items() for row in found}
        wrong = [
            *(message for message in book.problems if any(repr(key) in message for key in keys)),
            *(f"{one.table}, rule {one.key!r}: {one.message}" for one in _dangling(book) if one.key in keys),
        ]
        if wrong:
            raise InvalidInput(f"{where}: {wrong[0]}", hint="Correct the rule; nothing was changed.")

    def _forget(self) -> None:
        self._judge.__dict__.pop("book", None)


def check_file(path: Path) -> list[str]:
    """The keys of the rules in a file that is well written; raises ConfigInvalid for any other."""
    return [str(row[KEYS[table]]) for table, found in rule_files.read(path).items() for row in found]


def _dangling(book: RuleBook) -> Iterator[Finding]:
    """Rules that name a type, a family or a rule that there is not."""
    keys = {rule.key for rule in book.architectures}
    for rule in book.architectures:
        for message in _misnamed(rule, book, keys):
            yield Finding("error", "architecture_patterns", rule.key, message)
    for named in book.filenames:
        if named.type and named.type not in book.types:
            yield Finding("error", "filename_patterns", named.key, f"There is no type {named.type!r}.")
    for category in book.categories:
        for unknown in sorted(category.types - book.types.keys()):
            yield Finding("error", "category_rules", category.key, f"There is no type {unknown!r}.")


def _misnamed(rule: ArchitectureRule, book: RuleBook, keys: set[str]) -> Iterator[str]:
    for kind in (rule.type, rule.bundled_type):
        if kind and kind not in book.types:
            yield f"There is no type {kind!r}."
    if rule.base and not rule.base.startswith("="):
        for family in rule.base.split("|"):
            if family not in book.parents:
                yield f"There is no family {family!r} in base_models."
    for other in sorted(rule.before | set(rule.when.requires)):
        if other not in keys and not other.startswith("@") and "*" not in other:
            yield f"There is no rule {other!r}, which it names."


def _collected(document: Any) -> Any:
    """A collection of tables; a bare list is of architecture patterns, the rules of the seeds' guide are categories."""
    if isinstance(document, list):
        return {"architecture_patterns": document}
    if isinstance(document, Mapping) and "categorization_rules" in document:
        return {"category_rules": list(_categorization(document["categorization_rules"]))}
    return document


def _categorization(told: Any) -> Iterator[dict[str, Any]]:
    """Rules of a `model_categorization.json`: keywords, file patterns and modalities by level and category."""
    levels = {"primary_category": "primary", "secondary_category": "secondary", "specialization": "specialization"}
    for name, categories in told.items() if isinstance(told, Mapping) else ():
        for value, rule in categories.items() if isinstance(categories, Mapping) else ():
            level = levels.get(str(name))
            words = rule.get("keywords", ()) if isinstance(rule, Mapping) else ()
            if level is None or not words:
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
