"""CTranslate2's `model.bin`: a list of variables after the name of what they make up.

Layout: https://github.com/OpenNMT/CTranslate2/blob/master/python/ctranslate2/specs/model_spec.py.
"""

import math
import struct
from typing import BinaryIO

from modelhub.core.types import Inspection, MetaValue, Tensor
from modelhub.formats.broken import BrokenFile

_DTYPES = {0: ("F32", 4), 1: ("I8", 1), 2: ("I16", 2), 3: ("I32", 4), 4: ("F16", 2), 5: ("BF16", 2)}
_OLDEST, _NEWEST = 4, 9
_MAX_VARIABLES = 100_000


def looks_like(head: bytes) -> bool:
    """A small version, then the length and text of a specification's name with its closing zero."""
    if len(head) < 16 or not _OLDEST <= int.from_bytes(head[:4], "little") <= _NEWEST:
        return False
    length = int.from_bytes(head[4:6], "little")
    name = head[6 : 6 + length]
    return 5 < length < 64 and name[-1:] == b"\0" and name[:-1].isalnum() and b"Spec" in name


def inspect(stream: BinaryIO, size: int) -> Inspection:
    stream.seek(0)
    try:
        (version,) = _numbers(stream, "<I")
        spec = _text(stream)
        _, count = _numbers(stream, "<II")
        tensors = _variables(stream, size, count)
        metadata: dict[str, MetaValue] = {"ctranslate2.spec": spec, "ctranslate2.version": version}
    except BrokenFile as broken:
        return Inspection("ctranslate2", size, "broken", broken.code, broken.message)
    return Inspection("ctranslate2", size, tensors=tensors, metadata=metadata)


def _variables(stream: BinaryIO, size: int, count: int) -> dict[str, Tensor]:
    if count > _MAX_VARIABLES:
        return {}  # a layout of a later version
    return dict(_variable(stream, size) for _ in range(count))


def _variable(stream: BinaryIO, size: int) -> tuple[str, Tensor]:
    name = _text(stream)
    (rank,) = _numbers(stream, "<B")
    shape = _numbers(stream, f"<{rank}I")
    kind, length = _numbers(stream, "<BI")
    if kind not in _DTYPES or math.prod(shape) * _DTYPES[kind][1] % (1 << 32) != length:
        raise BrokenFile("bad_shape", f"Variable {name[:200]!r} has a shape that does not fit its bytes.")
    length = math.prod(shape) * _DTYPES[kind][1]
    if length > size - stream.tell():
        raise BrokenFile("truncated", f"Variable {name[:200]!r} is cut off.")
    stream.seek(length, 1)
    return name, Tensor(_DTYPES[kind][0], shape)


def _text(stream: BinaryIO) -> str:
    (length,) = _numbers(stream, "<H")
    return stream.read(length).rstrip(b"\0").decode("utf-8", "replace")


def _numbers(stream: BinaryIO, form: str) -> tuple[int, ...]:
    data = stream.read(struct.calcsize(form))
    if len(data) < struct.calcsize(form):
        raise BrokenFile("truncated", "The file ends within its header.")
    return struct.unpack(form, data)
