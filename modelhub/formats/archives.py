"""Archives of other makes than PyTorch's: Keras 3 (`.keras`), NumPy (`.npz`) and NeMo (`.nemo`).

Nothing is unpacked. Members that an app would unpickle are judged like every pickle.
"""

import ast
import io
import json
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from modelhub.core.types import Inspection, MetaValue, Tensor
from modelhub.formats import keras_code, pickles, plain_yaml
from modelhub.formats.broken import BrokenFile
from modelhub.formats.pickle_values import UnsafeError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MAX_MEMBERS = 100_000
_MAX_FILES, _MAX_HEADER, _MAX_YAML = 10_000, 1 << 16, 1 << 17
"""Members of a tar, bytes of one header of it (names of any length are headers too), bytes of a configuration."""

_MAX_NESTED = 4
_MAX_TEXT = 4 << 20
_NPY = re.compile(rb"\x93NUMPY[\x01-\x03]\x00")
_NPY_DTYPES = {
    "f2": "F16", "f4": "F32", "f8": "F64", "i1": "I8", "i2": "I16", "i4": "I32", "i8": "I64", "u1": "U8", "u2": "U16",
    "u4": "U32", "u8": "U64", "b1": "BOOL", "c8": "C64", "V2": "BF16",
}  # fmt: skip
_NPY_PLAIN = re.compile(r"[<>|=]?(?:[biufcSUV]\d{1,9}|[mM]8(?:\[\w+\])?|\?)")
_NPY_WIDTH = re.compile(r"[<>|=]?[biufcSV](\d{1,9})")
_ERRORS = (
    zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, RuntimeError, ValueError, RecursionError, OverflowError,
    KeyError, struct.error, zlib.error,
)  # fmt: skip


def inspect_zip(stream: BinaryIO, size: int) -> Inspection | None:
    """A Keras or NumPy archive; None if it is neither."""
    try:
        pickles.check_directory(stream, size)
        with zipfile.ZipFile(stream) as archive:
            names = {member.filename for member in archive.infolist()[:_MAX_MEMBERS]}
            if names and all(name.endswith(".npy") for name in names):
                pickles.check_members(archive.infolist())
                return _npz(archive, size)
            if "config.json" in names and "model.weights.h5" in names:
                pickles.check_members(archive.infolist())
                carries = any(pickles.holds_pickle(member) for member in archive.infolist())
                return None if carries else _keras(archive, size)
    except BrokenFile as broken:
        return Inspection("zip", size, "broken", broken.code, broken.message)
    except UnsafeError as unsafe:
        return Inspection("zip", size, "unsafe", "archive", str(unsafe))
    except _ERRORS:
        return None  # the judge of PyTorch's archives says what is wrong with it
    return None


def _keras(archive: zipfile.ZipFile, size: int) -> Inspection:
    text = _text(archive, "config.json")
    config = json.loads(text)
    for written in (text, json.dumps(config)):  # as it stands, and with what was written as escapes
        code = keras_code.named_in(written.encode("utf-8", "replace"))
        if code:
            return Inspection("keras", size, "unsafe", *code)
    told: dict[str, MetaValue] = {}
    if isinstance(config, dict):
        inner = config.get("config")
        told["keras.class"] = str(config.get("class_name", ""))
        told["keras.name"] = str(inner.get("name", "")) if isinstance(inner, dict) else ""
    return Inspection("keras", size, metadata=told)


def _text(archive: zipfile.ZipFile, name: str) -> str:
    with archive.open(name) as member:
        return member.read(_MAX_TEXT).decode("utf-8", "replace")


def _npz(archive: zipfile.ZipFile, size: int) -> Inspection:
    tensors: dict[str, Tensor] = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BrokenFile("bad_archive", f"Array {name[:200]!r} is packed in a way that NumPy does not use.")
        with archive.open(member) as content:
            head = content.read(1 << 16)
        described = _npy(head, name, member.file_size)
        if described is None:
            message = f"Array {name[:200]!r} holds Python objects, which are pickled."
            return Inspection("npz", size, "unsafe", "unsafe_pickle", message)
        tensors[name] = described
    return Inspection("npz", size, tensors=tensors)


def _npy(head: bytes, name: str, size: int) -> Tensor | None:
    """The array that a `.npy` header describes; None for Python objects, and for types that may hold some."""
    if not _NPY.match(head):
        raise BrokenFile("bad_archive", f"Member {name[:200]!r} is no NumPy array.")
    start = 10 if head[6] == 1 else 12
    length = int.from_bytes(head[8:start], "little")
    try:
        told = ast.literal_eval(head[start : start + length].decode("latin-1").strip())
        described, shape = told["descr"], tuple(told["shape"])
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise BrokenFile("bad_header", f"Member {name[:200]!r} has a header that makes no sense.") from error
    if any(side.__class__ is not int or not 0 <= side < 1 << 63 for side in shape):
        raise BrokenFile("bad_shape", f"Array {name[:200]!r} has an impossible shape.")
    if not _is_plain(described):
        return None
    kind = str(described)
    sized = _NPY_WIDTH.fullmatch(kind)
    if sized and start + length + prod(shape) * int(sized[1]) > size:
        raise BrokenFile("truncated", f"Array {name[:200]!r} is cut off.")
    return Tensor(_NPY_DTYPES.get(kind.lstrip("<>|="), kind), shape)


