"""Where models go: links, and the plan that is shown before anything is done."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias

from modelhub.core.types import Role, Sha256

How: TypeAlias = Literal["symlink", "hardlink", "reflink", "copy", "write", "entry", "register"]
"""What one file of a deployment is: a link, a copy, a small file of ours, an entry in an app's configuration,
or a model made known to a running app."""
COPIES: frozenset[How] = frozenset({"reflink", "copy"})
HOW_WORDS: Mapping[How, str] = {
    "symlink": "link", "hardlink": "hard link", "reflink": "reflink", "copy": "copy", "write": "write",
    "entry": "entry", "register": "register",
}  # fmt: skip
"""How a plan calls each of them."""
QUIET_SKIPS = ("linked", "no_folder", "not_listed", "filtered")
"""Codes of skips that nobody needs to be told of."""
NO_FILE: frozenset[How] = frozenset({"entry", "register"})
"""What is no file of its own: it is in a configuration, or in an app's registry."""

Resolution: TypeAlias = Literal["keep", "skip", "rename", "adopt"]
RESOLUTIONS: tuple[Resolution, ...] = ("keep", "skip", "rename", "adopt")
"""What to do where a file of the user's stands: leave it and say so, leave it and be content, give our link another
name, or take the file into the hub and link it."""


class Deployable(NamedTuple):
    """As much of a model as a plan needs; there may be a hundred thousand. `size` in bytes."""

    id: int
    sha256: Sha256
    filename: str
    size: int
    type: str
    base: str
    sub_type: str
    variant: str
    format: str
    precision: str
    quantization: str
    architecture: str
    parameters: int
    license: str
    primary: str
    secondary: str
    specialization: str
    state: str
    message: str
    missing: bool
    deleted: bool
    offline: bool = False


class Placed(NamedTuple):
    """One file of a model: its name in it, what it is to it, and where it can be read (empty if nowhere)."""

    name: str
    role: Role
    path: str
    sha256: Sha256
    size: int


class LinkFile(NamedTuple):
    """One link, file or entry at `path`, and what it leads to.

    `content` is what a file of ours holds. `was` is where a link of ours at this place points now, if it is to be
    replaced. A `shared` one is named by its content, so that others may use it too; one that goes `along` stays away
    where something stands already. `stamp` tells a copy of ours from what somebody put in its place.
    """

    path: str
    source: str
    sha256: Sha256
    how: How = "symlink"
    content: bytes = b""
    was: str = ""
    shared: bool = False
    stamp: str = ""
    along: bool = False


class Link(NamedTuple):
    """A deployed model, or one we were about to deploy: `path` is the link of the file that stands for it, `source`
    what it points to. `more` are the links of its other files.
    """

    model_id: int
    target_id: int
    deployed: bool
    files: tuple[LinkFile, ...]

    @property
    def path(self) -> str:
        return self.files[0].path

    @property
    def source(self) -> str:
        return self.files[0].source

    @property
    def sha256(self) -> Sha256:
        return self.files[0].sha256


class MakeLink(NamedTuple):
    """`size` is that of the whole model in bytes; `more` are the links of its other files."""

    target: str
    model_id: int
    sha256: Sha256
    path: str
    source: str
    size: int
    how: How = "symlink"
    files: tuple[LinkFile, ...] = ()

    @property
    def kind(self) -> str:
        return "make_link"

    @property
    def replaces(self) -> bool:
        return any(file.was for file in self.files)


class RemoveLink(NamedTuple):
    """`folders` were made for these links alone and go if they are empty then, the deepest first."""

    target: str
    model_id: int
    path: str
    source: str
    because: str
    files: tuple[LinkFile, ...] = ()
    folders: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return "remove_link"


