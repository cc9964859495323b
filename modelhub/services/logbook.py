"""What tasks met, written into the logs of the hub as they go on."""

from collections import defaultdict
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

    def discovery(self, task: Task[T]) -> Task[T]:
        """A scan: what became of each file that was not known already, what was judged, what could not be read."""
        return self._watched(task, DISCOVERY)

    def validation(self, task: Task[T]) -> Task[T]:
        """A verification or repair: what was found wrong."""
        return self._watched(task, VALIDATION)

    def _watched(self, task: Task[T], name: str) -> Task[T]:
        waiting: dict[str, list[str]] = defaultdict(list)
        try:
            for event in task:
                if isinstance(event, Result):
                    waiting[name].append(f"INFO done: {event.value}")
                else:
                    _tell(event, name, waiting)
                if len(waiting[name]) >= _AT_ONCE:
                    self._flush(waiting)
                yield event
        finally:
            task.close()
            self._flush(waiting)

    def _flush(self, waiting: dict[str, list[str]]) -> None:
        for name, lines in waiting.items():
            self._logs[name].write(lines)
        waiting.clear()


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
