"""Duplicates: files with one content found and made one, and models that are nearly the same told as relatives."""

import json
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from modelhub.core.config import Settings
from modelhub.core.deployment import JournalStep
from modelhub.core.errors import Changed, ModelHubError, as_ours
from modelhub.core.events import Problem, Progress, Result, Task
from modelhub.core.names import printable
from modelhub.core.places import HubPlaces
from modelhub.core.types import Listed, ModelFilter
from modelhub.files import digest, duplicates, links
from modelhub.files.blobs import Blobs
from modelhub.files.duplicates import Reading, Sized
from modelhub.files.walk import Found, walk
from modelhub.services.applying import Application
from modelhub.services.library import Models
from modelhub.store.contents import Contents
from modelhub.store.journal import Journal
from modelhub.store.library import Library

Way = Literal["auto", "hardlink", "symlink"]
_PRECISIONS = re.compile(
    r"(?i)[-_. ]?(fp(32|16|8)|bf16|f(32|16)|float(32|16)|half|full|pruned|ema(only)?|no[-_]?ema|e4m3fn?|e5m2|nf4"
    r"|int[48]|[48]bit|i?q\d(_[0-9a-z]+)*|iq\d\w*|gptq|awq|exl2|gguf|mlx|scaled|quantized)(?=[-_. ]|$)"
)


@dataclass(frozen=True, slots=True)
class Group:
    """Files with the same content. The others can become links to the one that is kept."""

    size: int
    kept: str
    others: tuple[str, ...]

    @property
    def wasted(self) -> int:
        """Bytes on the disk that links would free."""
        return self.size * len(self.others)


@dataclass(frozen=True, slots=True)
class Linked:
    """Totals of making duplicates one. `freed` in bytes; `run` is what `modelhub undo` takes back."""

    groups: int
    files: int
    freed: int
    problems: int
    run: int
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Relatives:
    """Models that are one in some sense: `kind` is ``tensors`` (the same numbers under another header) or ``variant``
    (the same model in another precision or quantisation).
    """

    kind: str
    because: str
    models: tuple[Listed, ...]


