"""Hash files: beside each file of a model, what `sha256sum -c` proves it by."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from modelhub.core.errors import Changed, Conflict, ModelHubError, as_ours
from modelhub.core.events import Problem, Progress, Result, Task
from modelhub.core.names import printable
from modelhub.core.types import Model
from modelhub.files import placements
from modelhub.files.blobs import Blobs
from modelhub.services.audit import Audit
from modelhub.store.contents import Contents, Standing

ENDING = ".sha256"


@dataclass(frozen=True, slots=True)
class Hashed:
    """Totals: hash files written, those that said so already, models of which no file stands where it was found."""

    written: int
    there: int
    nowhere: int
    dry_run: bool


class HashFiles:
    """Writes ``NAME.sha256`` beside every file of a model, at the places where scans found it."""

    def __init__(self, contents: Contents, blobs: Blobs, audit: Audit) -> None:
        self._contents = contents
        self._blobs = blobs
        self._audit = audit

    def write(self, models: Sequence[Model], *, dry_run: bool = False) -> Task[Hashed]:
        """What stands there and says something else is left and told, and so is a file that was changed."""
        task = self._write(models, dry_run=dry_run)
        return task if dry_run else self._audit.watched("hash", task, models=len(models))

    def _write(self, models: Sequence[Model], *, dry_run: bool) -> Task[Hashed]:
        written = there = nowhere = 0
        places = self._contents.places([model.id for model in models])
        for number, model in enumerate(models):
            yield Progress("hash", number, len(models), "models", model.filename)
            here = [place for place in places.get(model.id, ()) if os.path.lexists(place.path)]
            nowhere += not here
            for place in here:
                try:
                    new = self._note(place, dry_run=dry_run)
                except (OSError, ModelHubError) as error:
                    told = as_ours(error, printable(place.path + ENDING))
                    yield Problem.of(told, item=place.path, sha256=place.sha256)
                else:
                    written += new
                    there += not new
        yield Result(Hashed(written, there, nowhere, dry_run))

    def _note(self, place: Standing, *, dry_run: bool) -> bool:
        """Whether its hash file had to be written."""
        linked = self._blobs.contains(os.path.realpath(place.path))
        status = os.stat(place.path)
        if linked != place.sha256 and (linked or (status.st_size, status.st_mtime_ns) != (place.size, place.mtime_ns)):
            raise Changed(f"{printable(place.path)} was changed since it was scanned.", hint="Scan it again.")
        target, content = place.path + ENDING, _line(place.sha256, os.path.basename(place.path))
        known, _ = placements.read_config(target)
        if known is not None and place.sha256.encode() in known.lower():
            return False
        if known is not None:
            raise Conflict(f"{printable(target)} says something else.", hint="Move it away, then write it again.")
        if not dry_run:
            placements.write_over(target, content, "")
        return True


def _line(sha256: str, name: str) -> bytes:
    """As GNU coreutils write it: names with a backslash or a line break are escaped, and the line begins with one."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return os.fsencode(f"{'' if escaped == name else chr(92)}{sha256}  {escaped}\n")
