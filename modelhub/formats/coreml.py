"""Core ML's `.mlmodel`: its kind, interface and description.

Fields as in https://github.com/apple/coremltools/tree/main/mlmodel/format (Model.proto).
"""

from typing import BinaryIO

from modelhub.core.types import Inspection, MetaValue
from modelhub.formats.broken import BrokenFile
from modelhub.formats.wire import VARINT, Message

_KINDS = {
    200: "pipeline classifier", 201: "pipeline regressor", 202: "pipeline", 300: "glm regressor",
    303: "neural network regressor", 403: "neural network classifier", 500: "neural network", 502: "ml program",
    555: "custom model", 560: "linked model", 900: "identity", 2000: "text classifier", 2002: "gazetteer",
    2003: "word embedding", 2004: "vision feature print",
}  # fmt: skip
_ABOUT = {1: "description", 2: "version", 3: "author", 4: "license"}


def looks_like(head: bytes, suffix: str) -> bool:
    """Version (field 1, small), then the description (field 2); too little to go by without the name."""
    return suffix == ".mlmodel" and len(head) > 2 and head[0] == 8 and 0 < head[1] < 32 and head[2] == 0x12


def inspect(stream: BinaryIO, size: int) -> Inspection:
    metadata: dict[str, MetaValue] = {}
    try:
        for number, kind, value in Message(stream, 0, size).fields():
            if number == 1 and kind == VARINT and isinstance(value, int):
                metadata["coreml.specification"] = value
            elif number == 2 and isinstance(value, Message):
                _description(value, metadata)
            elif number >= 200:
                metadata["coreml.kind"] = _KINDS.get(number, f"kind {number}")
    except BrokenFile as broken:
        return Inspection("coreml", size, "broken", broken.code, broken.message)
    return Inspection("coreml", size, metadata=metadata)


def _description(message: Message, metadata: dict[str, MetaValue]) -> None:
    for number, _, value in message.fields():
        if number == 100 and isinstance(value, Message):
            for about, _, text in value.fields():
                if about in _ABOUT and isinstance(text, Message) and len(text):
                    metadata[f"coreml.{_ABOUT[about]}"] = text.text()[:2000]
