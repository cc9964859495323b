"""Apps that models are deployed to, and the targets of a hub: records, no behaviour."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from modelhub.core.types import ModelFilter

Method: TypeAlias = Literal["symlink", "hardlink", "reflink", "copy", "config", "native"]
METHODS: tuple[Method, ...] = ("symlink", "hardlink", "reflink", "copy", "config", "native")
"""How a target gets its models: a kind of link, a copy, the app's own configuration, or the app's own registry."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Models that a target's rule is about, and what becomes of them.

    `names` are shell patterns over a file's name or its place in a tree, `folders` over the places it was found in.
    `folder` and `name` are templates; empty: as if there were no rule.
    """

    when: ModelFilter
    names: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    folder: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """The file in which an app is told where models are: its kind, and its place relative to a target's base."""

    kind: str
    file: str


@dataclass(frozen=True, slots=True)
class Server:
    """How a running app is known: its usual ports, a question, and what only its answer has.

    The answer has all `keys` (dots lead inwards), none of `lacks`, and fits the pattern `text`. One that `imitates`
    answers the questions of others too, so it is asked first. `models` is the question for its list of models, `names`
    their key in it; `refresh` are questions that make it look again.
    """

    ports: tuple[int, ...]
    ask: str
    keys: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    text: str = ""
    imitates: bool = False
    models: str = ""
    names: str = ""
    refresh: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class App:
    """An application and what is known of it: data, not code.

    `folders` maps a model type to the folder its files belong in, relative to a target's base; `rules` come before
    it. `endings` are the names that the app lists, by type (``*`` for all others). `unique` says by what the app
    tells models of a type apart (``stem`` or ``name``), whatever folder they are in. `refuses` are shell patterns of
    names it hides. `layout` is how names are laid out: ``folders``, or one of `modelhub.apps.layouts`.
    """

    name: str
    display_name: str
    default_path: str = ""
    folders: Mapping[str, str] = field(default_factory=dict)
    default_target: bool = False
    rules: tuple[Rule, ...] = ()
    endings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    formats: tuple[str, ...] = ()
    naming: str = "{file}"
    layout: str = "folders"
    methods: tuple[Method, ...] = ("symlink", "hardlink", "reflink", "copy")
    windows_methods: tuple[Method, ...] = ()
    config: ConfigFile | None = None
    unique: Mapping[str, str] = field(default_factory=dict)
    exact_names: bool = False
    own_folder: bool = False
    companions: bool = True
    refuses: tuple[str, ...] = ()
    refresh: str = ""
    hazards: tuple[str, ...] = ()
    server: Server | None = None
    marks: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    models: str = ""
    not_possible: str = ""
    origin: str = "shipped"

    def endings_of(self, model_type: str) -> tuple[str, ...]:
        """The endings that it lists as this type; none: it lists all."""
        return self.endings.get(model_type) or self.endings.get("*", ())

    @property
    def ways(self) -> tuple[Method, ...]:
        """Every method that a target of it may ask for."""
        return (*self.methods, *(("config",) if self.config and self.layout == "folders" else ()))


@dataclass(frozen=True, slots=True)
class Options:
    """What a user set for one target. Empty: as the app's record says.

    A model must fit one of `include`, if there are any, and none of `exclude`; of `rules` the first that fits decides.
    `problem` says why what stands in the database cannot be right.
    """

    naming: str = ""
    url: str = ""
    config: str = ""
    include: tuple[Rule, ...] = ()
    exclude: tuple[Rule, ...] = ()
    rules: tuple[Rule, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """One installed app. From its creation on the rows in `folders` decide, not the app's record.

    `method` is empty where the app's record and the file system decide.
    """

    id: int
    name: str
    display_name: str
    base_path: str
    enabled: bool
    app: str
    folders: Mapping[str, str] = field(default_factory=dict)
    method: str = ""
    options: Options = field(default_factory=Options)