def _is_plain(described: object, depth: int = 0) -> bool:
    """Whether a NumPy type is made of numbers and text only: one by itself, or fields of (name, type[, shape])."""
    if isinstance(described, str):
        return _NPY_PLAIN.fullmatch(described) is not None
    return (
        isinstance(described, list)
        and depth < _MAX_NESTED
        and all(isinstance(field, tuple) and len(field) > 1 and _is_plain(field[1], depth + 1) for field in described)
    )


def is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def inspect_nemo(stream: BinaryIO, size: int, depth: int = 0) -> Inspection:
    """NVIDIA NeMo: a tar of `model_config.yaml` and a PyTorch file."""
    metadata: dict[str, MetaValue] = {}
    inner: Inspection | None = None
    configured = depth > 0
    try:
        with tarfile.open(fileobj=_Headers(_Window(stream, 0, size)), mode="r:") as archive:
            for member in _members(archive, size):
                if PurePosixPath(member.name).name == "model_config.yaml" and not configured:
                    configured = True
                    stream.seek(member.offset_data)
                    metadata |= _nemo_config(stream.read(min(member.size, _MAX_YAML)))
                elif not member.isdir():
                    inner = _worse(inner, _nemo_member(stream, member, depth))
            stream.seek(archive.offset)
            if any(stream.read(_MAX_HEADER)):
                return Inspection("nemo", size, "unsafe", "archive", "More data follows the end of the archive.")
    except BrokenFile as broken:
        return Inspection("nemo", size, "broken", broken.code, broken.message, metadata=metadata)
    except _ERRORS as error:
        return Inspection("nemo", size, "broken", "bad_archive", f"The archive cannot be read: {error}.")
    if inner is None:
        return Inspection("tar", size, "not_model", "archive", "A tar archive without a model in it.")
    state = inner.state if inner.state != "not_model" else "broken"
    return Inspection("nemo", size, state, inner.code, inner.message, inner.tensors, metadata)


def _nemo_member(stream: BinaryIO, member: tarfile.TarInfo, depth: int) -> Inspection | None:
    """A member that an app would unpickle, judged; None for anything else."""
    if not member.isreg():
        return Inspection("nemo", member.size, "unsafe", "link", f"Member {member.name[:200]!r} is a link.")
    if pickles.ESCAPES.search(member.name):
        message = f"Member {member.name[:200]!r} would be unpacked outside of its folder."
        return Inspection("nemo", member.size, "unsafe", "archive", message)
    buffered = io.BufferedReader(_Window(stream, member.offset_data, member.size))
    head = buffered.peek(512)[:512]
    if is_tar(head):
        if depth >= _MAX_NESTED:
            return Inspection("nemo", member.size, "unsafe", "archive", "It holds archives within archives.")
        return inspect_nemo(buffered, member.size, depth + 1)
    named = member.name.lower().endswith(tuple(pickles.PICKLE_SUFFIXES))
    if not named and not pickles.is_zip(head) and not pickles.is_pickle(head):
        return None
    return pickles.inspect(pickles.container(head), buffered, member.size)


_ORDER = ("ok", "not_model", "broken", "unsafe")


def _worse(one: Inspection | None, other: Inspection | None) -> Inspection | None:
    """The worse of two members; of two sound ones the one with more tensors."""
    known = [each for each in (one, other) if each is not None]
    return max(known, key=lambda each: (_ORDER.index(each.state), len(each.tensors)), default=None)


def _members(archive: tarfile.TarFile, size: int) -> Iterator[tarfile.TarInfo]:
    for count, member in enumerate(archive):
        if count > _MAX_FILES:
            raise BrokenFile("bad_archive", "The archive has too many members.")
        if member.size < 0 or member.offset_data + member.size > size:
            raise BrokenFile("truncated", f"Member {member.name[:200]!r} is cut off.")
        yield member


def _nemo_config(text: bytes) -> dict[str, MetaValue]:
    config = plain_yaml.load(text)
    keys = ("target", "nemo_version", "sample_rate", "name")
    return {f"nemo.{key}": str(config[key]) for key in keys if isinstance(config.get(key), str)}


class _Window(io.RawIOBase):
    """A part of another stream as a stream of its own."""

    def __init__(self, stream: BinaryIO, start: int, length: int) -> None:
        self._stream = stream
        self._start = start
        self._length = length
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer)
        wanted = max(0, min(len(view), self._length - self._position))
        self._stream.seek(self._start + self._position)
        data = self._stream.read(wanted)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


class _Headers(io.BufferedReader):
    """A tar whose headers are read, each only if it is short: its length may be a lie."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MAX_HEADER:
            raise tarfile.ReadError("a header is too long")
        return super().read(size)
