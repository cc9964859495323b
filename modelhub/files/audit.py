"""The audit log: JSON lines, each with the SHA-256 of the line before, so that any change of it is found.

The log alone cannot tell that its last lines were cut off; the number and hash of the last line that was written
are kept elsewhere (`Head`) and compared.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from modelhub.core.errors import from_os_error
from modelhub.core.names import printable
from modelhub.files import links

_BLOCK = 64 << 10
_OWN = b', "sha256": "'
_START = "0" * 64
"""What stands for the line before the first."""


class Head(NamedTuple):
    """The last line that was written: its number from 1 (0: none yet), and its SHA-256."""

    line: int
    sha256: str


class Fault(NamedTuple):
    """The first line that is not as it was written, and why we think so."""

    line: int
    message: str


class AuditLog:
    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, entry: Mapping[str, Any]) -> Head:
        """Write one entry durably, after the last one of whichever process; the new head."""
        try:
            links.make_folder(os.path.abspath(self._path.parent))
            with links.locked(self._path) as descriptor, os.fdopen(descriptor, "r+b", closefd=False) as log:
                last = _last(log)
                head = Head(last.line + 1, "")
                told = json.dumps({"line": head.line, **entry, "before": last.sha256}, allow_nan=False).encode("ascii")
                head = head._replace(sha256=hashlib.sha256(told).hexdigest())
                log.seek(0, os.SEEK_END)
                log.write(told.removesuffix(b"}") + _OWN + head.sha256.encode("ascii") + b'"}\n')
                log.flush()
                os.fsync(descriptor)
                if not last.line:
                    links.sync_one(str(self._path.parent))
                return head
        except OSError as error:
            raise from_os_error(error, printable(self._path)) from error

    def entries(self) -> Iterator[dict[str, Any]]:
        """Every entry that can be read, the oldest first."""
        for line in self._lines():
            entry, _ = _read(line)
            if entry:
                yield entry

    def verify(self, head: Head) -> tuple[int, Fault | None]:
        """Go through the chain; the number of lines, and the first that was changed, removed, added or swapped."""
        before, number = _START, 0
        for number, line in enumerate(self._lines(), 1):
            entry, own = _read(line)
            if not entry or not own:
                return number, Fault(number, "it is not as it was written")
            if entry.get("line") != number:
                return number, Fault(number, f"line {printable(str(entry.get('line')))[:20]} stands in its place")
            if entry.get("before") != before:
                return number, Fault(max(1, number - 1), "the line after it followed another one")
            if number == head.line and own != head.sha256:
                return number, Fault(number, "another line was written there")
            before = own
        if number < head.line:
            gone = head.line - number
            return number, Fault(number + 1, "it is gone" if gone == 1 else f"it and {gone - 1} more are gone")
        return number, None

    def _lines(self) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as log:
                for line in log:
                    yield line.removesuffix(b"\n")
        except FileNotFoundError:
            return
        except OSError as error:
            raise from_os_error(error, printable(self._path)) from error


def _read(line: bytes) -> tuple[dict[str, Any], str]:
    """An entry, and the hash it carries; an empty hash if that is not its own, no entry if it is none."""
    told, _, own = line.rpartition(_OWN)
    try:
        entry = json.loads(told + b"}")
    except (ValueError, RecursionError):
        return {}, ""
    sha256 = own.removesuffix(b'"}').decode("ascii", "replace")
    right = hashlib.sha256(told + b"}").hexdigest() == sha256
    return entry if isinstance(entry, dict) else {}, sha256 if right else ""


def _last(log: BinaryIO) -> Head:
    """The last whole line of an open log; what a crash left of another after it is cut off."""
    size = end = log.seek(0, os.SEEK_END)
    tail = b""
    while end and tail.count(b"\n") < 2:
        start = max(0, end - _BLOCK)
        log.seek(start)
        tail = log.read(end - start) + tail
        end = start
    whole = tail[: tail.rfind(b"\n") + 1]
    if len(whole) < len(tail):
        log.truncate(size - (len(tail) - len(whole)))
    if not whole:
        return Head(0, _START)
    entry, own = _read(whole.removesuffix(b"\n").rsplit(b"\n", 1)[-1])
    number = entry.get("line")
    return Head(number if isinstance(number, int) else 0, own or _START)
