"""TensorFlow Lite models: a FlatBuffer, read table by table.

Schema: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs.
Every offset is checked against the file, and the number of tables is bounded.
"""

import struct
from typing import BinaryIO

from modelhub.core.types import Inspection, MetaValue, Tensor
from modelhub.formats.broken import BrokenFile

_MAX_TENSORS = 100_000
_MAX_TEXT = 4096
_MAX_RANK = 64
_MAX_READS = 1_000_000
_DTYPES = {
    0: "F32", 1: "F16", 2: "I32", 3: "U8", 4: "I64", 5: "STR", 6: "BOOL", 7: "I16", 8: "C64", 9: "I8", 10: "F64",
    11: "C128", 12: "U64", 15: "U32", 16: "U16", 17: "I4", 18: "BF16",
}  # fmt: skip
_VERSION, _SUBGRAPHS, _DESCRIPTION = 0, 2, 3
_TENSORS, _NAME = 0, 4
_SHAPE, _TYPE, _TENSOR_NAME = 0, 1, 3


def inspect(stream: BinaryIO, size: int) -> Inspection:
    """Tensors and description; of a file whose tables make no sense neither. It is broken if its root is cut off."""
    buffer = _FlatBuffer(stream, size)
    try:
        root = buffer.follow(0)
        if root + 4 > size:
            return Inspection("tflite", size, "broken", "truncated", "Its tables lie beyond its end: it is cut off.")
        return Inspection("tflite", size, tensors=_tensors(buffer), metadata=_metadata(buffer))
    except BrokenFile as broken:
        if broken.code == "truncated":
            return Inspection("tflite", size)
        return Inspection("tflite", size, "broken", broken.code, broken.message)


def _metadata(buffer: "_FlatBuffer") -> dict[str, MetaValue]:
    root = buffer.follow(0)
    told: dict[str, MetaValue] = {"tflite.version": buffer.number(root, _VERSION, 4)}
    description = buffer.text(root, _DESCRIPTION)
    if description:
        told["tflite.description"] = description
    return told


def _tensors(buffer: "_FlatBuffer") -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for graph in buffer.tables(buffer.follow(0), _SUBGRAPHS):
        for place in buffer.tables(graph, _TENSORS):
            shape = buffer.numbers(place, _SHAPE)
            name = buffer.text(place, _TENSOR_NAME)
            kind = buffer.number(place, _TYPE, 1)
            found[name] = Tensor(_DTYPES.get(kind, f"TFLITE_{kind}"), tuple(max(0, side) for side in shape))
            if len(found) > _MAX_TENSORS:
                raise BrokenFile("too_many_tensors", f"More than {_MAX_TENSORS} tensors are not read.")
    return found


class _FlatBuffer:
    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._size = size
        self._reads = 0

    def _at(self, position: int, form: str) -> int:
        self._reads += 1
        if self._reads > _MAX_READS:
            raise BrokenFile("too_many_tensors", f"More than {_MAX_READS} values of the header are not read.")
        width = struct.calcsize(form)
        if position < 0 or position + width > self._size:
            raise BrokenFile("truncated", "A part of the file lies beyond its end.")
        self._stream.seek(position)
        return int(struct.unpack(form, self._stream.read(width))[0])

    def follow(self, position: int) -> int:
        return position + self._at(position, "<I")

    def _field(self, table: int, field: int) -> int:
        """Where a field's value stands, or 0 if the table lacks it."""
        layout = table - self._at(table, "<i")
        length = self._at(layout, "<H")
        slot = 4 + 2 * field
        offset = self._at(layout + slot, "<H") if slot < length else 0
        return table + offset if offset else 0

    def number(self, table: int, field: int, width: int) -> int:
        position = self._field(table, field)
        return self._at(position, {1: "<b", 4: "<i"}[width]) if position else 0

    def _vector(self, table: int, field: int) -> tuple[int, int]:
        """Where the items of a vector (a text is one too) begin, and how many there are; none if the table lacks it."""
        position = self._field(table, field)
        if not position:
            return 0, 0
        start = self.follow(position)
        return start + 4, self._at(start, "<I")

    def text(self, table: int, field: int) -> str:
        start, length = self._vector(table, field)
        self._stream.seek(start)
        return self._stream.read(min(length, _MAX_TEXT)).decode("utf-8", "replace")

    def numbers(self, table: int, field: int) -> list[int]:
        start, length = self._vector(table, field)
        if length > _MAX_RANK:
            raise BrokenFile("bad_shape", "A tensor has an impossible shape.")
        return [self._at(start + 4 * place, "<i") for place in range(length)]

    def tables(self, table: int, field: int) -> list[int]:
        start, length = self._vector(table, field)
        if length > _MAX_TENSORS:
            raise BrokenFile("too_many_tensors", f"More than {_MAX_TENSORS} tensors are not read.")
        return [self.follow(start + 4 * place) for place in range(length)]
