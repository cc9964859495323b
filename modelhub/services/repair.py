"""Repair: contents that are gone or damaged, copied back from wherever a good copy is, and proved."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from modelhub.core.errors import HashMismatch, ModelHubError, as_ours
from modelhub.core.events import Problem, Progress, Result, Task
from modelhub.core.names import printable
from modelhub.core.places import HubPlaces
from modelhub.core.types import Sha256
from modelhub.files import digest
from modelhub.files.blobs import Blobs, Staging
from modelhub.files.walk import Found, is_hub, walk
from modelhub.services.audit import Audit
from modelhub.services.library import content_path
from modelhub.services.logbook import Logbook
from modelhub.services.waiting import Tick, beside
from modelhub.store.found import FoundFiles
from modelhub.store.library import Content, Library

Lost: TypeAlias = Mapping[Sha256, Content]
Source: TypeAlias = Callable[[Lost], Iterator[tuple[Sha256, str]]]
"""Gives paths where a lost content may be. Nothing it says is believed: what it names is hashed."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """Totals of a repair. `lost` contents could not be read before; `bytes` were copied."""

    lost: int
    repaired: int
    bytes: int
    dry_run: bool


class Repairer:
    def __init__(
        self, places: HubPlaces, library: Library, found_files: FoundFiles, audit: Audit, logbook: Logbook
    ) -> None:
        self._logbook = logbook
        self._places = places
        self._library = library
        self._found_files = found_files
        self._audit = audit
        self._blobs = Blobs(places)

    def lost(self) -> dict[Sha256, Content]:
        """Contents that are nowhere they should be, or have another size there."""
        elsewhere = self._found_files.sources()
        return {
            content.sha256: content
            for content in self._library.contents()
            if not _stands(content_path(content, self._blobs, elsewhere), content.size)
        }

    def repair(self, sources: Sequence[Source], *, dry_run: bool = False) -> Task[Repaired]:
        """Bring lost contents back from recorded copies, then from `sources`, in that order; see `places_under`."""
        lost = self.lost()
        task = self._repair(lost, (self._recorded, *sources), dry_run=dry_run)
        if lost and not dry_run:
            task = self._audit.watched("repair", self._logbook.validation(task), lost=list(lost))
        yield from task

    def _repair(self, lost: dict[Sha256, Content], sources: Sequence[Source], *, dry_run: bool) -> Task[Repaired]:
        number, copied = len(lost), 0
        for source in sources:
            if not lost:
                break
            for sha256, path in source(dict(lost)):
                content = lost.get(sha256)
                if content is None:
                    continue
                yield Progress("repair", number - len(lost), number, "files", path)
                try:
                    work = partial(self._bring, content, path, dry_run=dry_run)
                    yield from beside(work, "repair", content.name, unit="bytes", total=content.size)
                except (OSError, ModelHubError) as error:
                    yield Problem.of(as_ours(error, printable(path)), item=path, sha256=sha256)
                else:
                    del lost[sha256]
                    copied += content.size
        for content in lost.values():
            told = f"No good copy of {printable(content.name)} was found."
            hint = "Name a folder, hub or bundle that has one: `modelhub repair --from PATH`."
            yield Problem("missing", told, hint, content.name, content.sha256)
        yield Result(Repaired(number, number - len(lost), copied, dry_run))

    def _bring(self, content: Content, path: str, tick: Tick, *, dry_run: bool) -> None:
        """Copy a content into the store if it is what we look for; raises HashMismatch if it is something else."""
        with digest.open_regular(path) as stream:
            found = digest.digests(stream, tick=tick)
            if found.sha256 != content.sha256:
                told = f"{printable(path)} is not {printable(content.name)}: its SHA-256 is {found.sha256[:12]}…."
                raise HashMismatch(told, hint="It was left alone.")
            if dry_run:
                return
            with Staging(self._places) as staging:
                staged = staging.place(stream, path, found, "copy", tick)
                self._blobs.publish([replace(staged, name=content.name)])
        self._found_files.restore_truth((), {content.sha256: content.name})

    def _recorded(self, lost: Lost) -> Iterator[tuple[Sha256, str]]:
        """Copies that scans found and left where they were."""
        for sha256, path in self._found_files.copies(lost):
            if _stands(path, lost[Sha256(sha256)].size):
                yield Sha256(sha256), path


def _stands(path: str, size: int) -> bool:
    try:
        return bool(path) and os.stat(path).st_size == size
    except OSError:
        return False


def places_under(path: str) -> Source:
    """A source of the files in a folder, by size and then by hash; another hub is asked by address."""
    return partial(_in_hub if is_hub(path) else _in_folder, path)


def _in_hub(path: str, lost: Lost) -> Iterator[tuple[Sha256, str]]:
    for sha256, content in lost.items():
        folder = os.path.join(path, "models", sha256)
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        for name in names:
            if _stands(os.path.join(folder, name), content.size):
                yield sha256, os.path.join(folder, name)


def _in_folder(path: str, lost: Lost) -> Iterator[tuple[Sha256, str]]:
    wanted: dict[int, list[Sha256]] = {}
    for sha256, content in lost.items():
        wanted.setdefault(content.size, []).append(sha256)
    for found in walk(path):
        if not isinstance(found, Found) or found.kind != "file" or found.size not in wanted:
            continue
        here = Sha256(_sha256(found.path))
        if here in wanted[found.size]:
            yield here, found.path


def _sha256(path: str) -> str:
    try:
        with digest.open_regular(path) as stream:
            return digest.digests(stream).sha256
    except (OSError, ModelHubError):
        return ""
