"""What a pickled object tells: its tensors by name, and the plain values beside them."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from modelhub.core.types import MetaValue, Tensor
from modelhub.formats.pickle_values import Instance

MAX_TENSORS = 1_000_000
_MAX_VISITS = 2_000_000
"""Values that are looked at; one that the pickle names many times counts each time."""

_MAX_NAMES = 64 << 20
"""Letters of all names together."""

_MAX_DEPTH = 64
_MAX_VALUES = 200
_MAX_KEYS = 40
_LOOKED_AT = 200
_NEAR = 4
_MAX_NEAR = 20_000
"""How many levels below a wrapper, and how many values of each and of all, are searched for its tensors."""

_PLAIN = (str, int, float, bool)
_WRAPPERS = (
    "state_dict", "model_state_dict", "params_ema", "params", "ema", "model_ema", "model", "module", "net", "network",
    "generator", "state", "weight", "weights",
)  # fmt: skip
"""Keys under which trainers put the dictionary that apps load; the first that holds tensors counts."""


def tell(value: object) -> tuple[dict[str, Tensor], dict[str, MetaValue]]:
    """Tensors and metadata of an unpickled symbol.

    Names are as an app sees them after it has opened the usual wrapper; tensors outside it keep their path.
    Metadata: `pickle.keys` (of the outermost dictionary), `pickle.wrapper`, `pickle.class` (of the first object),
    and plain values of the outermost dictionary under their own keys.
    """
    metadata: dict[str, MetaValue] = {}
    tensors: dict[str, Tensor] = {}
    wrapped = ""
    outer = _attributes(value)
    if outer is not None:
        metadata["pickle.keys"] = ", ".join(sorted(str(key) for key in outer)[:_MAX_KEYS])[:1000]
        metadata |= _plain_values(outer)
        wrapped = next((key for key in _WRAPPERS if _holds_tensors(outer.get(key))), "")
    if wrapped and outer is not None:
        metadata["pickle.wrapper"] = wrapped
        tensors |= _named(_tensors(outer[wrapped]))
        outer = {key: inner for key, inner in outer.items() if key != wrapped}
    beside = value if outer is None else outer
    tensors |= {name: tensor for name, tensor in _named(_tensors(beside)).items() if name not in tensors}
    made_of = _first_class(value)
    if made_of:
        metadata["pickle.class"] = made_of
    return tensors, metadata


def _attributes(value: object) -> Mapping[Any, Any] | None:
    state = value.state if isinstance(value, Instance) else value
    return state if isinstance(state, dict) else None


def _plain_values(outer: Mapping[Any, Any]) -> dict[str, MetaValue]:
    found: dict[str, MetaValue] = {}
    for key, value in outer.items():
        plain = value.__class__ in _PLAIN
        if plain and isinstance(key, str) and len(found) < _MAX_VALUES:
            found[key] = value
    return found


def _holds_tensors(value: object) -> bool:
    """Whether a tensor is near enough to the top of a wrapped dictionary; a nest of empty ones is not searched."""
    level = [value] if _attributes(value) is not None else []
    met: set[int] = set()
    for _ in range(_NEAR):
        fresh = [each for each in {id(each): each for each in level}.values() if id(each) not in met]
        met.update(map(id, fresh))
        below = (child for each in fresh for _, child in islice(_inner(each), _LOOKED_AT))
        level = [child for child in islice(below, _MAX_NEAR) if not _is_plain(child)]
        if any(child.__class__ is Tensor for child in level):
            return True
    return False


def _named(found: Iterator[tuple[str, Tensor]]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, tensor in found:
        tensors.setdefault(name, tensor)
        if len(tensors) >= MAX_TENSORS:
            break
    return tensors


_LAYER_PARTS = ("_parameters", "_buffers", "_modules")


def _tensors(value: object) -> Iterator[tuple[str, Tensor]]:
    """Tensors by their path joined with dots. A value met again on one way down is not entered again."""
    if isinstance(value, Tensor):
        yield "", value
    waiting: list[tuple[str, object, tuple[int, ...]]] = [("", value, ())]
    visits = letters = 0
    while waiting and visits < _MAX_VISITS and letters < _MAX_NAMES:
        path, here, above = waiting.pop()
        if id(here) in above or len(above) >= _MAX_DEPTH:
            continue
        dotted, trail = f"{path}." if path else "", (*above, id(here))
        for key, child in _inner(here):
            visits += 1
            if visits > _MAX_VISITS or letters > _MAX_NAMES:
                return
            if _is_plain(child):
                continue
            letters += len(path) + len(key)
            if child.__class__ is Tensor:
                yield f"{dotted}{key}", child
            else:
                waiting.append((f"{dotted}{key}" if key != "" else path, child, trail))


def _inner(value: object) -> Iterator[tuple[str, object]]:
    """Named children: of a dictionary, a list, or an object; a layer's own groups give no name of their own."""
    state = value.state if isinstance(value, Instance) else value
    if isinstance(state, dict):
        layer = isinstance(value, Instance) and any(part in state for part in _LAYER_PARTS)
        for key, child in state.items():
            yield "" if layer and key in _LAYER_PARTS else str(key), child
    elif isinstance(state, list | tuple) and state.__class__ is not Tensor:
        for place, child in enumerate(state):
            yield str(place), child


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _first_class(value: object) -> str:
    if isinstance(value, Instance):
        return str(value.made_of)
    if isinstance(value, dict):
        return next((str(inner.made_of) for inner in value.values() if isinstance(inner, Instance)), "")
    return ""
