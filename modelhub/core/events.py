"""One protocol for every long task: a stream of small frozen facts.

A task is a generator of `Progress`, `Problem`, `FileSeen` and, last, `Result`. Iterating runs it,
closing it cancels it, and its `finally` cleans up. Every door consumes the same stream.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, NamedTuple, TypeAlias, TypeVar

from modelhub.core.errors import ModelHubError

T = TypeVar("T")

Outcome = Literal["added", "known", "duplicate", "restored", "skipped", "broken", "unsafe", "failed"]
TROUBLE: frozenset[Outcome] = frozenset({"broken", "unsafe", "failed"})


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` (0 = not known yet) in `unit`; `item` is the thing in hand."""

    kind: ClassVar[str] = "progress"
    task: str
    done: int
    total: int
    unit: str
    item: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that went wrong and was stepped over; the task goes on."""

    kind: ClassVar[str] = "problem"
    code: str
    message: str
    hint: str = ""
    item: str = ""
    sha256: str = ""

    @classmethod
    def of(cls, error: ModelHubError, *, item: str = "", sha256: str = "") -> "Problem":
        return cls(error.code, error.message, error.hint, item, sha256)


class FileSeen(NamedTuple):
    """What a scan made of one file. `code` and `message` say why it was not taken, if it was not.

    A named tuple, not a dataclass: a scan makes one for every file it meets, known ones included.
    """

    path: str
    outcome: Outcome
    sha256: str = ""
    size: int = 0
    type: str = ""
    base: str = ""
    sub_type: str = ""
    confidence: float | None = None
    code: str = ""
    message: str = ""

    @property
    def kind(self) -> str:
        return "file"


@dataclass(frozen=True, slots=True)
class Result(Generic[T]):
    """The value the task was run for; always the last event."""

    kind: ClassVar[str] = "result"
    value: T


Event: TypeAlias = Progress | Problem | FileSeen
Task: TypeAlias = Generator[Event | Result[T], None, None]
