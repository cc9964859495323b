"""A pickle read as data: its opcodes run on symbols, and nothing is ever called, imported or built.

The machine keeps what is needed to judge (which globals are named, and which of them would be called with
what) and what tells the model: dictionaries, text, numbers, and tensors as dtype and shape. Work and memory
are bounded for a whole file. The opcodes that make up nearly all of a checkpoint are decoded in one loop;
the rest goes by the descriptions of `pickletools`.
"""

import io
import pickle
import pickletools
import struct
from collections.abc import Callable
from typing import Any, ClassVar

from modelhub.formats.broken import BrokenFile
from modelhub.formats.pickle_lines import LINES, read_line
from modelhub.formats.pickle_objects import require_attributes, require_no_method, require_plain
from modelhub.formats.pickle_values import (
    FOREIGN,
    OTHER,
    STORAGES,
    WORD,
    Dictionary,
    Global,
    Instance,
    Storage,
    UnsafeError,
    dictionary,
    fill,
    reconstructed,
    tensor,
)
from modelhub.formats.safe_globals import BUILDERS, CLASSES

MAX_STEPS = 2_000_000
"""Opcodes of all pickles in one file together; a checkpoint of 2,500 tensors needs about 150,000."""

_TOO_MANY_KEPT = "The pickle keeps a value under a number so high that whoever loads it runs out of memory."
_KEPT_TEXT = 1024
_MAX_STATE = 100
_LONGEST_NUMBER = 8


def _text(data: bytes, start: int, end: int) -> object:
    if end > len(data):
        raise CutOffError("bad_pickle", "The pickle is damaged or cut off.")
    text = data[start:end].decode("utf-8", "surrogatepass")
    return text if end - start <= _KEPT_TEXT else OTHER


class CutOffError(BrokenFile):
    """The data ends before the pickle does, as far as that can be told."""


