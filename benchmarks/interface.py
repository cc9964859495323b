"""The terminal interface in a real pseudo-terminal, beside a bare line-API table of the same rows and an empty app.

`python -m benchmarks.interface 1000000` measures another number of models.
"""

import fcntl
import os
import pty
import select
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import ClassVar

from rich.segment import Segment
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Input, Static

from benchmarks.measure import verdict, workplace
from modelhub.core import config
from modelhub.services.hub import Hub, open_hub
from tests import build

MODELS = 100_000
COLUMNS, LINES = 100, 40
WORD = "model 12345"
SILENCE = 0.12
"""Seconds without output after which a key counts as settled."""


def fill(hub: Hub, place: Path, models: int) -> None:
    """One scanned model, and as many rows like it."""
    build.safetensors(place / "in/model.safetensors", build.SDXL_LORA)
    for _ in hub.scan([str(place / "in")], adopt="reference"):
        pass
    with sqlite3.connect(hub.places.library) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(models)") if row[1] not in ("id", "file_hash")]
        copied = ", ".join("'model ' || value || '.safetensors'" if name == "filename" else name for name in columns)
        database.execute(
            f"INSERT INTO models (file_hash, {', '.join(columns)}) WITH RECURSIVE numbers(value) AS"
            f" (SELECT 1 UNION ALL SELECT value + 1 FROM numbers WHERE value < {models})"
            f" SELECT printf('%064x', value), {copied} FROM models, numbers WHERE id = 1"
        )


class Empty(App[None]):
    def compose(self) -> ComposeResult:
        yield Static("of 0 models")


class Lines(ScrollView, can_focus=True):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[str] = []

    def show(self, rows: list[str]) -> None:
        self.rows = rows
        self.virtual_size = Size(COLUMNS, len(rows))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        number = y + self.scroll_offset.y
        text = self.rows[number] if number < len(self.rows) else ""
        return Strip([Segment(text)]).adjust_cell_length(COLUMNS)

    def key_down(self) -> None:
        self.scroll_relative(y=1, animate=False)


class Bare(App[None]):
    """The least that shows and filters the same rows: no columns, no cursor, no language, one word."""

    BINDINGS: ClassVar[list[BindingType]] = [("F", "search", "")]

    def __init__(self, path: str) -> None:
        super().__init__()
        with sqlite3.connect(path) as database:
            query = "SELECT filename, primary_type, base, file_size FROM models WHERE NOT deleted ORDER BY filename"
            self.rows = [
                f" {name:58} {kind:16} {base:14} {size:>9}" for name, kind, base, size in database.execute(query)
            ]

    def compose(self) -> ComposeResult:
        yield Input(compact=True)
        yield Lines()
        yield Static(id="count")

    def on_mount(self) -> None:
        self.query_one(Lines).focus()
        self.find("")

    def on_input_changed(self, event: Input.Changed) -> None:
        self.find(event.value)

    def find(self, word: str) -> None:
        rows = [row for row in self.rows if word in row]
        self.query_one(Lines).show(rows)
        self.query_one("#count", Static).update(f"{len(rows):,} of {len(self.rows):,} models")

    def action_search(self) -> None:
        self.set_focus(self.query_one(Input))


class Watched:
    """A program in a pseudo-terminal: what it says and when, its CPU and its memory."""

    def __init__(self, *words: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self.started = time.perf_counter()
        self.program = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env=environ | {"TERM": "xterm-256color"},
        )  # fmt: skip
        os.close(slave)

    def until(self, said: str) -> float:
        """Seconds from the start until it said this."""
        seen = b""
        while said.encode() not in seen:
            seen += self.read(60)
        return time.perf_counter() - self.started

    def settle(self, key: str) -> float:
        """Press a key; seconds until the last output that follows it."""
        pressed = last = time.perf_counter()
        os.write(self.master, key.encode())
        while self.read(SILENCE):
            last = time.perf_counter()
        return last - pressed

    def read(self, wait: float) -> bytes:
        return os.read(self.master, 1 << 16) if select.select([self.master], [], [], wait)[0] else b""

    @property
    def cpu(self) -> float:
        fields = Path(f"/proc/{self.program.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def megabytes(self) -> float:
        status = Path(f"/proc/{self.program.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def end(self) -> None:
        self.program.kill()
        self.program.wait()
        os.close(self.master)


def measure(words: Sequence[str], models: int) -> dict[str, float]:
    """Seconds until the first rows and all of them; milliseconds a key; MiB."""
    watched = Watched(*words)
    first = watched.until("model 1")
    watched.until(f"{models + 1:,} of {models + 1:,}") if "Bare" not in words else None
    while watched.read(1.0):
        pass
    everything = watched.megabytes
    scroll = [watched.settle("\x1b[B") for _ in range(60)][LINES:]
    watched.settle("F")
    cpu = watched.cpu
    typed = [watched.settle(letter) for letter in WORD]
    spent = watched.cpu - cpu
    watched.end()
    return {
        "first": first, "megabytes": everything, "scroll": median(scroll) * 1e3, "filter": median(typed) * 1e3,
        "slowest": max(typed) * 1e3, "cpu": spent / len(WORD) * 1e3,
    }  # fmt: skip


def main(models: int = MODELS) -> bool:
    kept = True
    with workplace() as place:
        with open_hub(config.load({}, hub=str(place / "hub"))) as hub:
            fill(hub, place, models)
            library = str(hub.places.library)
        mine = (sys.executable, "-m", "benchmarks.interface")
        blank = Watched(*mine, "--empty")
        start = blank.until("of 0 models")
        blank.end()
        bare = measure((*mine, "--bare", library), models)
        ours = measure((sys.executable, "-m", "modelhub", "--hub", str(place / "hub")), models)
    told = ", ".join(f"{name} {bare[name]:.0f}/{ours[name]:.0f}" for name in ("filter", "slowest", "cpu", "scroll"))
    print(f"{models} models, a bare table / ours: {told} ms a key; {bare['megabytes']:.0f}/{ours['megabytes']:.0f} MiB")
    print(f"first rows: empty app {start:.2f} s, bare table {bare['first']:.2f} s, ours {ours['first']:.2f} s")
    limit = 2 * start + 1.0
    kept &= verdict("first rows, seconds", ours["first"], f"<= {limit:.2f}", kept=ours["first"] <= limit)
    for name, most in (("filter", 2.0), ("cpu", 3.0), ("megabytes", 2.5)):
        ratio = ours[name] / bare[name]
        kept &= verdict(f"{name}, ours/bare", ratio, f"<= {most}", kept=ratio <= most)
    kept &= verdict("scroll, ms", ours["scroll"], "<= 16", kept=ours["scroll"] <= 16)
    return kept


if __name__ == "__main__":
    if sys.argv[1:2] == ["--bare"]:
        Bare(sys.argv[2]).run()
    elif sys.argv[1:2] == ["--empty"]:
        Empty().run()
    else:
        sys.exit(not main(*(int(number) for number in sys.argv[1:2])))