class Skip(NamedTuple):
    """Nothing to do for this model; `code` is ``linked`` where all is well already."""

    target: str
    model_id: int
    name: str
    code: str
    because: str

    @property
    def kind(self) -> str:
        return "skip"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Something of the user's stands where a link should go. It is never touched, unless it is to be adopted.

    `resolutions` can be chosen, `resolution` was.
    """

    kind: ClassVar[str] = "conflict"
    target: str
    model_id: int
    path: str
    by: str
    resolutions: tuple[Resolution, ...] = ("keep", "skip", "rename")
    resolution: Resolution = "keep"


@dataclass(frozen=True, slots=True)
class WriteConfig:
    """The app's configuration, or a file of ours beside the models, as it is to be.

    `before` is the SHA-256 of what stands there (empty: nothing); `content` is None where the file is to go. `folders`
    must exist before it is written; what is taken out goes `first`, before any link. `root` is where it points.
    """

    kind: ClassVar[str] = "write_config"
    target: str
    path: str
    before: str
    content: bytes | None
    because: str
    first: bool = False
    folders: tuple[str, ...] = ()
    root: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """What one should know of a target before anything is written."""

    kind: ClassVar[str] = "note"
    target: str
    code: str
    message: str


Step: TypeAlias = MakeLink | RemoveLink | Skip | Conflict | WriteConfig | Note


@dataclass(frozen=True, slots=True)
class Plan:
    """What a deployment would change. Computing it touches nothing."""

    steps: tuple[Step, ...]
    what: str = "deploy"

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
    def configs(self) -> tuple[WriteConfig, ...]:
        return tuple(step for step in self.steps if isinstance(step, WriteConfig))

    @property
    def notes(self) -> tuple[Note, ...]:
        return tuple(step for step in self.steps if isinstance(step, Note))

    @property
    def bytes_saved(self) -> int:
        """What copies instead of links would have cost, in bytes."""
        return sum(step.size for step in self.links if step.how not in COPIES)

    @property
    def bytes_copied(self) -> int:
        return sum(step.size for step in self.links if step.how in COPIES)


class JournalStep(NamedTuple):
    """`action`: made, replaced, removed (links), folder, wrote (a configuration), adopted, merged (with a copy), moved
    (a user's file);
    of models trashed, restored, set (by hand), with the model's name for a path.

    `before` is what a file held, where a link pointed, or what was set; None: there was nothing.
    """

    action: str
    path: str
    source: str = ""
    sha256: str = ""
    how: str = ""
    before: bytes | None = None
    target_id: int | None = None
    model_id: int | None = None


class Place(NamedTuple):
    """Where a model may go: the folder of its type, its files, and the paths that must be free for them."""

    folder: str
    files: list[LinkFile]
    top: list[str]


class Layout(Protocol):
    """How one target lays its models out on disk. Pure: it looks at nothing."""

    def refusal(self, model: Deployable, files: Sequence[Placed]) -> tuple[str, str] | None:
        """Why the app cannot use the model, as a code and words; None if it can."""

    def candidates(self, model: Deployable, files: Sequence[Placed]) -> Iterator[Place]:
        """Where the model may go, the best place first."""

    def plain(self, model: Deployable, files: Sequence[Placed]) -> tuple[str, LinkFile] | None:
        """Folder and file of the first candidate of a lone file that is not refused, where they are known at once."""


class Registry(Protocol):
    """A running app that is told of its models, and keeps its own list of them."""

    def register(self, path: str, name: str) -> Iterator[str]:
        """Make the model at `path` known where it lies; words on how it goes. Raises ModelHubError."""

    def forget(self, path: str) -> bool:
        """Forget it, the file stays; False if it was not known."""

    def known(self) -> set[str]:
        """The paths of everything it knows."""


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """Deployed against available, per target. `free` bytes are left on its disk; None: not known."""

    name: str
    display_name: str
    base_path: str
    enabled: bool
    deployed: int
    available: int
    broken: int
    by_type: Mapping[str, tuple[int, int]]
    app: str = ""
    method: str = ""
    free: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be in a target, and the command that mends it."""

    kind: ClassVar[str] = "finding"
    target: str
    code: str
    path: str
    message: str
    hint: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
