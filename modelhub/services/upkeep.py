"""Keeping a hub healthy: verify contents, check everything that can be checked, backups."""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from modelhub.core.config import Settings
from modelhub.core.errors import ModelHubError, Unreadable, as_ours
from modelhub.core.events import Problem, Progress, Result, Task
from modelhub.core.names import human_size, printable
from modelhub.core.places import HubPlaces, expand
from modelhub.files import abilities, digest, links
from modelhub.files.blobs import Blobs
from modelhub.services.checkup import Checkup
from modelhub.services.judge import Judge
from modelhub.services.library import content_path
from modelhub.services.targets import TargetDesk
from modelhub.services.waiting import Tick, beside
from modelhub.store.engine import Database
from modelhub.store.found import FoundFiles
from modelhub.store.health import integrity
from modelhub.store.library import Content, Library

_HINT = "Scan a good copy of the file, or restore it from a backup."
_LITTLE_ROOM = 5_000_000_000
"""Bytes free on a disk below which `doctor` warns."""


@dataclass(frozen=True, slots=True)
class Verified:
    """Totals of a verification. `bytes_read` is 0 for a quick one, which reads headers only."""

    contents: int
    good: int
    problems: int
    bytes_read: int
    quick: bool


@dataclass(frozen=True, slots=True)
class Check:
    """One finding of `doctor`."""

    name: str
    status: Literal["ok", "warning", "problem"]
    message: str
    hint: str = ""
    sha256: str = ""


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
    ) -> None:
        self._settings = settings
        self._places = places
        self._database = database
        self._library = library
        self._found_files = found_files
        self._desk = desk
        self._checkup = checkup
        self._judge = judge
        self._blobs = Blobs(places)

    # Verify

    def verify(self, *, quick: bool = False) -> Task[Verified]:
        """Read every content and compare it with its address; `quick` compares size and header only.

        Also names contents that are gone, and files in the store that no content accounts for.
        """
        contents = {content.sha256: content for content in self._library.contents()}
        elsewhere = self._found_files.sources()
        problems = bytes_read = 0
        good: list[str] = []
        lost: list[str] = []
        for number, content in enumerate(contents.values()):
            yield Progress("verify", number, len(contents), "files", content.name)
            path = content_path(content, self._blobs, elsewhere)
            check = self._check_quickly if quick else self._check_whole
            problem = yield from beside(partial(_untimed, partial(check, content, path)), "verify", content.name)
            if problem is None:
                good.append(content.sha256)
                bytes_read += 0 if quick else content.size
            else:
                problems += 1
                lost += [content.sha256] if problem.code == "missing" and content.stored else []
                yield problem
        for problem in self._foreign(set(contents) | self._found_files.stored()):
            problems += 1
            yield problem
        with contextlib.suppress(Unreadable):  # a hub that can only be read is verified all the same
            self._library.verified([] if quick else good)
            self._found_files.restore_truth(lost, {})
        yield Result(Verified(len(contents), len(good), problems, bytes_read, quick))

    def _check_quickly(self, content: Content, path: str) -> Problem | None:
        try:
            with digest.open_regular(path) as stream:
                size = os.fstat(stream.fileno()).st_size
                if size != content.size:
                    return _wrong_size(content, size)
                if os.path.splitext(content.name)[1].lower() not in self._settings.extensions:
                    return None  # a describing file has no header
                judged = self._judge.stream(stream, size, content.name)
        except (OSError, ModelHubError) as error:
            return _unreadable(content, path, error)
        if judged.inspection.state == "not_model":
            return Problem(
                "damaged",
                f"{printable(content.name)}: {judged.inspection.message}",
                _HINT,
                content.name,
                content.sha256,
            )
        return None

    def _check_whole(self, content: Content, path: str) -> Problem | None:
        try:
            with digest.open_regular(path) as stream:
                found = digest.digests(stream)
        except (OSError, ModelHubError) as error:
            return _unreadable(content, path, error)
        if found.size != content.size:
            return _wrong_size(content, found.size)
        if found.sha256 != content.sha256:
            message = f"{printable(content.name)} is damaged: its content has another SHA-256 ({found.sha256[:12]}…)."
            return Problem("hash_mismatch", message, _HINT, content.name, content.sha256)
        return None

    def _foreign(self, known: set[str]) -> Iterator[Problem]:
        """Files in the store that no row accounts for. They are reported, never removed."""
        for address in sorted(self._blobs.addresses()):
            files = self._blobs.files(address)
            if address not in known and files:
                names = ", ".join(printable(entry.name) for entry in files)
                message = f"models/{address}/ holds {names}, which is not in the library."
                yield Problem(
                    "foreign",
                    message,
                    "Scan its original place again, or move it out.",
                    files[0].path,
                    address,
                )
            elif len(files) > 1:
                message = f"models/{address}/ holds {len(files)} files where one belongs."
                yield Problem("extra", message, "Move out what you put there.", files[0].path, address)

    # Doctor

    def doctor(self) -> list[Check]:
        """Everything that can be checked quickly, with what to do about it."""
        checks: list[Check] = []
        for look in (
            self._check_folder,
            self._check_links,
            self._check_databases,
            self._check_rules,
            self._check_contents,
            self._check_partial,
            self._check_room,
            self._check_apps,
            self._check_targets,
        ):
            checks += look()
        return checks

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
                yield Check("contents", "problem", f"{printable(content.name)} {what}.", _HINT, content.sha256)
        for problem in self._foreign({content.sha256 for content in contents} | self._found_files.stored()):
            bad += 1
            yield Check("contents", "warning", problem.message, problem.hint, problem.sha256)
        if not bad:
            yield Check("contents", "ok", f"{len(contents)} files are in their places.")

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


def _wrong_size(content: Content, size: int) -> Problem:
    message = f"{printable(content.name)} is damaged: {size} bytes where {content.size} are right."
    return Problem("wrong_size", message, _HINT, content.name, content.sha256)


def _unreadable(content: Content, path: str, error: OSError | ModelHubError) -> Problem:
    if not path or not os.path.exists(path):
        return Problem("missing", f"{printable(content.name)} is gone.", _HINT, content.name, content.sha256)
    known = as_ours(error, printable(path))
    return Problem(known.code, known.message, known.hint, content.name, content.sha256)


def _untimed(work: Callable[[], Problem | None], _: Tick) -> Problem | None:
    return work()
