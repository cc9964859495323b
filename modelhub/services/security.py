"""Trust: unsafe models that somebody allows, virus scanners, signatures, and whose models one trusts."""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from modelhub.core.actor import who
from modelhub.core.config import Settings
from modelhub.core.errors import InvalidInput, NotFound, as_ours
from modelhub.core.events import Problem, Progress, Result, Task
from modelhub.core.names import printable
from modelhub.core.places import expand
from modelhub.core.types import External, Model
from modelhub.remote import signatures
from modelhub.remote.signatures import Signed
from modelhub.services.audit import Audit
from modelhub.services.library import ModelDetails, Models
from modelhub.services.waiting import Tick, beside
from modelhub.store.security import Examination, Override, Security

VIRUS_SCAN, SIGNATURE = "virus_scan", "signature"
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from: a site and whose it is there. `scans` are the site's own findings."""

    site: str
    publisher: str
    trusted: bool
    scans: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Trust:
    """All that speaks for or against loading a model, beside its header."""

    state: str
    message: str
    allowed: Override | None
    sources: tuple[Source, ...]
    examinations: tuple[Examination, ...]


@dataclass(frozen=True, slots=True)
class Scanned:
    """Totals of a virus scan."""

    models: int
    clean: int
    infected: int
    failed: int


class Trusting:
    def __init__(self, settings: Settings, models: Models, security: Security, audit: Audit) -> None:
        self._settings = settings
        self._models = models
        self._security = security
        self._audit = audit

    def of(self, details: ModelDetails) -> Trust:
        model = details.model
        return Trust(
            state=model.state,
            message=model.message,
            allowed=self._security.overrides().get(model.id),
            sources=tuple(self._sources(details.external)),
            examinations=tuple(self._security.examinations([model.id]).get(model.id, ())),
        )

    def _sources(self, external: Sequence[External]) -> list[Source]:
        trusted = {one.lower() for one in self._settings.trusted_sources}
        found = []
        for record in external:
            publisher = _publisher(record)
            known = f"{record.source}:{publisher}".lower() in trusted
            if publisher or record.data:
                found.append(Source(record.source, publisher, known, _site_scans(record.data)))
        return found

    # Allowed all the same

    def allow(self, text: str, reason: str) -> Override:
        """Let an unsafe model be deployed, for a reason that is recorded; raises InvalidInput for any other."""
        model = self._models.resolve(text)
        if model.state != "unsafe":
            told = f"{printable(model.filename)} is {model.state}, not unsafe; there is nothing to allow."
            raise InvalidInput(told, hint="Only models that were judged unsafe need it.")
        if not reason.strip() or reason != printable(reason) or len(reason) > _LONGEST:
            raise InvalidInput("A reason is needed.", hint=f"Give one of up to {_LONGEST} visible characters.")
        made = Override(model.id, model.code, model.message, reason.strip(), who(), "")
        self._audit.note("allow", model=model.sha256, because=model.message, reason=made.reason)
        self._security.allow(made)
        return self._security.overrides()[model.id]

    def withdraw(self, text: str) -> bool:
        """Forbid it again; False if it was not allowed."""
        model = self._models.resolve(text)
        self._audit.note("forbid", model=model.sha256)
        return self._security.withdraw(model.id)

    def allowed(self) -> list[tuple[Model, Override]]:
        found = self._security.overrides()
        return [(self._models.resolve(str(model_id)), one) for model_id, one in sorted(found.items())]

    # Virus scanner

    def scan(self, models: Sequence[Model]) -> Task[Scanned]:
        """Have the configured scanner look at every file of each model; what it finds is unsafe from then on."""
        command = self._command()
        files = self._models.files([model.id for model in models])
        counts = {"clean": 0, "infected": 0, "failed": 0}
        for number, model in enumerate(models):
            yield Progress("virus scan", number, len(models), "models", model.filename)
            paths = [file.path for file in files.get(model.id, ()) if file.path]
            status, message = "failed", "It cannot be reached."
            for path in paths:
                status, message = yield from beside(partial(_run_scanner, command, path), "virus scan", path)
                if status != "clean":
                    break
            self._note(model, Examination(VIRUS_SCAN, status, command[0], message, ""))
            counts[status] += 1
            if status != "clean":
                told = f"{printable(model.filename)}: {os.path.basename(command[0])} says: {message}"
                hint = "It is unsafe now, and not deployed." if status == "infected" else "Run the scanner by hand."
                yield Problem(
                    "malware" if status == "infected" else "scan_failed", told, hint, model.filename, model.sha256
                )
        yield Result(Scanned(len(models), **counts))

    def _command(self) -> list[str]:
        words = shlex.split(self._settings.virus_scan)
        if not words:
            raise InvalidInput(
                "No virus scanner is configured.", hint='Set security.virus_scan, e.g. "clamscan --no-summary {path}".'
            )
        return words

    def _note(self, model: Model, examination: Examination) -> None:
        before = {one.kind: one.status for one in self._security.examinations([model.id]).get(model.id, ())}
        self._audit.note(examination.kind, model=model.sha256, status=examination.status, message=examination.message)
        self._security.note(model.id, examination)
        if examination.kind == VIRUS_SCAN and "infected" in (examination.status, before.get(VIRUS_SCAN)):
            self._models.judge_again([model])

    # Signatures

    def signature(self, text: str, signature: str = "", signers: Sequence[str] = ()) -> Signed:
        """Verify the OpenSSF Model Signing bundle of a model, or of a file or folder, against those one trusts.

        `signers` are trusted beside those of the settings: files of public keys or certificates, identity@issuer.
        """
        model, path = self._place(text)
        found = signatures.verify(path, signature, (*self._settings.trusted_signers, *signers))
        if model is not None:
            self._note(model, Examination(SIGNATURE, found.status, found.signer, found.message, ""))
        return found

    def _place(self, text: str) -> tuple[Model | None, str]:
        """Where a model was found as a whole, since a signature holds for names as well as for contents."""
        if os.path.exists(expand(text)):
            return None, expand(text)
        details = self._models.details(text)
        lead = details.files[0].name
        for location in details.locations:
            if location.path.endswith(lead) and os.path.exists(location.path):
                folder = location.path[: -len(lead)].rstrip(os.sep)
                return details.model, location.path if len(details.files) == 1 else folder
        told = (
            f"{printable(details.model.filename)} is no longer where it was found, so its signature cannot be checked."
        )
        raise NotFound(told, hint="Name the file or folder that was signed.")


