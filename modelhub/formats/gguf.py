"""A bounded walk over the header of a GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).

The `gguf` library builds an array for every vocabulary entry and needs seconds for a real file; this walk
steps over them. Every length is compared with the file before it is believed, and counts have caps.
"""

import struct
from collections.abc import Callable
from math import prod
from typing import BinaryIO

from modelhub.core.types import CHAT_DANGER, CHAT_FEATURES, FILE_TYPE_NAME, MetaValue, Tensor
from modelhub.formats import chat
from modelhub.formats.broken import BrokenFile
from modelhub.formats.ggml_types import FILE_TYPES, TENSOR_TYPES

MAGIC = b"GGUF"
MAX_KEYS = 65_536
MAX_TENSORS = 250_000
MAX_ELEMENTS = 8_000_000
"""Strings in all arrays of one header together; a vocabulary of 256k tokens with merges has under 1 M."""
MAX_HEADER = 1 << 30
MAX_TEXT = 32 << 20
"""Bytes of all names and values of one header that are kept."""

_MAX_VALUE = 1 << 20
_MAX_NAME = 4_096
_MAX_DEPTH = 4
_MAX_RANK = 8
"""llama.cpp reads 4; converted video models keep convolutions of 5."""

_SLOW = 8
"""A string that is kept and an array within an array count as so many strings that are stepped over."""

_LISTED = "general."
_MAX_LISTED = 1_000
_MAX_TYPE = 1_023
"""Types that are not known here have numbers below; the most of a program's are near 400."""

_TEMPLATE = "tokenizer.chat_template"
_CHUNK = 1 << 20
_ALIGNMENT = "general.alignment"

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_STRING, _ARRAY, _BOOL = 8, 9, 7
_SCALARS = {
    0: struct.Struct("<B"), 1: struct.Struct("<b"), 2: struct.Struct("<H"), 3: struct.Struct("<h"),
    4: _U32, 5: struct.Struct("<i"), 6: struct.Struct("<f"), 7: struct.Struct("<B"),
    10: _U64, 11: struct.Struct("<q"), 12: struct.Struct("<d"),
}  # fmt: skip


def read(stream: BinaryIO, size: int) -> tuple[dict[str, Tensor], dict[str, MetaValue]]:
    """Tensors and key-values of the file. Arrays appear as `<key>.length`, lists of words under `general.` in full."""
    return _Walk(_Window(stream, size)).run()


