"""The composition root: a hub on disk, opened, with everything a door may ask of it."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from modelhub.apps import catalogue
from modelhub.core import config
from modelhub.core.apps import App
from modelhub.core.config import Settings
from modelhub.core.deployment import JournalStep, Plan
from modelhub.core.errors import Conflict, DatabaseBroken, NotFound, from_os_error
from modelhub.core.events import Task
from modelhub.core.names import printable
from modelhub.core.places import HubPlaces, bundled, user_apps, user_rules
from modelhub.core.types import Adopt
from modelhub.files import links
from modelhub.files.audit import AuditLog
from modelhub.files.blobs import Blobs, Staging
from modelhub.files.digest import stamp
from modelhub.files.volumes import Volumes
from modelhub.services import running
from modelhub.services.adoption import adopt_conflicts
from modelhub.services.applying import Application
from modelhub.services.audit import Audit
from modelhub.services.bundles import Bundles
from modelhub.services.checkup import Checkup
from modelhub.services.deploy import Deployment
from modelhub.services.drives import Drives
from modelhub.services.duplicates import Duplicates
from modelhub.services.hashfiles import HashFiles
from modelhub.services.judge import Judge, require_exists
from modelhub.services.library import Models
from modelhub.services.logbook import Logbook
from modelhub.services.lookup import Lookup
from modelhub.services.merging import Merging
from modelhub.services.repair import Repairer
from modelhub.services.rules import RuleDesk
from modelhub.services.scan import Scanner
from modelhub.services.security import Trusting
from modelhub.services.tally import ScanSummary
from modelhub.services.targets import TargetDesk
from modelhub.services.trash import TrashDesk
from modelhub.services.undo import Undo
from modelhub.services.unused import Unused
from modelhub.services.upkeep import Upkeep
from modelhub.services.uses import Uses
from modelhub.services.verify import Verifier
from modelhub.store import backups, migrate
from modelhub.store.contents import Contents
from modelhub.store.engine import Database
from modelhub.store.external import ExternalRecords
from modelhub.store.found import FoundFiles
from modelhub.store.journal import Journal
from modelhub.store.library import Library
from modelhub.store.meta import MOVED_TO, Meta
from modelhub.store.migrate import Status
from modelhub.store.rules import Rules
from modelhub.store.security import Security
from modelhub.store.targets import Targets
from modelhub.store.transfer import Transfer
from modelhub.store.trash import Trash
from modelhub.store.volumes import VolumeRecords


@dataclass
class Hub:
    """An open hub. Close it, or use it as a context manager."""

    settings: Settings
    places: HubPlaces
    models: Models
    targets: TargetDesk
    deployment: Deployment
    undo: Undo
    trash: TrashDesk
    audit: Audit
    checkup: Checkup
    upkeep: Upkeep
    drives: Drives
    trust: Trusting
    duplicates: Duplicates
    unused: Unused
    bundles: Bundles
    merging: Merging
    verifier: Verifier
    logbook: Logbook
    repairer: Repairer
    hash_files: HashFiles
    memory: Meta
    rules: RuleDesk
    lookup: Lookup
    judge: Judge
    upgraded_from: tuple[Path, ...]
    _databases: tuple[Database, Database]
    _found_files: FoundFiles

    @classmethod
    def open(cls, folder: str | os.PathLike[str] | None = None, *, create: bool = True) -> "Hub":
        """The hub in `folder`, or the one that the user's settings and environment name; see `open_hub`."""
        hub = None if folder is None else os.fspath(folder)
        return open_hub(config.load(os.environ, hub=hub), create=create)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for database in self._databases:
            database.close()

    def left_by_scans(self) -> list[tuple[str, str]]:
        """Places where scans left a link into the store: path and SHA-256."""
        return self._found_files.links()

    def settle(self, path: str) -> None:
        """Note what stands at a place after its link was led elsewhere."""
        self._found_files.settle([(path, stamp(os.lstat(path)))])

    def adopt(self, plan: Plan) -> Task[tuple[JournalStep, ...]]:
        """Take files of the user's that stand where links should go into the hub; a link takes their place."""
        return adopt_conflicts(plan, lambda path: self.scan([path], adopt="symlink"), Blobs(self.places))

    def scan(self, paths: Sequence[str], *, adopt: Adopt | None = None, dry_run: bool = False) -> Task[ScanSummary]:
        """Take the models under `paths` into the hub; see Scanner.scan. Raises NotFound for a path that is gone."""
        roots = [require_exists(path) for path in paths]
        blobs = Blobs(self.places)
        scanner = Scanner(self.settings, blobs, self._found_files, self.judge, self.drives, self.logbook)
        mode = adopt or self.settings.adopt
        task = scanner.scan(roots, adopt=mode, staging=lambda: Staging(self.places), dry_run=dry_run)
        if dry_run:
            return task
        return self.audit.around("scan", task, lambda: scanner.summary, paths=roots, adopt=mode)


