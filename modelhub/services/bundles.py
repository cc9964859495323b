"""Bundles: models with their files and all that is known of them, in a folder that another hub can take in.

``bundle.json`` says what it is, ``models.json`` has a line for each model, ``files/`` the contents by SHA-256. Each
file is complete under its name, so writing and reading a bundle can be stopped and gone on with. Encrypted ones are
in the age format (https://age-encryption.org/v1), file by file.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, BinaryIO, Protocol

from modelhub import __version__
from modelhub.core.errors import Conflict, HashMismatch, InvalidInput, ModelHubError, NotFound, as_ours
from modelhub.core.events import Problem, Progress, Result, Task
from modelhub.core.names import printable
from modelhub.core.places import HubPlaces
from modelhub.core.types import Model, Sha256
from modelhub.files import digest, links
from modelhub.files.blobs import Blobs, How, Staging
from modelhub.services.audit import Audit
from modelhub.services.bundle_rows import checked, file_name, needed
from modelhub.services.library import Models
from modelhub.services.waiting import Tick, beside
from modelhub.store.engine import now
from modelhub.store.transfer import Row, Transfer

_VERSION = 1
_HEAD, _MODELS, _FILES = "bundle.json", "models.json", "files"
KEY_FILE = "bundle.key.age"
"""The bundle's own key, which a passphrase opens."""

_MOST_LINE = 64 << 20
_AT_ONCE = 2000
"""Models of one transaction, which other writers wait for."""


class Cipher(Protocol):
    """How the files of a bundle are encrypted and decrypted, as streams."""

    def encrypt(self, plain: BinaryIO, sealed: BinaryIO) -> None: ...

    def decrypt(self, sealed: BinaryIO, plain: BinaryIO) -> None:
        """Raises HashMismatch if the key is another one, or the content was changed."""
        ...


@dataclass(frozen=True, slots=True)
class Exported:
    """Totals of an export. `files` and `bytes` were written; `there` had been written by an earlier run."""

    models: int
    files: int
    there: int
    bytes: int
    problems: int
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Imported:
    """Totals of an import or a merge. `new` models came, `known` were here and were completed."""

    models: int
    new: int
    known: int
    files: int
    bytes: int
    problems: int
    dry_run: bool


