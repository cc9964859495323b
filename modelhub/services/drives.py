"""Drives and shares: which files are on which, and which are away. What is away is offline, never missing."""

import contextlib
import os
from collections.abc import Iterable, Iterator

from modelhub.core.errors import Unreadable
from modelhub.core.events import Problem
from modelhub.core.names import printable
from modelhub.files.volumes import Volumes
from modelhub.store.volumes import KnownVolume, VolumeRecords


class Drives:
    def __init__(self, records: VolumeRecords, volumes: Volumes) -> None:
        self._records = records
        self._volumes = volumes
        self._states = records.states()

    def all(self) -> list[KnownVolume]:
        return self._records.all()

    def refresh(self) -> None:
        """Note which volumes came and went since the last look."""
        changed = {
            name: online for name, was in self._states.items() if (online := self._volumes.is_online(name)) != was
        }
        if changed:
            with contextlib.suppress(Unreadable):  # a hub that can only be read says what it knew
                self._records.note_states(changed)
                self._states.update(changed)

    def note(self, root: str, *, changed: bool) -> None:
        """Note on which volumes the files below `root` are; nothing to do if all is known and nothing `changed`."""
        met = self._volumes.below(root)
        if changed or any(not self._states.get(one.id) for one in met):
            seen = [
                (one.id, one.kind, one.label, one.mount, os.stat(one.mount).st_dev)
                for one in met
                if _is_there(one.mount)
            ]
            self._records.seen(seen)
            self._states = self._records.states()

    def away(self, paths: Iterable[str]) -> dict[str, str]:
        """Those places of which the volume is not mounted there now, and its id."""
        recorded = self._records.of_files(paths)
        return {path: name for path, name in recorded.items() if name and self._volumes.of(path).id != name}

    def told(self, away: dict[str, str]) -> Iterator[Problem]:
        """One sentence for each volume that is away."""
        known = {one.id: one for one in self.all()} if away else {}
        for name in sorted(set(away.values())):
            volume = known.get(name)
            where = f"{volume.label} ({volume.mount})" if volume else name
            number = sum(one == name for one in away.values())
            told = f"The drive {printable(where)} is not there: {number} files on it are offline, not missing."
            yield Problem("offline", told, "Connect it and scan again.", volume.mount if volume else name)


def _is_there(mount: str) -> bool:
    try:
        os.stat(mount)
    except OSError:
        return False
    return True
