"""PyTorch files: recognised, and judged by what their pickles name. Nothing is unpickled or imported.

A pickle is a program. We read its opcodes, collect every global it names and compare each with an exact
allow-list; one that is not on it, or that we cannot tell, makes the file `unsafe`.
"""

import io
import pickletools
import struct
import zipfile
import zlib
from typing import BinaryIO

from modelhub.core.types import State
from modelhub.formats.broken import BrokenFile
from modelhub.formats.safe_globals import SAFE_GLOBALS

MAX_PICKLE = 64 << 20
"""Bytes of one pickle that are looked at; a pickle that is longer is not believed."""

_USUAL_PICKLE = 1 << 20
MAX_OPCODES = 8_000_000
MAX_DIRECTORY = 64 << 20
_TORCH_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""The integer 0x1950A86A20F9469CFC6C that `torch.save` wrote first before it used zip files."""

_LEGACY_PICKLES = 5
_STRINGS = {
    "UNICODE",
    "BINUNICODE",
    "BINUNICODE8",
    "SHORT_BINUNICODE",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
}
_STORE = {"PUT", "BINPUT", "LONG_BINPUT"}
_LOAD = {"GET", "BINGET", "LONG_BINGET"}

Judgement = tuple[State, str, str]
_SAFE: Judgement = ("ok", "not_inspected", "A PyTorch file; its tensors are not listed.")


def is_zip(head: bytes) -> bool:
    return head[:4] in (b"PK\x03\x04", b"PK\x05\x06")


def is_pickle(head: bytes) -> bool:
    """Protocol 2 and later say so in two bytes; earlier ones are told by their first opcodes."""
    if head[:1] == b"\x80":
        return len(head) > 2 and 2 <= head[1] <= 5
    return (
        head[:1] in (b"c", b"(", b"}", b"]")
        and (head[1:2].isalpha() or head[1:2] in b"dlpqtS(c}]")
        and b"\n" in head[:80]
    )


def container(stream: BinaryIO, size: int, head: bytes) -> str:
    """``torch_zip``, ``torch_legacy``, ``pickle`` or ``zip`` (an archive without a pickle)."""
    if is_zip(head):
        stream.seek(max(0, size - MAX_DIRECTORY))
        has_pickle = b".pkl" in head or b".pkl" in stream.read(MAX_DIRECTORY)
        return "torch_zip" if has_pickle else "zip"
    return "torch_legacy" if head[2:].startswith(_TORCH_MAGIC) else "pickle"


def judge(kind: str, stream: BinaryIO, size: int) -> Judgement:
    """State, code and message for a file of `container` kind."""
    try:
        if kind == "torch_zip":
            _walk_zip(stream, size)
        else:
            stream.seek(0)
            _walk_stream(stream, _LEGACY_PICKLES if kind == "torch_legacy" else 1)
    except _UnsafeError as unsafe:
        return "unsafe", "unsafe_pickle", str(unsafe)
    except BrokenFile as broken:
        return "broken", broken.code, broken.message
    return _SAFE


class _UnsafeError(Exception):
    """The pickle names something that is not known to be harmless."""


def _walk_stream(stream: BinaryIO, pickles: int) -> None:
    """The pickles stand first; most are small, so a little is read before much is."""
    for most in (_USUAL_PICKLE, MAX_PICKLE):
        stream.seek(0)
        data = io.BytesIO(stream.read(most))
        try:
            for _ in range(pickles):
                _walk(data)
        except BrokenFile:
            if most == MAX_PICKLE or len(data.getbuffer()) < most:
                raise
        else:
            return


def _walk_zip(stream: BinaryIO, size: int) -> None:
    _check_directory(stream, size)
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            if len({member.filename for member in members}) != len(members):
                raise _UnsafeError("The archive holds two members of one name.")
            for member in members:
                if member.filename.lower().endswith((".pkl", ".pickle")):
                    _walk(io.BytesIO(_member(archive, member)))
                elif member.filename.lower().endswith((".py", ".pyc")):
                    raise _UnsafeError("The archive carries Python code (TorchScript), which an app would run.")
    except (zipfile.BadZipFile, NotImplementedError, EOFError, struct.error, zlib.error, ValueError) as error:
        raise BrokenFile("bad_archive", f"The archive cannot be read: {error}.") from error


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.flag_bits & 1:
        raise _UnsafeError("A pickle in the archive is encrypted.")
    with archive.open(member) as content:
        data = content.read(MAX_PICKLE + 1)
    if len(data) > MAX_PICKLE:
        raise _UnsafeError(f"A pickle in the archive is longer than {MAX_PICKLE} bytes.")
    return data


def _check_directory(stream: BinaryIO, size: int) -> None:
    """The archive must end with its directory, and the directory must be of a believable size."""
    tail_start = max(0, size - 65_557)
    stream.seek(tail_start)
    tail = stream.read(size - tail_start)
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) - end < 22:
        raise BrokenFile("truncated", "The archive's directory is missing: the file is cut off.")
    directory = struct.unpack_from("<I", tail, end + 12)[0]
    if directory != 0xFFFFFFFF and directory > MAX_DIRECTORY:
        raise BrokenFile("bad_archive", f"The archive's directory claims {directory} bytes.")


def _walk(data: io.BytesIO) -> None:
    """Read one pickle up to its STOP; raises _UnsafeError for the first global that is not allowed."""
    strings = _Strings()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count > MAX_OPCODES:
                raise _UnsafeError("The pickle has too many steps to be looked through.")
            _step(opcode.name, argument, strings)
    except (ValueError, UnicodeDecodeError, OverflowError, IndexError) as error:
        raise BrokenFile("bad_pickle", "The pickle is damaged or cut off.") from error


class _Strings:
    """The strings pushed last and those remembered by number, which is all that STACK_GLOBAL can draw on."""

    def __init__(self) -> None:
        self.recent: list[str] = []
        self._memo: dict[int, str] = {}

    def follow(self, name: str, argument: object) -> None:
        last = self.recent[-1] if self.recent else ""
        if name in _STRINGS:
            self.recent.append(str(argument))
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = last
        elif name in _STORE and isinstance(argument, int):
            self._memo[argument] = last
        elif name in _LOAD and isinstance(argument, int):
            self.recent.append(self._memo.get(argument, ""))
        elif name not in ("PROTO", "FRAME"):
            self.recent.clear()


def _step(name: str, argument: object, strings: _Strings) -> None:
    if name in ("GLOBAL", "INST"):
        module, _, attribute = str(argument).partition(" ")
        _require_safe(module, attribute)
    elif name == "STACK_GLOBAL":
        if len(strings.recent) < 2:
            raise _UnsafeError("The pickle hides what it names.")
        _require_safe(strings.recent[-2], strings.recent[-1])
    elif name in ("EXT1", "EXT2", "EXT4"):
        raise _UnsafeError("The pickle names something by a number of the extension registry.")
    strings.follow(name, argument)


def _require_safe(module: str, name: str) -> None:
    if (module, name) not in SAFE_GLOBALS:
        raise _UnsafeError(f"The pickle calls for {module[:80]}.{name[:80]}, which is not known to be harmless.")
