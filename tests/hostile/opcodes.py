"""Pickles written by hand: values and calls assembled into opcodes, importing nothing that they name."""

import struct
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function."""

    module: str
    name: str

    def __call__(self, *arguments: Any) -> "Call":
        return Call(self, arguments)


@dataclass(frozen=True, slots=True)
class Call:
    """What REDUCE makes of a function and its arguments."""

    function: Any
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class New:
    """An object without its constructor, and the state that BUILD gives it."""

    of: Name
    state: Any = None


@dataclass(frozen=True, slots=True)
class Built:
    """Any value, and a state that BUILD gives it."""

    value: Any
    state: Any


@dataclass(frozen=True, slots=True)
class Filled:
    """Any value, and items that SETITEM puts into it."""

    value: Any
    items: tuple[tuple[Any, Any], ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """What `torch.save` puts outside the pickle: a persistent identity."""

    identity: Any


@dataclass(frozen=True, slots=True)
class Raw:
    """Opcodes as they are."""

    code: bytes


def text(value: str) -> bytes:
    encoded = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def name(module: str, attribute: str) -> bytes:
    return b"c" + f"{module}\n{attribute}\n".encode()


def dumps(value: Any, protocol: int = 2) -> bytes:
    """A whole pickle of `value`. Protocol 4 and later name things on the stack, 0 and 1 have no header."""
    head = b"" if protocol < 2 else b"\x80" + bytes([protocol])
    return head + code(value, stacked=protocol >= 4) + b"."


def code(value: Any, *, stacked: bool = False) -> bytes:  # noqa: C901, PLR0911, PLR0912  (one case for each kind)
    """The opcodes that leave `value` on the stack."""

    def inner(*values: Any) -> bytes:
        return b"".join(code(each, stacked=stacked) for each in values)

    match value:
        case Name(module=module, name=attribute) if stacked:
            return inner(module, attribute) + b"\x93"
        case Name(module=module, name=attribute):
            return name(module, attribute)
        case Call(function=function, arguments=arguments):
            return inner(function, arguments) + b"R"
        case New(of=of, state=None):
            return inner(of) + b")\x81"
        case New(of=of, state=state):
            return inner(of) + b")\x81" + inner(state) + b"b"
        case Built(value=made, state=state):
            return inner(made, state) + b"b"
        case Filled(value=made, items=items):
            return inner(made) + b"".join(inner(*item) + b"s" for item in items)
        case Kept(identity=identity):
            return inner(identity) + b"Q"
        case Raw(code=opcodes):
            return opcodes
        case dict():
            return b"}(" + inner(*(part for item in value.items() for part in item)) + b"u"
        case list():
            return b"](" + inner(*value) + b"e"
        case tuple():
            return b"(" + inner(*value) + b"t"
        case _:
            return _plain(value)


def _plain(value: object) -> bytes:  # noqa: PLR0911  (as above)
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int() if 0 <= value < 256:
            return b"K" + bytes([value])
        case int() if -(1 << 31) <= value < 1 << 31:
            return b"J" + struct.pack("<i", value)
        case int():
            encoded = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8b" + struct.pack("<i", len(encoded)) + encoded
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return text(value)
        case bytes():
            return b"B" + struct.pack("<I", len(value)) + value
        case _:
            raise TypeError(value)
