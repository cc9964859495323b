"""One file that a parser may be handed, and what must become of it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

Expected: TypeAlias = Literal["refused", "accepted", "bounded"]
"""`refused`: unsafe, broken or no model. `accepted`: ok, and what it says of itself is told. `bounded`: it harms
nobody but whoever reads it without limits, so either will do.
"""

Make: TypeAlias = Callable[[str], bytes]
"""The content, given the path of the file whose presence would prove that something was executed."""


@dataclass(frozen=True, slots=True)
class Case:
    """`armed`: the standard library alone would execute it (a test does so, to prove that the canary sings).

    `holes` are zeros that follow the content without taking room; `parts` other files that belong to the model.
    """

    name: str
    kind: str
    make: Make
    expected: Expected = "refused"
    armed: bool = False
    holes: int = 0
    parts: Mapping[str, bytes] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """The file, in a folder of its kind (and of its own, if others belong to it)."""
        home = folder / self.kind
        if self.parts:
            home /= self.name.rpartition(".")[0]
        home.mkdir(parents=True, exist_ok=True)
        path = home / self.name
        with path.open("wb") as stream:
            stream.write(self.make(str(self.canary(folder))))
            stream.truncate(stream.tell() + self.holes)
        for name, content in self.parts.items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_bytes(content)
        return path

    def canary(self, folder: Path) -> Path:
        return folder / "canaries" / f"{self.kind}_{self.name}"


def constant(content: bytes) -> Make:
    return lambda _: content


def fixed(kind: str, contents: Mapping[str, bytes], *, expected: Expected = "refused") -> Iterator[Case]:
    """Cases by file name, of contents that execute nothing."""
    for name, content in contents.items():
        yield Case(name, kind, constant(content), expected)
