"""Rules as data: plain rows, from the seed files or from classification.db, made ready for use.

A row of the user's that cannot be right (an unknown condition, a bad pattern, a circle of precedence) is left out and
told with its table and key; one of ours is refused. The same rows load whether or not there is a hub.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple, TypeVar

from modelhub.classify.conditions import BadCondition, Conditions, Pattern, parse, words
from modelhub.classify.globs import necessary_part
from modelhub.core.errors import ConfigInvalid

T = TypeVar("T")
Row = Mapping[str, Any]
Rows = Mapping[str, Sequence[Row]]


@dataclass(frozen=True, slots=True)
class ArchitectureRule:
    key: str
    when: Conditions
    type: str
    bundled_type: str
    base: str
    sub_type: str
    variant: str
    confidence: float
    because: str
    before: frozenset[str]


@dataclass(frozen=True, slots=True)
class FilenameRule:
    key: str
    pattern: Pattern
    type: str
    base: str
    variant: str
    confidence: float
    because: str


@dataclass(frozen=True, slots=True)
class SubTypeRule:
    key: str
    type: str
    sub_type: str
    base: str
    pattern: Pattern
    source: str
    confidence: float
    from_user: bool


@dataclass(frozen=True, slots=True)
class SizeRule:
    type: str
    minimum: int
    maximum: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Family:
    """A family of models: what files call its architecture, how names call it, and the half of the field it is of.

    `carries` are families that are built on this one's architecture, `*` being all: one that is named goes before it.
    """

    name: str
    parent: str
    domain: str
    architectures: frozenset[str]
    names: Pattern | None
    carries: frozenset[str]


@dataclass(frozen=True, slots=True)
class CategoryRule:
    """What a model is for. `types` empty: any; `keywords` are looked for in names, tags and what it was made from."""

    key: str
    level: str
    value: str
    types: frozenset[str]
    when: Conditions
    keywords: Pattern | None
    confidence: float


@dataclass(frozen=True)
class RuleBook:
    """All enabled rules. `digest` names this set, so that a verdict can say which rules made it.

    `terms` is what sites call things, by source, kind and term; `apis` the seconds between two questions to a site and
    to wait for its answer.
    """

    digest: str
    types: Mapping[str, str]
    domains: Mapping[str, str]
    parents: Mapping[str, str]
    families: tuple[Family, ...]
    by_architecture: Mapping[str, Family]
    categories: tuple[CategoryRule, ...]
    terms: Mapping[tuple[str, str, str], str]
    apis: Mapping[str, tuple[float, float]]
    weights: Mapping[str, float]
    architectures: tuple[ArchitectureRule, ...]
    bundle: Conditions
    filenames: tuple[FilenameRule, ...]
    sub_types: tuple[SubTypeRule, ...]
    sizes: Mapping[str, SizeRule] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def root(self, family: str) -> str:
        """The family a finer one belongs to: pony -> sdxl."""
        return self.parents.get(family) or family

    @cached_property
    def _by_container(self) -> dict[str, "_Asked"]:
        return {}

    def asked_of(self, container: str, parts: AbstractSet[str]) -> Mapping[str, ArchitectureRule]:
        """By key, the architecture rules that can fire for a format whose tensors' names have these parts."""
        asked = self._by_container.get(container)
        if asked is None:
            asked = self._by_container[container] = _asked_of(container, self.architectures)
        needed = (asked.by_part[part] for part in asked.by_part.keys() & parts)
        chosen = sorted({place for places in (asked.always, *needed) for place in places})
        return {self.architectures[place].key: self.architectures[place] for place in chosen}

    @cached_property
    def metadata_keys(self) -> frozenset[str]:
        """Every key of the metadata that some rule looks at."""
        conditions = [*(rule.when for rule in self.architectures), *(rule.when for rule in self.categories)]
        return frozenset(key for when in conditions for key in when.metadata_keys())

    @cached_property
    def carried(self) -> Mapping[str, frozenset[str]]:
        """By family, those that are built on its architecture."""
        return {family.name: family.carries for family in self.families if family.carries}


class _Asked(NamedTuple):
    """Places of the rules for one format: those always asked, and those asked where some name has a part."""

    always: list[int]
    by_part: dict[str, list[int]]


def _asked_of(container: str, rules: Sequence[ArchitectureRule]) -> _Asked:
    asked = _Asked([], {})
    for place, rule in enumerate(rules):
        when = rule.when
        if when.container and container not in when.container:
            continue
        parts = _needed(when)
        for part in parts:
            asked.by_part.setdefault(part, []).append(place)
        if not parts:
            asked.always.append(place)
    return asked


