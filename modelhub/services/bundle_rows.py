"""What a bundle says of a model, believed only in its right form: whoever made it may have meant harm."""

import base64
import binascii
import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from modelhub.core.errors import InvalidInput
from modelhub.core.names import is_utf8, printable
from modelhub.core.types import Sha256
from modelhub.files.walk import is_address
from modelhub.services.units import composite
from modelhub.store.transfer import SHAPES, Row

_LONGEST_NAME = 255
_MOST = 1 << 62
_PARTS = re.compile(r"[/\\]" if os.sep == "\\" else "/")
_UNTRUSTED = "Do not trust this bundle; nothing of it was taken in."


def checked(row: Any) -> Row:
    """The rows of one model; raises InvalidInput for anything that ours could not have written."""
    if not isinstance(row, dict) or not isinstance(row.get("files"), list) or not row["files"]:
        raise _wrong()
    _check_columns("models", row.get("model"))
    _require_name(row["model"]["filename"])
    for name in SHAPES:
        if name in ("models", "files"):
            continue
        if not isinstance(row.get(name, []), list):
            raise _wrong()
        for one in row.get(name, []):
            _check_columns(name, one)
    for file in row["files"]:
        _check_file(file)
    if len({file["relative_path"] for file in row["files"]}) != len(row["files"]):
        raise _wrong()
    _check_identity(row)
    return row


def file_name(file: Row) -> str:
    """The name of a stored file; raises InvalidInput for one that is a path or nothing."""
    encoded = file.get("name_bytes")
    name = str(file["name"])
    if isinstance(encoded, Mapping):
        with contextlib.suppress(KeyError, TypeError, ValueError, binascii.Error):
            name = os.fsdecode(base64.b64decode(encoded["b64"], validate=True))
    _require_name(name)
    return name


def needed(row: Row) -> Iterator[Row]:
    """The files that a model cannot do without."""
    return (file for file in row["files"] if file["role"] != "companion")


def _wrong() -> InvalidInput:
    return InvalidInput("The bundle's list of models is not one of ours.", hint="Export it again.")


def _check_columns(table: str, row: Any) -> None:
    known, required = SHAPES[table]
    if not isinstance(row, dict) or not all(row.get(column) is not None for column in required):
        raise _wrong()
    for column, value in row.items():
        if column in known and not _is_plain(value):
            raise _wrong()


def _is_plain(value: Any) -> bool:
    """Whether a value is one that a column can hold."""
    if isinstance(value, str):
        return is_utf8(value)
    if isinstance(value, int):
        return -_MOST < value < _MOST
    return value is None or isinstance(value, float)


def _check_file(file: Any) -> None:
    if not isinstance(file, dict):
        raise _wrong()
    relative, size, name = file.get("relative_path"), file.get("size"), file.get("name")
    if not isinstance(relative, str) or not isinstance(name, str) or not isinstance(file.get("sha256"), str):
        raise _wrong()
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < _MOST:
        raise _wrong()
    if file.get("role") not in ("main", "part", "companion") or not is_address(file["sha256"]):
        raise _wrong()
    _check_columns("files", {column: value for column, value in file.items() if column != "name_bytes"})
    for part in _PARTS.split(relative):
        _require_name(part)
    file_name(file)


def _require_name(name: str) -> None:
    with contextlib.suppress(UnicodeEncodeError):
        plain = name not in ("", ".", "..") and not _PARTS.search(name) and "\0" not in name
        if plain and len(os.fsencode(name)) <= _LONGEST_NAME:
            return
    raise InvalidInput(f"{printable(name)[:80]!r} is no name of a file.", hint=_UNTRUSTED)


def _check_identity(row: Row) -> None:
    """A model is addressed by its file's content, or by the contents and names of all that it needs."""
    own = {file["relative_path"]: Sha256(file["sha256"]) for file in needed(row)}
    main = [file["sha256"] for file in row["files"] if file["role"] == "main"]
    escaped = any("\\x" in name for name in own)  # the name on the disk was no text, and the address is of that
    if not escaped and row["model"]["file_hash"] not in (*main, composite(own)):
        told = f"{printable(row['model']['filename'])} is not addressed by its own content."
        raise InvalidInput(told, hint=_UNTRUSTED)
