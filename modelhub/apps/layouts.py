"""Layouts of apps that need more than a folder for each type; `modelhub.apps.folders` has the usual one."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence

from modelhub.apps import ollama
from modelhub.apps.folders import WHOLE_FOLDERS, Folders, projector_of, stem_without_shard
from modelhub.core.apps import App, Target
from modelhub.core.deployment import Deployable, LinkFile, Place, Placed
from modelhub.core.types import Sha256

_NOT_IN_ENTRIES = re.compile(r"[\[\]#;\"'{}\\\s]+")
_JAN = re.compile(r"[^A-Za-z0-9_.-]+")


class Language(Folders):
    """Apps of language models: GGUF files, and folders in the way of Hugging Face where the app reads those."""

    def __post_init__(self) -> None:
        Folders.__post_init__(self)
        self.shared_rooms = True

    def refusal(self, model: Deployable, files: Sequence[Placed]) -> tuple[str, str] | None:
        if model.format in WHOLE_FOLDERS and not self._reads_folder(model, files):
            return "not_listed", f"{self.target.display_name} does not read a folder such as this one"
        return Folders.refusal(self, model, files)

    def _reads_folder(self, model: Deployable, files: Sequence[Placed]) -> bool:
        if not any("folder" in form for form in self.app.formats):
            return False
        if "Hugging Face folder" in self.app.formats:
            return True
        told = self.asked.metadata(model.id)
        return _is_mlx(files) and "mlx" in (told.get("format", "").lower(), told.get("card.library_name", "").lower())


class View(Folders):
    """A tree for people: each model with what belongs to it, and a `metadata.json` if it has a folder of its own."""

    def candidates(self, model: Deployable, files: Sequence[Placed]) -> Iterator[Place]:
        for place in Folders.candidates(self, model, files):
            own = place.top[0]
            notes = f"{own}/metadata.json"
            if own == place.files[0].path or any(file.path == notes for file in place.files):
                yield place
                continue
            about = written(notes, _json(self.asked.described(model)))
            yield place._replace(files=[*place.files, about._replace(along=True)])


class Mlx(Folders):
    def refusal(self, model: Deployable, files: Sequence[Placed]) -> tuple[str, str] | None:
        if model.format not in WHOLE_FOLDERS or not any(file.name == "config.json" for file in files):
            return "not_listed", "MLX reads folders with config.json and model*.safetensors only"
        if not any(_is_weights(file.name) for file in files):
            return "not_listed", "MLX wants weights called model*.safetensors, and this folder has none"
        return Folders.refusal(self, model, files)


class Piper(Folders):
    def refusal(self, model: Deployable, files: Sequence[Placed]) -> tuple[str, str] | None:
        if not any(file.name.endswith(".onnx.json") for file in files):
            return "not_listed", "Piper needs the voice's .onnx.json beside it, and there is none"
        return Folders.refusal(self, model, [file for file in files if file.name.endswith(".onnx")] or files)

    def candidates(self, model: Deployable, files: Sequence[Placed]) -> Iterator[Place]:
        lead = next(file for file in files if file.name.endswith(".onnx"))
        notes = next(file for file in files if file.name.endswith(".onnx.json"))
        folder = self._folder(model, self.rule(model))
        stem = self._safe(os.path.basename(lead.name)[: -len(".onnx")])
        for one in self._twice(stem, model, ".onnx"):
            made = [self._link(f"{folder}/{one}.onnx", lead), self._link(f"{folder}/{one}.onnx.json", notes)]
            made = [file._replace(along=False) for file in made]
            yield Place(folder, made, [file.path for file in made])


class WhisperCpp(Folders):
    def refusal(self, model: Deployable, files: Sequence[Placed]) -> tuple[str, str] | None:
        if model.format != "ggml":
            return "not_listed", "whisper.cpp reads ggml files (ggml-*.bin) only"
        return Folders.refusal(self, model, files)


class DrawThings(Folders):
    def refusal(self, model: Deployable, files: Sequence[Placed]) -> tuple[str, str] | None:
        if not re.search(r"_(f16|f32|q\dp(_q\dp)?|svd)\.ckpt$", files[0].name):
            return "not_listed", "Draw Things reads only files that it converted itself; import this one in the app"
        return Folders.refusal(self, model, files)


class Ollama(Folders):
    """A manifest, and blobs named by their digests: the model's is a link, the others are small files of ours."""

    def refusal(self, model: Deployable, files: Sequence[Placed]) -> tuple[str, str] | None:
        if model.format != "gguf":
            return "not_listed", "Ollama reads GGUF files without a copy, nothing else"
        if sum(file.role != "companion" for file in files) > 1:
            return "not_listed", "Ollama wants one file; join the parts with `llama-gguf-split --merge` first"
        return Folders.refusal(self, model, files)

    def candidates(self, model: Deployable, files: Sequence[Placed]) -> Iterator[Place]:
        lead = files[0]
        projector = projector_of(files)
        layers = [ollama.Layer("model", lead.sha256, lead.size)]
        blobs = [self._blob(lead)]
        if projector is not None:
            layers.append(ollama.Layer("projector", projector.sha256, projector.size))
            blobs.append(self._blob(projector))
        for kind, content in ollama.layers_of(self.asked.metadata(model.id)):
            blobs.append(self._small(content))
            layers.append(ollama.Layer(kind, blobs[-1].sha256, len(content)))
        config = self._small(ollama.config(model, projector=projector is not None))
        blobs.append(config)
        manifest = ollama.manifest(ollama.Layer("", config.sha256, len(config.content)), layers)
        for name in ollama.names(model, self.target.options.naming, self.asked.fields(model)):
            path = f"{self.base}/manifests/{name}"
            yield Place(self.base, [written(path, manifest)._replace(source=lead.path), *blobs], [path])

    def _blob(self, file: Placed) -> LinkFile:
        return LinkFile(f"{self.base}/blobs/sha256-{file.sha256}", file.path, file.sha256, self.how, shared=True)

    def _small(self, content: bytes) -> LinkFile:
        digest = ollama.digest(content)
        return written(f"{self.base}/blobs/sha256-{digest}", content)._replace(shared=True)