class Duplicates:
    def __init__(
        self,
        settings: Settings,
        places: HubPlaces,
        library: Library,
        contents: Contents,
        models: Models,
        application: Application,
        journal: Journal,
    ) -> None:
        self._settings = settings
        self._library = library
        self._contents = contents
        self._models = models
        self._application = application
        self._journal = journal
        self._blobs = Blobs(places)

    def find(self, roots: Sequence[str], *, min_size: int = 1) -> Task[tuple[Group, ...]]:
        """Files with the same content under `roots`; links, hubs and stores are left out. Hard links are one file."""
        met: list[Sized] = []
        for root in roots:
            for found in walk(root, exclude=self._settings.exclude):
                if isinstance(found, Found) and found.kind == "file" and found.size >= min_size:
                    path, _, status = found
                    met.append(Sized(path, status.st_size, status.st_dev, status.st_ino, status.st_mtime_ns))
                    if not len(met) % 1000:
                        yield Progress("duplicates", len(met), 0, "files", path)
        groups: list[Group] = []
        for told in duplicates.same(duplicates.candidates(met)):
            if isinstance(told, Reading):
                yield Progress("duplicates", told.bytes, told.total, "bytes", told.path)
            else:
                groups.append(_group(told))
        yield Result(tuple(sorted(groups, key=lambda group: (-group.wasted, group.kept))))

    def copies(self) -> list[Group]:
        """Places where scans left a file of its own beside the content in the store, by what they take."""
        stored = {str(content.sha256): content for content in self._library.contents() if content.stored}
        found: dict[str, list[str]] = defaultdict(list)
        for sha256, path in self._contents.copies():
            if sha256 in stored and not _is_same(path, self._stored(stored[sha256].sha256, stored[sha256].name)):
                found[sha256].append(path)
        groups = [
            Group(stored[sha256].size, self._stored(sha256, stored[sha256].name), tuple(sorted(paths)))
            for sha256, paths in found.items()
        ]
        return sorted(groups, key=lambda group: (-group.wasted, group.kept))

    def _stored(self, sha256: str, name: str) -> str:
        return os.path.join(self._blobs.folder(sha256), name)

    # Made one

    def link(self, groups: Sequence[Group], way: Way = "auto") -> Task[Linked]:
        """Replace the others of each group by links to the one that is kept, after comparing them byte by byte.

        ``auto``: hard links on one file system, else symlinks; a file of the store is only linked by symlink. What was
        written to meanwhile stays. `modelhub undo` gives each its own file back.
        """
        files = problems = freed = 0
        with self._application.alone("duplicates") as run:
            for group in groups:
                for path in group.others:
                    yield Progress("duplicates", files, 0, "files", path)
                    try:
                        freed += self._link_one(run, group.kept, path, way)
                        files += 1
                    except (OSError, ModelHubError) as error:
                        problems += 1
                        yield Problem.of(as_ours(error, printable(path)), item=path)
        yield Result(Linked(len(groups), files, freed, problems, run if files else 0, dry_run=False))

    def _link_one(self, run: int, kept: str, path: str, way: Way) -> int:
        with digest.open_regular(kept) as ours, digest.open_regular(path) as theirs:
            before = os.fstat(theirs.fileno())
            if not digest.same_content(ours, theirs):
                told = f"{printable(path)} is not the same as {printable(kept)} any more."
                raise Changed(told, hint="It was left alone; look for duplicates again.")
            found = digest.digests(theirs).sha256
        was = json.dumps({"mode": stat.S_IMODE(before.st_mode), "mtime_ns": before.st_mtime_ns}).encode()
        know = {"inode": before.st_ino, "size": before.st_size, "mtime_ns": before.st_mtime_ns}
        in_store = self._blobs.contains(kept) is not None
        if way == "hardlink" or (way == "auto" and not in_store and os.stat(kept).st_dev == before.st_dev):
            self._journal.note(run, [JournalStep("merged", path, kept, found, "hardlink", was)])
            links.replace_by_hard_link(path, kept, **know)
        else:
            self._journal.note(run, [JournalStep("merged", path, kept, found, "symlink", was)])
            links.replace_by_symlink(path, kept, **know)
        return before.st_size if before.st_nlink == 1 else 0

    # Nearly the same

    def relatives(self) -> Task[tuple[Relatives, ...]]:
        """Models of the library with the same tensors under another header, or in another precision."""
        found: list[Relatives] = []
        yield from self._tensor_hashes()
        listed = {one.id: one for one in self._models.listed()}
        for hashed, ids in self._contents.same_tensors().items():
            alike = tuple(listed[one] for one in ids if one in listed)
            if len(alike) > 1:
                found.append(Relatives("tensors", f"the same tensors (AutoV3 {hashed[:12]})", alike))
        found += self._variants(listed)
        yield Result(tuple(found))

    def _tensor_hashes(self) -> Iterator[Progress]:
        """Hash the tensors of safetensors files that could be the same: of one size behind the header."""
        by_size: dict[int, list[tuple[str, str]]] = defaultdict(list)
        paths = self._models.paths()
        for model in self._models.find(ModelFilter(formats=("safetensors",))):
            path = paths.get(model.id, "")
            length = digest.tensor_bytes(path) if path else 0
            if length:
                by_size[length].append((model.sha256, path))
        known = self._contents.tensor_hashes()
        wanted = [one for alike in by_size.values() if len(alike) > 1 for one in alike if not known.get(one[0])]
        for number, (sha256, path) in enumerate(wanted):
            yield Progress("duplicates", number, len(wanted), "files", path)
            self._contents.note_tensor_hash(sha256, digest.tensor_digest(path))

    @staticmethod
    def _variants(listed: Mapping[int, Listed]) -> Iterator[Relatives]:
        families: dict[tuple[str, str, str], list[Listed]] = defaultdict(list)
        for one in listed.values():
            stem = _stem(one.filename)
            if len(stem) > 2:
                families[one.type, one.base, stem].append(one)
        for (_, _, stem), alike in sorted(families.items()):
            if len({(one.precision, one.quantization) for one in alike}) > 1:
                yield Relatives("variant", f"{stem!r} in {len(alike)} precisions or quantisations", tuple(alike))


def _stem(filename: str) -> str:
    """A model's name without its ending and without the words that name a precision."""
    stem = os.path.splitext(printable(filename))[0] if "." in filename[-14:] else printable(filename)
    before = ""
    while stem != before:
        before, stem = stem, _PRECISIONS.sub("", stem, count=1)
    return stem.strip("-_. ").lower()


def _group(alike: Sequence[Sized]) -> Group:
    """The oldest is kept, of equally old ones the one with the shortest path."""
    first, *others = sorted(alike, key=lambda file: (file.mtime_ns, len(file.path), file.path))
    return Group(first.size, first.path, tuple(sorted(file.path for file in others)))


def _is_same(first: str, second: str) -> bool:
    try:
        return os.path.samefile(first, second)
    except OSError:
        return True  # what is not there wastes nothing


def foreseen(groups: Sequence[Group]) -> Linked:
    """What linking all of them would come to."""
    return Linked(
        len(groups),
        sum(len(group.others) for group in groups),
        sum(group.wasted for group in groups),
        0,
        0,
        dry_run=True,
    )
