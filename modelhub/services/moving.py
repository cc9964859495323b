"""A hub moved to another disk: every file proved there, every link led there, and only then removed here.

Killed at any point, links lead to files that are there, and the same command goes on.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from modelhub.core.config import Settings
from modelhub.core.errors import Conflict, HashMismatch, InvalidInput, ModelHubError, NoSpace, NotFound, as_ours
from modelhub.core.events import Event, Problem, Progress, Result, Task
from modelhub.core.names import human_size, printable
from modelhub.core.places import HubPlaces, expand
from modelhub.files import abilities, digest, links
from modelhub.files.blobs import Blobs
from modelhub.services.hub import Hub, open_hub
from modelhub.services.waiting import Tick, beside
from modelhub.store import backups
from modelhub.store.engine import Database
from modelhub.store.meta import MOVED_TO, Meta

_MARK = ".moving.json"
_BESIDE = ("quarantine", "rules", "apps", "backups", "logs", "config.yaml")


@dataclass(frozen=True, slots=True)
class Moved:
    """Totals of a move. `links` lead to the new place; `left` files of others stay where the hub was."""

    files: int
    bytes: int
    links: int
    left: int
    problems: int
    dry_run: bool


def move(settings: Settings, folder: str, *, keep_old: bool = False, dry_run: bool = False) -> Task[Moved]:
    """Move the hub of these settings to `folder`, which is new or the place of a move that was interrupted.

    On the same file system nothing is copied. With `keep_old` all files stay at the old place too.
    """
    old, new = HubPlaces(settings.hub), HubPlaces(Path(expand(folder)))
    _check(old, new)
    files = list(_contents(old))
    size = sum(os.lstat(path).st_size for path, _ in files)
    if dry_run:
        yield Result(Moved(len(files), size, 0, 0, 0, dry_run=True))
        return
    with Blobs(old).alone():
        if not _moved_to(old):
            yield from _bring(old, new, files, size)
    problems = found = 0
    with open_hub(replace(settings, hub=new.root), create=False) as hub:
        hub.audit.note("move", source=str(old.root), to=str(new.root))
        for event in _relink(hub, old):
            problems += isinstance(event, Problem)
            found += isinstance(event, Progress)
            yield event
    left = 0
    if not keep_old and not problems:
        left = _remove(old, new)
        (new.root / _MARK).unlink(missing_ok=True)
    yield Result(Moved(len(files), size, found, left, problems, dry_run=False))


def _check(old: HubPlaces, new: HubPlaces) -> None:
    if not old.library.exists():
        raise NotFound(f"There is no hub in {printable(old.root)}.", hint="Name it with --hub.")
    here, there = os.path.realpath(old.root), os.path.realpath(new.root)
    if here == there or there.startswith(here + os.sep) or here.startswith(there + os.sep):
        raise InvalidInput(f"{printable(new.root)} and the hub lie in one another.", hint="Name another folder.")
    begun = _begun(new)
    if new.root.exists() and any(new.root.iterdir()) and begun != str(old.root):
        raise Conflict(
            f"{printable(new.root)} is not empty.", hint="Name a new folder; `modelhub merge` joins two hubs."
        )
    if begun or os.stat(abilities.existing(str(new.root))).st_dev == os.stat(old.root).st_dev:
        return
    needed = sum(os.lstat(path).st_size for path, _ in _contents(old))
    free = abilities.free_bytes(str(new.root))
    if free is not None and free < needed:
        told = f"{printable(new.root)} has {human_size(free)} free, and the hub takes {human_size(needed)}."
        raise NoSpace(told, hint="Free some space there, or name another disk.")


def _begun(new: HubPlaces) -> str:
    try:
        told = json.loads((new.root / _MARK).read_text(encoding="utf-8"))
        return str(told["from"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _moved_to(old: HubPlaces) -> str:
    database = Database(old.library)
    try:
        return Meta(database).get(MOVED_TO)
    finally:
        database.close()


def _contents(old: HubPlaces) -> Iterator[tuple[str, str]]:
    """Every file of the store, notes of the first version too, and the address it stands at."""
    blobs = Blobs(old)
    for address in sorted(blobs.addresses()):
        with os.scandir(blobs.folder(address)) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                if entry.is_file(follow_symlinks=False):
                    yield entry.path, address


def _bring(old: HubPlaces, new: HubPlaces, files: list[tuple[str, str]], size: int) -> Iterator[Event]:
    """All files to the new place, then the databases; from then on the old hub says where it went."""
    try:
        links.make_folder(str(new.models))
        (new.root / _MARK).write_text(json.dumps({"from": str(old.root)}), encoding="utf-8")
        proper = {entry.path for address in Blobs(old).addresses() for entry in Blobs(old).files(address)}
        done = 0
        for path, address in files:
            yield Progress("move", done, size, "bytes", path)
            target = str(new.models / address / os.path.basename(path))
            expected = address if path in proper else ""
            yield from beside(partial(_carry, path, target, expected), "move", path, unit="bytes", total=size)
            done += os.lstat(path).st_size
        for name in _BESIDE:
            _copy_beside(old.root / name, new.root / name)
        links.sync([str(new.models), *(str(new.models / address) for address in {address for _, address in files})])
        for source, place in ((old.library, new.library), (old.rules, new.rules)):
            if source.exists():
                os.replace(backups.backup(source, new.root, "moving"), place)
        links.sync([str(new.root)])
    except OSError as error:
        raise as_ours(error, printable(new.root)) from error
    database = Database(old.library)
    try:
        Meta(database).set(MOVED_TO, str(new.root))
    finally:
        database.close()


def _carry(path: str, target: str, address: str, tick: Tick) -> None:
    """A second name for the file, or a copy that is proved; complete and durable under its name."""
    if os.path.lexists(target):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if links.hard_link(path, target):
        return
    temporary = links.temporary_in(os.path.dirname(target))
    try:
        with digest.open_regular(path) as source, open(temporary, "xb") as copy:
            digest.copy(source, copy, tick)
        with digest.open_regular(temporary) as copied:
            found = digest.digests(copied).sha256
        if address and found != address:
            told = f"{printable(path)} is damaged: its SHA-256 is {found[:12]}…."
            raise HashMismatch(told, hint="Run `modelhub verify` and `modelhub repair` before.")
        shutil.copystat(path, temporary)
        links.sync([temporary])
        os.rename(temporary, target)
    finally:
        if os.path.lexists(temporary):
            os.unlink(temporary)


def _copy_beside(source: Path, target: Path) -> None:
    """What else belongs to a hub: small files, copied as they are."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        for path in source.iterdir():
            _copy_beside(path, target / path.name)
    elif source.is_file() and not source.is_symlink():
        shutil.copy2(source, target)