class Bundles:
    def __init__(self, places: HubPlaces, models: Models, transfer: Transfer, audit: Audit) -> None:
        self._places = places
        self._models = models
        self._transfer = transfer
        self._audit = audit
        self._blobs = Blobs(places)

    # Out

    def write(
        self, folder: str, models: Sequence[Model], cipher: Cipher | None = None, *, dry_run: bool = False
    ) -> Task[Exported]:
        """Write `models` into `folder`, which is new, or a bundle that was begun; contents are proved on their way."""
        placed = self._models.files([model.id for model in models])
        files = {file.sha256: file for own in placed.values() for file in own if file.path}
        ending = ".age" if cipher else ""
        if dry_run:
            yield Result(
                Exported(len(models), len(files), 0, sum(file.size for file in files.values()), 0, dry_run=True)
            )
            return
        _prepare(folder, encrypted=cipher is not None)
        done = there = written = problems = 0
        total = sum(file.size for file in files.values())
        for file in sorted(files.values(), key=lambda one: one.sha256):
            yield Progress("export", written, total, "bytes", file.name)
            target = os.path.join(folder, _FILES, file.sha256 + ending)
            if os.path.exists(target):
                there += 1
                continue
            try:
                work = partial(_seal, file.path, target, file.sha256, cipher)
                yield from beside(work, "export", file.name, unit="bytes", total=total)
            except (OSError, ModelHubError) as error:
                problems += 1
                yield Problem.of(as_ours(error, printable(file.path)), item=file.name, sha256=file.sha256)
            else:
                done += 1
                written += file.size
        lines = (json.dumps(row) for row in self._transfer.models([model.id for model in models]))
        _write_text(os.path.join(folder, _MODELS + ending), lines, cipher)
        _write_head(folder, encrypted=cipher is not None, models=len(models))
        yield Result(Exported(len(models), done, there, written, problems, dry_run=False))

    # In

    def read(self, folder: str, cipher: Cipher | None = None, *, dry_run: bool = False) -> Task[Imported]:
        """Take the models of a bundle in. Each content is proved before it counts, and each model judged anew."""
        encrypted, number = _head(folder)
        if encrypted and cipher is None:
            raise InvalidInput(
                f"{printable(folder)} is encrypted.", hint="Name its key: --identity or --passphrase-file."
            )
        used = cipher if encrypted else None
        rows = [checked(row) for row in _read_lines(os.path.join(folder, _MODELS + (".age" if used else "")), used)]

        if number != len(rows):
            raise InvalidInput(
                f"{printable(folder)} is not whole: its list has {len(rows)} models of {number or '?'}.",
                hint="Go on with the export: run the same `modelhub export --bundle` again.",
            )

        def bring(sha256: str, beside: str) -> contextlib.AbstractContextManager[str]:
            return _opened(os.path.join(folder, _FILES, sha256 + (".age" if used else "")), used, beside)

        task = self.take(rows, bring, dry_run=dry_run)
        yield from task if dry_run else self._audit.watched("import", task, bundle=folder)

    def take(self, rows: Sequence[Row], bring: "Bring", *, dry_run: bool, share: bool = False) -> Task[Imported]:
        """Take models in whose contents `bring` makes readable; with `share` they are hard links where they can be."""
        known = self._transfer.known(row["model"]["file_hash"] for row in rows)
        wanted = {file["sha256"]: file for row in rows for file in row["files"]}
        if dry_run:
            new = sum(row["model"]["file_hash"] not in known for row in rows)
            lacking = [file for file in wanted.values() if not self._has(file)]
            size = sum(file["size"] for file in lacking)
            yield Result(Imported(len(rows), new, len(rows) - new, len(lacking), size, 0, dry_run=True))
            return
        stored: dict[str, str] = {}
        copied = problems = 0
        total = sum(file["size"] for file in wanted.values())
        with Staging(self._places) as staging:
            for sha256, file in wanted.items():
                yield Progress("import", copied, total, "bytes", str(file["name"]))
                if not self._has(file):
                    try:
                        work = partial(self._bring, staging, file, bring, "second_name" if share else "copy")
                        yield from beside(work, "import", str(file["name"]), unit="bytes", total=total)
                        copied += file["size"]
                    except (OSError, ModelHubError) as error:
                        problems += 1
                        yield Problem.of(
                            as_ours(error, printable(str(file["name"]))), item=str(file["name"]), sha256=sha256
                        )
                        continue
                stored[sha256] = os.path.basename(self._blobs.find(sha256, file["size"]) or "")
            whole = [row for row in rows if all(file["sha256"] in stored for file in needed(row))]
            taken = [self._transfer.take(whole[at : at + _AT_ONCE], stored) for at in range(0, len(whole), _AT_ONCE)]
        unjudged = [self._models.resolve(str(one)) for one in self._transfer.unjudged()]
        yield from self._models.judge_again(unjudged)
        new, old = (sum(counts) for counts in zip(*taken, strict=True)) if taken else (0, 0)
        yield Result(Imported(len(rows), new, old, len(stored), copied, problems, dry_run=False))

    def _has(self, file: Row) -> bool:
        try:
            return self._blobs.find(file["sha256"], file["size"]) is not None
        except HashMismatch:
            return False

    def _bring(self, staging: Staging, file: Row, bring: "Bring", how: How, tick: Tick) -> None:
        with bring(file["sha256"], staging.folder) as path, digest.open_regular(path) as stream:
            found = digest.digests(stream, tick=tick)
            if found.sha256 != file["sha256"]:
                told = f"{printable(path)} is damaged: its SHA-256 is {found.sha256[:12]}…."
                raise HashMismatch(told, hint="It was not taken in; export it again.")
            if found.size != file["size"]:
                told = f"{printable(path)} has {found.size} bytes where its list says {file['size']}."
                raise HashMismatch(told, hint="It was not taken in; export it again.")
            staged = staging.place(stream, path, found, how, tick)
        self._blobs.publish([replace(staged, name=file_name(file))])


class Bring(Protocol):
    def __call__(self, sha256: str, beside: str, /) -> contextlib.AbstractContextManager[str]:
        """A path at which the content can be read meanwhile; what must be written first is, in the folder `beside`.

        Raises NotFound.
        """
        ...


# Files