_TEXT = {"UNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}
_NUMBERS = {"INT", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
_EXTENSIONS = {"EXT1", "EXT2", "EXT4"}
_OPCODES = {ord(opcode.code): opcode for opcode in pickletools.opcodes}
_uint16 = struct.Struct("<H").unpack_from
_int32 = struct.Struct("<i").unpack_from
_uint32 = struct.Struct("<I").unpack_from


class Machine:
    """Runs the pickles of one file one after the other; the bound on steps is shared by them."""

    def __init__(self) -> None:
        self._steps = 0
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._globals: dict[tuple[str, str], Global] = {}
        self.storages: dict[str, int] = {}

    def run(self, data: bytes, start: int = 0) -> tuple[object, int]:
        """Read the pickle at `start` up to its STOP: the value it stands for, and where it ends.

        Raises UnsafeError, or BrokenFile if it is no whole pickle. `storages` holds the bytes of each
        storage named so far.
        """
        self._stack, self._below, self._memo = [], [], {}
        try:
            return self._loop(data, start)
        except RecursionError as error:
            raise UnsafeError("The pickle has calls within calls without end.") from error
        except (ValueError, IndexError, OverflowError, struct.error, KeyError, TypeError) as error:
            raise BrokenFile("bad_pickle", "The pickle is damaged or cut off.") from error

    def _loop(self, data: bytes, position: int) -> tuple[object, int]:  # noqa: C901, PLR0912, PLR0915  (one loop, for speed)
        stack, memo, below = self._stack, self._memo, self._below
        append = stack.append
        code = steps = 0
        try:
            for steps in range(MAX_STEPS - self._steps):
                code = data[position]
                position += 1
                if code < 0x60:  # halves the way to the frequent ones
                    if code == 0x4B:  # BININT1
                        append(data[position])
                        position += 1
                    elif code == 0x28:  # MARK
                        below.append(stack)
                        stack = []
                        append = stack.append
                    elif code == 0x52:  # REDUCE
                        arguments = stack.pop()
                        append(self._called(stack.pop(), arguments))
                    elif code == 0x58:  # BINUNICODE
                        end = position + 4 + _uint32(data, position)[0]
                        append(_text(data, position + 4, end))
                        position = end
                    elif code == 0x29:  # EMPTY_TUPLE
                        append(())
                    elif code == 0x51:  # BINPERSID
                        append(self._persistent(stack.pop()))
                    elif code == 0x4D:  # BININT2
                        append(_uint16(data, position)[0])
                        position += 2
                    elif code == 0x4A:  # BININT
                        append(_int32(data, position)[0])
                        position += 4
                    elif code == 0x2E:  # STOP
                        self._steps += steps
                        return stack.pop(), position
                    else:
                        self._stack = stack
                        position = self._rare(code, data, position)
                        stack = self._stack
                        append = stack.append
                elif code == 0x71:  # BINPUT
                    memo[data[position]] = stack[-1]
                    position += 1
                elif code == 0x72:  # LONG_BINPUT
                    kept = _uint32(data, position)[0]
                    if kept > MAX_STEPS:
                        raise UnsafeError(_TOO_MANY_KEPT)
                    memo[kept] = stack[-1]
                    position += 4
                elif code == 0x68:  # BINGET
                    append(memo[data[position]])
                    position += 1
                elif 0x85 <= code <= 0x87:  # TUPLE1, TUPLE2, TUPLE3
                    made = tuple(stack[0x84 - code :])
                    if len(made) != code - 0x84:
                        raise IndexError  # noqa: TRY301  (as for every other cut)
                    stack[0x84 - code :] = (made,)
                elif code == 0x74:  # TUPLE
                    made = tuple(stack)
                    stack = below.pop()
                    append = stack.append
                    append(made)
                elif code == 0x89:  # NEWFALSE
                    append(False)
                elif code == 0x94:  # MEMOIZE
                    memo[len(memo)] = stack[-1]
                elif code == 0x8C:  # SHORT_BINUNICODE
                    end = position + 1 + data[position]
                    append(_text(data, position + 1, end))
                    position = end
                elif code == 0x63:  # GLOBAL
                    middle = data.index(b"\n", position)
                    end = data.index(b"\n", middle + 1)
                    append(self._named(data[position:middle].decode(), data[middle + 1 : end].decode()))
                    position = end + 1
                elif code == 0x6A:  # LONG_BINGET
                    append(memo[_uint32(data, position)[0]])
                    position += 4
                else:
                    self._stack = stack
                    position = self._rare(code, data, position)
                    stack = self._stack
                    append = stack.append
        except (IndexError, struct.error) as error:
            if position + _LONGEST_NUMBER > len(data):
                raise CutOffError("bad_pickle", "The pickle is damaged or cut off.") from error
            raise
        raise UnsafeError("Its pickles have too many steps to be looked through.")

    def _rare(self, code: int, data: bytes, position: int) -> int:
        """Any other opcode, its argument read as its description says; where the next one stands."""
        opcode = _OPCODES.get(code)
        if opcode is None:
            raise BrokenFile("bad_pickle", "The pickle is damaged or cut off.")
        argument = None
        if opcode.arg is not None:
            stream = io.BytesIO(data)  # shares the bytes; no copy is made
            stream.seek(position)
            try:
                argument = read_line(opcode.name, stream) if opcode.name in LINES else opcode.arg.reader(stream)
            except ValueError as error:
                if stream.tell() >= len(data):
                    raise CutOffError("bad_pickle", "The pickle is damaged or cut off.") from error
                raise
            position = stream.tell()
        special = self._SPECIAL.get(opcode.name)
        if special is not None:
            special(self, argument)
        elif opcode.name in _TEXT:
            text = str(argument)
            self._stack.append(text if len(text) <= _KEPT_TEXT else OTHER)
        elif opcode.name in _NUMBERS:
            small = isinstance(argument, float) or (isinstance(argument, int) and abs(argument) < WORD)
            self._stack.append(argument if small else OTHER)
        elif opcode.name in _EXTENSIONS:
            raise UnsafeError("The pickle names something by a number of the extension registry.")
        else:
            self._generic(opcode)
        return position

    def _generic(self, opcode: pickletools.OpcodeInfo) -> None:
        """Take and give as many values as the opcode's own description says."""
        takes = opcode.stack_before
        if pickletools.markobject in takes:
            self._to_mark()
            takes = takes[: takes.index(pickletools.markobject)]
        for _ in takes:
            self._stack.pop()
        self._stack.extend(OTHER for _ in opcode.stack_after)

    def _to_mark(self) -> list[Any]:
        taken, self._stack = self._stack, self._below.pop()
        return taken

    # Containers

    def _pop(self, _: object) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._to_mark()

    def _pop_mark(self, _: object) -> None:
        self._to_mark()

    def _proto(self, version: object) -> None:
        if isinstance(version, int) and version > pickle.HIGHEST_PROTOCOL:
            raise BrokenFile("bad_pickle", "The pickle is damaged or cut off.")

    def _dup(self, _: object) -> None:
        self._stack.append(self._stack[-1])

    def _put(self, argument: Any) -> None:
        if not 0 <= int(argument) <= MAX_STEPS:
            raise UnsafeError(_TOO_MANY_KEPT)
        self._memo[int(argument)] = self._stack[-1]

    def _get(self, argument: Any) -> None:
        self._stack.append(self._memo[int(argument)])

    def _none(self, _: object) -> None:
        self._stack.append(None)

    def _true(self, _: object) -> None:
        self._stack.append(True)

    def _empty_dict(self, _: object) -> None:
        self._stack.append(Dictionary())

    def _empty_list(self, _: object) -> None:
        self._stack.append([])

    def _dict(self, _: object) -> None:
        items = self._to_mark()
        made = Dictionary()
        fill(made, items)
        self._stack.append(made)

    def _list(self, _: object) -> None:
        made = self._to_mark()
        self._stack.append(made)

    def _setitem(self, _: object) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        require_plain(self._stack[-1], (key, value))
        fill(self._stack[-1], [key, value])

    def _setitems(self, _: object) -> None:
        items = self._to_mark()
        require_plain(self._stack[-1], items)
        self._count(len(items))
        fill(self._stack[-1], items)

    def _append(self, _: object) -> None:
        value = self._stack.pop()
        require_plain(self._stack[-1])
        if isinstance(self._stack[-1], list):
            self._stack[-1].append(value)

    def _appends(self, _: object) -> None:
        items = self._to_mark()
        require_plain(self._stack[-1])
        if isinstance(self._stack[-1], list):
            self._stack[-1].extend(items)

    def _additems(self, _: object) -> None:
        self._to_mark()
        require_plain(self._stack[-1])

    def _count(self, steps: int) -> None:
        """Work that one opcode asks for counts like as many opcodes."""
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise UnsafeError("Its pickles have too many steps to be looked through.")

    def _persistent(self, identity: object) -> object:
        """What PyTorch puts outside the pickle: ('storage', class, key, device, elements)."""
        if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
            return FOREIGN
        _, made_of, key, _, elements = identity[:5]
        name = made_of.name if isinstance(made_of, Global) else ""
        if name not in STORAGES or not isinstance(key, str) or not isinstance(elements, int) or elements < 0:
            return FOREIGN
        dtype, width = STORAGES[name]
        self.storages[key] = max(self.storages.get(key, 0), elements * width)
        return Storage(dtype, key, elements)

    def _persistent_line(self, _: object) -> None:
        self._stack.append(FOREIGN)

    # What names, calls and builds

    def _named(self, module: object, name: object) -> Global:
        if not isinstance(module, str) or not isinstance(name, str):
            raise UnsafeError("The pickle hides what it names.")
        found = self._globals.get((module, name))
        if found is None:
            if (module, name) not in BUILDERS and (module, name) not in CLASSES:
                raise UnsafeError(f"The pickle calls for {module[:80]}.{name[:80]}, which is not known to be harmless.")
            found = self._globals[module, name] = Global(module, name)
        return found

    def _stack_global(self, _: object) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._stack.append(self._named(module, name))

    def _inst(self, argument: object) -> None:
        arguments = tuple(self._to_mark())
        module, _, name = str(argument).partition(" ")
        self._stack.append(self._called(self._named(module, name), arguments))

    def _obj(self, _: object) -> None:
        target, *arguments = self._to_mark()
        self._stack.append(self._called(target, tuple(arguments)))

    def _called(self, target: object, arguments: Any) -> object:
        """A call runs code of the target's; only builders may be called with what the file says."""
        if not isinstance(target, Global):
            raise UnsafeError("The pickle calls something that it made itself.")
        if arguments.__class__ is list:
            self._count(len(arguments))
            arguments = tuple(arguments)
        if arguments.__class__ is not tuple:
            raise UnsafeError(f"The pickle hides what it calls {target} with.")
        given, part = arguments, target.part
        if not target.builds and (given or part != "namespace"):
            raise UnsafeError(f"The pickle calls {target} with arguments of its own.")
        if part == "tensor":
            return tensor(given)
        if part == "dictionary":
            self._count(sum(len(each) for each in given[:2] if isinstance(each, list | tuple | dict)))
            return dictionary(given) if given else Dictionary()
        if part == "parameter":
            self._attributes(given[3] if len(given) > 3 else None)
            return given[0] if given else OTHER
        if part == "call":
            self._attributes(given[3] if len(given) > 3 else None)
            return self._called(given[0] if given else None, given[2] if len(given) > 2 else ())
        return self._reconstructed(given) if part == "reconstructor" else Instance(target)

    def _reconstructed(self, given: tuple[Any, ...]) -> Instance:
        made = reconstructed(given)
        if not made.made_of.builds:
            self._attributes(given[2] if len(given) > 2 else None)
        return made

    def _newobj(self, _: object) -> None:
        """`cls.__new__(cls)` runs no code of the class's, if no argument is given."""
        arguments, target = self._stack.pop(), self._stack.pop()
        if arguments == () and isinstance(target, Global):
            self._stack.append(Dictionary() if target.part == "dictionary" else Instance(target))
        else:
            self._stack.append(self._called(target, arguments))

    def _newobj_ex(self, _: object) -> None:
        self._stack.pop()
        arguments = self._stack.pop()
        self._stack.append(self._called(self._stack.pop(), arguments))

    def _build(self, _: object) -> None:
        """Sets the state of an object; never of a class or function, which would change it for everybody."""
        state = self._stack.pop()
        target = self._stack[-1]
        if isinstance(target, Global):
            raise UnsafeError("The pickle changes a class or function of the program that loads it.")
        if isinstance(target, Instance) and not target.made_of.builds:
            self._attributes(state)
        else:
            parts = state if isinstance(state, tuple) else (state,)
            self._count(len(parts) + sum(map(require_no_method, parts[:_MAX_STATE])))
            if len(parts) > _MAX_STATE:
                raise UnsafeError("The pickle gives an object a state of too many parts.")
        if isinstance(target, Instance):
            target.state = state[0] if isinstance(state, tuple) and state else state

    def _attributes(self, state: object) -> None:
        self._count(require_attributes(state))

    _SPECIAL: ClassVar[dict[str, Callable[["Machine", object], None]]] = {
        "PROTO": _proto, "PERSID": _persistent_line, "STACK_GLOBAL": _stack_global, "INST": _inst, "OBJ": _obj,
        "NEWOBJ": _newobj, "NEWOBJ_EX": _newobj_ex, "BUILD": _build, "POP": _pop,
        "POP_MARK": _pop_mark, "DUP": _dup, "PUT": _put, "GET": _get,
        "NONE": _none, "NEWTRUE": _true, "EMPTY_DICT": _empty_dict,
        "EMPTY_LIST": _empty_list, "DICT": _dict, "LIST": _list,
        "SETITEM": _setitem, "SETITEMS": _setitems, "APPEND": _append,
        "APPENDS": _appends, "ADDITEMS": _additems,
    }  # fmt: skip
