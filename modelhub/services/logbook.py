"""What tasks met, written into the logs of the hub as they go on."""

from collections import defaultdict
from collections.abc import Mapping
from typing import TypeVar

from modelhub.core.events import TROUBLE, Event, FileSeen, Problem, Result, Task
from modelhub.core.places import HubPlaces
from modelhub.files.logs import LogFile

DISCOVERY, VALIDATION = "model_discovery.log", "model_validation.log"
METADATA, CATEGORIES = "metadata_extraction.log", "categorization.log"
NAMES = (DISCOVERY, VALIDATION, METADATA, CATEGORIES)
_AT_ONCE = 200
T = TypeVar("T")


class Logbook:
    def __init__(self, places: HubPlaces) -> None:
        self._logs = {name: LogFile(places.logs / name) for name in NAMES}

    def tail(self, name: str, lines: int) -> list[str]:
        return self._logs[name].tail(lines)

    def page(self, name: str) -> "Page":
        """For a task that tells its events itself, one after the other."""
        return Page(self._logs, name)

    def validation(self, task: Task[T]) -> Task[T]:
        """A verification or repair: what was found wrong."""
        page = self.page(VALIDATION)
        try:
            for event in task:
                if isinstance(event, Result):
                    page.done(event.value)
                else:
                    page.tell(event)
                yield event
        finally:
            task.close()
            page.flush()


class Page:
    """What one task has to say, written a few hundred lines at a time."""

    def __init__(self, logs: Mapping[str, LogFile], name: str) -> None:
        self._logs = logs
        self._name = name
        self._waiting: dict[str, list[str]] = defaultdict(list)

    def tell(self, event: Event) -> None:
        _tell(event, self._name, self._waiting)
        if len(self._waiting[self._name]) >= _AT_ONCE:
            self.flush()

    def done(self, value: object) -> None:
        self._waiting[self._name].append(f"INFO done: {value}")

    def flush(self) -> None:
        for name, lines in self._waiting.items():
            self._logs[name].write(lines)
        self._waiting.clear()


def _tell(event: Event, name: str, waiting: dict[str, list[str]]) -> None:
    if isinstance(event, Problem):
        waiting[name].append(f"WARNING {event.code} {event.item or '-'}: {event.message}")
    elif isinstance(event, FileSeen) and event.outcome != "known":
        level = "WARNING" if event.outcome in TROUBLE else "INFO"
        why = f" {event.code}: {event.message}" if event.code else ""
        waiting[name].append(f"{level} {event.outcome} {event.path} {event.sha256[:16] or '-'}{why}")
        if event.outcome in TROUBLE:
            waiting[METADATA].append(f"WARNING {event.code} {event.path}: {event.message}")
        elif event.type:
            sure = "" if event.confidence is None else f" {event.confidence:.2f}"
            words = " ".join(word for word in (event.type, event.base, event.sub_type) if word)
            waiting[CATEGORIES].append(f"INFO {event.path}: {words}{sure}")
