"""Which models nothing uses, what deleting them would free, and what would break."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from modelhub.core.types import ModelFilter
from modelhub.files import links
from modelhub.files.volumes import Volumes
from modelhub.services.library import Models
from modelhub.services.uses import Use, Uses

_FORM = "%Y-%m-%d %H:%M:%S"
_OUR_OWN_SECONDS = 120
"""A content that was opened so soon after it came was opened by the scan."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How a model is used. `frees` in bytes, 0 where its files have other names on the disk.

    `opened` is when a file of it was last read by anybody (UTC), as far as the disk notes it: empty means not since it
    came, ``unknown`` that the disk does not tell. `uses` is what would break.
    """

    id: int
    filename: str
    type: str
    size: int
    frees: int
    opened: str
    uses: tuple[Use, ...]

    @property
    def is_used(self) -> bool:
        """Whether anything but the link that a scan left needs it."""
        return any(use.kind != "found" for use in self.uses)


class Unused:
    def __init__(self, models: Models, uses: Uses) -> None:
        self._models = models
        self._uses = uses

    def all(self) -> list[Usage]:
        """Every model that is here, and how it is used; the largest first."""
        files = self._models.files()
        contents = {
            str(file.sha256): [os.path.basename(file.path)] for placed in files.values() for file in placed if file.path
        }
        uses = self._uses.of(contents)
        volumes = Volumes()
        found = []
        for model in self._models.find(ModelFilter()):
            placed = [file for file in files.get(model.id, ()) if file.path]
            paths = [file.path for file in placed]
            own = tuple(use for file in placed for use in uses.get(file.sha256, ()))
            found.append(
                Usage(
                    id=model.id,
                    filename=model.filename,
                    type=model.type,
                    size=model.size,
                    frees=sum(_frees(path) for path in paths),
                    opened=_opened(paths, model.created_at, volumes),
                    uses=own,
                )
            )
        return sorted(found, key=lambda one: (-one.size, one.id))

    def find(self, *, not_opened_for: timedelta = timedelta(0)) -> list[Usage]:
        """Models that nothing uses and nobody opened for a while; never, where the disk does not tell."""
        latest = (datetime.now(UTC) - not_opened_for).strftime(_FORM)
        return [one for one in self.all() if not one.is_used and not (one.opened[:1].isdigit() and one.opened > latest)]


def _frees(path: str) -> int:
    found = links.lstat(path)
    return found.st_size if found is not None and found.st_nlink == 1 else 0


def _opened(paths: Sequence[str], added: str, volumes: Volumes) -> str:
    """When any of these files was last read, after the scan that brought them."""
    latest = 0.0
    for path in paths:
        found = links.lstat(path)
        if found is None:
            continue
        if not volumes.of(path).tells_opening:
            return "unknown"
        latest = max(latest, found.st_atime)
    came = datetime.strptime(added, _FORM).replace(tzinfo=UTC).timestamp() if added else 0.0
    if latest <= came + _OUR_OWN_SECONDS:
        return ""
    return datetime.fromtimestamp(latest, UTC).strftime(_FORM)
