"""whisper.cpp models: `ggml-*.bin`, the format before GGUF.

Layout (https://github.com/ggml-org/whisper.cpp/blob/master/models/convert-pt-to-ggml.py): magic, eleven int32
of hyper-parameters, mel filters, vocabulary, then each tensor as rank, name length, type, dimensions, name, data.
"""

import math
import struct
from typing import BinaryIO

from modelhub.core.types import FILE_TYPE_NAME, Inspection, MetaValue, Tensor
from modelhub.formats.broken import BrokenFile
from modelhub.formats.ggml_types import FILE_TYPES, TENSOR_TYPES

MAGICS = {b"lmgg", b"fmgg", b"tjgg", b"algg"}
_WHISPER = b"lmgg"
_KEYS = (
    "n_vocab", "n_audio_ctx", "n_audio_state", "n_audio_head", "n_audio_layer", "n_text_ctx", "n_text_state",
    "n_text_head", "n_text_layer", "n_mels", "ftype",
)  # fmt: skip
_PARAMETERS = struct.Struct("<11i")
_MAX_TENSORS = 10_000
_MAX_WORD = 1 << 16
_OTHER_LAYOUT = "other_layout"
"""Programs have put other things after the same hyper-parameters; then no tensors are listed."""


def inspect(stream: BinaryIO, size: int) -> Inspection:
    """Hyper-parameters under ``whisper.*``, and tensors. Files of that magic with another layout keep to `ggml`."""
    stream.seek(0)
    head = stream.read(4 + _PARAMETERS.size)
    if head[:4] != _WHISPER or len(head) < 4 + _PARAMETERS.size:
        return Inspection("ggml", size)
    values = dict(zip(_KEYS, _PARAMETERS.unpack_from(head, 4), strict=True))
    if not (0 < values["n_vocab"] < 1 << 20 and 0 < values["n_audio_layer"] < 1000 and 0 < values["n_mels"] < 1000):
        return Inspection("ggml", size)
    metadata: dict[str, MetaValue] = {f"whisper.{key}": value for key, value in values.items()}
    kind = FILE_TYPES.get(values["ftype"] % 1000)
    if kind:
        metadata[FILE_TYPE_NAME] = kind
    try:
        return Inspection("ggml", size, tensors=_tensors(stream, size), metadata=metadata)
    except BrokenFile as broken:
        if broken.code == _OTHER_LAYOUT:
            return Inspection("ggml", size, metadata=metadata)
        return Inspection("ggml", size, "broken", broken.code, broken.message, metadata=metadata)


def _tensors(stream: BinaryIO, size: int) -> dict[str, Tensor]:
    mels, bins = _ints(stream, 2)
    if not 0 <= mels * bins * 4 <= size:
        raise BrokenFile(_OTHER_LAYOUT, "The mel filters are longer than the file.")
    stream.seek(mels * bins * 4, 1)
    (words,) = _ints(stream, 1)
    if not 0 <= words <= size // 4:
        raise BrokenFile(_OTHER_LAYOUT, "The vocabulary is longer than the file.")
    for _ in range(words):
        (length,) = _ints(stream, 1)
        if not 0 <= length < _MAX_WORD:
            raise BrokenFile(_OTHER_LAYOUT, "A word of the vocabulary is too long.")
        stream.seek(length, 1)
    found: dict[str, Tensor] = {}
    while stream.tell() < size:
        name, tensor, length = _tensor(stream)
        found[name] = tensor
        if stream.tell() + length > size:
            raise BrokenFile("truncated", f"Tensor {name[:200]!r} is cut off.")
        if len(found) > _MAX_TENSORS:
            raise BrokenFile("too_many_tensors", f"More than {_MAX_TENSORS} tensors are not read.")
        stream.seek(length, 1)
    return found


def _tensor(stream: BinaryIO) -> tuple[str, Tensor, int]:
    """Name, tensor and bytes of its data, which follows."""
    rank, length, kind = _ints(stream, 3)
    if not 0 <= rank <= 4 or not 0 < length < _MAX_WORD or kind not in TENSOR_TYPES:
        raise BrokenFile(_OTHER_LAYOUT, "A tensor's description makes no sense.")
    shape = _ints(stream, rank)
    if any(side <= 0 for side in shape):
        raise BrokenFile(_OTHER_LAYOUT, "A tensor has an impossible shape.")
    name = stream.read(length).decode("utf-8", "replace")
    dtype, block, width = TENSOR_TYPES[kind]
    return name, Tensor(dtype, tuple(reversed(shape))), math.prod(shape) // block * width


def _ints(stream: BinaryIO, count: int) -> tuple[int, ...]:
    data = stream.read(4 * count)
    if len(data) < 4 * count:
        raise BrokenFile("truncated", "The file ends within its header.")
    return struct.unpack(f"<{count}i", data)
