"""ONNX models: the graph's weights, inputs and metadata, without reading the numbers.

Fields as in https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Weights may lie in other files, whose
names come from the file; one that leads out of the model's own folder is an attack.
"""

from collections import Counter
from pathlib import PurePosixPath
from typing import BinaryIO

from modelhub.core.types import Inspection, MetaValue, Tensor
from modelhub.formats.broken import BrokenFile
from modelhub.formats.wire import BYTES, VARINT, Message

MAX_TENSORS = 500_000
_DTYPES = {
    1: "F32", 2: "U8", 3: "I8", 4: "U16", 5: "I16", 6: "I32", 7: "I64", 8: "STR", 9: "BOOL", 10: "F16", 11: "F64",
    12: "U32", 13: "U64", 14: "C64", 15: "C128", 16: "BF16", 17: "F8_E4M3", 18: "F8_E4M3FNUZ", 19: "F8_E5M2",
    20: "F8_E5M2FNUZ", 21: "U4", 22: "I4", 23: "F4",
}  # fmt: skip
_IR_VERSION, _PRODUCER, _PRODUCER_VERSION, _DOMAIN, _GRAPH, _PROPS, _FUNCTIONS = 1, 2, 3, 4, 7, 14, 25
_NODE, _NAME, _INITIALIZER, _INPUT, _OUTPUT, _SPARSE = 1, 2, 5, 11, 12, 15
_MAX_DEPTH, _MAX_RANK = 16, 64
EXTERNAL = "onnx.external"
"""Metadata key: the names of the files that hold weights, joined with newlines."""


def inspect(stream: BinaryIO, size: int) -> Inspection:
    """What an ONNX file says of itself; `unsafe` if its weights would be read from outside its folder."""
    reader = _Reader()
    try:
        reader.model(Message(stream, 0, size))
    except BrokenFile as broken:
        return Inspection("onnx", size, "broken", broken.code, broken.message)
    for name in sorted(reader.external):
        if not _stays_inside(name):
            message = f"Its weights would be read from {name[:200]!r}, outside its folder."
            return Inspection("onnx", size, "unsafe", "external_path", message)
    return Inspection("onnx", size, tensors=reader.tensors, metadata=reader.told())


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or "\\" in name or "\0" in name or ":" in name:
        return False
    return ".." not in path.parts


class _Reader:
    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.metadata: dict[str, MetaValue] = {}
        self.external: set[str] = set()
        self._operators: Counter[str] = Counter()
        self._inputs: list[str] = []
        self._outputs: list[str] = []

    def told(self) -> dict[str, MetaValue]:
        most = [name for name, _ in self._operators.most_common(40)]
        told: dict[str, MetaValue] = {
            "onnx.inputs": ", ".join(self._inputs[:64]),
            "onnx.outputs": ", ".join(self._outputs[:64]),
            "onnx.operators": ", ".join(sorted(most)),
            "onnx.nodes": self._operators.total(),
            EXTERNAL: "\n".join(sorted(self.external)),
        }
        return self.metadata | {key: value for key, value in told.items() if value not in ("", 0)}

    def model(self, message: Message) -> None:
        names = {_PRODUCER: "onnx.producer", _PRODUCER_VERSION: "onnx.producer_version", _DOMAIN: "onnx.domain"}
        graphs = 0
        for number, kind, value in message.fields():
            if number == _IR_VERSION and kind == VARINT:
                self.metadata["onnx.ir_version"] = _signless(value)
            elif isinstance(value, Message):
                if number in names and len(value):
                    self.metadata[names[number]] = value.text()
                elif number == _PROPS:
                    key, text = _pair(value)
                    self.metadata[key] = text
                elif number == _GRAPH:
                    graphs += 1
                    self._graph(value, 0)
                elif number == _FUNCTIONS:
                    self._function(value)
        if not graphs:
            raise BrokenFile("no_graph", "The file holds no graph.")

    def _graph(self, message: Message, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise BrokenFile("too_deep", f"Graphs within more than {_MAX_DEPTH} graphs are not read.")
        for number, kind, value in message.fields():
            if kind != BYTES or not isinstance(value, Message):
                continue
            if number == _INITIALIZER:
                self._tensor(value)
            elif number == _SPARSE:
                self._sparse(value)
            elif number == _NODE:
                self._node(value, depth)
            elif number == _NAME:
                self.metadata.setdefault("onnx.graph", value.text())
            elif number in (_INPUT, _OUTPUT) and not depth:
                (self._inputs if number == _INPUT else self._outputs).append(_first_text(value, 1))

    def _function(self, message: Message) -> None:
        for number, kind, value in message.fields():
            if number == 7 and kind == BYTES and isinstance(value, Message):
                self._node(value, 1)

    def _node(self, message: Message, depth: int) -> None:
        """Counts the operator; constants within attributes may hold weights in other files too."""
        for number, kind, value in message.fields():
            if kind != BYTES or not isinstance(value, Message):
                continue
            if number == 4:
                self._operators[value.text()[:100]] += 1
            elif number == 5:
                self._attribute(value, depth)

    def _attribute(self, message: Message, depth: int) -> None:
        for number, kind, value in message.fields():
            if kind == BYTES and isinstance(value, Message):
                if number in (5, 10):
                    self._external_of(value)
                elif number in (22, 23):
                    self._sparse(value)
                elif number in (6, 11):
                    self._graph(value, depth + 1)

    def _sparse(self, message: Message) -> None:
        """Values and indices, each a tensor that may lie elsewhere."""
        for number, kind, value in message.fields():
            if number in (1, 2) and kind == BYTES and isinstance(value, Message):
                self._external_of(value)

    def _external_of(self, message: Message) -> None:
        for number, kind, value in message.fields():
            if number == 13 and kind == BYTES and isinstance(value, Message):
                self._location(value)

    def _location(self, message: Message) -> None:
        key, text = _pair(message)
        if key == "location":
            self.external.add(text)

    def _tensor(self, message: Message) -> None:
        dims: list[int] = []
        dtype, name = 0, ""
        for number, kind, value in message.fields():
            if number == 1:
                dims += value.packed() if isinstance(value, Message) else [value]
                _require_rank(dims)
            elif number == 2 and kind == VARINT:
                dtype = _signless(value)
            elif number == 8 and isinstance(value, Message):
                name = value.text()
            elif number == 13 and isinstance(value, Message):
                self._location(value)
        if any(length >= 1 << 63 for length in dims):
            raise BrokenFile("bad_shape", f"Tensor {name[:200]!r} has an impossible shape.")
        if len(self.tensors) >= MAX_TENSORS:
            raise BrokenFile("too_many_tensors", f"More than {MAX_TENSORS} tensors are not read.")
        self.tensors[name] = Tensor(_DTYPES.get(dtype, f"ONNX_{dtype}"), tuple(dims))


def _require_rank(dims: list[int]) -> None:
    if len(dims) > _MAX_RANK:
        raise BrokenFile("bad_shape", f"A tensor has more than {_MAX_RANK} dimensions.")


def _signless(value: "int | Message") -> int:
    return value if isinstance(value, int) else 0


def _first_text(message: Message, wanted: int) -> str:
    return next(
        (value.text() for number, _, value in message.fields() if number == wanted and isinstance(value, Message)), ""
    )


def _pair(message: Message) -> tuple[str, str]:
    """Key (field 1) and value (field 2) of a StringStringEntryProto."""
    found = {number: value.text() for number, _, value in message.fields() if isinstance(value, Message)}
    return found.get(1, ""), found.get(2, "")
