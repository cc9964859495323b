"""Where the numbers of a PyTorch file's tensors lie, and their bytes in order: enough to write them elsewhere.

The pickle is run on symbols, as for judging; nothing is unpickled. What cannot be said exactly is refused.
"""

import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import Any, BinaryIO, Literal, NamedTuple, Self

from modelhub.core.types import MetaValue, Tensor
from modelhub.formats import pickles, state_dict
from modelhub.formats.pickle_machine import Machine
from modelhub.formats.pickle_values import STORAGES, Global, Storage
from modelhub.formats.safetensors import BITS

_BLOCK = 1 << 20
_CASTS: dict[int, Literal["B", "H", "I", "Q"]] = {1: "B", 2: "H", 4: "I", 8: "Q"}
_WIDTHS = dict(STORAGES.values())
_LEGACY_PICKLES, _STATE, _KEYS = 5, 3, 4
_COUNT = struct.Struct("<q")


class UnsupportedError(Exception):
    """A tensor that cannot be written as it is."""


class Stored(NamedTuple):
    """One tensor: `offset` and `strides` count elements of its storage, which is a member or a part of the file."""

    dtype: str
    shape: tuple[int, ...]
    key: str
    offset: int
    strides: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return prod(self.shape) * BITS[self.dtype] // 8

    @property
    def is_contiguous(self) -> bool:
        expected = 1
        for length, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if length != 1 and stride != expected:
                return False
            expected *= length
        return True

    @property
    def span(self) -> int:
        """Elements of the storage from its first to its last."""
        if not prod(self.shape):
            return 0
        return 1 + sum((length - 1) * stride for length, stride in zip(self.shape, self.strides, strict=True))


class TensorFile:
    """The tensors of an open PyTorch file by name, and the plain values beside them."""

    def __init__(
        self, tensors: Mapping[str, Stored], values: Mapping[str, MetaValue], open_storage: Callable[[str], BinaryIO]
    ) -> None:
        self.tensors = tensors
        self.values = values
        self._open = open_storage

    def content(self, name: str) -> Iterator[bytes]:
        """The bytes of a tensor, row after row, in pieces."""
        tensor = self.tensors[name]
        width = BITS[tensor.dtype] // 8
        with self._open(tensor.key) as storage:
            storage.seek(tensor.offset * width)
            if tensor.is_contiguous:
                yield from _pieces(storage, tensor.bytes)
            else:
                span = b"".join(_pieces(storage, tensor.span * width))
                yield from _rows(memoryview(span).cast(_CASTS[width]), 0, tensor.shape, tensor.strides)


def open_tensors(stream: BinaryIO, size: int) -> TensorFile:
    """Locate every tensor of a file that was judged safe. Raises UnsupportedError, and what judging raises."""
    stream.seek(0)
    kind = pickles.container(stream.read(64))
    if kind == "torch_zip":
        return _in_zip(stream, size)
    if kind == "torch_legacy":
        return _in_stream(stream, size)
    raise UnsupportedError("It is a bare pickle, which holds no tensors of PyTorch.")


