"""The real program in a real terminal: it starts, takes keys, follows a new size, and leaves the terminal as it was."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte
import pytest

from tests import build
from tests.conftest import Modelhub


class Terminal:
    """A pseudo-terminal with the program in it, and the screen that it draws."""

    def __init__(self, hub: Path, columns: int, lines: int, **environ: str) -> None:
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.said = b""
        self.master, slave = pty.openpty()
        self._size(slave, columns, lines)
        self.before = termios.tcgetattr(slave)
        self.program = subprocess.Popen(
            [sys.executable, "-m", "modelhub", "--hub", str(hub)],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
            | {"TERM": "xterm-256color", "COLORTERM": ""} | environ,
        )  # fmt: skip
        self._slave = slave

    @staticmethod
    def _size(descriptor: int, columns: int, lines: int) -> None:
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns: int, lines: int) -> None:
        self._size(self.master, columns, lines)
        self.screen.resize(lines, columns)
        os.kill(self.program.pid, signal.SIGWINCH)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    @property
    def text(self) -> str:
        return "\n".join(self.screen.display)

    def until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    said = os.read(self.master, 1 << 16)
                except OSError:  # nobody holds the other end any more
                    break
                self.said += said
                self._stream.feed(said)
            elif true():
                return
        assert true(), self.text

    def sees(self, *words: str) -> None:
        self.until(lambda: all(word in self.text for word in words))

    def close(self) -> None:
        if self.program.poll() is None:
            self.program.kill()
        self.program.wait()
        os.close(self.master)
        os.close(self._slave)


@pytest.fixture
def library(modelhub: Modelhub, downloads: Path, tmp_path: Path) -> Path:
    build.safetensors(downloads / "\x1b[2J[bold]trap.safetensors", build.SDXL_LORA)
    modelhub("scan", downloads)
    return tmp_path / "hub"


@pytest.fixture
def terminal(library: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(columns: int = 100, lines: int = 30, **environ: str) -> Terminal:
        opened.append(Terminal(library, columns, lines, **environ))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def test_it_starts_takes_keys_follows_a_new_size_and_leaves(terminal: Callable[..., Terminal]) -> None:
    one = terminal(80, 24)
    one.sees("1 Library", "4 of 4 models", "detail", "[bold]trap")
    one.type("Fdetail")
    one.sees("1 of 4 models")
    one.type("\r")
    one.sees("Details")  # the table has the keys again, and its footer shows them
    one.type("\r")
    one.sees("Why", "tensors")
    one.type("\x1b")
    one.sees("1 of 4 models")
    one.type("r")
    one.sees("4 of 4 models")
    one.resize(160, 40)
    one.sees("4 of 4 models", "Why")  # there is room for the preview now
    one.type("2")
    one.sees("Types", "Disk of the hub")
    one.type("1q")
    assert one.program.wait(20) == 0
    assert termios.tcgetattr(one._slave) == one.before


def test_a_model_is_deleted_and_comes_back(terminal: Callable[..., Terminal]) -> None:
    one = terminal()
    one.sees("4 of 4 models")
    one.type("X")
    one.sees("3 of 3 models")
    one.type("U")
    one.sees("4 of 4 models")


@pytest.mark.parametrize("environ", [{"TERM": "linux"}, {"NO_COLOR": "1"}, {"COLORTERM": "truecolor"}], ids=str)
def test_few_colours_or_none_are_enough(terminal: Callable[..., Terminal], environ: dict[str, str]) -> None:
    one = terminal(**environ)
    one.sees("4 of 4 models", "detail")
    one.type("d")
    one.sees("Why")
    if environ.get("TERM") == "linux":
        assert b"\x1b[38;2;" not in one.said
        assert b"38;5;" not in one.said


def test_ctrl_q_leaves_from_a_dialog_too(terminal: Callable[..., Terminal]) -> None:
    one = terminal()
    one.sees("4 of 4 models")
    one.type("S")
    one.sees("Scan a folder")
    one.type("\x11")
    assert one.program.wait(20) == 0


def test_the_screen_holds_no_order_of_a_models_name(terminal: Callable[..., Terminal]) -> None:
    one = terminal()
    one.sees("[bold]trap")
    assert b"\x1b[2J[bold]" not in one.said