class _Window:
    """The file through a buffer that only moves forward; asking beyond the end is `truncated`."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        stream.seek(0)
        self._stream = stream
        self.size = size
        self.buffer = b""
        self.at = 0
        self._start = 0

    @property
    def position(self) -> int:
        return self._start + self.at

    def need(self, count: int) -> None:
        """Make `count` bytes available at `at`."""
        if self.at + count <= len(self.buffer):
            return
        if self.position + count > self.size:
            raise BrokenFile("truncated", f"The header goes on after the file's end at {self.size} bytes.")
        if self.position > MAX_HEADER:
            raise BrokenFile("header_too_large", f"The header is longer than {MAX_HEADER} bytes.")
        rest = self.buffer[self.at :]
        self._start += self.at
        self.at = 0
        self.buffer = rest + self._stream.read(max(_CHUNK, count - len(rest)))
        if len(self.buffer) < count:
            raise BrokenFile("truncated", "The file became shorter while it was read.")

    def take(self, count: int) -> bytes:
        self.need(count)
        taken = self.buffer[self.at : self.at + count]
        self.at += count
        return taken

    def unpack(self, layout: struct.Struct) -> int | float:
        self.need(layout.size)
        (value,) = layout.unpack_from(self.buffer, self.at)
        self.at += layout.size
        return value  # type: ignore[no-any-return]

    def skip(self, count: int) -> None:
        if count <= len(self.buffer) - self.at:
            self.at += count
            return
        target = self.position + count
        if target > self.size:
            raise BrokenFile("truncated", f"An array ends at {target}, after the file's end at {self.size} bytes.")
        self._stream.seek(target)
        self._start, self.buffer, self.at = target, b"", 0


class _Walk:
    def __init__(self, window: _Window) -> None:
        self._window = window
        self._length = _U64
        self._elements = 0
        self._kept = 0

    def run(self) -> tuple[dict[str, Tensor], dict[str, MetaValue]]:
        tensor_count, key_count = self._counts()
        metadata: dict[str, MetaValue] = {}
        for _ in range(key_count):
            self._key_value(metadata)
        tensors: dict[str, Tensor] = {}
        spans = [self._tensor(tensors) for _ in range(tensor_count)]
        self._check_data(spans, metadata)
        stated = metadata.get("general.file_type")
        if isinstance(stated, int) and stated in FILE_TYPES:
            metadata[FILE_TYPE_NAME] = FILE_TYPES[stated]
        if metadata.get(_TEMPLATE):
            metadata[CHAT_FEATURES] = chat.features(str(metadata[_TEMPLATE]))
        templates = [str(value) for key, value in metadata.items() if key.startswith(_TEMPLATE)]
        danger = next((word for word in map(chat.danger, templates) if word), "")
        if danger:
            metadata[CHAT_DANGER] = danger
        return tensors, metadata

    def _counts(self) -> tuple[int, int]:
        window = self._window
        window.skip(4)
        version = int(window.unpack(_U32))
        if version in (0x01000000, 0x02000000, 0x03000000):
            raise BrokenFile("big_endian", "The file is big-endian; use the little-endian one.")
        if not 1 <= version <= 3:
            raise BrokenFile("unknown_version", f"GGUF version {version} is not known (1 to 3 are).")
        if version == 1:
            self._length = _U32
        tensors, keys = int(window.unpack(self._length)), int(window.unpack(self._length))
        if keys > MAX_KEYS or keys * 13 > window.size:
            raise BrokenFile("bad_count", f"The header claims {keys} keys.")
        if tensors > MAX_TENSORS or tensors * 24 > window.size:
            raise BrokenFile("bad_count", f"The header claims {tensors} tensors.")
        return tensors, keys

    def _text(self, limit: int) -> str | None:
        """The next string, or None if it is longer than `limit` bytes (it is stepped over then)."""
        length = int(self._window.unpack(self._length))
        if length > limit:
            self._window.skip(length)
            return None
        self._kept += length
        if self._kept > MAX_TEXT:
            raise BrokenFile("header_too_large", f"The header's names and values have over {MAX_TEXT} bytes.")
        return self._window.take(length).decode("utf-8", "replace")

    def _name(self, what: str) -> str:
        name = self._text(_MAX_NAME)
        if not name:
            raise BrokenFile("bad_name", f"A {what} has an empty name or one of over {_MAX_NAME} bytes.")
        return name

    def _key_value(self, metadata: dict[str, MetaValue]) -> None:
        key = self._name("key")
        if key in metadata or f"{key}.length" in metadata:
            raise BrokenFile("duplicate_key", f"The key {key[:200]!r} comes twice.")
        kind = int(self._window.unpack(_U32))
        if kind == _ARRAY and key.startswith(_LISTED):
            self._listed(key, metadata)
        elif kind == _ARRAY:
            metadata[f"{key}.length"] = self._array(0)
        elif kind == _STRING:
            text = self._text(_MAX_VALUE)
            metadata[key] = "" if text is None else text
        elif kind in _SCALARS:
            value = self._window.unpack(_SCALARS[kind])
            if kind == _BOOL and value not in (0, 1):
                raise BrokenFile("bad_value", f"The key {key[:200]!r} is a truth value of {value}.")
            metadata[key] = bool(value) if kind == _BOOL else value
        else:
            raise BrokenFile("unknown_value_type", f"The key {key[:200]!r} has the unknown type {kind}.")

    def _listed(self, key: str, metadata: dict[str, MetaValue]) -> None:
        """A short list of words, such as the languages, in full; another array as its length."""
        kind = int(self._window.unpack(_U32))
        count = int(self._window.unpack(self._length))
        if kind != _STRING or count > _MAX_LISTED:
            metadata[f"{key}.length"] = self._elements_of(kind, count, 0)
            return
        self._count(count * _SLOW)
        words = (self._text(_MAX_NAME) for _ in range(count))
        metadata[key] = ", ".join(word for word in words if word)

    def _array(self, depth: int) -> int:
        """Step over an array; its length."""
        kind = int(self._window.unpack(_U32))
        return self._elements_of(kind, int(self._window.unpack(self._length)), depth)

    def _elements_of(self, kind: int, count: int, depth: int) -> int:
        if kind in _SCALARS:
            self._window.skip(count * _SCALARS[kind].size)
            return count
        self._count(count * (_SLOW if kind == _ARRAY else 1))
        if kind == _STRING:
            self._skip_strings(count)
        elif kind == _ARRAY and depth < _MAX_DEPTH:
            for _ in range(count):
                self._array(depth + 1)
        else:
            raise BrokenFile(
                "unknown_value_type", "An array holds elements of an unknown type or is nested too deeply."
            )
        return count

    def _count(self, elements: int) -> None:
        self._elements += elements
        if self._elements > MAX_ELEMENTS:
            raise BrokenFile("bad_count", f"The header holds over {MAX_ELEMENTS} strings.")

    def _skip_strings(self, count: int) -> None:
        """The hot loop: a vocabulary has some 100,000 strings, so everything is a local name."""
        window, width = self._window, self._length.size
        unpack: Callable[[bytes, int], tuple[int]] = self._length.unpack_from
        left = count
        while left:
            window.need(width)
            buffer, at = window.buffer, window.at
            last = len(buffer) - width
            while left and at <= last:
                (length,) = unpack(buffer, at)
                at += width + length
                left -= 1
            if at <= len(buffer):
                window.at = at
            else:
                beyond = at - len(buffer)
                window.at = len(buffer)
                window.skip(beyond)

    def _tensor(self, tensors: dict[str, Tensor]) -> tuple[int, int]:
        """Read one tensor's description; where its bytes start and end after the header (end 0: unknown)."""
        name = self._name("tensor")
        if name in tensors:
            raise BrokenFile("duplicate_key", f"The tensor {name[:200]!r} comes twice.")
        rank = int(self._window.unpack(_U32))
        if rank > _MAX_RANK:
            raise BrokenFile("bad_shape", f"Tensor {name[:200]!r} claims {rank} dimensions; {_MAX_RANK} are the most.")
        shape = tuple(int(self._window.unpack(self._length)) for _ in range(rank))
        kind = int(self._window.unpack(_U32))
        offset = int(self._window.unpack(_U64))
        if kind > _MAX_TYPE:
            raise BrokenFile("unknown_type", f"Tensor {name[:200]!r} is of the type {kind}, which does not exist.")
        known = TENSOR_TYPES.get(kind)
        label, per_block, block_bytes = known or (f"TYPE_{kind}", 1, 0)
        elements = prod(shape)
        if shape and shape[0] % per_block:
            raise BrokenFile("bad_shape", f"Tensor {name[:200]!r} does not fill whole blocks of {label}.")
        if elements >= 1 << 63:
            raise BrokenFile("bad_shape", f"Tensor {name[:200]!r} has an impossible shape.")
        tensors[name] = Tensor(label, tuple(reversed(shape)))
        return offset, offset + elements // per_block * block_bytes

    def _check_data(self, spans: list[tuple[int, int]], metadata: dict[str, MetaValue]) -> None:
        if not spans:
            return
        alignment = metadata.get(_ALIGNMENT, 32)
        if not isinstance(alignment, int) or alignment < 8 or alignment & (alignment - 1):
            raise BrokenFile("bad_alignment", f"The alignment {alignment!r} is no power of 2 from 8 on.")
        start = -(-self._window.position // alignment) * alignment
        end = 0
        for first, last in sorted(spans):
            if first % alignment or first < end:
                raise BrokenFile("bad_offsets", f"A tensor at {first} is not aligned or overlaps the one before.")
            end = last
        if start + end > self._window.size:
            raise BrokenFile(
                "truncated", f"The tensors end at {start + end} and the file at {self._window.size} bytes."
            )
