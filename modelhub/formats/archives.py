"""Archives of other makes than PyTorch's: Keras 3 (`.keras`), NumPy (`.npz`) and NeMo (`.nemo`).

Nothing is unpacked. Members that an app would unpickle are judged like every pickle.
"""

import ast
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from modelhub.core.types import Inspection, MetaValue, Tensor
from modelhub.formats import hdf5, pickles, plain_yaml
from modelhub.formats.broken import BrokenFile
from modelhub.formats.pickle_values import UnsafeError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MAX_MEMBERS = 100_000
_MAX_TEXT = 4 << 20
_NPY = re.compile(rb"\x93NUMPY[\x01-\x03]\x00")
_NPY_DTYPES = {
    "f2": "F16", "f4": "F32", "f8": "F64", "i1": "I8", "i2": "I16", "i4": "I32", "i8": "I64", "u1": "U8", "u2": "U16",
    "u4": "U32", "u8": "U64", "b1": "BOOL", "c8": "C64", "V2": "BF16",
}  # fmt: skip
_ERRORS = (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, RuntimeError, ValueError, RecursionError)


def inspect_zip(stream: BinaryIO, size: int) -> Inspection | None:
    """A Keras or NumPy archive; None if it is neither."""
    try:
        pickles.check_directory(stream, size)
        with zipfile.ZipFile(stream) as archive:
            names = {member.filename for member in archive.infolist()[:_MAX_MEMBERS]}
            if names and all(name.endswith(".npy") for name in names):
                return _npz(archive, size)
            if "config.json" in names and "model.weights.h5" in names:
                return _keras(archive, size)
    except BrokenFile as broken:
        return Inspection("zip", size, "broken", broken.code, broken.message)
    except UnsafeError as unsafe:
        return Inspection("zip", size, "unsafe", "archive", str(unsafe))
    except _ERRORS:
        return None  # the judge of PyTorch's archives says what is wrong with it
    return None


def _keras(archive: zipfile.ZipFile, size: int) -> Inspection:
    text = _text(archive, "config.json")
    if hdf5.LAMBDA.search(text.encode()):
        return Inspection("keras", size, "unsafe", "lambda_layer", hdf5.LAMBDA_MESSAGE)
    config = json.loads(text)
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
        with archive.open(member) as content:
            head = content.read(1 << 16)
        name = member.filename.removesuffix(".npy")
        described = _npy(head, name)
        if described is None:
            message = f"Array {name[:200]!r} holds Python objects, which are pickled."
            return Inspection("npz", size, "unsafe", "unsafe_pickle", message)
        tensors[name] = described
    return Inspection("npz", size, tensors=tensors)


def _npy(head: bytes, name: str) -> Tensor | None:
    """The array that a `.npy` header describes; None for Python objects."""
    if not _NPY.match(head):
        raise BrokenFile("bad_archive", f"Member {name[:200]!r} is no NumPy array.")
    start = 10 if head[6] == 1 else 12
    length = int.from_bytes(head[8:start], "little")
    try:
        told = ast.literal_eval(head[start : start + length].decode("latin-1").strip())
        kind, shape = str(told["descr"]), tuple(int(side) for side in told["shape"])
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise BrokenFile("bad_header", f"Member {name[:200]!r} has a header that makes no sense.") from error
    if "O" in kind:
        return None
    return Tensor(_NPY_DTYPES.get(kind.lstrip("<>|="), kind), shape)


def is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def inspect_nemo(stream: BinaryIO, size: int) -> Inspection:
    """NVIDIA NeMo: a tar of `model_config.yaml` and a PyTorch file."""
    stream.seek(0)
    metadata: dict[str, MetaValue] = {}
    inner: Inspection | None = None
    try:
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in _members(archive, size):
                if member.name.endswith("model_config.yaml") and member.size <= _MAX_TEXT:
                    stream.seek(member.offset_data)
                    metadata |= _nemo_config(stream.read(member.size))
                elif not member.isdir():
                    inner = _worse(inner, _nemo_member(stream, member))
    except BrokenFile as broken:
        return Inspection("nemo", size, "broken", broken.code, broken.message, metadata=metadata)
    except _ERRORS as error:
        return Inspection("nemo", size, "broken", "bad_archive", f"The archive cannot be read: {error}.")
    if inner is None:
        return Inspection("tar", size, "not_model", "archive", "A tar archive without a model in it.")
    state = inner.state if inner.state != "not_model" else "broken"
    return Inspection("nemo", size, state, inner.code, inner.message, inner.tensors, metadata)


def _nemo_member(stream: BinaryIO, member: tarfile.TarInfo) -> Inspection | None:
    """A member that an app would unpickle, judged; None for anything else."""
    if not member.isreg():
        return Inspection("nemo", member.size, "unsafe", "link", f"Member {member.name[:200]!r} is a link.")
    buffered = io.BufferedReader(_Window(stream, member.offset_data, member.size))
    head = buffered.peek(16)[:16]
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
        if count > _MAX_MEMBERS:
            raise BrokenFile("bad_archive", "The archive has too many members.")
        if member.offset_data + member.size > size:
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
