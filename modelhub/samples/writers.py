"""Writers of small real model files. Tensors are holes: a file may claim gigabytes and take kilobytes on disk."""

import io
import json
import os
import struct
import zipfile
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

Shapes = Mapping[str, Sequence[int]]
"""Shapes by tensor name, outermost dimension first."""

_BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "I64": 64, "I8": 8, "U8": 8}
_GGML = {
    "F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q8_0": (8, 32, 34), "Q2_K": (10, 256, 84),
    "Q3_K": (11, 256, 110), "Q4_K": (12, 256, 144), "Q5_K": (13, 256, 176), "Q6_K": (14, 256, 210),
}  # fmt: skip
_STORAGES = {"F32": ("FloatStorage", 4), "F16": ("HalfStorage", 2)}


def safetensors(
    path: Path, shapes: Shapes, *, dtype: str = "F16", metadata: Mapping[str, str] | None = None, mark: str = ""
) -> Path:
    """A valid safetensors file. `mark` (default: the name) goes into its first bytes, to tell contents apart."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name, shape in shapes.items():
        size = prod(shape) * _BITS[dtype] // 8
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with _new(path) as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        start = stream.tell()
        stream.write(os.fsencode(mark or path.name)[:offset])
        stream.truncate(start + offset)
    return path


def gguf(
    path: Path,
    pairs: Mapping[str, Any],
    tensors: Mapping[str, tuple[Sequence[int], str]] | None = None,
    *,
    version: int = 3,
) -> Path:
    """A GGUF file of key-value pairs and tensors: shape, outermost dimension first, and ggml type."""
    tensors = tensors or {}
    out = io.BytesIO()
    out.write(b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs)))
    for key, value in pairs.items():
        out.write(_text(key) + _value(value))
    offset = 0
    for name, (shape, kind) in tensors.items():
        number, block, size = _GGML[kind]
        dims = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        out.write(_text(name) + dims + struct.pack("<IQ", number, offset))
        offset += -(-prod(shape) // block * size // 32) * 32
    out.write(b"\0" * (-out.tell() % 32))
    with _new(path) as stream:
        stream.write(out.getvalue())
        stream.truncate(out.tell() + offset)
    return path


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _value(value: Any) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<IB", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    items = b"".join(_text(item) for item in value)
    return struct.pack("<IIQ", 9, 8, len(value)) + items


def pickled(shapes: Shapes, *, dtype: str = "F32", wrapper: str = "") -> bytes:
    """What `torch.save` writes into data.pkl for a dictionary of tensors, within `wrapper` if that is named."""
    storage, _ = _STORAGES[dtype]
    known = (
        b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\n" + storage.encode() + b"\n", _string("storage"),
        _string("cpu"), b"ccollections\nOrderedDict\n",
    )  # fmt: skip
    rebuild, kind, word, device, ordered = (b"h" + bytes([place]) for place in range(len(known)))
    out = [b"\x80\x02", *(value + b"q" + bytes([place]) + b"0" for place, value in enumerate(known))]
    if wrapper:
        out.append(b"}" + _string(wrapper))
    out.append(b"}(")
    for number, (name, shape) in enumerate(shapes.items()):
        strides = [prod(shape[place + 1 :]) for place in range(len(shape))]
        out += [
            _string(name), rebuild, b"((", word, kind, _string(str(number)), device, _integer(prod(shape)), b"tQK\x00(",
            *map(_integer, shape), b"t(", *map(_integer, strides), b"t\x89", ordered, b")RtR",
        ]  # fmt: skip
    return b"".join([*out, b"u", b"s" if wrapper else b"", b"."])


def _string(text: str) -> bytes:
    encoded = text.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _integer(number: int) -> bytes:
    if number < 256:
        return b"K" + bytes([number])
    return b"M" + struct.pack("<H", number) if number < 65536 else b"J" + struct.pack("<i", number)


def torch_zip(path: Path, shapes: Shapes, *, dtype: str = "F32", wrapper: str = "") -> Path:
    """A PyTorch file of tensors of zeros, packed so that it is small."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width = _STORAGES[dtype][1]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickled(shapes, dtype=dtype, wrapper=wrapper))
        for number, shape in enumerate(shapes.values()):
            archive.writestr(f"archive/data/{number}", bytes(prod(shape) * width))
        archive.writestr("archive/version", "3\n")
    return path


def running_pickle(path: Path, command: str) -> Path:
    """A PyTorch file that would run a shell command in whoever unpickles it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02cposix\nsystem\n(" + _string(command) + b"tR.")
        archive.writestr("archive/version", "3\n")
    return path


def onnx(path: Path, shapes: Shapes, *, external: str = "", properties: Mapping[str, str] | None = None) -> Path:
    """An ONNX model with float weights, in the file `external` if that is named."""
    graph = _field(1, _field(4, b"Conv")) + _field(2, b"graph") + _field(11, _field(1, b"input"))
    for name, shape in shapes.items():
        tensor = b"".join(_field(1, side) for side in shape) + _field(2, 1) + _field(8, name.encode())
        if external:
            tensor += _field(13, _field(1, b"location") + _field(2, external.encode())) + _field(14, 1)
        else:
            tensor += _field(9, bytes(4 * prod(shape)))
        graph += _field(5, tensor)
    told = b"".join(_field(14, _field(1, k.encode()) + _field(2, v.encode())) for k, v in (properties or {}).items())
    with _new(path) as stream:
        stream.write(_field(1, 8) + _field(2, b"pytorch") + _field(7, graph) + told)
    return path


def _field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return _varint(number << 3) + _varint(content)
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def whisper(path: Path, *, layers: int, width: int, mels: int = 80) -> Path:
    """The start of a whisper.cpp model: hyper-parameters, empty filters and vocabulary, one tensor."""
    heads = width // 64
    values = (51865, 1500, width, heads, layers, 448, width, heads, layers, mels, 1)
    name = b"encoder.conv1.bias"
    with _new(path) as stream:
        stream.write(b"lmgg" + struct.pack("<11i", *values) + struct.pack("<3i", mels, 0, 0))
        stream.write(struct.pack("<5i", 2, len(name), 0, 1, width) + name)
        stream.truncate(stream.tell() + 4 * width)
    return path


def text(path: Path, content: str | Mapping[str, Any]) -> Path:
    """A text file, or a JSON file of a mapping."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1), encoding="utf-8")
    return path


def _new(path: Path) -> io.BufferedWriter:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("wb")
