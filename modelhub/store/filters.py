"""Which rows of `models` are meant: a filter's conditions, and the ways to name one model."""

from sqlalchemy import ColumnElement, exists, func, or_

from modelhub.core.names import storable
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


def conditions_of(wanted: ModelFilter, indexed: ColumnElement[bool] | None = None) -> list[ColumnElement[bool]]:
    """A filter as conditions; `indexed` says that a model has the text, where an index can tell that quickly."""
    conditions: list[ColumnElement[bool]] = [_M.deleted == (1 if wanted.deleted else 0)]
    if wanted.text:
        text = storable(wanted.text).casefold()
        fields = (_M.filename, _M.primary_type, _M.base, _M.sub_type, func.coalesce(_M.triggers, ""))
        found = (func.instr(func.casefold(field), text) > 0 for field in fields)
        tagged = _tagged(schema.tags.c.tag == wanted.text)
        conditions.append(or_(*found, tagged) if indexed is None else indexed)
    lists = (
        (_M.primary_type, wanted.types), (_M.base, wanted.bases), (_M.sub_type, wanted.sub_types),
        (_M.file_format, wanted.formats), (_M.state, wanted.states),
    )  # fmt: skip
    conditions += [column.in_(values) for column, values in lists if values]
    if wanted.quantizations:
        conditions.append(func.lower(_M.quantization).in_([name.lower() for name in wanted.quantizations]))
    if wanted.categories:
        names = [name.upper() for name in wanted.categories]
        levels = (_M.category_primary, _M.category_secondary, _M.category_specialization)
        conditions.append(or_(*(level.in_(names) for level in levels)))
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
        links = schema.deploy_links.c
        linked = exists().where(links.model_id == _M.id, links.is_deployed == 1)
        conditions.append(linked if wanted.deployed else ~linked)
    return conditions


def _tagged(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(schema.tags.c.model_id == _M.id, condition)
