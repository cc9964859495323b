"""Frozen values as the types that JSON and YAML have."""

import base64
import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from modelhub.core.names import is_utf8, storable


def plain(value: Any) -> Any:
    """A frozen value as JSON types. Text that is not UTF-8 gets a companion `<key>_b64` with the exact bytes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        kind = getattr(type(value), "kind", None)
        return plain({"kind": kind} | fields if kind else fields)
    if isinstance(value, Mapping):
        made: dict[str, Any] = {}
        for key, item in value.items():
            made[storable(str(key))] = plain(item)
            if isinstance(item, str) and not is_utf8(item):
                made[f"{key}_b64"] = base64.b64encode(os.fsencode(item)).decode("ascii")
        return made
    if isinstance(value, str | bytes):
        return storable(value if isinstance(value, str) else value.decode("utf-8", "surrogateescape"))
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        kind = getattr(value, "kind", None)
        return plain({"kind": kind} | value._asdict() if kind else value._asdict())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return value if isinstance(value, int | float | bool | None) else storable(str(value))
