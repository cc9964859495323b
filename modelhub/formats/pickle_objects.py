"""What a pickle may put into an object, so that the unpickler never calls what came out of the file.

An unpickler looks up methods on the objects that it makes, and finds attributes and items of those names first.
"""

from collections.abc import Sequence
from typing import Any

from modelhub.formats.pickle_values import (
    FOREIGN,
    Dictionary,
    Global,
    Instance,
    UnsafeError,
    could_be_called,
    could_be_text,
)

_METHODS = {"append", "extend", "add", "update", "setdefault", "keys", "items"}
"""What an unpickler looks up on an object in order to call it, beside names between double underscores."""

_HIDDEN = "The pickle hides the attributes that it gives to an object."
_REPLACED = "The pickle puts something of its own in place of a method."


def require_attributes(state: object) -> int:
    """What becomes attributes must be a dictionary (or one for `__dict__` and one for slots), known by name.

    Gives the number of attributes, as work that was done.
    """
    parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
    if any(part is not None and not isinstance(part, Dictionary) for part in parts):
        raise UnsafeError(_HIDDEN)
    return sum(map(require_no_method, parts))


def require_no_method(part: object) -> int:
    """As `require_attributes`, of a state that may be anything else than attributes as well."""
    if part is FOREIGN or (isinstance(part, Instance) and part.made_of.part in ("dictionary", "attributes")):
        raise UnsafeError(_HIDDEN)
    if not isinstance(part, Dictionary):
        return 0
    if part.hidden:
        raise UnsafeError(_HIDDEN)
    if any(_is_method(key, value) for key, value in part.items()):
        raise UnsafeError(_REPLACED)
    return len(part)


def _is_method(key: object, value: object) -> bool:
    """Whether an attribute would be called: a number or text of that name (`add` of a detector's layer) cannot be."""
    named = isinstance(key, str) and (key in _METHODS or (key.startswith("__") and key.endswith("__")))
    return named and could_be_called(value)


def require_plain(target: object, items: Sequence[Any] = ()) -> None:
    """Items may be put into what Python itself made; an object's own methods would be called for them.

    The `items` (key, value, key, value ...) of one kind of dictionary are its attributes too.
    """
    if isinstance(target, Global) or (isinstance(target, Instance) and target.made_of.name not in _DICTIONARY_LIKE):
        raise UnsafeError("The pickle puts items into an object, whose code would run.")
    if isinstance(target, Instance) and target.made_of.part == "attributes":
        for key, value in zip(items[::2], items[1::2], strict=False):
            if could_be_text(key) or _is_method(key, value):
                raise UnsafeError(_REPLACED)


_DICTIONARY_LIKE = {"AttributeDict", "OrderedDict", "Counter", "defaultdict", "dict", "set", "frozenset", "list"}