def _needed(when: Conditions) -> frozenset[str]:
    """Parts of names of which a file must have one for the conditions to hold; none if nothing can be said."""
    ways = [_needed(one) if isinstance(one, Conditions) else _part(one) for one in when.any]
    told = [_part(one) if isinstance(one, str) else _needed(one) for one in when.all]
    told += [_part(glob) for glob, _ in when.shapes]
    told.append(frozenset().union(*ways) if all(ways) else frozenset())
    return max(told, key=lambda parts: min(map(len, parts), default=0))


def _part(glob: str) -> frozenset[str]:
    part = necessary_part(glob)
    return frozenset((part,)) if part else frozenset()


def build(rows: Rows, digest: str) -> RuleBook:
    """Rows by table name, disabled ones left out by the caller, to a RuleBook."""
    types = {row["name"]: row["display_name"] for row in rows["model_types"]}
    parents = {row["name"]: row["parent"] or "" for row in rows["base_models"]}
    problems: list[str] = []
    families = _made(rows["base_models"], _family, problems)
    bundle = [row for row in rows["architecture_patterns"] if row["architecture"] == "bundle"]
    others = [row for row in rows["architecture_patterns"] if row["architecture"] != "bundle"]
    architectures = _made(others, lambda row: _architecture(row, types, parents), problems)
    own = frozenset(str(row.get("key")) for row in others if row.get("origin") == "user")
    architectures = _ordered(architectures, own, problems)
    return RuleBook(
        digest=digest,
        types=types,
        domains={row["name"]: row.get("domain") or "" for row in rows["model_types"]},
        parents=parents,
        families=families,
        by_architecture={word: family for family in families for word in family.architectures},
        categories=_made(rows["category_rules"], _category, problems),
        terms={(row["source"], row["kind"], row["term"].lower()): row["value"] for row in rows["external_terms"]},
        apis={
            row["name"]: (float(row["rate_limit_delay"]), float(row["timeout_seconds"]))
            for row in rows["external_apis"]
        },
        weights={row["method"]: float(row["weight"]) for row in rows["method_weights"]},
        architectures=architectures,
        bundle=Conditions(any=tuple(glob for when in _made(bundle, _conditions, problems) for glob in when.any)),
        filenames=_made(rows["filename_patterns"], _filename, problems),
        sub_types=_made(rows["sub_type_rules"], _sub_type, problems),
        sizes={rule.type: rule for rule in _made(rows["size_rules"], _size, problems)},
        problems=tuple(problems),
    )


def _made(rows: Iterable[Row], make: Callable[[Row], T], problems: list[str]) -> tuple[T, ...]:
    """Rules from rows. One of the user's that cannot be right is left out and told; one of ours is refused."""
    made = []
    for row in rows:
        try:
            made.append(make(row))
        except ConfigInvalid as error:
            if row.get("origin") != "user":
                raise
            problems.append(error.message)
    return tuple(made)


def _refuse(table: str, row: Row, why: str) -> ConfigInvalid:
    name = row.get("key") or row.get("name") or row.get("id") or "?"
    return ConfigInvalid(f"{table}, rule {name!r}: {why}.", hint="Correct the row, or set enabled = 0.")


def _json(table: str, row: Row, column: str) -> Any:
    text = row.get(column)
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError) as error:
        raise _refuse(table, row, f"{column} is not valid JSON") from error


def _pattern(table: str, row: Row, text: Any) -> Pattern:
    made = Pattern(str(text))
    _checked(table, row, (made,))
    return made


def _checked(table: str, row: Row, patterns: Iterable[Pattern]) -> None:
    """Compile a user's patterns at once, so that a bad one is told; ours are known to be good."""
    if row.get("origin") not in (None, "seed"):
        try:
            for one in patterns:
                one.check()
        except BadCondition as error:
            raise _refuse(table, row, str(error)) from error


def _architecture(row: Row, types: Mapping[str, str], parents: Mapping[str, str]) -> ArchitectureRule:
    """A row of ours names what it claims; one of the first version names a type or a family in `architecture`."""
    named = row["architecture"]
    model_type = row.get("model_type") or (named if named in types else "")
    base = row.get("base") or (named if named in parents else "")
    if not model_type and not base and not row.get("variant"):
        raise _refuse("architecture_patterns", row, f"{named!r} is neither a model type nor a base model")
    because = row.get("because") or f"tensor names match {row.get('tensor_pattern')}"
    return ArchitectureRule(
        key=row.get("key") or f"row-{row.get('id')}",
        when=_conditions(row),
        type=model_type,
        bundled_type=row.get("bundled_type") or "",
        base=base,
        sub_type=row.get("sub_type") or "",
        variant=row.get("variant") or "",
        confidence=float(row["confidence_weight"]),
        because=because,
        before=_before(row),
    )


