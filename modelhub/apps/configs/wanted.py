"""What a configuration is to say of our models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """A model that a configuration names: the file, and its projector if it has one."""

    model: str
    mmproj: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """`root` is the folder of our links, `folders` the ones in use below it (relative, by what the app calls them);
    both are empty where nothing is deployed. `own` is the folder that the app has already.

    `entries` are the models to be named, `ours` the names that we gave before. `block` names our part of the file.
    `former` are folders that were our root before the hub moved. `models` describe what is deployed, for inventories.
    """

    root: str
    block: str
    folders: Mapping[str, Sequence[str]] = field(default_factory=dict)
    own: str = ""
    entries: Mapping[str, Entry] = field(default_factory=dict)
    ours: frozenset[str] = frozenset()
    former: tuple[str, ...] = ()
    models: Sequence[Mapping[str, Any]] = ()