class _Tracking(Machine):
    """Remembers where each tensor's numbers are."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[Tensor, tuple[Any, ...]]] = []
        self.refused = ""

    def _called(self, target: object, arguments: object) -> object:
        result = super()._called(target, arguments)
        if isinstance(target, Global) and isinstance(arguments, tuple):
            if target.part == "tensor" and isinstance(result, Tensor):
                self.made.append((result, arguments))
                self._check(target, arguments)
            elif target.name.startswith("_rebuild") and target.part not in ("tensor", "parameter", "call"):
                self.refused = self.refused or f"It holds a tensor of a special kind ({target.name})."
        return result

    def _check(self, target: Global, arguments: tuple[Any, ...]) -> None:
        flags = arguments[6] if target.name == "_rebuild_tensor_v2" and len(arguments) > 6 else None
        if "q" in target.name.removeprefix("_rebuild_")[:1]:
            self.refused = "It holds a quantised tensor, whose scale safetensors cannot hold."
        elif isinstance(flags, dict) and any(flags.values()):
            self.refused = "It holds a tensor that is stored negated or conjugated."

    def tell(self, value: object) -> tuple[dict[str, Stored], dict[str, MetaValue]]:
        """Every tensor by its name, with its place."""
        if self.refused:
            raise UnsupportedError(self.refused)
        places = {id(tensor): arguments for tensor, arguments in self.made}
        tensors, values = state_dict.tell(value)
        found = {name: _stored(name, tensor, places.get(id(tensor))) for name, tensor in tensors.items()}
        if not found:
            raise UnsupportedError("It holds no tensors.")
        return found, values


def _stored(name: str, tensor: Tensor, arguments: tuple[Any, ...] | None) -> Stored:
    if arguments is None or len(arguments) < 4 or not isinstance(arguments[0], Storage):
        raise UnsupportedError(f"Where the numbers of {name[:80]!r} are is not told.")
    storage, offset, shape, strides = arguments[:4]
    if tensor.dtype not in BITS or BITS[tensor.dtype] not in (8, 16, 32, 64):
        raise UnsupportedError(f"{name[:80]!r} is of a type ({tensor.dtype}) that safetensors does not have.")
    whole = isinstance(strides, tuple) and len(strides) == len(shape)
    if (
        not whole
        or not isinstance(offset, int)
        or offset < 0
        or any(not isinstance(one, int) or one < 0 for one in strides)
    ):
        raise UnsupportedError(f"{name[:80]!r} is laid out in a way that makes no sense.")
    made = Stored(tensor.dtype, tuple(shape), storage.key, offset, strides)
    there = storage.elements * _WIDTHS[storage.dtype]
    if (offset + made.span) * BITS[made.dtype] // 8 > there:
        raise UnsupportedError(f"{name[:80]!r} reaches beyond its numbers.")
    return made


def _in_zip(stream: BinaryIO, size: int) -> TensorFile:
    pickles.check_directory(stream, size)
    archive = zipfile.ZipFile(stream)
    names = [member.filename for member in archive.infolist() if pickles.holds_pickle(member)]
    main = next((name for name in names if name.endswith("data.pkl")), "")
    folder = main.removesuffix("data.pkl")
    if not main:
        raise UnsupportedError("It has no data.pkl.")
    order = f"{folder}byteorder"
    if order in archive.namelist() and archive.read(order)[:16] != b"little":
        raise UnsupportedError("Its numbers are big-endian.")
    machine = _Tracking()
    with archive.open(main) as content:
        value, _ = machine.run(content.read(pickles.MAX_PICKLE))
    tensors, values = machine.tell(value)
    return TensorFile(tensors, values, lambda key: archive.open(f"{folder}data/{key}"))  # type: ignore[arg-type,return-value]


def _in_stream(stream: BinaryIO, size: int) -> TensorFile:
    """The form before the zip files: pickles, then each storage behind the number of its elements."""
    stream.seek(0)
    data = stream.read(min(size, pickles.MAX_PICKLE))
    machine, values, position = _Tracking(), [], 0
    for _ in range(_LEGACY_PICKLES):
        value, position = machine.run(data, position)
        values.append(value)
    tensors, plain = machine.tell(values[_STATE])
    keys = values[_KEYS]
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise UnsupportedError("The order of its numbers is not told.")
    places: dict[str, int] = {}
    for key in keys:
        stream.seek(position)
        (elements,) = _COUNT.unpack(stream.read(_COUNT.size))
        places[key] = position + _COUNT.size
        length = machine.storages.get(key, 0)
        if elements < 0 or not length:
            raise UnsupportedError("Its numbers are not as long as it says.")
        position += _COUNT.size + length
    if position > size:
        raise UnsupportedError("Its numbers are cut off.")
    return TensorFile(tensors, plain, lambda key: _Part(stream, places[key]))  # type: ignore[arg-type,return-value]


class _Part:
    """A storage within a stream that stays open."""

    def __init__(self, stream: BinaryIO, start: int) -> None:
        self._stream = stream
        self._start = start

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def seek(self, offset: int) -> None:
        self._stream.seek(self._start + offset)

    def read(self, length: int) -> bytes:
        return self._stream.read(length)


def _pieces(storage: BinaryIO, length: int) -> Iterator[bytes]:
    while length:
        block = storage.read(min(length, _BLOCK))
        if not block:
            raise UnsupportedError("Its numbers are cut off.")
        length -= len(block)
        yield block


def _rows(span: memoryview, start: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Iterator[bytes]:
    """The elements of a tensor whose storage is in another order, row by row."""
    if not prod(shape):
        return
    if len(shape) == 1:
        length, stride = shape[0], strides[0]
        yield span[start : start + 1].tobytes() * length if not stride else _row(span, start, length, stride)
        return
    for index in range(shape[0]):
        yield from _rows(span, start + index * strides[0], shape[1:], strides[1:])


def _row(span: memoryview, start: int, length: int, stride: int) -> bytes:
    return span[start : start + (length - 1) * stride + 1 : stride].tobytes()
