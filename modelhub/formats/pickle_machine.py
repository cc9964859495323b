"""A pickle read as data: its opcodes run on symbols, and nothing is ever called, imported or built.

The machine knows only what is needed to judge: which globals are named, and which of them would be called
with what. Everything else on its stack is an opaque mark. Work and memory are bounded for a whole file.
"""

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass

from modelhub.formats.broken import BrokenFile
from modelhub.formats.safe_globals import BUILDERS, CLASSES

MAX_STEPS = 2_000_000
"""Opcodes of all pickles in one file together; a checkpoint of 2,500 tensors needs about 150,000."""

_KEPT_TEXT = 256
_MAX_STACK = 1_000_000


class UnsafeError(Exception):
    """The pickle names or calls something that is not known to be harmless."""


@dataclass(frozen=True, slots=True)
class Global:
    module: str
    name: str

    @property
    def known(self) -> bool:
        return (self.module, self.name) in BUILDERS or (self.module, self.name) in CLASSES


class _Mark:
    pass


_MARK = _Mark()
_OTHER = object()
_EMPTY_TUPLE = ()
_TEXT = {"UNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"}
_PUT = {"PUT", "BINPUT", "LONG_BINPUT"}
_GET = {"GET", "BINGET", "LONG_BINGET"}
_EXTENSIONS = {"EXT1", "EXT2", "EXT4"}


class Machine:
    """Judges the pickles of one file one after the other; the bound on steps is shared by them."""

    def __init__(self) -> None:
        self._steps = 0
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}
        self._special: dict[str, Callable[[object], object]] = {
            "GLOBAL": self._global,
            "STACK_GLOBAL": self._stack_global,
            "INST": self._inst,
            "OBJ": self._obj,
            "REDUCE": self._reduce,
            "NEWOBJ": self._newobj,
            "NEWOBJ_EX": self._newobj_ex,
            "BUILD": self._build,
            "MARK": lambda _: self._stack.append(_MARK),
            "POP": lambda _: self._drop(),
            "POP_MARK": lambda _: self._drop_to_mark(),
            "DUP": lambda _: self._stack.append(self._stack[-1]),
            "EMPTY_TUPLE": lambda _: self._stack.append(_EMPTY_TUPLE),
            "MEMOIZE": lambda _: self._memo.__setitem__(len(self._memo), self._stack[-1]),
        }

    def run(self, data: io.BytesIO) -> None:
        """Read one pickle up to its STOP. Raises UnsafeError, or BrokenFile if it is no whole pickle."""
        self._stack.clear()
        self._memo.clear()
        try:
            for opcode, argument, _ in pickletools.genops(data):
                self._steps += 1
                if self._steps > MAX_STEPS or len(self._stack) > _MAX_STACK:
                    raise UnsafeError("Its pickles have too many steps to be looked through.")
                self._step(opcode, argument)
        except (ValueError, UnicodeDecodeError, OverflowError, IndexError) as error:
            raise BrokenFile("bad_pickle", "The pickle is damaged or cut off.") from error

    def _step(self, opcode: pickletools.OpcodeInfo, argument: object) -> None:
        name = opcode.name
        special = self._special.get(name)
        if special is not None:
            special(argument)
        elif name in _TEXT:
            text = str(argument)
            self._stack.append(text if len(text) <= _KEPT_TEXT else _OTHER)
        elif name in _PUT and isinstance(argument, int):
            self._memo[argument] = self._stack[-1]
        elif name in _GET and isinstance(argument, int):
            self._stack.append(self._memo.get(argument, _OTHER))
        elif name in _EXTENSIONS:
            raise UnsafeError("The pickle names something by a number of the extension registry.")
        else:
            self._generic(opcode)

    def _generic(self, opcode: pickletools.OpcodeInfo) -> None:
        """Take and give as many values as the opcode's own description says."""
        takes = opcode.stack_before
        if pickletools.markobject in takes:
            self._drop_to_mark()
            takes = takes[: takes.index(pickletools.markobject)]
        for _ in takes:
            self._drop()
        self._stack.extend(_OTHER for _ in opcode.stack_after)

    def _drop(self) -> object:
        return self._stack.pop()

    def _drop_to_mark(self) -> list[object]:
        taken: list[object] = []
        while (value := self._stack.pop()) is not _MARK:
            taken.append(value)
        return taken[::-1]

    # What names, calls and builds

    def _push_global(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise UnsafeError("The pickle hides what it names.")
        found = Global(module, name)
        if not found.known:
            raise UnsafeError(f"The pickle calls for {module[:80]}.{name[:80]}, which is not known to be harmless.")
        self._stack.append(found)

    def _global(self, argument: object) -> None:
        module, _, name = str(argument).partition(" ")
        self._push_global(module, name)

    def _stack_global(self, _: object) -> None:
        name, module = self._drop(), self._drop()
        self._push_global(module, name)

    def _inst(self, argument: object) -> None:
        self._drop_to_mark()
        self._global(argument)
        self._call(self._drop())

    def _obj(self, _: object) -> None:
        self._call(self._drop_to_mark()[0])

    def _reduce(self, _: object) -> None:
        self._drop()
        self._call(self._drop())

    def _call(self, target: object) -> None:
        """A call runs code of the target's; only builders may be called with what the file says."""
        if not isinstance(target, Global):
            raise UnsafeError("The pickle calls something that it made itself.")
        if (target.module, target.name) not in BUILDERS:
            raise UnsafeError(f"The pickle calls {target.module}.{target.name} with arguments of its own.")
        self._stack.append(_OTHER)

    def _newobj(self, _: object) -> None:
        """`cls.__new__(cls)` runs no code of the class's, if no argument is given."""
        arguments, target = self._drop(), self._drop()
        self._new(target, plain=arguments == _EMPTY_TUPLE)

    def _newobj_ex(self, _: object) -> None:
        self._drop()
        self._drop()
        self._new(self._drop(), plain=False)

    def _new(self, target: object, *, plain: bool) -> None:
        if plain and isinstance(target, Global):
            self._stack.append(_OTHER)
        else:
            self._call(target)

    def _build(self, _: object) -> None:
        """Sets the state of an object; never of a class or function, which would change it for everybody."""
        self._drop()
        if isinstance(self._stack[-1], Global):
            raise UnsafeError("The pickle changes a class or function of the program that loads it.")
