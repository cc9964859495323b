"""Which rows of `models` are meant: a filter's conditions, and the ways to name one model."""

from collections.abc import Callable
from typing import TypeAlias

from sqlalchemy import ColumnElement, exists, func, literal_column, or_

from modelhub.core.names import storable
from modelhub.core.query import COMPARISONS, REVIEW_BELOW, Term, parse
from modelhub.core.types import ModelFilter
from modelhub.store import schema

_M = schema.models.c


def ways_to_name(text: str, *, deleted: bool = False) -> list[ColumnElement[bool]]:
    """Conditions to be tried one after the other; with `deleted` for what is in the trash only."""
    folded = storable(text).casefold()
    ways: list[ColumnElement[bool]] = [_M.id == int(text)] if text.isdecimal() and len(text) < 19 else []
    alive = _M.deleted == (1 if deleted else 0)
    ways += [alive & (_M.filename == storable(text)), alive & (func.casefold(_M.filename) == folded)]
    ways.append(alive & func.casefold(_M.filename).in_([folded + suffix for suffix in _SUFFIXES]))
    lower = text.lower()
    if 4 <= len(lower) <= 64 and set(lower) <= set("0123456789abcdef"):
        ways.append((_M.file_hash >= lower) & (_M.file_hash < lower + "g"))
    return [way & alive for way in ways] if deleted else ways


_SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".onnx")


Indexed: TypeAlias = Callable[[str], ColumnElement[bool] | None]
"""That a model holds a word, where an index can tell that quickly."""

IS_DUPLICATE = (
    "id IN (SELECT f.model_id FROM model_files f JOIN found_files p ON p.sha256 = f.sha256 JOIN blobs b"
    " ON b.sha256 = f.sha256 WHERE p.present AND b.stored AND f.role <> 'companion'"
    " AND p.adopted IN ('copy', 'reference', 'reflink'))"
)
"""That a file of its own lies beside the one in the store."""

_EVERYWHERE = ("name", "type", "base", "sub", "trigger", "tag")
_TEXTS: dict[str, ColumnElement[str]] = {
    "name": _M.filename, "type": _M.primary_type, "base": _M.base, "sub": _M.sub_type,
    "trigger": func.coalesce(_M.triggers, ""), "format": _M.file_format, "license": _M.license,
    "can": _M.capabilities,
}  # fmt: skip
_LEVELS = (_M.category_primary, _M.category_secondary, _M.category_specialization)


def _asked(term: Term, indexed: Indexed) -> ColumnElement[bool]:
    """A term of the language as a condition."""
    if term.field in ("size", "sure"):
        column = _M.file_size if term.field == "size" else _M.confidence
        found: ColumnElement[bool] = COMPARISONS[term.operator](column, term.number)
    elif term.field == "is":
        found = or_(*(_STATES[value]() for value in term.values))
    else:
        found = or_(*(_holds(term, storable(value), indexed) for value in term.values))
    return ~found if term.negated else found


def _holds(term: Term, value: str, indexed: Indexed) -> ColumnElement[bool]:
    def fits(text: ColumnElement[str]) -> ColumnElement[bool]:
        folded = func.casefold(text)
        return folded == value if term.operator == "is" else func.instr(folded, value) > 0

    def field(name: str) -> ColumnElement[bool]:
        if name == "tag":
            return _tagged(fits(schema.tags.c.tag))
        if name == "quant":
            return or_(fits(func.coalesce(_M.quantization, "")), fits(func.coalesce(_M.precision, "")))
        if name == "category":
            return or_(*(fits(level) for level in _LEVELS))
        return fits(_TEXTS[name])

    if term.field:
        return field(term.field)
    quickly = indexed(value)
    return or_(*(field(name) for name in _EVERYWHERE)) if quickly is None else or_(quickly, field("tag"))


def _review() -> ColumnElement[bool]:
    unsure = (_M.confidence < REVIEW_BELOW) | (_M.primary_type == "unknown")
    return unsure & (_M.classification_method != "manual")


def _deployed() -> ColumnElement[bool]:
    links = schema.deploy_links.c
    return exists().where(links.model_id == _M.id, links.is_deployed == 1)


IS_LISTED = (
    "id IN (SELECT model_id FROM external_records WHERE source = 'civitai' AND found"
    " UNION SELECT model_id FROM model_metadata WHERE metadata_type = 'civitai'"
    " UNION SELECT model_id FROM model_files WHERE relative_path LIKE '%.civitai.info')"
)
_STATES: dict[str, Callable[[], ColumnElement[bool]]] = {
    "deployed": _deployed,
    "duplicate": lambda: literal_column(f"models.{IS_DUPLICATE}"),
    "review": _review,
    "unknown": lambda: _M.primary_type == "unknown",
    "corrected": lambda: _M.classification_method == "manual",
    "listed": lambda: literal_column(f"models.{IS_LISTED}"),
    "missing": lambda: (_M.missing == 1) & (_M.offline == 0),
    "offline": lambda: _M.offline == 1,
    "ok": lambda: (_M.state == "ok") & (_M.missing == 0) & (_M.offline == 0),
    "broken": lambda: _M.state == "broken",
    "unsafe": lambda: _M.state == "unsafe",
}


def conditions_of(wanted: ModelFilter, indexed: Indexed = lambda _: None) -> list[ColumnElement[bool]]:
    """A filter as conditions."""
    conditions: list[ColumnElement[bool]] = [_M.deleted == (1 if wanted.deleted else 0)]
    conditions += [_asked(term, indexed) for term in parse(wanted.text)]
    lists = (
        (_M.primary_type, wanted.types), (_M.base, wanted.bases), (_M.sub_type, wanted.sub_types),
        (_M.file_format, wanted.formats), (_M.state, wanted.states),
    )  # fmt: skip
    conditions += [column.in_(values) for column, values in lists if values]
    if wanted.quantizations:
        conditions.append(func.lower(_M.quantization).in_([name.lower() for name in wanted.quantizations]))
    if wanted.categories:
        names = [name.upper() for name in wanted.categories]
        conditions.append(or_(*(level.in_(names) for level in _LEVELS)))
    if wanted.licenses:
        conditions.append(_M.license.in_([name.lower() for name in wanted.licenses]))
    if wanted.capabilities:
        listed = ", " + _M.capabilities + ", "
        conditions.append(or_(*(func.instr(listed, f", {name.lower()}, ") > 0 for name in wanted.capabilities)))
    if wanted.tags:
        conditions.append(_tagged(schema.tags.c.tag.in_(wanted.tags)))
    bounds = (
        (wanted.min_size, _M.file_size.__ge__), (wanted.max_size, _M.file_size.__le__),
        (wanted.min_confidence, _M.confidence.__ge__), (wanted.max_confidence, _M.confidence.__le__),
    )  # fmt: skip
    conditions += [compare(bound) for bound, compare in bounds if bound is not None]
    if wanted.missing is not None:
        conditions.append(_M.missing == wanted.missing)
    if wanted.deployed is not None:
        conditions.append(_deployed() if wanted.deployed else ~_deployed())
    return conditions


def _tagged(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(schema.tags.c.model_id == _M.id, condition)
