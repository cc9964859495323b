"""A safe PyTorch state dict written as safetensors, without running it, and proved tensor by tensor."""

import contextlib
import json
import os
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from modelhub.core.errors import Conflict, HashMismatch, InvalidInput, NotFound, Unsafe, as_ours
from modelhub.core.events import Result, Task
from modelhub.core.names import printable
from modelhub.core.places import expand
from modelhub.files import digest, links, placements
from modelhub.formats import pickles
from modelhub.formats.broken import BrokenFile
from modelhub.formats.pickle_values import UnsafeError
from modelhub.formats.torch_tensors import TensorFile, UnsupportedError, open_tensors
from modelhub.services.library import ModelDetails
from modelhub.services.waiting import Tick, beside

_ALIGNED = 8
_LONGEST_VALUE = 1000


@dataclass(frozen=True, slots=True)
class Converted:
    """What came of a conversion. `source` and `path` are files, `bytes` are of the new one."""

    source: str
    path: str
    tensors: int
    bytes: int
    dry_run: bool


def place_of(details: ModelDetails) -> str:
    """Where a model of the library was found and still is: its safetensors file will stand beside it."""
    for location in details.locations:
        if os.path.exists(location.path):
            return location.path
    told = f"{printable(details.model.filename)} is no longer where it was found."
    raise NotFound(told, hint="Say where the new file is to be: --to FILE.")


def convert(source: str, target: str = "", *, dry_run: bool = False) -> Task[Converted]:
    """Write the tensors of `source` into `target` (its name with .safetensors); nothing is ever overwritten.

    Raises Unsafe for a pickle that is more than tensors, InvalidInput for tensors that safetensors cannot hold,
    Conflict if `target` exists, and HashMismatch if what was written is not what was read.
    """
    path = expand(target) if target else os.path.splitext(expand(source))[0] + ".safetensors"
    if os.path.lexists(path):
        raise Conflict(f"{printable(path)} exists.", hint="Move it away, or name another file: --to FILE.")
    work = partial(_convert, expand(source), path, dry_run=dry_run)
    tensors, size = yield from beside(work, "convert", source, unit="bytes", total=_size(source))
    yield Result(Converted(expand(source), path, tensors, size, dry_run))


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise as_ours(error, printable(path)) from error


def _convert(source: str, path: str, tick: Tick, *, dry_run: bool) -> tuple[int, int]:
    with _opened(source) as file:
        header, total = _header(file)
        if dry_run:
            return len(file.tensors), len(header) + total
        folder = os.path.dirname(path)
        placements.sweep(folder)
        temporary = links.temporary_in(folder)
        try:
            with open(temporary, "xb") as out:
                out.write(header)
                for name in file.tensors:
                    for piece in file.content(name):
                        out.write(piece)
                        tick(len(piece))
                out.flush()
                os.fsync(out.fileno())
            _prove(file, temporary, len(header), tick)
            if not links.publish(temporary, path):
                raise Conflict(f"{printable(path)} exists.", hint="Move it away, or name another file: --to FILE.")
            links.sync([folder])
        except OSError as error:
            raise as_ours(error, printable(path)) from error
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        return len(file.tensors), len(header) + total


@contextlib.contextmanager
def _opened(source: str) -> Iterator[TensorFile]:
    """The tensors of a file that is a safe pickle and nothing else."""
    try:
        with digest.open_regular(os.path.realpath(source)) as stream:
            size = os.fstat(stream.fileno()).st_size
            _require_safe(stream, size, printable(source))
            yield open_tensors(stream, size)
    except UnsupportedError as error:
        told = f"{printable(source)} cannot be converted: {printable(str(error))}"
        raise InvalidInput(told, hint="Convert it with its own program.") from error
    except (BrokenFile, UnsafeError, zipfile.BadZipFile, EOFError, KeyError, struct.error) as error:
        raise InvalidInput(f"{printable(source)} is damaged: {printable(str(error))}", hint="Get it again.") from error
    except OSError as error:
        raise as_ours(error, printable(source)) from error


def _require_safe(stream: BinaryIO, size: int, name: str) -> None:
    stream.seek(0)
    head = stream.read(64)
    if not pickles.is_zip(head) and not pickles.is_pickle(head):
        raise InvalidInput(f"{name} is no PyTorch file.", hint="Only .ckpt, .pt, .pth and .bin files are converted.")
    found = pickles.inspect(pickles.container(head), stream, size)
    if found.state == "unsafe":
        raise Unsafe(
            f"{name} is not converted: {found.message}", hint="Get the model as safetensors from its publisher."
        )
    if found.state != "ok":
        raise InvalidInput(f"{name}: {found.message}", hint="Get it again.")


def _header(file: TensorFile) -> tuple[bytes, int]:
    """The header of the new file with its length before it, and the bytes of all tensors."""
    words = {key: str(value)[:_LONGEST_VALUE] for key, value in file.values.items() if key.isprintable()}
    told: dict[str, object] = {"__metadata__": words | {"format": "pt", "converted_by": "modelhub"}}
    offset = 0
    for name, tensor in file.tensors.items():
        end = offset + tensor.bytes
        told[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(told, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % _ALIGNED)
    return struct.pack("<Q", len(text)) + text, offset


def _prove(file: TensorFile, path: str, start: int, tick: Tick) -> None:
    """Read both again and compare every tensor byte by byte."""
    with open(path, "rb") as written:
        written.seek(start)
        for name in file.tensors:
            for piece in file.content(name):
                if written.read(len(piece)) != piece:
                    told = f"Tensor {printable(name)[:80]!r} was not written right."
                    raise HashMismatch(told, hint="Is the disk sound? Run the same command again.")
                tick(len(piece))
        if written.read(1):
            raise HashMismatch("The new file is longer than it should be.", hint="Run the same command again.")
