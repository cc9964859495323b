"""Long tasks in threads: what they say is kept here, and cancelling closes a task where it runs."""

import contextvars
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Literal, TypeAlias, TypeVar

from textual.message import Message
from textual.message_pump import MessagePump

from modelhub.core.errors import ModelHubError, as_ours
from modelhub.core.events import FileSeen, Problem, Progress, Result, Task
from modelhub.core.names import human_size, printable

T = TypeVar("T")
Then: TypeAlias = Callable[[Any], str | None]
State = Literal["running", "done", "failed", "stopped"]
_LOG_LINES = 2000
_SPEED_SECONDS = 2.0
"""The time over which speed is measured."""


class Ended(Message):
    """A job is over."""

    def __init__(self, job: "Job") -> None:
        super().__init__()
        self.job = job


def quick(work: Callable[[], T]) -> Task[T]:
    """A task of one step."""
    yield Result(work())


class Job:
    """One task and the thread that makes and runs it. The thread writes, everybody else reads.

    `Ended` is posted to `owner`; `then` is for the result, to be called in the interface's own thread, unless the task
    failed or was stopped; what it gives is said and logged.
    """

    def __init__(
        self, owner: MessagePump, title: str, make: Callable[[], Task[Any]], then: "Then | None" = None
    ) -> None:
        self.title = title
        self.then = then
        self.state: State = "running"
        self.progress: Progress | None = None
        self.problems = 0
        self.logged = 0
        self.value: Any = None
        self.error: ModelHubError | None = None
        self.started = time.monotonic()
        self.seconds = 0.0
        self.began = time.strftime("%H:%M:%S")
        self._log: deque[tuple[str, bool]] = deque(maxlen=_LOG_LINES)
        self._speeds: deque[tuple[float, int]] = deque()
        self._owner = owner
        self._make = make
        self._cancelled = threading.Event()
        here = contextvars.copy_context()  # so that the task knows by which door it came
        self._thread = threading.Thread(target=here.run, args=(self._run,), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def cancel(self) -> None:
        """Ask the task to stop; it does so at its next event, and cleans up."""
        self._cancelled.set()

    @property
    def stopping(self) -> bool:
        return self._cancelled.is_set() and self.state == "running"

    def join(self) -> None:
        self._thread.join()

    def log(self, since: int = 0) -> list[tuple[str, bool]]:
        """Lines said after the first `since`, and whether each is trouble; the oldest ones are forgotten."""
        lines, total = list(self._log), self.logged
        return list(islice(lines, max(0, len(lines) - (total - since)), None)) if total > since else []

    def _run(self) -> None:
        state: State = "failed"
        task: Task[Any] | None = None
        try:
            task = self._make()
            for event in task:
                self._note(event)
                if self._cancelled.is_set() and not isinstance(event, Result):
                    state = "stopped"
                    break
            else:
                state = "done"
        except (ModelHubError, OSError) as error:
            self.error = as_ours(error, printable(self.title))
            self._say(f"{self.error.message} {self.error.hint}", trouble=True)
        finally:
            unforeseen = sys.exception()
            if unforeseen is not None:
                self._say(f"{unforeseen!r}: a fault of ModelHub's own.", trouble=True)
            if task is not None:
                task.close()
            self.seconds = time.monotonic() - self.started
            self.state = state
            self._owner.post_message(Ended(self))

    def _note(self, event: Any) -> None:
        if isinstance(event, Progress):
            self.progress = event
            self._measure(event)
        elif isinstance(event, Problem):
            self.problems += 1
            self._say(f"{event.message} {event.hint}", trouble=True)
        elif isinstance(event, FileSeen):
            if event.outcome not in ("known", "skipped") or event.message:
                what = " ".join(word for word in (event.sub_type or event.base, event.type) if word)
                told = f"{event.outcome:9}  {what}  {event.path}  {event.message}".rstrip()
                self._say(told, trouble=bool(event.message))
        elif isinstance(event, Result):
            self.value = event.value

    def tell(self, text: str) -> None:
        """Add a line to the log."""
        self._say(text, trouble=False)

    def _say(self, text: str, *, trouble: bool) -> None:
        self._log.append((printable(text.strip()), trouble))
        self.logged += 1

    def _measure(self, event: Progress) -> None:
        now = time.monotonic()
        speeds = self._speeds
        if speeds and event.done < speeds[-1][1]:
            speeds.clear()
        if not speeds or now - speeds[-1][0] >= 0.1:
            speeds.append((now, event.done))
        while len(speeds) > 2 and now - speeds[0][0] > _SPEED_SECONDS:
            speeds.popleft()

    # As people read it

    @property
    def share(self) -> float | None:
        """How much is done (0-1); None while nobody knows."""
        told = self.progress
        return None if told is None or not told.total else min(1.0, told.done / told.total)

    @property
    def speed(self) -> float:
        """Bytes or things a second, of late."""
        speeds = self._speeds
        if len(speeds) < 2 or speeds[-1][0] == speeds[0][0]:
            return 0.0
        return (speeds[-1][1] - speeds[0][1]) / (speeds[-1][0] - speeds[0][0])

    def told(self) -> str:
        """One line: how far it is, how quick, how long still."""
        if self.state != "running":
            problems = f", {self.problems} problem{'s' if self.problems > 1 else ''}" if self.problems else ""
            return f"{self.state} after {_clock(self.seconds)}{problems}"
        if self.stopping:
            return "stopping …"
        told, parts = self.progress, []
        if told is None:
            return "starting …"
        if self.share is not None:
            parts.append(f"{self.share:4.0%}")
        parts.append(f"{_amount(told.done, told.unit)}{f' of {_amount(told.total, told.unit)}' if told.total else ''}")
        if self.speed > 0:
            parts.append(f"{_amount(self.speed, told.unit)}/s")
            if told.total > told.done:
                parts.append(f"{_clock((told.total - told.done) / self.speed)} left")
        return "  ".join([*parts, printable(told.item)])


def _amount(number: float, unit: str) -> str:
    return human_size(int(number)) if unit == "bytes" else f"{number:,.0f} {unit}"


def _clock(seconds: float) -> str:
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
