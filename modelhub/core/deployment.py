"""Where models go: apps, targets, links, and the plan that is shown before anything is done."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, TypeAlias

from modelhub.core.types import Sha256


@dataclass(frozen=True, slots=True)
class App:
    """An application that reads models from folders: data, not code.

    `folders` maps a model type to the folder its files belong in, relative to the target's base.
    """

    name: str
    display_name: str
    default_path: str
    folders: Mapping[str, str]
    default_target: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """One installed app. From its creation on the rows in `folders` decide, not the app's record."""

    id: int
    name: str
    display_name: str
    base_path: str
    enabled: bool
    app: str
    folders: Mapping[str, str] = field(default_factory=dict)


class LinkFile(NamedTuple):
    """One link on disk, and what it points to."""

    path: str
    source: str
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class Link:
    """A deployed model, or one we were about to deploy: `path` is the link of the file that stands for it, `source`
    what it points to. `more` are the links of its other files.
    """

    model_id: int
    target_id: int
    path: str
    source: str
    deployed: bool
    sha256: Sha256
    more: tuple[LinkFile, ...] = ()

    @property
    def files(self) -> tuple[LinkFile, ...]:
        return (LinkFile(self.path, self.source, self.sha256), *self.more)


@dataclass(frozen=True, slots=True)
class MakeLink:
    """`size` is that of the whole model in bytes; `more` are the links of its other files."""

    kind: ClassVar[str] = "make_link"
    target: str
    model_id: int
    sha256: Sha256
    path: str
    source: str
    size: int
    more: tuple[LinkFile, ...] = ()

    @property
    def files(self) -> tuple[LinkFile, ...]:
        return (LinkFile(self.path, self.source, self.sha256), *self.more)


@dataclass(frozen=True, slots=True)
class RemoveLink:
    """`folders` were made for these links alone and go if they are empty then, the deepest first."""

    kind: ClassVar[str] = "remove_link"
    target: str
    model_id: int
    path: str
    source: str
    because: str
    more: tuple[LinkFile, ...] = ()
    folders: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[tuple[str, str], ...]:
        return ((self.path, self.source), *((file.path, file.source) for file in self.more))


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing to do for this model; `code` is ``linked`` where all is well already."""

    kind: ClassVar[str] = "skip"
    target: str
    model_id: int
    name: str
    code: str
    because: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Something of the user's stands where a link should go. It is never touched."""

    kind: ClassVar[str] = "conflict"
    target: str
    model_id: int
    path: str
    by: str


Step: TypeAlias = MakeLink | RemoveLink | Skip | Conflict


@dataclass(frozen=True, slots=True)
class Plan:
    """What a deployment would change. Computing it touches nothing."""

    steps: tuple[Step, ...]

    @property
    def links(self) -> tuple[MakeLink, ...]:
        return tuple(step for step in self.steps if isinstance(step, MakeLink))

    @property
    def removals(self) -> tuple[RemoveLink, ...]:
        return tuple(step for step in self.steps if isinstance(step, RemoveLink))

    @property
    def skips(self) -> tuple[Skip, ...]:
        return tuple(step for step in self.steps if isinstance(step, Skip))

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        return tuple(step for step in self.steps if isinstance(step, Conflict))

    @property
    def bytes_saved(self) -> int:
        """What copies instead of links would have cost, in bytes."""
        return sum(step.size for step in self.links)


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """Deployed against available, per target."""

    name: str
    display_name: str
    base_path: str
    enabled: bool
    deployed: int
    available: int
    broken: int
    by_type: Mapping[str, tuple[int, int]]
