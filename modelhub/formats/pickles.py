"""PyTorch files: recognised, and judged by what their pickles name and call. Nothing is unpickled or imported.

A pickle is a program. Its opcodes are run on symbols (pickle_machine); a global that is not on the exact
allow-list, a call of what is not a builder, or anything that we cannot tell, makes the file `unsafe`. So does
every trick by which another program would read another pickle out of the same bytes.
"""

import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import BinaryIO

from modelhub.core.types import Inspection, MetaValue, Tensor
from modelhub.formats import state_dict
from modelhub.formats.broken import BrokenFile
from modelhub.formats.pickle_machine import CutOffError, Machine
from modelhub.formats.pickle_values import UnsafeError

MAX_PICKLE = 64 << 20
"""Bytes of all pickles of a file that are looked at; longer ones are not believed."""

MAX_DIRECTORY, MAX_MEMBERS = 32 << 20, 300_000
"""Bytes and entries of a zip directory: a member for each of nearly as many tensors."""

PICKLE_SUFFIXES = {".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle"}
"""Suffixes whose files apps hand to the unpickler whatever is in them."""

_USUAL_PICKLE = 1 << 20
_TORCH_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""`torch.save` wrote this pickle of 0x1950A86A20F9469CFC6C first, before it used zip files."""

ESCAPES = re.compile(r"(?:^|[/\\])\.\.(?:[/\\]|$)|^[/\\]|^[A-Za-z]:")
"""What a member's name must not have: a way up, or a place of its own."""

_MAX_BESIDE = 1000
_LOOKED_AT = 512
_LEGACY_PICKLES, _STATE = 5, 3
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_ALL = 0xFFFFFFFF

Read = tuple[dict[str, Tensor], dict[str, MetaValue]]


def is_zip(head: bytes) -> bool:
    return head[:4] in (b"PK\x03\x04", b"PK\x05\x06")


def is_pickle(head: bytes) -> bool:
    """Protocol 2 and later say so in two bytes; earlier ones are told by their first opcodes."""
    if head[:1] == b"\x80":
        return len(head) > 2 and 2 <= head[1] <= 5
    starts = head[1:2].isalpha() or head[1:2] in b"(c}]"
    return head[:1] in (b"c", b"(", b"}", b"]") and starts and b"\n" in head[:80]


def container(head: bytes) -> str:
    """``torch_zip``, ``torch_legacy`` or ``pickle``; `inspect` tells a zip without a pickle."""
    if is_zip(head):
        return "torch_zip"
    return "torch_legacy" if head.startswith(_TORCH_MAGIC) else "pickle"


def inspect(kind: str, stream: BinaryIO, size: int) -> Inspection:
    """What a file of `container` kind holds. Its tensors and values are told only if it is safe and whole."""
    try:
        tensors, metadata = _read_zip(stream, size) if kind == "torch_zip" else _read_stream(kind, stream, size)
    except _NotModelError as other:
        return Inspection("zip", size, "not_model", "archive", str(other))
    except UnsafeError as unsafe:
        return Inspection(kind, size, "unsafe", "unsafe_pickle", str(unsafe))
    except BrokenFile as broken:
        return Inspection(kind, size, "broken", broken.code, broken.message)
    return Inspection(kind, size, tensors=tensors, metadata=metadata)


class _NotModelError(Exception):
    """An archive of something else."""


def would_run(stream: BinaryIO, size: int) -> bool:
    """Whether an unpickler might get anywhere with a file that is of another format."""
    stream.seek(0)
    data = stream.read(_USUAL_PICKLE)
    try:
        Machine().run(data)
    except UnsafeError:
        return True
    except CutOffError:
        return size > _USUAL_PICKLE
    except BrokenFile:
        return False
    return True


def _read_stream(kind: str, stream: BinaryIO, size: int) -> Read:
    """The pickles stand first; most are small, so a little is read before much is."""
    stream.seek(0)
    _refuse_tar(stream.read(512))
    legacy = kind == "torch_legacy"
    for most in (_USUAL_PICKLE, MAX_PICKLE):
        stream.seek(0)
        data = stream.read(most)
        machine, values, position = Machine(), [], 0
        try:
            for _ in range(_LEGACY_PICKLES if legacy else 1):
                value, position = machine.run(data, position)
                values.append(value)
        except BrokenFile:
            if most == MAX_PICKLE or size <= most:
                raise
            continue
        if not legacy and position < size:
            raise UnsafeError("More data follows the end of its pickle, where a second one can hide.")
        needed = position + sum(8 + length for length in machine.storages.values())
        if legacy and needed > size:
            raise BrokenFile("truncated", f"Its tensors need {needed} bytes, and the file has {size}.")
        return state_dict.tell(values[_STATE if legacy else 0])
    raise AssertionError


def _refuse_tar(block: bytes) -> None:
    """The oldest PyTorch files were tar archives, which are looked for before pickles."""
    if len(block) < 512:
        return
    try:
        stated = int(block[148:156].strip(b"\0 ") or b"x", 8)
    except ValueError:
        return
    if stated == sum(block) - sum(block[148:156]) + 8 * 32:
        raise UnsafeError("It is a pickle and a tar archive at once.")


