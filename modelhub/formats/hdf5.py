"""HDF5 files, as Keras wrote them: whether they are whole, and what the first megabyte says.

Superblock: https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html. Attributes are found as text.
"""

import re
from typing import BinaryIO

from modelhub.core.types import Inspection, MetaValue
from modelhub.formats import keras_code

MAGIC = b"\x89HDF\r\n\x1a\n"
_LOOKED_AT = 1 << 20
_SUPERBLOCK = 48
_END_AT = {0: 40, 1: 44, 2: 28, 3: 28}
"""Where the superblock of each version says where the file ends, with offsets of 8 bytes."""

_PIECE = 1 << 18
_MAX_SIZE = 4 << 30
"""Bytes of a file that are looked through for code. Only weights are longer, and they are kept in other formats."""

_KERAS = re.compile(rb"keras_version[\x00-\xff]{0,200}?(\d+\.\d+\.\d+)")
_CLASS = re.compile(rb'"class_name"\s*:\s*"(\w{1,60})"')
_MODEL = re.compile(rb'"name"\s*:\s*"([\w.-]{1,80})"')


def inspect(stream: BinaryIO, size: int) -> Inspection:
    stream.seek(0)
    head = stream.read(_LOOKED_AT)
    if len(head) < _SUPERBLOCK:
        return Inspection("hdf5", size, "broken", "truncated", "The file ends within its first block.")
    at = _END_AT.get(head[8])
    width = head[13] if head[8] < 2 else head[9]
    if at is not None and width == 8:
        end = int.from_bytes(head[at : at + 8], "little")
        if end > size:
            return Inspection("hdf5", size, "broken", "truncated", f"It should have {end} bytes and has {size}.")
    if size > _MAX_SIZE:
        return Inspection("hdf5", size, "unsafe", "too_large", f"More than {_MAX_SIZE} bytes are not looked through.")
    code = _code(stream)
    if code:
        return Inspection("hdf5", size, "unsafe", *code)
    metadata: dict[str, MetaValue] = {}
    for key, pattern in (("keras.version", _KERAS), ("keras.class", _CLASS), ("keras.name", _MODEL)):
        found = pattern.search(head)
        if found:
            metadata[key] = found[1].decode("ascii", "replace")
    return Inspection("hdf5", size, metadata=metadata)


def _code(stream: BinaryIO) -> tuple[str, str] | None:
    """Code and sentence for what Keras would run. A configuration may stand before the weights or after them."""
    stream.seek(0)
    before = b""
    while piece := stream.read(_PIECE):
        found = keras_code.named_in(before + piece[: keras_code.LONGEST]) or keras_code.named_in(piece)
        if found:
            return found
        before = piece[-keras_code.LONGEST :]
    return None
