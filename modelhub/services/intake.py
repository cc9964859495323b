"""The slow work on one file, done in threads: inspect, judge, hash, and bring its content towards the store."""

import os
import stat
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO

from modelhub.core.errors import Changed, HashMismatch
from modelhub.core.types import Adopt, Classified, Digests, Role
from modelhub.files import digest
from modelhub.files.blobs import Blobs, How, Staged, Staging
from modelhub.files.walk import Found
from modelhub.services.judge import Judge
from modelhub.services.units import HeldFile, Unit, composite

TAKES_PLACE: frozenset[Adopt] = frozenset({"symlink", "move"})
"""Ways to adopt after which the original is not a file any more."""

_HOW: dict[Adopt, How] = {
    "symlink": "second_name", "move": "second_name", "hardlink": "hardlink", "reflink": "reflink", "copy": "copy",
}  # fmt: skip

_BUSY = "Scan again when nothing writes to it."


@dataclass(frozen=True, slots=True)
class Prepared:
    """One file after the slow work: judged and hashed, its content staged if the store lacks it.

    `kept`: it is recorded as adopted that way, and stays as it is.
    """

    found: Found
    source: str
    classified: Classified
    digests: Digests | None = None
    sample: str = ""
    adopt: Adopt = "reference"
    staged: Staged | None = None
    stored_at: str = ""
    same_file: bool = False
    damaged: str = ""
    name: str = ""
    role: Role = "main"
    kept: str = ""
    members: tuple["Prepared", ...] = ()

    @property
    def pieces(self) -> tuple["Prepared", ...]:
        """The files one by one: the members of a unit, or the file itself."""
        return self.members or (self,)


class Intake:
    """Prepares files; safe to use from several threads. Without a staging folder it is a dry run."""

    def __init__(self, judge: Judge, blobs: Blobs) -> None:
        self._judge = judge
        self._blobs = blobs
        self.sizes: set[int] = set()
        self._lock = threading.Lock()
        self._unhashed: dict[int, str] = {}
        self._cancelled = threading.Event()
        self.staging: Staging | None = None
        self.hashed: set[str] = set()
        self.bytes_read = 0

    def cancel(self) -> None:
        self._cancelled.set()

    def _tick(self, count: int) -> None:
        self.bytes_read += count
        if self._cancelled.is_set():
            raise Changed("The scan was cancelled.")

    def prepare(self, found: Found, source: str, adopt: Adopt) -> Prepared:
        with digest.open_regular(source) as stream:
            size = os.fstat(stream.fileno()).st_size
            name = os.path.basename(found.path)
            classified = self._judge.stream(stream, size, name)
            prepared = Prepared(found, source, classified)
            if classified.inspection.state == "not_model":
                return prepared
            if (self.staging is None) and self._is_first_of(size, source):
                return prepared
            hashed = os.fstat(stream.fileno()).st_mtime_ns
            digests = digest.digests(stream, tick=self._tick)
            prepared = replace(prepared, digests=digests, sample=digest.sample(stream, size))
            if os.fstat(stream.fileno()).st_mtime_ns != hashed:
                raise Changed("It was written to meanwhile.", hint=_BUSY)
            if (self.staging is None) or adopt == "reference" or classified.inspection.state != "ok":
                return prepared
            return self._stage(stream, replace(prepared, adopt=adopt), digests)

    def prepare_unit(self, unit: Unit, adopt: Adopt, known: Mapping[str, HeldFile], *, rest: bool = False) -> Prepared:
        """All files of a unit. `known`: those (by path) with nothing left to do, which are left as they are.

        With `rest` they are what a crash left of a model that is recorded whole, and are taken like its others.
        """
        lead = Found(unit.shown, "file", os.stat(unit.lead))
        classified = self._judge.either(unit)
        whole = Prepared(lead, unit.lead, classified, name=unit.bundle.name)
        if classified.inspection.state == "not_model" or (self.staging is None and self._is_first_unit(unit)):
            return whole
        sound = rest or classified.inspection.state == "ok"
        members = tuple(
            self._member(name, path, role, whole, adopt if sound else "reference", known.get(path))
            for name, path, role in unit.files()
        )
        damaged = next((member.damaged for member in members if member.damaged), "")
        needed = {one.name: one.digests.sha256 for one in members if one.role != "companion" and one.digests}
        address = composite(needed) if unit.is_composite else needed[unit.bundle.parts[0]]
        digests = Digests(address, "", "", unit.size)
        return replace(whole, digests=digests, adopt=adopt, members=members, damaged=damaged)

    def _member(
        self, name: str, path: str, role: Role, whole: Prepared, adopt: Adopt, known: HeldFile | None
    ) -> Prepared:
        """One file of a unit. What goes along may be written to by apps, so it is copied and stays where it is."""
        status = os.lstat(path)
        link = stat.S_ISLNK(status.st_mode)
        found = Found(path, "link" if link else "file", status)
        source = os.path.realpath(path)
        member = Prepared(found, source, whole.classified, name=name, role=role)
        if known is not None:
            size = os.stat(path).st_size
            return replace(member, digests=Digests(known.sha256, "", "", size), kept=known.adopted)
        with digest.open_regular(source) as stream:
            digests = digest.digests(stream, tick=self._tick)
            size = os.fstat(stream.fileno()).st_size
            member = replace(member, digests=digests, sample=digest.sample(stream, size))
            if self.staging is None or link or adopt == "reference":
                return member
            mode: Adopt = "copy" if role == "companion" else adopt
            return self._stage(stream, replace(member, adopt=mode), digests)

    def _is_first_unit(self, unit: Unit) -> bool:
        """In a dry run a unit is hashed only if every file of it has a size that was met before."""
        with self._lock:
            sizes = {unit.sizes.get(name, 0) for name in unit.bundle.parts}
            first = not sizes <= self.sizes
            self.sizes |= sizes
        return first

    def _is_first_of(self, size: int, source: str) -> bool:
        """In a dry run only files of equal size are hashed, since only they can be duplicates."""
        with self._lock:
            if size not in self.sizes:
                self.sizes.add(size)
                self._unhashed[size] = source
                return True
            first = self._unhashed.pop(size, None)
        if first is not None:
            with digest.open_regular(first) as stream:
                self.hashed.add(digest.digests(stream, tick=self._tick).sha256)
        return False

    def _stage(self, stream: BinaryIO, prepared: Prepared, digests: Digests) -> Prepared:
        """Bring the content towards the store, unless the store has it."""
        takes_place = prepared.adopt in TAKES_PLACE
        folder = os.path.dirname(prepared.source)
        if takes_place and not os.access(folder, os.W_OK):
            raise PermissionError(13, "the folder cannot be written, so no link can be put there", folder)
        try:
            stored = self._blobs.find(digests.sha256, digests.size)
        except HashMismatch as error:
            return replace(prepared, damaged=error.message)
        if stored is None:
            if self.staging is None:
                raise AssertionError
            staged = self.staging.place(stream, prepared.source, digests, _HOW[prepared.adopt], tick=self._tick)
            return replace(prepared, staged=staged)
        with digest.open_regular(stored) as blob:
            same = os.path.sameopenfile(blob.fileno(), stream.fileno())
            if takes_place and not digest.same_content(stream, blob):
                return replace(
                    prepared, damaged=f"The stored file {digests.sha256} does not have its content any more."
                )
        return replace(prepared, stored_at=stored, same_file=same)