def _read_zip(stream: BinaryIO, size: int) -> Read:
    check_directory(stream, size)
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            check_members(members)
            pickled = [member for member in members if holds_pickle(member)]
            if not pickled:
                raise _NotModelError("A zip archive without a PyTorch model in it.")
            _refuse_nested(archive, [member for member in members if _is_beside(member)])
            machine, left = Machine(), MAX_PICKLE
            values = {}
            for member in pickled:
                data = _member(archive, member, left)
                left -= len(data)
                values[member.filename], _ = machine.run(data)
            _check_storages(archive, pickled, machine.storages)
    except (
        zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, OverflowError,
        KeyError, struct.error, zlib.error, lzma.LZMAError,
    ) as error:  # fmt: skip
        raise BrokenFile("bad_archive", f"The archive cannot be read: {error}.") from error
    main = next((name for name in values if name.endswith("data.pkl")), next(iter(values)))
    return state_dict.tell(values[main])


def _check_storages(archive: zipfile.ZipFile, pickled: list[zipfile.ZipInfo], storages: Mapping[str, int]) -> None:
    """Every storage that a `data.pkl` names must be a member beside it, as long as it says."""
    main = next((member.filename for member in pickled if member.filename.endswith("data.pkl")), "")
    folder = main.removesuffix("data.pkl")
    sizes = {member.filename: member.file_size for member in archive.infolist()}
    for key, length in storages.items():
        if sizes.get(f"{folder}data/{key}", -1) < length:
            raise BrokenFile("missing_storage", f"The numbers of tensor {key[:80]!r} are missing or cut off.")


def check_members(members: list[zipfile.ZipInfo]) -> None:
    """Members must have names of their own, each within the archive, and one length; the first stands at the start."""
    if len({member.orig_filename for member in members}) != len(members):
        raise UnsafeError("The archive holds two members of one name.")
    if min((member.header_offset for member in members), default=0):
        raise UnsafeError("Data stands in front of the archive, where a second one can hide.")
    for member in members:
        if ESCAPES.search(member.orig_filename):
            raise UnsafeError(f"Member {member.orig_filename[:200]!r} would be unpacked outside of its folder.")
        if member.compress_type == zipfile.ZIP_STORED and member.compress_size != member.file_size:
            raise BrokenFile("bad_archive", f"Member {member.orig_filename[:200]!r} has two lengths.")


def _is_beside(member: zipfile.ZipInfo) -> bool:
    """Whether a member is neither a tensor's numbers, which may be any bytes, nor a pickle that is judged."""
    return "/data/" not in member.filename and member.file_size > 0 and not holds_pickle(member)


def _refuse_nested(archive: zipfile.ZipFile, beside: list[zipfile.ZipInfo]) -> None:
    if len(beside) > _MAX_BESIDE:
        raise UnsafeError(f"The archive holds over {_MAX_BESIDE} other members, which are not looked into.")
    for member in beside:
        with archive.open(member) as content:
            head = content.read(_LOOKED_AT)
        if is_zip(head) or is_pickle(head):
            raise UnsafeError(f"Member {member.filename[:200]!r} is another archive or pickle, under another suffix.")


def holds_pickle(member: zipfile.ZipInfo) -> bool:
    name = f"{member.filename}\n{member.orig_filename}".lower() + "\n"
    if ".py" not in name and ".pkl" not in name and ".pickle" not in name:
        return False
    if ".py\n" in name or ".pyc\n" in name:
        raise UnsafeError("The archive carries Python code (TorchScript), which an app would run.")
    return ".pkl\n" in name or ".pickle\n" in name


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes:
    if member.flag_bits & 1:
        raise UnsafeError("A pickle in the archive is encrypted.")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnsafeError("A pickle in the archive is packed in a way that PyTorch does not use.")
    with archive.open(member) as content:
        data = content.read(limit + 1)
    if len(data) > limit:
        raise UnsafeError(f"The pickles in the archive are longer than {MAX_PICKLE} bytes.")
    return data


def check_directory(stream: BinaryIO, size: int) -> None:
    """Programs find a zip's directory in different ways; all must find the same one, right before the end."""
    tail_start = max(0, size - 65_557)
    stream.seek(tail_start)
    tail = stream.read(size - tail_start)
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or len(tail) - found < _END.size:
        raise BrokenFile("truncated", "The archive's directory is missing: the file is cut off.")
    *_, length, offset, comment = _END.unpack_from(tail, found)
    end = tail_start + found
    if end + _END.size + comment != size:
        raise UnsafeError("More data follows the end of the archive.")
    if _ALL in (length, offset) or tail[max(0, found - _LOCATOR.size) :][:4] == b"PK\x06\x07":
        length, offset, end = _directory64(stream, end)
    if length > MAX_DIRECTORY:
        raise BrokenFile("bad_archive", f"The archive's directory claims {length} bytes.")
    if offset + length != end:
        raise UnsafeError("The archive's directory is not where it says: it may hold a second one.")
    stream.seek(offset)
    if stream.read(length).count(b"PK\x01\x02") > MAX_MEMBERS:
        raise BrokenFile("bad_archive", f"The archive's directory names more than {MAX_MEMBERS} members.")


def _directory64(stream: BinaryIO, end: int) -> tuple[int, int, int]:
    """Length and offset of the directory from the large form of the end record, and where that record stands."""
    if end < _LOCATOR.size:
        raise BrokenFile("bad_archive", "The archive's end record is damaged.")
    stream.seek(end - _LOCATOR.size)
    mark, _, position, _ = _LOCATOR.unpack(stream.read(_LOCATOR.size))
    if mark != b"PK\x06\x07" or position + _END64.size != end - _LOCATOR.size:
        raise UnsafeError("The archive's end record is not where it says.")
    stream.seek(position)
    mark, *_, length, offset = _END64.unpack(stream.read(_END64.size))
    if mark != b"PK\x06\x06":
        raise UnsafeError("The archive's end record is not where it says.")
    return length, offset, position