class Invoke(Folders):
    """A hard link with an ending beside the store, made known to the running app where it lies."""

    def candidates(self, model: Deployable, files: Sequence[Placed]) -> Iterator[Place]:
        url = self.target.options.url or "http://127.0.0.1:9090"
        flat = Folders.candidates(self, model, [file for file in files if file.role != "companion"])
        for place in flat:
            told = place.top[0] if model.format in WHOLE_FOLDERS else place.files[0].path
            entry = LinkFile(f"{url}#{told}", told, place.files[0].sha256, "register")
            yield place._replace(files=[entry, *place.files])


class Jan(Folders):
    """A `model.yml` that names the stored file: no link is needed."""

    def refusal(self, model: Deployable, files: Sequence[Placed]) -> tuple[str, str] | None:
        return _cannot_be_named(files) or _gguf_only(self.target, model) or Folders.refusal(self, model, files)

    def candidates(self, model: Deployable, files: Sequence[Placed]) -> Iterator[Place]:
        lead = files[0]
        projector = projector_of(files)
        folder = self._folder(model, self.rule(model))
        lines = [f"model_path: {json.dumps(lead.path, ensure_ascii=False)}"]
        if projector is not None:
            lines.append(f"mmproj_path: {json.dumps(projector.path, ensure_ascii=False)}")
        lines += [f"name: {json.dumps(stem_without_shard(model), ensure_ascii=False)}", f"size_bytes: {model.size}", ""]
        for one in self._twice(_ascii(self._called(model)), model, ""):
            path = f"{folder}/{one}/model.yml"
            note = written(path, "\n".join(lines).encode())._replace(source=lead.path)
            yield Place(folder, [note], [f"{folder}/{one}"])


class KoboldCpp(Folders):
    """A `.kcpps` file for each model, which names the stored file."""

    _KEYS: Mapping[str, str] = {"checkpoint": "sdmodel", "stt": "whispermodel"}

    def refusal(self, model: Deployable, files: Sequence[Placed]) -> tuple[str, str] | None:
        other = None if model.type in self._KEYS else _gguf_only(self.target, model)
        return _cannot_be_named(files) or other or Folders.refusal(self, model, files)

    def candidates(self, model: Deployable, files: Sequence[Placed]) -> Iterator[Place]:
        lead = files[0]
        settings: dict[str, object] = {self._KEYS.get(model.type, "model_param"): lead.path}
        projector = projector_of(files)
        if projector is not None:
            settings["mmproj"] = projector.path
        folder = self._folder(model, self.rule(model))
        for one in self._twice(self._safe(self._called(model)), model, ".kcpps"):
            path = f"{folder}/{one}.kcpps"
            yield Place(folder, [written(path, _json(settings))._replace(source=lead.path)], [path])


class Entries(Folders):
    """Entries in the app's own configuration file that name stored files: no link is needed."""

    def refusal(self, model: Deployable, files: Sequence[Placed]) -> tuple[str, str] | None:
        return _cannot_be_named(files) or _gguf_only(self.target, model) or Folders.refusal(self, model, files)

    def candidates(self, model: Deployable, files: Sequence[Placed]) -> Iterator[Place]:
        path = config_path(self.target, self.app, self.base)
        projector = projector_of(files)
        name = _NOT_IN_ENTRIES.sub("-", self._called(model)).strip("-") or "model"
        for one in self._twice(name, model, ""):
            made = [LinkFile(f"{path}#{one}", files[0].path, files[0].sha256, "entry")]
            if projector is not None:
                made.append(LinkFile(f"{path}#{one}#mmproj", projector.path, projector.sha256, "entry"))
            yield Place(path, made, [made[0].path])


def config_path(target: Target, app: App, base: str) -> str:
    """Where the app's configuration is; empty if it has none."""
    if app.config is None:
        return ""
    return os.path.normpath(os.path.join(base, target.options.config or app.config.file))


def written(path: str, content: bytes) -> LinkFile:
    """A small file of ours."""
    return LinkFile(path, "", Sha256(ollama.digest(content)), "write", content)


LAYOUTS: Mapping[str, type[Folders]] = {
    "folders": Folders, "language": Language, "view": View, "mlx": Mlx, "piper": Piper, "whisper_cpp": WhisperCpp,
    "draw_things": DrawThings, "ollama": Ollama, "invokeai": Invoke, "jan": Jan, "koboldcpp": KoboldCpp,
    "entries": Entries,
}  # fmt: skip


def _is_weights(name: str) -> bool:
    return name.startswith("model") and name.endswith(".safetensors")


def _is_mlx(files: Sequence[Placed]) -> bool:
    names = [file.name for file in files]
    return "config.json" in names and any(map(_is_weights, names))


def _cannot_be_named(files: Sequence[Placed]) -> tuple[str, str] | None:
    if all(file.path.isprintable() for file in files):
        return None
    return "not_listed", "its path holds characters that cannot be written in a configuration file"


def _gguf_only(target: Target, model: Deployable) -> tuple[str, str] | None:
    if model.format == "gguf":
        return None
    return "not_listed", f"{target.display_name} reads GGUF files only"


def _ascii(name: str) -> str:
    return "/".join(_JAN.sub("-", part).strip("-.") or "model" for part in name.split("/"))


def _json(value: Mapping[str, object]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n").encode("utf-8", "replace")
