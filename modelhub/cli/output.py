"""How results are said: tables and bars for people, JSON for programs. Results go to stdout, the rest to stderr."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import click

from modelhub.cli.app import Session
from modelhub.core import config, names
from modelhub.core.config import Settings
from modelhub.core.events import TROUBLE, Event, FileSeen, Problem, Progress, Result, Task
from modelhub.core.names import human_size, printable
from modelhub.core.plain import plain

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

T = TypeVar("T")

WITH_PROBLEMS = 3
_JSON_PROGRESS_SECONDS = 1.0
_LEAST = {"name": 14, "path": 14, "because": 20, "message": 20, "value": 14}
_NOT_CUT = 24
"""Columns of a table on a terminal: as much of what tells a row is always shown."""


def settings(session: Session) -> Settings:
    return config.load(os.environ, hub=session.hub, config=session.config)


def write_json(value: Any) -> None:
    sys.stdout.write(json.dumps(plain(value), allow_nan=False) + "\n")


def result_line(value: Any) -> dict[str, Any]:
    """The last line of a task: the value's own fields beside `kind`."""
    fields = plain(value)
    return {"kind": "result"} | (fields if isinstance(fields, dict) else {"value": fields})


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """A table of inert text; on a terminal cut to its width, elsewhere whole."""
    cells = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _table_on_terminal(columns, cells, right)
        return
    widths = [max(len(name), *(len(row[index]) for row in cells), 0) for index, name in enumerate(columns)]
    for row in (columns, *cells):
        fitted = (
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(columns, row, widths, strict=True)
        )
        click.echo("  ".join(fitted).rstrip())


def _table_on_terminal(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str]) -> None:
    from rich.cells import cell_len  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415  (a pipe does not need it, and it costs start-up)
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    made = Table(box=None, pad_edge=False, header_style="bold")
    wanted = [max([cell_len(name), *(cell_len(row[index]) for row in rows)]) for index, name in enumerate(columns)]
    for index, (name, width) in enumerate(zip(columns, _fitted(columns, wanted, right, console.width), strict=True)):
        side: Literal["left", "right"] = "right" if columns[index] in right else "left"
        made.add_column(Text(name), justify=side, no_wrap=True, overflow="ellipsis", width=width)
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    console.print(made)


def _fitted(columns: Sequence[str], wanted: Sequence[int], right: Sequence[str], room: int) -> list[int]:
    """Widths that fit into `room` characters: the widest give way first; what tells a row, and numbers, are not cut."""
    widths = list(wanted)
    least = [
        min(width, _NOT_CUT) if index == 0 or name in right else min(width, max(len(name), _LEAST.get(name, 6)))
        for index, (name, width) in enumerate(zip(columns, wanted, strict=True))
    ]
    while sum(widths) + 2 * (len(widths) - 1) > room:
        slack, index = max((width - low, index) for index, (width, low) in enumerate(zip(widths, least, strict=True)))
        if slack <= 0:
            break
        widths[index] -= 1
    return widths


def line(text: str = "") -> None:
    click.echo(printable(text))


def told(text: str) -> None:
    """A remark for people, on stderr."""
    click.echo(printable(text), err=True)


def size(value: int) -> str:
    return human_size(value)


def percent(value: float) -> str:
    return f"{value:.0%}"


def parse_size(text: str) -> int:
    """``2G``, ``500MB``, ``1.5 GiB`` or plain bytes."""
    value = names.parse_size(text)
    if value is None:
        raise click.BadParameter(f"{text!r} is no size; write 500MB, 2G or a number of bytes.")
    return value


def finish(session: Session, value: Any, told_in_words: str, problems: int) -> int:
    """The last line of a command, as JSON or in words, and its exit code."""
    if session.json:
        write_json(result_line(value))
    elif not session.quiet:
        line(told_in_words)
    return WITH_PROBLEMS if problems else 0


def follow(task: Task[T], session: Session, say: Callable[[Event], None]) -> tuple[T, int]:
    """Run a task to its end: its value, and the number of problems met. Closing it cancels it (Ctrl-C)."""
    problems = 0
    value: list[T] = []
    with _watching(session) as watch:
        try:
            for event in task:
                if isinstance(event, Result):
                    value.append(event.value)
                    continue
                if isinstance(event, Problem) or (isinstance(event, FileSeen) and event.outcome in TROUBLE):
                    problems += 1
                if isinstance(event, Progress):
                    watch.progress(event)
                elif session.json:
                    write_json(event)
                else:
                    watch.say(event, say)
        finally:
            task.close()
    return value[0], problems


def _watching(session: Session) -> "_Watch":
    return _Watch(session, show=sys.stderr.isatty() and not session.quiet and not session.json)


class _Watch:
    """A bar on a terminal, progress lines in JSON, nothing elsewhere."""

    def __init__(self, session: Session, *, show: bool) -> None:
        self._json = session.json
        self._last = 0.0
        self._bar: Bar | None = None
        if show:
            from rich.console import Console  # noqa: PLC0415  (only a terminal shows a bar)
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
            from rich.progress import Progress as LiveBar  # noqa: PLC0415

            self._bar = LiveBar(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[count]}"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task("", total=None, count="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def progress(self, event: Progress) -> None:
        if self._bar is not None:
            count = size(event.done) if event.unit == "bytes" else f"{event.done:,} {event.unit}"
            name = printable(os.path.basename(event.item))[:40]
            self._bar.update(
                self._task,
                description=name.ljust(40),
                completed=event.done,
                total=event.total or None,
                count=count,
            )
        elif self._json and time.monotonic() - self._last > _JSON_PROGRESS_SECONDS:
            self._last = time.monotonic()
            write_json(event)

    def say(self, event: Event, say: Callable[[Event], None]) -> None:
        if self._bar is not None:
            self._bar.stop()
        say(event)
        if self._bar is not None:
            self._bar.start()


def say_problem(event: Event) -> None:
    """Problems, and files that were not taken, in one line each on stderr."""
    if isinstance(event, Problem):
        told(f"! {event.message} {event.hint}".rstrip())
    elif isinstance(event, FileSeen) and event.outcome in TROUBLE:
        told(f"! {event.outcome}: {event.path}: {event.message}")
