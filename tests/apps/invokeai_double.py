"""A double of InvokeAI's registry of models and of its interface /api/v2/models.

Written from its stated behaviour, not copied from it.
"""

import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from tests.apps.listers_pictures import invokeai_probe_path, invokeai_scan
from tests.apps.serving import Answer, Fault, serving

_UNDER_WAY = ("waiting", "running", "downloading")


class Duplicate(ValueError):
    """The resolved path is in the registry already."""


@dataclass
class Job:
    """An install under way."""

    id: int
    source: str
    inplace: bool
    config: dict[str, Any]
    status: str = "waiting"
    polls: int = 0
    record: dict[str, Any] | None = None
    error: Exception | None = None

    def json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "status": self.status,
            "source": {"type": "local", "path": self.source, "inplace": self.inplace},
            "config_in": self.config,
            "config_out": self.record,
            "inplace": self.inplace,
            "error_reason": type(self.error).__name__ if self.error else None,
            "error": str(self.error) if self.error else None,
        }


class InvokeAIDouble:
    """The registry (`models`, by key), the `jobs`, and what was fetched from Hugging Face for want of a file.

    A job is done at its `polls`th poll. With `refuses_late` a duplicate or an unknown file is an error of the job, as
    in current releases, and not the answer 409 or 415 that the interface promises.
    """

    def __init__(self, models_dir: Path) -> None:
        models_dir.mkdir(parents=True, exist_ok=True)
        self.models_dir = models_dir.resolve()
        self.models: dict[str, dict[str, Any]] = {}
        self.jobs: list[Job] = []
        self.downloads: list[str] = []
        self.polls = 2
        self.refuses_late = False
        self.version = "6.0.0"
        self.asked: list[tuple[str, str, Any]] = []
        self.faults: list[Fault] = []

    def file(self, record: dict[str, Any]) -> Path:
        """Where a record says its model is: relative to models_dir for what was moved there."""
        return self.models_dir / str(record["path"])

    def paths(self) -> set[Path]:
        return {self.file(record) for record in self.models.values()}

    # Installing

    def install(self, source: str, *, inplace: bool, config: dict[str, Any]) -> Answer:
        path = Path(source)
        if not path.exists() and not re.fullmatch(r"[^/:]+/[^/:]+", source):
            return 409, {"detail": f"Unsupported model source: '{source}'"}
        if path.exists() and not self.refuses_late:
            try:
                self._check(path)
            except ValueError as wrong:
                return 409 if isinstance(wrong, Duplicate) else 415, {"detail": str(wrong)}
        for job in self.jobs:
            if job.source == source and job.status in _UNDER_WAY:
                return 201, job.json()
        job = Job(len(self.jobs), source, inplace, config)
        if not path.exists():
            job.status = "downloading"
            self.downloads.append(source)
        self.jobs.append(job)
        return 201, job.json()

    def _check(self, path: Path) -> Path:
        resolved = invokeai_probe_path(path)
        if resolved in self.paths():
            raise Duplicate(f"A model with path {resolved} is already installed")
        return resolved

    def poll(self, job: Job) -> dict[str, Any]:
        """The state of a job, which every look brings further."""
        job.polls += 1
        if job.status in _UNDER_WAY:
            job.status = "running"
            if job.polls >= self.polls:
                self._finish(job)
        return job.json()

    def _finish(self, job: Job) -> None:
        try:
            job.record = self._register(job)
            job.status = "completed"
        except (OSError, ValueError) as problem:
            job.error, job.status = problem, "error"

    def _register(self, job: Job) -> dict[str, Any]:
        key, path = str(uuid.uuid4()), Path(job.source)
        invokeai_probe_path(path)
        if not job.inplace:
            path = Path(shutil.move(path, self._room(key, path)))
        resolved = self._check(path)
        inside = resolved.is_relative_to(self.models_dir)
        stored = resolved.relative_to(self.models_dir) if inside else resolved
        self.models[key] = {
            "key": key,
            "name": job.config.get("name") or Path(job.source).stem,
            "description": job.config.get("description"),
            "path": stored.as_posix(),
            "source": job.source,
            "source_type": "path",
            "base": "any",
            "type": "main",
            "hash": _hash(resolved) if resolved.is_file() else f"blake3:{key}",
        }
        return self.models[key]

    def _room(self, key: str, path: Path) -> Path:
        (self.models_dir / key).mkdir()
        return self.models_dir / key / path.name

    def delete(self, key: str) -> Answer:
        """The record goes; the file goes with it only if it is inside models_dir."""
        if key not in self.models:
            return 404, {"detail": f"unknown key {key}"}
        path = self.file(self.models.pop(key))
        if path.is_relative_to(self.models_dir):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return 204, None

    # Over HTTP

    @contextmanager
    def serve(self) -> Iterator[str]:
        """The address of the running double."""
        with serving(self) as url:
            yield url

    def answer(  # noqa: PLR0911  (one for each question)
        self, method: str, path: str, query: dict[str, str], body: Any
    ) -> Answer:
        if (method, path) == ("GET", "/api/v1/app/version"):
            return 200, {"version": self.version}
        below, is_ours = path.removeprefix("/api/v2/models").strip("/"), path.startswith("/api/v2/models")
        first, _, rest = below.partition("/")
        match is_ours and method, first, rest:
            case "POST", "install", "":
                inplace = query.get("inplace", "false").lower() in ("true", "1", "yes", "on")
                return self.install(query.get("source", ""), inplace=inplace, config=body or {})
            case "GET", "install", "":
                return 200, [self.poll(job) for job in self.jobs]
            case "GET", "install", _ if rest.isdigit() and int(rest) < len(self.jobs):
                return 200, self.poll(self.jobs[int(rest)])
            case "GET", "", "":
                return 200, {"models": list(self.models.values())}
            case "GET", "i", key if key in self.models:
                return 200, self.models[key]
            case "GET", "get_by_hash", "":
                return self._by_hash(query.get("hash", ""))
            case "GET", "scan_folder", "":
                return self._scan(query.get("scan_path", ""))
            case "DELETE", "i", key:
                return self.delete(key)
            case _:
                return 404, {"detail": "Not Found"}

    def _by_hash(self, digest: str) -> Answer:
        found = [record for record in self.models.values() if record["hash"] == digest]
        return (200, found[0]) if found else (404, {"detail": f"unknown hash {digest}"})

    def _scan(self, folder: str) -> Answer:
        if not Path(folder).is_dir():
            return 400, {"detail": f"no such folder: {folder}"}
        installed = self.paths()
        return 200, [{"path": str(path), "is_installed": path in installed} for path in invokeai_scan(Path(folder))]


def _hash(path: Path) -> str:
    digest = blake3()
    digest.update_mmap(path)
    return f"blake3:{digest.hexdigest()}"