def _publisher(record: External) -> str:
    creator = record.data.get("creator") or record.data.get("model", {})
    name = creator.get("username") or creator.get("creator") if isinstance(creator, Mapping) else ""
    if record.source == "huggingface" and "/" in record.asked:
        name = record.asked.partition("/")[0]
    return str(name or "")


def _site_scans(data: Mapping[str, object]) -> dict[str, str]:
    """The findings of the site's own scanners, as it words them."""
    found: dict[str, str] = {}
    files = data.get("files")
    for file in files if isinstance(files, list) else ():
        if isinstance(file, Mapping):
            for key in ("pickleScanResult", "virusScanResult"):
                if isinstance(file.get(key), str):
                    found[key.removesuffix("Result")] = printable(str(file[key]))
    status = data.get("securityRepoStatus") or data.get("securityStatus")
    if isinstance(status, Mapping):
        issues = status.get("filesWithIssues")
        found["security"] = "issues found" if issues else "no issues"
    return found


def _run_scanner(command: Sequence[str], path: str, _: Tick) -> tuple[str, str]:
    """Run the scanner on one file; its verdict by its exit code, and its first line."""
    words = [word.replace("{path}", path) for word in command]
    if words == list(command):
        words.append(path)
    try:
        done = subprocess.run(  # noqa: S603  (the user's own command, run without a shell)
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
    except FileNotFoundError as error:
        raise NotFound(
            f"The virus scanner {printable(words[0])!r} was not found.",
            hint="Install it, or correct security.virus_scan.",
        ) from error
    except OSError as error:
        raise as_ours(error, printable(words[0])) from error
    said = next((line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()), "")
    status = {0: "clean", 1: "infected"}.get(done.returncode, "failed")
    return status, printable(said)[:_LONGEST] or f"exit code {done.returncode}"
