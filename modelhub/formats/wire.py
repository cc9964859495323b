"""Protocol Buffers, as far as a header needs: fields in order, without loading what is not asked for.

Encoding: https://protobuf.dev/programming-guides/encoding/. Lengths are checked against the enclosing
message, so that a lie cannot lead outside it; the number of fields of a file is bounded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from modelhub.formats.broken import BrokenFile

MAX_FIELDS = 3_000_000
MAX_TEXT, MAX_TEXTS = 1 << 20, 64 << 20
"""Bytes of the longest value that is read as text or as packed numbers, and of all values of a file."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


@dataclass(slots=True)
class _Budget:
    """What of one file is still read."""

    fields: int
    text: int

    def take(self, text: int) -> None:
        self.text -= text
        if self.text < 0:
            raise BrokenFile("header_too_large", f"The names and values have over {MAX_TEXTS} bytes.")


class Message:
    """A message in a stream, from `start` up to `end`. Values of length-delimited fields are messages again."""

    __slots__ = ("_budget", "_stream", "end", "start")

    def __init__(self, stream: BinaryIO, start: int, end: int, budget: _Budget | None = None) -> None:
        self._stream = stream
        self._budget = budget or _Budget(MAX_FIELDS, MAX_TEXTS)
        self.start = start
        self.end = end

    def __len__(self) -> int:
        return self.end - self.start

    def fields(self) -> Iterator[tuple[int, int, "int | Message"]]:
        """Number, wire type and value of each field. Raises BrokenFile where the encoding is wrong."""
        position, stream = self.start, self._stream
        while position < self.end:
            self._budget.fields -= 1
            if self._budget.fields < 0:
                raise BrokenFile("too_many_fields", f"More than {MAX_FIELDS} fields are not read.")
            stream.seek(position)
            key, position = self._varint(stream, position)
            number, kind = key >> 3, key & 7
            if number == 0:
                raise BrokenFile("bad_protobuf", "A field of the file has no number.")
            if kind == VARINT:
                value, position = self._varint(stream, position)
                yield number, kind, value
            elif kind == BYTES:
                length, position = self._varint(stream, position)
                if length > self.end - position:
                    raise BrokenFile("truncated", "A part of the file is longer than what is left of it.")
                yield number, kind, Message(stream, position, position + length, self._budget)
                position += length
            elif kind in (FIXED64, FIXED32):
                width = 8 if kind == FIXED64 else 4
                if width > self.end - position:
                    raise BrokenFile("truncated", "The file ends within a number.")
                yield number, kind, int.from_bytes(stream.read(width), "little")
                position += width
            else:
                raise BrokenFile("bad_protobuf", "A field of the file has a type that does not exist.")

    def bytes(self) -> bytes:
        if len(self) > MAX_TEXT:
            raise BrokenFile("bad_protobuf", f"A text of {len(self)} bytes is not read.")
        self._budget.take(len(self))
        self._stream.seek(self.start)
        return self._stream.read(len(self))

    def text(self) -> str:
        """The value as text; of a very long one the beginning."""
        length = min(len(self), MAX_TEXT)
        self._budget.take(length)
        self._stream.seek(self.start)
        return self._stream.read(length).decode("utf-8", "replace")

    def packed(self) -> list[int]:
        """Numbers written one after the other."""
        data, position, numbers = self.bytes(), 0, []
        while position < len(data):
            number = shift = 0
            while True:
                if position >= len(data) or shift > 63:
                    raise BrokenFile("bad_protobuf", "A number of the file is not well formed.")
                byte = data[position]
                position += 1
                number |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
            numbers.append(number)
        return numbers

    def _varint(self, stream: BinaryIO, position: int) -> tuple[int, int]:
        number = shift = 0
        while True:
            byte = stream.read(1)
            position += 1
            if not byte or position > self.end or shift > 63:
                raise BrokenFile("bad_protobuf", "A number of the file is not well formed.")
            number |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                return number, position
            shift += 7
