"""`doctor`: everything that can be checked quickly, and what to do about it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from modelhub.core.config import Settings
from modelhub.core.errors import ModelHubError, as_ours
from modelhub.core.names import human_size, printable
from modelhub.core.places import HubPlaces, expand
from modelhub.files import abilities, links
from modelhub.files.blobs import Blobs
from modelhub.services.audit import Audit
from modelhub.services.checks import Check
from modelhub.services.checkup import Checkup
from modelhub.services.drives import Drives
from modelhub.services.judge import Judge
from modelhub.services.library import content_path
from modelhub.services.logbook import Logbook
from modelhub.services.surroundings import environment, write_report
from modelhub.services.targets import TargetDesk
from modelhub.services.verify import HINT, Verifier, days_since
from modelhub.store.engine import Database
from modelhub.store.found import FoundFiles
from modelhub.store.health import integrity
from modelhub.store.library import Library
from modelhub.store.trash import Trash

_VERIFY = "Run `modelhub verify`; --rate 100M leaves room for others, --subset 5% takes a part each time."
_LITTLE_ROOM = 5_000_000_000
"""Bytes free on a disk below which `doctor` warns."""


class Upkeep:
    def __init__(
        self,
        settings: Settings,
        places: HubPlaces,
        database: Database,
        library: Library,
        found_files: FoundFiles,
        desk: TargetDesk,
        checkup: Checkup,
        judge: Judge,
        verifier: Verifier,
        trash: Trash,
        audit: Audit,
        drives: Drives,
        logbook: Logbook,
    ) -> None:
        self._trash = trash
        self._audit = audit
        self._drives = drives
        self._logbook = logbook
        self._settings = settings
        self._places = places
        self._database = database
        self._library = library
        self._found_files = found_files
        self._desk = desk
        self._checkup = checkup
        self._judge = judge
        self._verifier = verifier
        self._blobs = Blobs(places)

    # Doctor

    def doctor(self) -> list[Check]:
        """Everything that can be checked quickly, with what to do about it."""
        checks: list[Check] = []
        for look in (
            self._check_environment,
            self._check_folder,
            self._check_links,
            self._check_databases,
            self._check_rules,
            self._check_contents,
            self._check_verified,
            self._check_set_aside,
            self._check_audit,
            self._check_drives,
            self._check_partial,
            self._check_room,
            self._check_apps,
            self._check_targets,
        ):
            checks += look()
        return checks

    def _check_environment(self) -> Iterator[Check]:
        yield from environment(self._settings, self._places)

    def _check_folder(self) -> Iterator[Check]:
        root = self._places.root
        if not os.access(root, os.W_OK):
            yield Check(
                "hub",
                "problem",
                f"{printable(root)} cannot be written.",
                "Check its permissions, or mount it for writing.",
            )
            return
        room = abilities.free_bytes(str(root))
        free = "" if room is None else f", {room / 1e9:.1f} GB free"
        yield Check("hub", "ok", f"{printable(root)} can be written{free}.")

    def _check_links(self) -> Iterator[Check]:
        trial = self._places.root / f".modelhub-trial-{os.getpid()}"
        try:
            links.make_symlink(str(self._places.models), str(trial))
            trial.unlink()
        except (OSError, ModelHubError) as error:
            known = as_ours(error, "A symlink")
            yield Check(
                "symlinks",
                "problem",
                f"Symlinks cannot be made here: {known.message}",
                known.hint or "Scan with --adopt copy.",
            )
        else:
            yield Check("symlinks", "ok", "Symlinks can be made here.")

    def _check_databases(self) -> Iterator[Check]:
        for path in (self._places.library, self._places.rules):
            trouble = integrity(path)
            if trouble:
                yield Check(
                    path.name,
                    "problem",
                    f"{path.name}: {trouble}",
                    "Restore the latest file from the hub's backups folder.",
                )
            else:
                yield Check(path.name, "ok", f"{path.name} is sound.")

    def _check_rules(self) -> Iterator[Check]:
        book = self._judge.book
        for problem in book.problems:
            yield Check("rules", "warning", problem, "Correct the row in classification.db, or set enabled = 0.")
        stale = len(self._library.stale(book.digest))
        if stale:
            yield Check(
                "rules",
                "warning",
                f"{stale} models were judged by other rules.",
                "Run `modelhub reclassify --stale`.",
            )
        if not stale and not book.problems:
            yield Check("rules", "ok", f"{len(book.architectures)} architecture rules in force.")

    def _check_contents(self) -> Iterator[Check]:
        contents = self._library.contents()
        elsewhere = self._found_files.sources()
        bad = 0
        for content in contents:
            path = content_path(content, self._blobs, elsewhere)
            found = links.lstat(path) if path else None
            if found is None or not stat.S_ISREG(found.st_mode) or found.st_size != content.size:
                bad += 1
                what = "is gone" if found is None else "has another size than recorded"
                yield Check("contents", "problem", f"{printable(content.name)} {what}.", HINT, content.sha256)
        for problem in self._verifier.foreign({content.sha256 for content in contents} | self._found_files.stored()):
            bad += 1
            yield Check("contents", "warning", problem.message, problem.hint, problem.sha256)
        if not bad:
            yield Check("contents", "ok", f"{len(contents)} files are in their places.")

    def _check_verified(self) -> Iterator[Check]:
        """A reminder, if contents were not read whole for longer than the settings allow."""
        remind, last = self._settings.verify_days, self._verifier.last_whole()
        if not remind or not self._library.contents():
            return
        if not last:
            since = self._verifier.begun_to_count()
            if since and days_since(since) > remind:
                yield Check("verify", "warning", "The contents were never read whole since they came.", _VERIFY)
        elif days_since(last) > remind:
            told = f"The contents were last read whole {days_since(last)} days ago."
            yield Check("verify", "warning", told, _VERIFY)

    def _check_set_aside(self) -> Iterator[Check]:
        """What waits for a decision: the trash, and what was found damaged."""
        gone = self._trash.all()
        if gone:
            size = human_size(sum(one.size for one in gone))
            yield Check("trash", "ok", f"{len(gone)} models ({size}) are in the trash; `modelhub prune` removes them.")
        aside = list(self._places.quarantine.glob("*/*")) if self._places.quarantine.is_dir() else []
        if aside:
            told = f"{len(aside)} files were found damaged and set aside in {printable(self._places.quarantine)}."
            yield Check("quarantine", "warning", told, "`modelhub repair --from PATH`; `modelhub prune --quarantine`.")

    def _check_audit(self) -> Iterator[Check]:
        lines, fault = self._audit.verify()
        if fault is not None:
            told = f"Line {fault.line} of the audit log: {fault.message}."
            yield Check("audit", "problem", told, "Somebody changed it. Keep it, and look at a backup of it.")
        elif lines:
            yield Check("audit", "ok", f"The audit log's {lines} lines are as they were written.")

    def _check_drives(self) -> Iterator[Check]:
        for volume in self._drives.all():
            if not volume.online:
                told = (
                    f"The drive {printable(volume.label)} ({printable(volume.mount)}) is away: {volume.models} models."
                )
                yield Check("drives", "warning", told, "Connect it; nothing is dropped meanwhile.")

    def report(self, target: Path) -> list[str]:
        """Write a zip for a bug report, without secrets; the names of what is in it. Raises if `target` exists."""
        facts = {
            "types": {kind: models for kind, models, _ in self._library.statistics()},
            "states": self._library.states(),
            "databases": {path.name: path.stat().st_size for path in (self._places.library, self._places.rules)},
        }
        return write_report(target, self.doctor(), self._settings, self._logbook, facts)

    def _check_partial(self) -> Iterator[Check]:
        left = (
            [path for path in self._places.partial.glob("*") if path.is_dir()] if self._places.partial.is_dir() else []
        )
        if left:
            yield Check(
                "partial",
                "warning",
                f"{len(left)} interrupted scans left files behind.",
                "The next scan removes them.",
            )

    def _check_room(self) -> Iterator[Check]:
        """A disk that is nearly full stops scans, downloads and copies half-way."""
        roots = {str(self._places.root): "hub"}
        roots |= {expand(one.base_path): one.name for one in self._desk.all() if one.enabled}
        for root, name in roots.items():
            free = abilities.free_bytes(root)
            if free is not None and free < _LITTLE_ROOM:
                told = f"{name}: only {human_size(free)} are free on the disk of {printable(root)}."
                yield Check("room", "warning", told, "Free some space, or move the hub.")

    def _check_apps(self) -> Iterator[Check]:
        for problem in self._desk.app_problems():
            yield Check("apps", "warning", problem, "Correct the file; its apps are not known until then.")

    def _check_targets(self) -> Iterator[Check]:
        for target in self._desk.all():
            if not target.enabled:
                continue
            findings = list(self._checkup.links(target))
            for finding in findings:
                yield Check("links", "warning", finding.message, finding.hint)
            base = expand(target.base_path)
            if not Path(base).is_dir():
                yield Check(
                    "targets",
                    "warning",
                    f"{target.name}: {printable(base)} does not exist.",
                    f"Run `modelhub targets edit {target.name} --path PATH`.",
                )
            elif not findings:
                yield Check(
                    "targets", "ok", f"{target.name}: {self._checkup.count(target)} models in {printable(base)}."
                )
