"""File formats that other packages add, by the entry-point group `modelhub.formats`.

An entry point names an object that follows `FormatPlugin`, or a class of such objects. A plugin is asked only about
files that no format of ours knows. One that fails costs its own name and a warning, never a scan.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, BinaryIO, Protocol, TypeVar

from modelhub.core.types import Inspection, MetaValue, Tensor

T = TypeVar("T")

GROUP = "modelhub.formats"
MODALITIES = "plugin.modalities"
"""Key under which what `detect_modalities` says is kept: words joined by commas."""


class FormatPlugin(Protocol):
    """A file format. `suffixes` are endings, with the dot and in lower case, that are to be looked into."""

    suffixes: Collection[str]

    def can_handle(self, head: bytes, name: str) -> bool:
        """Whether a file that begins with these 4,096 bytes and is called `name` is of this format."""

    def extract_metadata(self, stream: BinaryIO, size: int) -> Mapping[str, MetaValue]:
        """What the open file of `size` bytes says of itself. Read its header only, and believe no length in it."""

    # Two more are asked if they are there:
    #   list_tensors(stream, size) -> Mapping[str, Tensor]
    #   detect_modalities(metadata) -> Sequence[str]      of TEXT, IMAGE, VIDEO, AUDIO, 3D


@dataclass(frozen=True, slots=True)
class Loaded:
    """A plugin by the name of its entry point."""

    name: str
    plugin: Any


_warnings: dict[str, str] = {}


def warnings() -> tuple[str, ...]:
    """What went wrong with plugins so far, a sentence for each of them."""
    return tuple(_warnings.values())


@cache
def formats() -> tuple[Loaded, ...]:
    """Every plugin that could be loaded, in order of name."""
    found = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    loaded = ((point.name, _guarded(point.name, _made, point)) for point in found)
    return tuple(Loaded(name, plugin) for name, plugin in loaded if plugin is not None)


def suffixes() -> frozenset[str]:
    """Endings that plugins ask for."""
    asked = (_guarded(one.name, _endings, one.plugin) for one in formats())
    return frozenset(end for ends in asked for end in ends or () if end.startswith("."))


def inspect(stream: BinaryIO, size: int, head: bytes, name: str) -> Inspection | None:
    """The file as the first plugin that knows it sees it; None if none does."""
    for one in formats():
        if _guarded(one.name, _handles, one, head, name):
            found = _guarded(one.name, _seen, one, stream, size)
            if found is not None:
                return found
    return None


def _made(point: EntryPoint) -> Any:
    plugin = point.load()
    return plugin() if isinstance(plugin, type) else plugin


def _handles(one: Loaded, head: bytes, name: str) -> bool:
    return bool(one.plugin.can_handle(head, name))


def _endings(plugin: Any) -> list[str]:
    return [str(end).lower() for end in plugin.suffixes]


def _seen(one: Loaded, stream: BinaryIO, size: int) -> Inspection:
    stream.seek(0)
    metadata: dict[str, MetaValue] = {
        str(key): value for key, value in one.plugin.extract_metadata(stream, size).items()
    }
    tensors: Mapping[str, Tensor] = {}
    if hasattr(one.plugin, "list_tensors"):
        stream.seek(0)
        told = one.plugin.list_tensors(stream, size)
        tensors = {str(name): Tensor(str(dtype), tuple(map(int, shape))) for name, (dtype, shape) in told.items()}
    if hasattr(one.plugin, "detect_modalities"):
        words: Sequence[str] = one.plugin.detect_modalities(metadata)
        metadata[MODALITIES] = ", ".join(str(word).upper() for word in words)
    return Inspection(one.name, size, tensors=tensors, metadata=metadata)


def _guarded(name: str, work: Callable[..., T], *given: Any) -> T | None:
    """What a plugin answers; None and a warning if it fails, whatever way it does."""
    try:
        return work(*given)
    except Exception as error:  # noqa: BLE001  (somebody else's code may fail in any way)
        told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        _warnings.setdefault(name, f"The plugin {name!r} failed and was left out: {told}")
        return None
