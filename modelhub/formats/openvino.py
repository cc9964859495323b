"""OpenVINO models: an XML graph whose constants lie in a `.bin` beside it.

Layout: https://docs.openvino.ai/2025/documentation/openvino-ir-format.html. No entity is expanded.
"""

from collections import Counter
from typing import BinaryIO
from xml.parsers import expat

from modelhub.core.types import Inspection, MetaValue, Tensor
from modelhub.formats.broken import BrokenFile

_MAX_BYTES = 64 << 20
_MAX_TENSORS, _MAX_DIGITS = 500_000, 20
_DTYPES = {
    "f32": "F32", "f16": "F16", "bf16": "BF16", "f64": "F64", "i64": "I64", "i32": "I32", "i16": "I16", "i8": "I8",
    "u8": "U8", "u16": "U16", "u32": "U32", "u64": "U64", "boolean": "BOOL", "u4": "U4", "i4": "I4", "nf4": "NF4",
}  # fmt: skip


def inspect(stream: BinaryIO, size: int, data: int) -> Inspection:
    """The graph in an open XML file of `size` bytes whose constants have `data` bytes."""
    if size > _MAX_BYTES:
        return Inspection("openvino", size, "broken", "header_too_large", f"More than {_MAX_BYTES} bytes are not read.")
    stream.seek(0)
    graph = _Graph()
    try:
        graph.read(stream.read(size))
    except (expat.ExpatError, ValueError, LookupError) as error:
        return Inspection("openvino", size, "broken", "bad_header", f"The graph cannot be read: {error}.")
    except BrokenFile as broken:
        return Inspection("openvino", size, "broken", broken.code, broken.message)
    if graph.needed > data:
        message = f"Its constants need {graph.needed} bytes, and the .bin file has {data}."
        return Inspection("openvino", size, "broken", "truncated", message)
    return Inspection("openvino", size, tensors=graph.tensors, metadata=graph.metadata)


class _Graph:
    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.metadata: dict[str, MetaValue] = {}
        self.needed = 0
        self._layer = ""
        self._operators: Counter[str] = Counter()

    def read(self, text: bytes) -> None:
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.Parse(text, True)
        if "openvino.version" not in self.metadata:
            raise BrokenFile("wrong_content", "The XML file is no OpenVINO graph.")
        self.metadata["openvino.operators"] = ", ".join(name for name, _ in self._operators.most_common(40))

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "net":
            self.metadata["openvino.name"] = attributes.get("name", "")
            self.metadata["openvino.version"] = attributes.get("version", "")
        elif tag == "layer":
            self._layer = attributes.get("name", "")
            self._operators[attributes.get("type", "")[:100]] += 1
        elif tag == "data" and "offset" in attributes and "size" in attributes:
            self.needed = max(self.needed, _number(attributes["offset"]) + _number(attributes["size"]))
            shape = tuple(_number(side) for side in attributes.get("shape", "").split(",") if side.strip())
            kind = attributes.get("element_type", "")
            self.tensors[self._layer] = Tensor(_DTYPES.get(kind, kind.upper()), shape)
            if len(self.tensors) > _MAX_TENSORS:
                raise BrokenFile("too_many_tensors", f"More than {_MAX_TENSORS} tensors are not read.")


def _number(text: str) -> int:
    """A length or place in a file; more digits than 64 bits have are an attack on whoever counts with them."""
    if len(text) > _MAX_DIGITS:
        raise BrokenFile("bad_header", f"A number of the graph has {len(text)} digits.")
    number = int(text)
    if number < 0:
        raise BrokenFile("bad_header", f"The graph holds the negative number {number}.")
    return number


def _refuse_doctype(*_: object) -> None:
    raise BrokenFile("bad_header", "The graph declares a document type, which OpenVINO's never do.")
