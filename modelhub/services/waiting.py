"""Slow work beside a task, so that progress is told and a cancel is heard while it runs."""

import threading
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from typing import TypeVar

from modelhub.core.events import Progress

_TICK_SECONDS = 0.1
T = TypeVar("T")
Tick = Callable[[int], None]


def beside(
    work: Callable[[Tick], T], task: str, item: str, *, unit: str = "files", total: int = 0
) -> Generator[Progress, None, T]:
    """What `work` gives. It may call its argument with the bytes it has done, which ends it if the task is closed."""
    stop = threading.Event()
    done = 0

    def tick(number: int) -> None:
        nonlocal done
        done += number
        if stop.is_set():
            raise CancelledError

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work, tick)
        try:
            while True:
                try:
                    return future.result(timeout=_TICK_SECONDS)
                except NotYet:
                    yield Progress(task, done, total, unit, item)
        finally:
            stop.set()
