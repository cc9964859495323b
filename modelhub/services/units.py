"""Units: what belongs together on a disk as one model, found from the path of any of its files."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import BinaryIO, NamedTuple

from modelhub.core.errors import Changed
from modelhub.core.types import External, Role, Sha256
from modelhub.files.digest import open_regular
from modelhub.files.walk import names_under
from modelhub.formats import sidecars
from modelhub.formats.bundles import MAX_JSON, WEIGHTS, Bundle, Folder

_LEVELS = 3
"""A model's files lie at most so many folders below its own."""

_MARKERS = {
    "model_index.json", "config.json", "adapter_config.json", "params.json", "modules.json", "saved_model.pb",
    "Manifest.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model",
    "pytorch_lora_weights.safetensors", "vocab.json", "vocab.txt", "spiece.model",
}  # fmt: skip
_SNAPSHOTS = "snapshots"


@dataclass(frozen=True)
class Unit:
    """One model on a disk: its bundle, and the path of each of its files by relative name."""

    bundle: Bundle
    paths: Mapping[str, str]
    sizes: Mapping[str, int]
    folder: str

    @property
    def lead(self) -> str:
        """Path of the file that stands for the model."""
        return self.paths[self.bundle.parts[0]]

    @property
    def shown(self) -> str:
        """The path that people would name: the folder if it is the model, else the leading file."""
        return self.folder if self.bundle.whole else self.lead

    @property
    def is_many(self) -> bool:
        bundle = self.bundle
        return bundle.whole or len(bundle.parts) > 1 or bool(bundle.missing) or bool(bundle.companions)

    @property
    def is_composite(self) -> bool:
        """Whether it takes more than its leading file to be this model."""
        return self.bundle.whole or len(self.bundle.parts) > 1 or bool(self.bundle.missing)

    @property
    def size(self) -> int:
        return sum(self.sizes.get(name, 0) for name in self.bundle.parts)

    def files(self) -> Iterator[tuple[str, str, Role]]:
        """Relative name, path and role of each file."""
        for place, name in enumerate(self.bundle.parts):
            yield name, self.paths[name], "part" if place else "main"
        for name in self.bundle.companions:
            yield name, self.paths[name], "companion"

    @cached_property
    def described(self) -> Folder:
        return Folder(self.bundle.name, self.sizes, lambda name: _read(self.paths[name]) if name in self.paths else b"")

    @cached_property
    def sidecars(self) -> tuple[External, ...]:
        """What other programs wrote beside it."""
        return tuple(sidecars.said(self.bundle, self.described)) if self.bundle.companions else ()

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[BinaryIO, int]]:
        with open_regular(os.path.realpath(self.paths[name])) as stream:
            yield stream, os.fstat(stream.fileno()).st_size


class HeldFile(NamedTuple):
    """A recorded file: its content, how it was adopted, and whether nothing is left to do for it."""

    sha256: Sha256
    adopted: str
    done: bool = True


def composite(digests: Mapping[str, str]) -> Sha256:
    """The address of a model of many files, from the SHA-256 of each by relative name."""
    lines = sorted(f"{sha256}  {name}\n" for name, sha256 in digests.items())
    return Sha256(hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest())


def stored_unit(name: str, files: Iterable[tuple[str, str, int, Role]]) -> Unit:
    """The unit of recorded files (relative name, path, bytes, role), wherever their contents lie."""
    listed = list(files)
    paths = {relative: path for relative, path, _, _ in listed}
    sizes = {relative: size for relative, _, size, _ in listed}
    lead = next(relative for relative, _, _, role in listed if role == "main")
    folder = Folder(name, sizes, lambda relative: _read(paths[relative]))
    return Unit(folder.whole() or folder.around(lead), paths, sizes, name)


_MAX_LOOKED = 2_000
"""Files of a folder that are looked at to see whether they are one model."""


class Units:
    """Finds units under one root; every folder is listed once."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._flat: dict[str, dict[str, int]] = {}
        self._folders: dict[str, Folder] = {}
        self._whole: dict[str, Unit | None] = {}

    def of(self, path: str) -> Unit:
        """The unit that the file at `path` belongs to; a lone file is a unit too."""
        folder, name = os.path.split(path)
        for above in self._ancestors(folder) if self._root != path else ():  # a file that is named is meant alone
            unit = self._folder(above)
            if unit is not None and path in unit.paths.values():
                return unit
        names = self._names(folder)
        if name in names:
            bundle = self._described(folder).around(name)
        else:  # no regular file, or it came after we looked
            bundle = Folder("", {name: 0}, lambda _: b"").around(name)
        used = (*bundle.parts, *bundle.companions)
        return Unit(bundle, {one: os.path.join(folder, one) for one in used}, names, folder)

    def folder(self, path: str) -> Unit | None:
        """The model that a folder itself is, if it is one."""
        return self._folder(path)

    def any_weights(self, path: str) -> bool:
        """Whether any file under a folder is called as weights are."""
        return any(name.lower().endswith(WEIGHTS) for name in names_under(path))

    def only(self, path: str) -> Unit | None:
        """The only model under a folder, if there is just one."""
        weights = [name for name in names_under(path) if name.lower().endswith(WEIGHTS)][:_MAX_LOOKED]
        found = {unit.lead: unit for unit in (self.of(os.path.join(path, *name.split("/"))) for name in weights)}
        return next(iter(found.values())) if len(found) == 1 else None

    def _ancestors(self, folder: str) -> list[str]:
        """`folder` and those above it within the root, outermost first."""
        found = [folder]
        while len(found) <= _LEVELS and found[-1] != self._root and os.path.dirname(found[-1]).startswith(self._root):
            found.append(os.path.dirname(found[-1]))
        return found[::-1]

    def _names(self, folder: str) -> dict[str, int]:
        if folder not in self._flat:
            self._flat[folder] = names_under(folder, deep=False)
        return self._flat[folder]

    def _described(self, folder: str) -> Folder:
        if folder not in self._folders:
            read = partial(_read_in, folder)
            self._folders[folder] = Folder(os.path.basename(folder), self._names(folder), read)
        return self._folders[folder]

    def _folder(self, path: str) -> Unit | None:
        if path not in self._whole:
            self._whole[path] = self._look(path) if _MARKERS & self._names(path).keys() else None
        return self._whole[path]

    def _look(self, path: str) -> Unit | None:
        sizes = names_under(path)
        bundle = Folder(_name(path), sizes, partial(_read_in, path)).whole()
        if bundle is None:
            return None
        used = (*bundle.parts, *bundle.companions)
        paths = {name: os.path.join(path, *name.split("/")) for name in used}
        return Unit(bundle, paths, sizes, path)


def _name(path: str) -> str:
    """A folder's name; in a Hugging Face cache that of the repository, not of the revision."""
    above, name = os.path.split(path)
    if os.path.basename(above) == _SNAPSHOTS:
        repository = os.path.basename(os.path.dirname(above))
        return repository.split("--")[-1] or name
    return name


def _read_in(folder: str, name: str) -> bytes:
    return _read(os.path.join(folder, *name.split("/")))


def _read(path: str) -> bytes:
    try:
        with open_regular(os.path.realpath(path)) as stream:
            return stream.read(MAX_JSON)
    except (OSError, Changed):
        return b""
