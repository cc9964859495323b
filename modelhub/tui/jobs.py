"""Long tasks in a thread: each event becomes a message, and cancelling closes the task where it runs."""

import contextvars
import threading
from typing import Any

from textual.message import Message
from textual.widget import Widget

from modelhub.core.errors import ModelHubError
from modelhub.core.events import Event, Progress, Result, Task


class Told(Message):
    """An event of a running task. Progress that was not shown yet gives way to newer progress."""

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event = event

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Told) and isinstance(message.event, Progress) and isinstance(self.event, Progress)


class Ended(Message):
    """The task is over: with a value, with an error, or cancelled (neither)."""

    def __init__(self, value: Any = None, error: ModelHubError | None = None) -> None:
        super().__init__()
        self.value = value
        self.error = error


class Job:
    """One task and the thread that runs it."""

    def __init__(self, owner: Widget, task: Task[Any]) -> None:
        self._owner = owner
        self._task = task
        self._cancelled = threading.Event()
        here = contextvars.copy_context()  # so that the task knows by which door it came
        self._thread = threading.Thread(target=here.run, args=(self._run,), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def cancel(self) -> None:
        """Ask the task to stop; it does so at its next event, and cleans up."""
        self._cancelled.set()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        value = None
        try:
            for event in self._task:
                if self._cancelled.is_set():
                    break
                if isinstance(event, Result):
                    value = event.value
                else:
                    self._owner.post_message(Told(event))
        except ModelHubError as error:
            self._owner.post_message(Ended(error=error))
        else:
            self._owner.post_message(Ended(value))
        finally:
            self._task.close()
