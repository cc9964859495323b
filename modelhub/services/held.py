"""What is recorded of the files of a unit, one by one and together."""

import os
import stat

from modelhub.core.types import Role, Sha256
from modelhub.files import digest
from modelhub.files.blobs import Blobs
from modelhub.services.batch import Batch
from modelhub.services.known import Known
from modelhub.services.units import HeldFile, Unit
from modelhub.store.found import FoundFiles, perhaps_moved, same_file


class Held:
    """Looks up the files of units for one scan."""

    def __init__(self, known: Known, blobs: Blobs, found_files: FoundFiles, batch: Batch) -> None:
        self._known = known
        self._blobs = blobs
        self._found_files = found_files
        self._batch = batch

    def files(self, unit: Unit) -> dict[str, HeldFile]:
        """By path, what is recorded of those files that stand as they were left."""
        found = {path: self._file(path, role) for _, path, role in unit.files()}
        return {path: held for path, held in found.items() if held is not None}

    def part_of(self, unit: Unit) -> str:
        """The recorded model that the files of a unit are what is left of at this place; empty if there is none."""
        files: list[tuple[str, str]] = []
        for name, path, role in unit.files():
            link = self._blobs.contains(os.path.realpath(path))
            seen = self._known.at(path)
            stands = seen is not None and perhaps_moved(seen, digest.stamp(os.lstat(path)))
            if link is None and not stands:
                return ""
            if role != "companion":
                files.append((name, link or (seen.sha256 if seen and seen.sha256 else "")))
        return self._found_files.holding(unit.bundle.name, files)

    def _file(self, path: str, role: Role) -> HeldFile | None:
        status = os.lstat(path)
        address = self._blobs.contains(os.path.realpath(path)) if stat.S_ISLNK(status.st_mode) else None
        if address is not None:
            if not next(iter(self._blobs.files(address)), None) or not self._known.has_content(address):
                return None
            self._batch.note_link(path, digest.stamp(status), address)
            return HeldFile(Sha256(address), "symlink")
        seen = self._known.at(path)
        if seen is None or seen.sha256 is None or not same_file(seen, status) or not os.path.exists(path):
            return None
        done = role == "companion" or not self._known.unfinished(seen.sha256, seen.adopted)
        return HeldFile(Sha256(seen.sha256), seen.adopted, done)