def open_hub(settings: Settings, *, create: bool = True) -> Hub:
    """Open the hub of these settings: made if it is new (and `create`), upgraded if it is old.

    A hub made by the first version is adopted in place after a backup. Raises NotFound without `create`
    where there is none, SchemaTooNew for one of a newer program.
    """
    places = HubPlaces(settings.hub)
    _require_library(places)
    if not places.library.exists() and not places.models.is_symlink():
        if not create:
            raise NotFound(f"There is no hub in {printable(places.root)}.", hint="`modelhub scan PATH` makes one.")
        _make_folders(places)
    saved = _upgrade(places)
    network = Volumes().of(str(places.root)).network
    library_database, rules_database = (
        Database(places.library, wal=not network),
        Database(places.rules, wal=not network),
    )
    meta = Meta(library_database)
    moved = meta.get(MOVED_TO)
    if moved:
        raise Conflict(f"This hub was moved to {printable(moved)}.", hint=f"Use --hub {printable(moved)}.")
    rules = Rules(rules_database)
    if _writable(places):
        rules.renew(bundled("classification_seed"))
    judge = Judge(settings.confidence_threshold, rules, (user_rules(os.environ), places.own_rules))
    library, found_files, targets = (
        Library(library_database),
        FoundFiles(library_database),
        Targets(library_database),
    )
    external = ExternalRecords(library_database)
    journal, trash = Journal(library_database), Trash(library_database)
    audit = Audit(AuditLog(places.audit), meta)
    models = Models(library, found_files, targets, Blobs(places), judge, external, journal, audit)
    desk = TargetDesk(targets, models, (user_apps(os.environ), places.own_apps), str(places.deployed))
    application = Application(places, targets, journal, running.registry, audit)
    drives = Drives(VolumeRecords(library_database), Volumes())
    drives.refresh()
    bundles = Bundles(places, models, Transfer(library_database), audit)
    uses = Uses(desk, trash, Blobs(places), settings.launch_files)
    deployment = Deployment(library, targets, models, desk, judge, application, str(places.root))
    logbook = Logbook(places)
    contents = Contents(library_database)
    verifier = Verifier(settings, places, library, contents, found_files, judge, uses, drives, meta, audit, logbook)
    checkup = Checkup(places, library, desk, judge, journal, application, deployment)
    if _writable(places):
        desk.create_defaults()
    return Hub(
        settings=settings,
        places=places,
        models=models,
        targets=desk,
        deployment=deployment,
        undo=Undo(journal, targets, desk, application, deployment, trash, models),
        trash=TrashDesk(places, library, trash, found_files, deployment, journal, uses, audit),
        audit=audit,
        checkup=checkup,
        upkeep=Upkeep(
            settings,
            places,
            library_database,
            library,
            found_files,
            desk,
            checkup,
            judge,
            verifier,
            trash,
            audit,
            drives,
            logbook,
        ),
        drives=drives,
        trust=Trusting(settings, models, Security(library_database), audit),
        duplicates=Duplicates(settings, places, library, contents, models, application, journal),
        unused=Unused(models, uses),
        bundles=bundles,
        merging=Merging(places, bundles, library, found_files, targets, audit),
        verifier=verifier,
        repairer=Repairer(places, library, found_files, audit, logbook),
        logbook=logbook,
        hash_files=HashFiles(contents, Blobs(places), audit),
        memory=meta,
        rules=RuleDesk(rules, judge, places.own_rules),
        lookup=Lookup(settings, models, library, external, judge),
        judge=judge,
        upgraded_from=tuple(path for path in saved.values() if path is not None),
        _databases=(library_database, rules_database),
        _found_files=found_files,
    )


def _require_library(places: HubPlaces) -> None:
    """Raises DatabaseBroken where files are stored and the database that knows them is gone or empty."""
    there = places.library.exists() and places.library.stat().st_size > 0
    if not there and not places.models.is_symlink() and Blobs(places).addresses():
        what = "is empty" if places.library.exists() else "is gone"
        raise DatabaseBroken(
            f"{printable(places.library)} {what}, though the store beside it holds files.",
            hint="`modelhub restore` brings it back from a backup. Without one, move models/ away and scan it.",
        )


def known_apps(settings: Settings) -> tuple[dict[str, App], tuple[str, ...]]:
    """Every app, shipped or of the user's own files, and what is wrong with those; needs no hub."""
    return catalogue.all_apps((user_apps(os.environ), HubPlaces(settings.hub).own_apps))


def _writable(places: HubPlaces) -> bool:
    return all(os.access(path, os.W_OK) for path in (places.root, places.library, places.rules))


def _make_folders(places: HubPlaces) -> None:
    try:
        models = os.path.abspath(places.models)
        links.make_folder(models)
        with suppress(PermissionError):  # a process before us may have died between the making and the syncing
            links.sync([os.path.dirname(models), os.path.dirname(os.path.dirname(models))])
    except OSError as error:
        raise from_os_error(error, f"The hub {printable(places.root)}") from error


def _upgrade(places: HubPlaces) -> dict[str, Path | None]:
    """Bring both databases to this program's version; both are looked at before either is changed."""
    states = database_status(places)
    for state in states:
        migrate.refuse_newer(state)
    done: dict[str, Path | None] = {}
    for state in states:
        if state.condition != "current":
            done[state.tree] = migrate.upgrade(state.tree, state.path, places.backups)
    return done


def database_status(places: HubPlaces) -> tuple[Status, Status]:
    """Where both databases stand, without changing them."""
    return migrate.status("modelhub", places.library), migrate.status("classification", places.rules)


@contextmanager
def preview_hub(settings: Settings) -> Iterator[Hub]:
    """A hub for a dry run: the real one if it needs no upgrade, else a copy that leaves nothing behind."""
    places = HubPlaces(settings.hub)
    if places.library.exists() and all(state.condition == "current" for state in database_status(places)):
        with open_hub(settings) as hub:
            yield hub
        return
    with tempfile.TemporaryDirectory(prefix="modelhub-") as folder:
        copy = HubPlaces(Path(folder))
        for real, ours in ((places.library, copy.library), (places.rules, copy.rules)):
            if real.exists():
                backups.backup(real, copy.backups, "preview").rename(ours)
        if places.models.is_dir():
            copy.models.symlink_to(places.models)
        with open_hub(replace(settings, hub=copy.root)) as hub:
            yield hub
