"""Who changed what, when and through which door: one chained line for each change of a hub."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from modelhub.core.actor import DOOR, who
from modelhub.core.errors import ModelHubError
from modelhub.core.events import Problem, Result, Task
from modelhub.core.names import storable
from modelhub.files.audit import AuditLog, Fault, Head
from modelhub.store.engine import now
from modelhub.store.meta import Meta

_HEAD = "audit_head"
T = TypeVar("T")


class Audit:
    def __init__(self, log: AuditLog, meta: Meta) -> None:
        self._log = log
        self._meta = meta

    def note(self, what: str, **detail: Any) -> None:
        """Write down a change that is about to be made. Raises if it cannot be written: then nothing is to be done."""
        entry = {"at": now(), "who": who(), "door": DOOR.get(), "what": what, "detail": _plain(detail)}
        head = self._log.append(entry)
        self._meta.raise_to(_HEAD, head.line, head.sha256)

    def watched(self, what: str, task: Task[T], **detail: Any) -> Task[T]:
        """The same task; its beginning and what came of it are written down."""
        self.note(what, state="begun", **detail)
        problems, result, state = 0, None, "interrupted"
        try:
            for event in task:
                problems += isinstance(event, Problem)
                if isinstance(event, Result):
                    result, state = event.value, "done"
                yield event
        except ModelHubError as error:
            state = error.code
            raise
        finally:
            task.close()
            self.note(what, state=state, problems=problems, result=_summary(result))

    def around(self, what: str, task: Task[T], told: Callable[[], object], **detail: Any) -> Task[T]:
        """As `watched`, for a task with an event for each of a million files: they are handed on without a look.

        `told` gives its result when it is over, None if it did not come to its end.
        """
        self.note(what, state="begun", **detail)
        try:
            yield from task
        finally:
            task.close()
            result = told()
            self.note(what, state="interrupted" if result is None else "done", result=_summary(result))

    def entries(self) -> Iterator[dict[str, Any]]:
        return self._log.entries()

    def verify(self) -> tuple[int, Fault | None]:
        """The number of lines, and the first that is not as it was written."""
        number, sha256 = self._meta.pair(_HEAD)
        return self._log.verify(Head(number, sha256))


def _summary(value: object) -> dict[str, Any]:
    """The plain fields of a result: numbers and words, no lists."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return {}
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {name: field for name, field in fields.items() if isinstance(field, str | int | float)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, int | float | bool | None) else storable(str(value))
