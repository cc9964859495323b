"""What stands for values while a pickle is read: named globals, objects, storages, and tensors made of them."""

from typing import Any, NamedTuple

from modelhub.core.types import Tensor
from modelhub.formats.safe_globals import BUILDERS

WORD = 1 << 64


class UnsafeError(Exception):
    """The pickle names or calls something that is not known to be harmless."""


STORAGES = {
    "DoubleStorage": ("F64", 8), "FloatStorage": ("F32", 4), "HalfStorage": ("F16", 2), "BFloat16Storage": ("BF16", 2),
    "LongStorage": ("I64", 8), "IntStorage": ("I32", 4), "ShortStorage": ("I16", 2), "CharStorage": ("I8", 1),
    "ByteStorage": ("U8", 1), "BoolStorage": ("BOOL", 1), "ComplexFloatStorage": ("C64", 8),
    "ComplexDoubleStorage": ("C128", 16), "QInt8Storage": ("I8", 1), "QUInt8Storage": ("U8", 1),
    "QInt32Storage": ("I32", 4), "UntypedStorage": ("U8", 1), "TypedStorage": ("U8", 1),
}  # fmt: skip
"""Name of an element type, as safetensors spells it, and its bytes, by PyTorch's storage classes."""

_DTYPES = {
    "float64": "F64", "float32": "F32", "float": "F32", "float16": "F16", "half": "F16", "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "int64": "I64", "int32": "I32", "int16": "I16",
    "int8": "I8", "uint8": "U8", "bool": "BOOL", "complex64": "C64", "complex128": "C128",
}  # fmt: skip


_MAX_RANK = 64
"""Dimensions of a tensor; PyTorch allows no more."""

_PARTS = {
    "_rebuild_tensor": "tensor", "_rebuild_tensor_v2": "tensor", "_rebuild_tensor_v3": "tensor",
    "_rebuild_qtensor": "tensor", "_rebuild_parameter": "parameter", "_rebuild_parameter_with_state": "parameter",
    "OrderedDict": "dictionary", "dict": "dictionary", "defaultdict": "dictionary", "Counter": "dictionary",
    "_rebuild_from_type_v2": "call", "_reconstructor": "reconstructor", "AttributeDict": "attributes",
    "IterableSimpleNamespace": "namespace",
}  # fmt: skip
"""What the result of a builder is, where that tells something."""


class Global:
    """A class or function that the pickle names."""

    __slots__ = ("builds", "module", "name", "part")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name
        self.builds = (module, name) in BUILDERS
        self.part = _PARTS.get(name, "")

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Instance:
    """An object of a named class, with the state it would get."""

    __slots__ = ("made_of", "state")

    def __init__(self, made_of: Global) -> None:
        self.made_of = made_of
        self.state: object = None


class Storage(NamedTuple):
    """Where a tensor's numbers lie: element type, key of the member, and number of elements."""

    dtype: str
    key: str
    elements: int


OTHER = object()
"""Stands for every value that tells nothing: bytes, sets, arrays, long text."""

FOREIGN = object()
"""Stands for what only the program that unpickles knows: an object that is kept outside of the pickle."""


class Dictionary(dict[Any, Any]):
    """A dictionary of the pickle's. `hidden`: it may have names that are not known here."""

    hidden = False


def could_be_called(value: object) -> bool:
    """What builders make is data; classes, and objects of those that are no builders, may be called."""
    return isinstance(value, Global) or (isinstance(value, Instance) and not value.made_of.builds) or value is FOREIGN


def could_be_text(key: object) -> bool:
    """Whether a key that is no text here may be some in the program that unpickles: made by `str`, or from outside."""
    return isinstance(key, Instance) or key is FOREIGN


def fill(target: object, items: list[Any]) -> None:
    """Key, value, key, value ... into a dictionary. Other keys than text and numbers tell nothing; some may be text."""
    if len(items) % 2:
        raise IndexError
    if isinstance(target, Dictionary):
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, str | int):
                target[key] = value
            elif could_be_text(key):
                target.hidden = True


def dictionary(arguments: tuple[Any, ...]) -> Dictionary:
    """What is made of pairs or of another dictionary, after the factory of a `defaultdict`."""
    made = Dictionary()
    factory = arguments[0] is None or isinstance(arguments[0], Global)
    given = arguments[1:2] if factory else arguments[:1]
    made.hidden = len(arguments) > 2
    for pairs in given:
        if isinstance(pairs, Dictionary):
            made.update(pairs)
            made.hidden |= pairs.hidden
        elif isinstance(pairs, list | tuple) and all(
            isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs
        ):
            for pair in pairs:
                fill(made, list(pair))
        else:
            made.hidden = True
    return made


def tensor(arguments: tuple[Any, ...]) -> object:
    """A tensor of (storage, offset, shape, strides, ...); the newest form names its dtype after those."""
    if len(arguments) < 3 or not isinstance(arguments[0], Storage) or not isinstance(arguments[2], tuple):
        return OTHER
    dtype, shape = arguments[0].dtype, arguments[2]
    if len(shape) > _MAX_RANK:
        return OTHER
    for length in shape:
        if length.__class__ is not int or not 0 <= length < WORD:
            return OTHER
    named = arguments[6] if len(arguments) > 6 else None
    if isinstance(named, Global):
        dtype = _DTYPES.get(named.name, dtype)
    return Tensor(dtype, shape)


def reconstructed(arguments: tuple[Any, ...]) -> Instance:
    """An object made without its constructor; that of its base would be called with what the file says."""
    if len(arguments) < 2 or not isinstance(arguments[0], Global) or not isinstance(arguments[1], Global):
        raise UnsafeError("The pickle makes an object of what it does not name.")
    if not arguments[1].builds:
        raise UnsafeError(f"The pickle calls {arguments[1]} with arguments of its own.")
    return Instance(arguments[0])