def _relink(hub: Hub, old: HubPlaces) -> Iterator[Event]:
    """Links that scans left, and what is deployed, lead to the new place; a Progress for each that does."""
    theirs = Blobs(old)
    for path, sha256 in hub.left_by_scans():
        try:
            source = links.target_of(path)
            stored = next(iter(Blobs(hub.places).files(sha256)), None)
            if source is None or stored is None or theirs.contains(source) != sha256:
                continue
            links.replace_link(path, source, stored.path)
            hub.settle(path)
            yield Progress("move", 0, 0, "links", path)
        except (OSError, ModelHubError) as error:
            yield Problem.of(as_ours(error, printable(path)), item=path, sha256=sha256)
    for target in hub.targets.all():
        records = hub.targets.records(target)
        models = [hub.models.resolve(str(link.model_id)) for link in records if link.deployed]
        alive = [model for model in models if not model.deleted]
        base = expand(target.base_path)
        if alive and not os.path.isdir(base) and not base.startswith(str(old.root)):
            told = f"{target.name}: {printable(base)} is not there, so its links were left as they are."
            yield Problem("not_found", told, f"Run `modelhub deploy {target.name}` when it is.", base)
            continue
        if not alive:
            continue
        for event in hub.deployment.apply(hub.deployment.plan_for([target], alive)):
            if isinstance(event, Result):
                yield from (Progress("move", 0, 0, "links", target.name) for _ in range(event.value.made))
            elif isinstance(event, Problem):
                yield event


def _remove(old: HubPlaces, new: HubPlaces) -> int:
    """Remove what is at the new place; the database, which says where the hub went, last. What is left is not ours."""
    for path, address in _contents(old):
        twin = links.lstat(str(new.models / address / os.path.basename(path)))
        if twin is not None and twin.st_size == os.lstat(path).st_size:
            os.unlink(path)
            links.remove_if_empty(os.path.dirname(path))
    for name in _BESIDE:
        _remove_beside(old.root / name, new.root / name)
    for place in (old.deployed, old.partial):
        _remove_links(place)
    for place in (old.models, old.partial):
        links.remove_if_empty(str(place))
    for database in (old.rules, old.library):
        for ending in ("-wal", "-shm", ""):
            database.with_name(database.name + ending).unlink(missing_ok=True)
    old.lock.unlink(missing_ok=True)
    links.remove_if_empty(str(old.root))
    return sum(len(names) for _, _, names in os.walk(old.root))


def _remove_beside(path: Path, twin: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        for inner in path.iterdir():
            _remove_beside(inner, twin / inner.name)
        links.remove_if_empty(str(path))
    elif twin.is_file():
        path.unlink(missing_ok=True)


def _remove_links(folder: Path) -> None:
    """Links of ours that were made anew at the new place, lock files, and the folders that are empty then."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = os.path.join(place, name)
            if os.path.islink(path) or name.endswith(".lock"):
                os.unlink(path)
        links.remove_if_empty(place)
