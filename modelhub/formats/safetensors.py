"""The header of a safetensors file, read and checked as strictly as the format's own library.

Layout (https://huggingface.co/docs/safetensors): 8 bytes header length, little-endian; a JSON object
of `name: {dtype, shape, data_offsets}` with an optional `__metadata__` of strings; the tensors' bytes.
"""

import json
from collections.abc import Mapping
from typing import Any, BinaryIO

import msgspec

from modelhub.core.types import MetaValue, Tensor
from modelhub.formats.broken import BrokenFile

MAX_HEADER = 24 << 20
"""Bytes. The library allows 100 MB; the largest real headers have under 20 (100,000 tensors)."""

MAX_TENSORS = 1_000_000

BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
"""Bits of one element of each dtype."""

_UNSIGNED_64 = 1 << 64
_METADATA = "__metadata__"


class _Entry(msgspec.Struct, gc=False):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


class _Perhaps(msgspec.Struct, gc=False):
    """A tensor's entry, or the metadata, which has none of these fields."""

    dtype: str = ""
    shape: tuple[int, ...] = (-1,)
    data_offsets: tuple[int, int] = (-1, -1)


class _Own(msgspec.Struct):
    metadata: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"null"), name=_METADATA)


_all = msgspec.json.Decoder(dict[str, _Perhaps])
_own = msgspec.json.Decoder(_Own)
_names = msgspec.json.Decoder(dict[str, msgspec.Raw])
_entry = msgspec.json.Decoder(_Entry)
_strings = msgspec.json.Decoder(dict[str, str])
_new = tuple.__new__
"""Makes a named tuple at half the price of calling it; there are thousands in a file."""


def looks_like(head: bytes) -> bool:
    """Whether a file that starts with `head` (16 bytes or more) claims to be safetensors."""
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < _UNSIGNED_64 >> 16


def read(stream: BinaryIO, size: int) -> tuple[dict[str, Tensor], dict[str, MetaValue]]:
    """Tensors and metadata of the file; BrokenFile if the library would refuse it."""
    stream.seek(0)
    length = int.from_bytes(stream.read(8), "little")
    if length > MAX_HEADER:
        raise BrokenFile("header_too_large", f"The header claims {length} bytes; more than {MAX_HEADER} are not read.")
    if length > size - 8:
        raise BrokenFile("truncated", f"The header claims {length} bytes, and the file ends after {size - 8}.")
    header = stream.read(length)
    quick = _read_sound(header, size - 8 - length)
    if quick is not None:
        return quick
    entries, metadata = _decode(header)
    _check_layout(entries, size - 8 - length)
    return {name: Tensor(entry.dtype, entry.shape) for name, entry in entries.items()}, metadata


def _read_sound(header: bytes, data: int) -> tuple[dict[str, Tensor], dict[str, MetaValue]] | None:
    """The quick way for a header with nothing wrong or unusual in it, as nearly all are; None for any other.

    All entries are decoded at once, the metadata as an entry without fields. A header without escapes has one
    `":` for each of its keys, so that a name given twice shows in their number.
    """
    try:
        header.decode("utf-8")
        entries = _all.decode(header)
        own = bytes(_own.decode(header).metadata)
        metadata: dict[str, MetaValue] = dict(_strings.decode(own)) if own != b"null" else {}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    rest = header.replace(own, b"", 1) if own != b"null" else header
    keys = rest.count(b'":') - (entries.pop(_METADATA, None) is not None)
    if keys != 4 * len(entries) or b"\\" in rest or len(entries) > MAX_TENSORS or (metadata and not _is_unique(own)):
        return None
    tensors: dict[str, Tensor] = {}
    position = 0
    for name, entry in entries.items():
        begin, end = entry.data_offsets
        bits, count = BITS.get(entry.dtype), 1
        for length in entry.shape:
            count *= length
            if length < 0 or count >= _UNSIGNED_64:
                return None
        if bits is None or begin != position or (end - begin) * 8 != count * bits:
            return None
        position = end
        tensors[name] = _new(Tensor, (entry.dtype, entry.shape))
    return (tensors, metadata) if position == data else None


def _is_unique(own: bytes) -> bool:
    try:
        _unique(own)
    except BrokenFile:
        return False
    return True


def _decode(header: bytes) -> tuple[dict[str, _Entry], dict[str, MetaValue]]:
    try:
        header.decode("utf-8")
        raw = _names.decode(header)
        own = bytes(raw.pop(_METADATA, b"null"))
        if len(raw) > MAX_TENSORS:
            raise BrokenFile("too_many_tensors", f"{len(raw)} tensors; more than {MAX_TENSORS} are not read.")
        metadata: dict[str, MetaValue] = dict(_strings.decode(own)) if own != b"null" else {}
        entries = {name: _entry.decode(value) for name, value in raw.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BrokenFile("bad_header", f"The header is not what the format asks for: {error}.") from error
    _refuse_duplicates(header, own, len(entries))
    return entries, metadata


def _refuse_duplicates(header: bytes, own: bytes, tensors: int) -> None:
    """Two values under one name are read differently by different programs, so they are an attack.

    Outside the metadata, whose text may hold anything, a header without escapes names each of its three
    fields once for every tensor; only where that is not so, the slow parser that sees every pair decides.
    """
    _unique(own)
    rest = header.replace(own, b"", 1)
    keys = (b'"dtype"', b'"shape"', b'"data_offsets"')
    if b"\\" in rest or rest.count(b'"__metadata__"') > 1 or any(rest.count(key) != tensors for key in keys):
        _unique(header)


def _unique(text: bytes) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise BrokenFile("duplicate_key", "The header names something twice.")
        return found

    try:
        json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise BrokenFile("bad_header", "The header is not valid JSON.") from error


def _elements(name: str, shape: tuple[int, ...]) -> int:
    """Product of the dimensions; one that overflows 64 bits on the way is refused, as the library does."""
    count = 1
    for length in shape:
        count *= length
        if length < 0 or count >= _UNSIGNED_64:
            raise BrokenFile("bad_shape", f"Tensor {name[:200]!r} has an impossible shape.")
    return count


def _check_layout(entries: Mapping[str, _Entry], data: int) -> None:
    """The tensors must fill the `data` bytes after the header exactly, without overlap or hole."""
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        begin, end = entry.data_offsets
        bits = BITS.get(entry.dtype)
        if bits is None:
            raise BrokenFile("unknown_dtype", f"Tensor {name[:200]!r} has the unknown dtype {entry.dtype[:40]!r}.")
        if begin != position or end < begin:
            raise BrokenFile("bad_offsets", f"Tensor {name[:200]!r} does not follow the one before it.")
        if (end - begin) * 8 != _elements(name, entry.shape) * bits:
            raise BrokenFile("bad_shape", f"Tensor {name[:200]!r} has a shape that does not fit its bytes.")
        position = end
    if position > data:
        raise BrokenFile("truncated", f"The tensors need {position} bytes and the file has {data} for them.")
    if position < data:
        raise BrokenFile("trailing_bytes", f"{data - position} bytes follow the last tensor; the format allows none.")
