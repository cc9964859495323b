"""A double of Ollama on a models folder: what it lists, loads, touches, prunes and removes there.

Written from the stated behaviour of its server, not copied from it.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.apps.serving import Answer, Fault, serving

HOST, NAMESPACE, TAG = "registry.ollama.ai", "library", "latest"
MODEL = "application/vnd.ollama.image.model"
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"
_NAME = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_.:-]{{0,349}}/[A-Za-z0-9_][A-Za-z0-9_-]{{0,79}}/{_PART}/{_PART}")
_DIGEST = re.compile(r"sha256[:-][0-9a-fA-F]{64}")
_HOUR = 3600


@dataclass(frozen=True)
class _Manifest:
    name: str
    path: Path
    content: dict[str, Any]
    digest: str

    @property
    def layers(self) -> list[dict[str, Any]]:
        return [*(self.content.get("layers") or []), self.content.get("config") or {}]

    @property
    def digests(self) -> set[str]:
        return {str(layer["digest"]) for layer in self.layers if layer.get("digest")}

    @property
    def modified(self) -> float:
        return self.path.stat().st_mtime

    @property
    def short(self) -> str:
        """Without the defaults; the tag is always said."""
        host, namespace, model, tag = self.name.split("/")
        if host.lower() != HOST:
            model = f"{host}/{namespace}/{model}"
        elif namespace.lower() != NAMESPACE:
            model = f"{namespace}/{model}"
        return f"{model}:{tag}"


class OllamaDouble:
    """Reads its folder anew for every answer, as current releases do; `noprune` is OLLAMA_NOPRUNE."""

    def __init__(self, models_root: Path) -> None:
        self.manifests = models_root / "manifests"
        self.blobs = models_root / "blobs"
        self.noprune = False
        self.version = "0.12.0"
        self.asked: list[tuple[str, str, Any]] = []
        self.faults: list[Fault] = []

    # What is there

    def list(self) -> dict[str, Any]:
        """As GET /api/tags, the newest first; a model whose config cannot be read is left out."""
        found = sorted(self._all(), key=lambda manifest: -manifest.modified)
        return {"models": [entry for entry in map(self._entry, found) if entry]}

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(entry["name"] for entry in self.list()["models"]))

    def doubles(self) -> tuple[tuple[str, ...], ...]:
        """Names that differ in case only: the app compares them without it and would find either."""
        groups: dict[str, tuple[str, ...]] = {}
        for manifest in self._all():
            groups[manifest.name.lower()] = (*groups.get(manifest.name.lower(), ()), manifest.name)
        return tuple(group for group in groups.values() if len(group) > 1)

    def corrupt(self) -> tuple[str, ...]:
        """Files in the place of manifests that are none; the server says so and does not prune."""
        return tuple(path.relative_to(self.manifests).as_posix() for path in self._files() if not self._read(path))

    def _files(self) -> Iterator[Path]:
        """Exactly four levels; a dangling link here raises FileNotFoundError, and so does every list."""
        for path in sorted(self.manifests.glob("*/*/*/*")):
            path.stat()
            if not path.is_dir():
                yield path

    def _all(self) -> Iterator[_Manifest]:
        return (manifest for manifest in map(self._read, self._files()) if manifest)

    def _read(self, path: Path) -> _Manifest | None:
        name = path.relative_to(self.manifests).as_posix()
        raw = path.read_bytes()
        try:
            content = json.loads(raw)
        except ValueError:
            return None
        if not _NAME.fullmatch(name) or not isinstance(content, dict):
            return None
        found = _Manifest(name, path, content, hashlib.sha256(raw).hexdigest())
        return found if all(isinstance(layer, dict) for layer in found.layers) else None

    def _entry(self, manifest: _Manifest) -> dict[str, Any] | None:
        try:
            config = json.loads(self._blob(manifest.content["config"]["digest"]).read_bytes())
        except (OSError, ValueError, KeyError):
            return None
        if not isinstance(config, dict):
            return None
        return {
            "name": manifest.short,
            "model": manifest.short,
            "modified_at": _time(manifest.modified),
            "size": sum(layer.get("size", 0) for layer in manifest.layers),
            "digest": manifest.digest,
            "details": {
                "parent_model": "",
                "format": config.get("model_format", ""),
                "family": config.get("model_family", ""),
                "families": config.get("model_families"),
                "parameter_size": config.get("model_type", ""),
                "quantization_level": config.get("file_type", ""),
            },
        }

    def _find(self, name: str) -> _Manifest:
        """By a name with or without its defaults; case does not matter, but the exact one goes first."""
        model, colon, tag = name.rpartition(":")
        if not colon or "/" in tag:
            model, tag = name, TAG
        defaults = [HOST, NAMESPACE]
        full = "/".join([*defaults[: max(0, 2 - model.count("/"))], model, tag])
        found = [manifest for manifest in self._all() if manifest.name.lower() == full.lower()]
        if not found:
            raise KeyError(f"model '{name}' not found")
        return next((manifest for manifest in found if manifest.name == full), found[0])

    def _blob(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"invalid digest format: {digest}")
        return self.blobs / digest.replace(":", "-")

    # What is done with it

    def show(self, name: str) -> dict[str, Any]:
        """As POST /api/show, which opens the model; KeyError for an unknown name."""
        model = self.load(name)
        manifest = self._find(name)
        details = (self._entry(manifest) or {"details": {}})["details"]
        texts = {layer["mediaType"].rpartition(".")[2]: layer["digest"] for layer in manifest.layers[:-1]}
        said = {
            kind: self._blob(texts[kind]).read_text(encoding="utf-8") if kind in texts else ""
            for kind in ("template", "system", "license", "params")
        }
        parameters = json.loads(said.pop("params") or "{}")
        return said | {
            "modelfile": f"FROM {model}\n",
            "parameters": "\n".join(f"{key} {value}" for key, value in parameters.items()),
            "details": details,
            "model_info": {"general.architecture": details.get("family", "")},
            "capabilities": ["completion"],
            "modified_at": _time(manifest.modified),
        }

    def load(self, name: str) -> Path:
        """The blob of a model, opened: FileNotFoundError where its link dangles, ValueError where it is no GGUF."""
        layers = [layer for layer in self._find(name).layers if layer.get("mediaType") == MODEL]
        if not layers:
            raise ValueError(f"{name} has no model layer")
        path = self._blob(layers[0]["digest"])
        with path.open("rb") as stream:
            if stream.read(4) != b"GGUF":
                raise ValueError(f"not a GGUF file: {path}")
        return path

    def touch(self, digest: str) -> None:
        """What a pull or create does to a blob that is there already: the time is set through a link."""
        os.utime(self._blob(digest))

    def start_prune(self, now: float) -> tuple[str, ...]:
        """What a start does: old names with a colon are renamed; what no manifest names goes after an hour.

        The age is a link's own, the name need not be a digest's, and one corrupt manifest keeps all.
        """
        for path in self.blobs.glob("sha256:*"):
            path.rename(path.with_name(path.name.replace(":", "-")))
        try:
            if self.noprune or self.corrupt():
                return ()
        except FileNotFoundError:
            return ()
        kept = {digest for manifest in self._all() for digest in manifest.digests}
        gone = []
        for path in sorted(self.blobs.iterdir()):
            told = path.lstat()
            folder = path.is_dir() and not path.is_symlink()
            if not folder and now - told.st_mtime >= _HOUR and path.name.replace("-", ":") not in kept:
                path.unlink()
                gone.append(path.name)
        return tuple(gone)

    def rm(self, name: str) -> None:
        """As `ollama rm`: the manifest, and those of its blobs that no other names; a link goes, its target stays."""
        manifest = self._find(name)
        manifest.path.unlink()
        kept = {digest for other in self._all() for digest in other.digests}
        for digest in manifest.digests - kept:
            self._blob(digest).unlink(missing_ok=True)

    # Over HTTP

    @contextmanager
    def serve(self) -> Iterator[str]:
        """The address of the running double."""
        with serving(self) as url:
            yield url

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        name = str((body or {}).get("model") or (body or {}).get("name") or "")
        try:
            return self._answer(f"{method} {path}", name)
        except KeyError as unknown:
            return 404, {"error": unknown.args[0]}
        except (OSError, ValueError) as problem:
            return 500, {"error": str(problem)}

    def _answer(self, asked: str, name: str) -> Answer:  # noqa: PLR0911  (one for each question)
        match asked:
            case "GET /" | "HEAD /":
                return 200, "Ollama is running"
            case "GET /api/version":
                return 200, {"version": self.version}
            case "GET /api/tags":
                return 200, self.list()
            case "POST /api/show":
                return 200, self.show(name)
            case "DELETE /api/delete":
                self.rm(name)
                return 200, None
            case _ if asked.startswith("HEAD /api/blobs/"):
                return 200 if self._blob(asked.removeprefix("HEAD /api/blobs/")).exists() else 404, None
            case _:
                return 404, "404 page not found"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
