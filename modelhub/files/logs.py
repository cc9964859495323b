"""Log files of a hub: lines appended whole, turned over when they grow, and never a reason to fail."""

import contextlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from modelhub.core.names import printable
from modelhub.files import links

_LARGEST = 5_000_000
_KEPT = 4


class LogFile:
    """One log, which several processes may write to at once. A full or read-only disk is passed over in silence."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, lines: Sequence[str]) -> None:
        """Append lines, each with the time (UTC) before it; what could act on a terminal is escaped."""
        if not lines:
            return
        moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        text = "".join(f"{moment} {printable(line)}\n" for line in lines)
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._turn_over()
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(descriptor, text.encode("utf-8", "replace"))
            finally:
                os.close(descriptor)

    def tail(self, lines: int) -> list[str]:
        """The last lines; empty if there is no log."""
        try:
            with self._path.open(encoding="utf-8", errors="replace") as log:
                return [line.rstrip("\n") for line in log.readlines()[-lines:]]
        except OSError:
            return []

    def _turn_over(self) -> None:
        if not self._path.exists() or self._path.stat().st_size < _LARGEST:
            return
        with links.try_lock(self._path.with_name(".turning")) as free:
            if not free or self._path.stat().st_size < _LARGEST:
                return
            for number in range(_KEPT, 0, -1):
                older = self._path.with_name(f"{self._path.name}.{number}")
                newer = self._path.with_name(f"{self._path.name}.{number - 1}") if number > 1 else self._path
                if newer.exists():
                    os.replace(newer, older)