def _prepare(folder: str, *, encrypted: bool) -> None:
    """A new folder for a bundle, or one that was begun in the same way; raises Conflict for anything else."""
    try:
        others = set(os.listdir(folder)) - {KEY_FILE} if os.path.isdir(folder) else set()
        if others and _HEAD not in others:
            raise Conflict(
                f"{printable(folder)} holds other files.", hint="Name a new folder, or a bundle to go on with."
            )
        os.makedirs(os.path.join(folder, _FILES), exist_ok=True)
        if _HEAD in others:
            if _head(folder)[0] != encrypted:
                raise Conflict(
                    f"{printable(folder)} is {'not ' if encrypted else ''}encrypted.", hint="Name another folder."
                )
            for name in os.listdir(os.path.join(folder, _FILES)):
                if links.is_leftover(name):
                    os.unlink(os.path.join(folder, _FILES, name))
        _write_head(folder, encrypted=encrypted)
    except OSError as error:
        raise as_ours(error, printable(folder)) from error


def _write_head(folder: str, *, encrypted: bool, models: int | None = None) -> None:
    """What the bundle is; how many models it has is written when it is whole."""
    head = {
        "format": "modelhub-bundle",
        "version": _VERSION,
        "encrypted": encrypted,
        "made_by": __version__,
        "at": now(),
    }
    told = head if models is None else head | {"models": models}
    _write_text(os.path.join(folder, _HEAD), [json.dumps(told, indent=2)], None)


def _head(folder: str) -> tuple[bool, int | None]:
    """Whether the bundle in `folder` is encrypted, and how many models it has (None: it is not whole).

    Raises NotFound if there is none, InvalidInput if it is of a newer kind.
    """
    place = os.path.join(folder, _HEAD)
    try:
        with open(place, encoding="utf-8") as stream:
            head = json.loads(stream.read(1 << 20))
    except FileNotFoundError as error:
        raise NotFound(
            f"{printable(folder)} is no bundle.", hint="`modelhub export --bundle DIR` makes one."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{printable(place)} cannot be read.", hint="Export it again.") from error
    if not isinstance(head, dict) or head.get("format") != "modelhub-bundle":
        raise InvalidInput(f"{printable(folder)} is no bundle of ours.", hint="Export it again.")
    if head.get("version") != _VERSION:
        raise InvalidInput(f"{printable(folder)} was made by a newer ModelHub.", hint="Upgrade ModelHub.")
    models = head.get("models")
    return bool(head.get("encrypted")), models if isinstance(models, int) else None


def _seal(source: str, target: str, sha256: Sha256, cipher: Cipher | None, tick: Tick) -> None:
    """Write a content durably under its final name, after proving that it is what its address says."""
    with digest.open_regular(source) as stream:
        found = digest.digests(stream, tick=tick)
        if found.sha256 != sha256:
            raise HashMismatch(f"{printable(source)} is damaged.", hint="Run `modelhub verify`.")
        stream.seek(0)
        with _written(target) as out:
            if cipher is None:
                digest.copy(stream, out, tick)
            else:
                cipher.encrypt(stream, out)
    if cipher is None:
        with digest.open_regular(target) as written:
            if digest.digests(written).sha256 != sha256:
                os.unlink(target)
                raise HashMismatch(f"{printable(target)} was not written right.", hint="Is that disk sound?")


@contextlib.contextmanager
def _written(target: str) -> Iterator[BinaryIO]:
    """A file that gets its name when it is complete and durable."""
    temporary = links.temporary_in(os.path.dirname(target))
    try:
        with open(temporary, "xb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, target)
        links.sync([os.path.dirname(target)])
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _write_text(target: str, lines: Any, cipher: Cipher | None) -> None:
    with tempfile.TemporaryFile() as plain:
        for line in lines:
            plain.write(line.encode("utf-8") + b"\n")
        plain.seek(0)
        with _written(target) as out:
            if cipher is None:
                digest.copy(plain, out, lambda _: None)
            else:
                cipher.encrypt(plain, out)


def _read_lines(place: str, cipher: Cipher | None) -> Iterator[Any]:
    with _opened(place, cipher, None) as path, open(path, "rb") as stream:
        while line := stream.readline(_MOST_LINE):
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InvalidInput(f"{printable(place)} is damaged.", hint="Export it again.") from error


@contextlib.contextmanager
def _opened(place: str, cipher: Cipher | None, folder: str | None) -> Iterator[str]:
    """A path with the plain content of a bundle's file; what had to be decrypted goes afterwards."""
    if not os.path.isfile(place):
        raise NotFound(f"{printable(place)} is not in the bundle.", hint="Go on with the export, or make it again.")
    if cipher is None:
        yield place
        return
    descriptor, plain = tempfile.mkstemp(prefix=".modelhub-", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as out, open(place, "rb") as sealed:
            cipher.decrypt(sealed, out)
        yield plain
    finally:
        os.unlink(plain)