def _before(row: Row) -> frozenset[str]:
    try:
        return frozenset(words(_json("architecture_patterns", row, "before")))
    except BadCondition as error:
        raise _refuse("architecture_patterns", row, f"before: {error}") from error


def _conditions(row: Row, table: str = "architecture_patterns") -> Conditions:
    """The conditions of a row; one of the first version has a regular expression over tensor names instead."""
    given = _json(table, row, "conditions") or {}
    if not given and row.get("tensor_pattern"):
        given = {"regex": row["tensor_pattern"]}
    try:
        when = parse(given)
    except BadCondition as error:
        raise _refuse(table, row, str(error)) from error
    _checked(table, row, when.patterns())
    return when


def _family(row: Row) -> Family:
    return Family(
        name=row["name"],
        parent=row["parent"] or "",
        domain=row.get("domain") or "",
        architectures=frozenset((row.get("architectures") or "").split()),
        names=_pattern("base_models", row, row["names"]) if row.get("names") else None,
        carries=frozenset((row.get("carries") or "").split()),
    )


def _category(row: Row) -> CategoryRule:
    return CategoryRule(
        key=row.get("key") or f"row-{row.get('id')}",
        level=row["level"],
        value=row["value"],
        types=frozenset((row.get("types") or "").split()),
        when=_conditions(row, "category_rules"),
        keywords=_pattern("category_rules", row, row["keywords"]) if row.get("keywords") else None,
        confidence=float(row["confidence_weight"]),
    )


def _filename(row: Row) -> FilenameRule:
    return FilenameRule(
        key=row.get("key") or f"row-{row.get('id')}",
        pattern=_pattern("filename_patterns", row, row["pattern"]),
        type=row.get("model_type") or "",
        base=row.get("base") or "",
        variant=row.get("variant") or "",
        confidence=float(row["confidence_weight"]),
        because=row.get("because") or f"the name matches {row['pattern']}",
    )


def _sub_type(row: Row) -> SubTypeRule:
    return SubTypeRule(
        key=row.get("key") or f"row-{row.get('id')}",
        type="" if row["primary_type"] in ("", "*", "any") else row["primary_type"],
        sub_type=row["sub_type"],
        base=row.get("base") or "",
        pattern=_pattern("sub_type_rules", row, row["pattern"]),
        source=row.get("pattern_type") or "filename",
        confidence=float(row["confidence_weight"]),
        from_user=row.get("origin") == "user",
    )


def _size(row: Row) -> SizeRule:
    return SizeRule(row["model_type"], int(row["min_size"]), int(row["max_size"]), float(row["confidence_weight"]))


_LONGEST_CHAIN = 50
"""Rules that build on each other, or go before each other, one after the next."""


def _ordered(
    rules: tuple[ArchitectureRule, ...], own: frozenset[str], problems: list[str]
) -> tuple[ArchitectureRule, ...]:
    """The rules without those of the user's by which `before` or `requires` runs in a circle, or without end.

    The answer would depend on chance. A circle of ours is refused.
    """
    for relation in ("before", "requires"):
        while True:
            named = {rule.key: rule.before if relation == "before" else rule.when.requires for rule in rules}
            told, keys = _endless({key: [one for one in following if one in named] for key, following in named.items()})
            if not keys:
                break
            mine = own.intersection(keys)
            named_key = next((key for key in keys if key in mine), keys[0])
            wrong = _refuse("architecture_patterns", {"key": named_key}, f"{relation} {told}")
            if not mine:
                raise wrong
            problems.append(wrong.message)
            rules = tuple(rule for rule in rules if rule.key not in mine)
    return rules


def _endless(following: Mapping[str, Sequence[str]]) -> tuple[str, list[str]]:
    """What is wrong, and the keys of a circle, or of all rules from which a chain goes too far; none if all is well."""
    try:
        order = list(TopologicalSorter(following).static_order())
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        return f"runs in a circle: {' > '.join(circle)}", circle
    length: dict[str, int] = {}
    for key in order:
        length[key] = 1 + max((length[one] for one in following.get(key, ())), default=0)
    return f"leads too far, over more than {_LONGEST_CHAIN} rules", [
        key for key in order if length[key] > _LONGEST_CHAIN
    ]
