"""Backups of both databases, made while they are in use, kept by number, proved before they are restored."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from modelhub.core.errors import DatabaseBroken, NotFound
from modelhub.core.names import printable
from modelhub.core.places import HubPlaces
from modelhub.files.blobs import Blobs
from modelhub.store import backups, migrate
from modelhub.store.health import integrity

Label = Literal["by-hand", "before-restore", "preview"]
_BY_HAND: Label = "by-hand"


@dataclass(frozen=True, slots=True)
class Backup:
    """Copies of the databases of one moment (UTC). `label` says why they were made."""

    moment: str
    label: str
    files: tuple[Path, ...]
    size: int


def every(places: HubPlaces) -> list[Backup]:
    """All backups of a hub, the newest first."""
    found: dict[tuple[str, str], list[Path]] = {}
    for path in places.backups.glob("*.db"):
        stem, _, rest = path.stem.partition("-")
        moment, _, label = rest.partition("-")
        if stem in (places.library.stem, places.rules.stem) and moment and label:
            found.setdefault((moment, label), []).append(path)
    return [
        Backup(moment, label, tuple(sorted(files)), sum(path.stat().st_size for path in files))
        for (moment, label), files in sorted(found.items(), reverse=True)
    ]


def make(places: HubPlaces, *, keep: int = 0, folder: Path | None = None, label: Label = _BY_HAND) -> Backup:
    """Consistent copies of both databases, which may be in use; of those made by hand the newest `keep` stay (0: all).

    Only copies in the hub's own folder are ever removed.
    """
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S_%fZ")
    target = folder or places.backups
    files = [backups.backup(path, target, label, moment) for path in (places.library, places.rules) if path.exists()]
    if keep and folder is None:
        for old in [one for one in every(places) if one.label == label][keep:]:
            for path in old.files:
                path.unlink(missing_ok=True)
    return Backup(moment, label, tuple(files), sum(path.stat().st_size for path in files))


def choose(places: HubPlaces, wanted: str) -> Backup:
    """The backup of that moment, of that file, or the newest made by hand; raises NotFound."""
    known = every(places)
    if wanted and os.path.isfile(wanted):
        path = Path(wanted).absolute()
        return Backup(path.stem, "", (path,), path.stat().st_size)
    for one in known:
        if not wanted and any(migrate.tree_of(path) is None for path in one.files):
            continue  # made of a database that was empty
        if (wanted and one.moment.startswith(wanted)) or (not wanted and one.label == _BY_HAND):
            return one
    if not wanted:
        raise NotFound("There is no backup made by `modelhub backup`.", hint="`modelhub backup list` lists all.")
    raise NotFound(f"There is no backup {printable(wanted)!r}.", hint="`modelhub backup list` lists them.")


def restore(places: HubPlaces, backup: Backup, note: Callable[[], None]) -> Backup | None:
    """Put the databases of a backup in place of those that are there, which are backed up before.

    Every file is proved first: sound, ours, and not of a newer program. Raises Conflict while anything runs on the
    hub. `note` is called when all is done. What was backed up is returned; None if there was nothing sound.
    """
    pairs = [(path, _database(places, path)) for path in backup.files]
    for path, _ in pairs:
        trouble = integrity(path)
        if trouble:
            raise DatabaseBroken(f"{printable(path)}: {trouble}", hint="Choose another backup; nothing was changed.")
    with Blobs(places).alone():
        before = None
        if all(not integrity(path) for path in (places.library, places.rules) if path.exists()):
            before = make(places, label="before-restore")
        for path, database in pairs:
            backups.restore(path, database)
    note()
    return before


def _database(places: HubPlaces, path: Path) -> Path:
    """Which of the two a file is a copy of, by what is in it."""
    tree = migrate.tree_of(path)
    if tree is None:
        raise DatabaseBroken(f"{printable(path)} is no backup of a hub.", hint="`modelhub backup list` lists them.")
    migrate.refuse_newer(migrate.status(tree, path))
    return places.library if tree == "modelhub" else places.rules
