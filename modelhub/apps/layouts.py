"""How apps lay models out: for each model the places it may go, the best first.

Pure: nothing here looks at a disk. The order of files matters: the first is the one that the app looks for, and it
is made last and removed first.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from modelhub.apps import naming, ollama
from modelhub.core.deployment import App, Deployable, How, Layout, LinkFile, Place, Placed, Rule, Target
from modelhub.core.names import storable
from modelhub.core.types import Sha256

WHOLE_FOLDERS = frozenset({"hf_folder", "diffusers", "savedmodel", "mlpackage"})
"""Formats of models that are a folder, and are deployed as one."""

_SHORT = 50
"""Characters of a name that fit into 255 bytes with any ending, however many bytes each has."""

_SHARD = re.compile(r"-\d{5}-of-\d{5}(?=\.\w+$)")
_JAN = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Asked:
    """What layouts may ask about a model beyond its row: each is looked up only where a layout needs it."""

    fields: Callable[[Deployable], dict[str, str]]
    metadata: Callable[[int], Mapping[str, str]] = lambda _: {}
    described: Callable[[Deployable], Mapping[str, object]] = lambda _: {}


@dataclass(slots=True)
class Folders(Layout):
    """Files in the folder of their type: the layout of most apps.

    A model that is a folder keeps its inner names, and parts that name one another keep theirs; a lone file takes
    the model's name, and what goes along follows it.
    """

    target: Target
    app: App
    base: str
    how: How
    asked: Asked
    rule: Callable[[Deployable], Rule | None] = lambda _: None
    windows_names: bool = False
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    shared_rooms: bool = False
    _naming: str = field(init=False)
    _folders: dict[tuple[str, str], str] = field(init=False, default_factory=dict)
    _ways: dict[tuple[str, str, str], tuple[str, str] | None] = field(init=False, default_factory=dict)
    _has_plain: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._naming = self.target.options.naming or self.app.naming
        special = self._naming != "{file}" or self.target.options.rules or self.app.rules
        templates = any("{" in folder for folder in self.target.folders.values())
        self._has_plain = type(self) is Folders and not (special or templates or self.windows_names)

    def refusal(self, model: Deployable, files: Sequence[Placed]) -> tuple[str, str] | None:
        if self._folder_template(model, None) is None:
            return "no_folder", f"{self.target.display_name} has no folder for the type {model.type}"
        if model.format in WHOLE_FOLDERS:
            return None
        endings = self._endings(model)
        ending = naming.suffix(model, files[0].name, endings)
        if endings and ending not in endings:
            return (
                "not_listed",
                f"{self.target.display_name} lists no {ending or 'files without an ending'} as {model.type}",
            )
        return None

    def plain(self, model: Deployable, files: Sequence[Placed]) -> Place | None:
        if not self._has_plain or len(files) != 1 or not model.filename.isascii():
            return None
        lead = files[0]
        key = (model.type, model.format, naming.ending(lead.name))
        if key not in self._ways:
            fits = model.format not in WHOLE_FOLDERS and self.refusal(model, files) is None
            ending = naming.suffix(model, lead.name, self._endings(model))
            self._ways[key] = (f"{self._folder(model, None)}/", ending) if fits else None
        way = self._ways[key]
        stem = naming.stem_of(model.filename)
        if way is None or len(stem) >= _SHORT or not stem.isprintable() or stem.startswith("."):
            return None
        path = f"{way[0]}{stem}{way[1]}"
        if self.app.refuses and naming.is_hidden(stem + way[1], self.app.refuses):
            return None
        return Place(way[0][:-1], [LinkFile(path, lead.path, lead.sha256, self.how)], [path])

    def candidates(self, model: Deployable, files: Sequence[Placed]) -> Iterator[Place]:
        rule = self.rule(model)
        folder = self._folder(model, rule)
        template = (rule.name if rule else "") or self._naming
        if len(files) > 1 and not self.app.companions:
            files = [file for file in files if file.role != "companion"]
        name = self._filled(template, model) if template != "{file}" else ""
        if model.format in WHOLE_FOLDERS:
            yield from self._in_a_folder(model, files, folder, name or self._safe(model.filename))
        elif len(files) > 1 and sum(file.role != "companion" for file in files) > 1:
            yield from self._parts(model, files, folder, name if template.endswith("/") else "")
        elif template.endswith("/") and self.shared_rooms:
            yield from self._lone(model, files, folder, f"{name}/{self._own(model, files[0])}")
        elif template.endswith("/") or (self.app.own_folder and any(map(_is_projector_beside, files))):
            yield from self._in_a_folder(model, self._renamed(model, files), folder, name or self._own(model, files[0]))
        else:
            yield from self._lone(model, files, folder, name or self._own(model, files[0]))

    def _in_a_folder(self, model: Deployable, files: Sequence[Placed], folder: str, name: str) -> Iterator[Place]:
        """A folder of the model's own, in which its files keep their names."""
        for one in self._twice(name, model, ""):
            made = [self._link(f"{folder}/{one}/{file.name}", file) for file in files]
            yield Place(folder, made, [f"{folder}/{one}"])

    def _parts(self, model: Deployable, files: Sequence[Placed], folder: str, name: str) -> Iterator[Place]:
        """Parts name one another, so they keep their names: side by side, or in a folder of their own."""
        stem = self._safe(os.path.splitext(_SHARD.sub("", model.filename))[0])
        if name and self.shared_rooms:
            made = [self._link(f"{folder}/{name}/{file.name}", file) for file in files]
            yield Place(folder, made, [file.path for file in made if not file.along])
        elif name or self.app.own_folder:
            yield from self._in_a_folder(model, files, folder, name or stem)
        else:
            apart = naming.shortened(self._safe(os.path.splitext(model.filename)[0]), f"-{model.sha256[:8]}")
            for place in (folder, f"{folder}/{apart}"):
                made = [self._link(f"{place}/{file.name}", file) for file in files]
                top = [file.path for file in made if not file.along] if place == folder else [place]
                yield Place(folder, made, top)

    def _lone(self, model: Deployable, files: Sequence[Placed], folder: str, name: str) -> Iterator[Place]:
        """One file under the model's name; what goes along follows it."""
        lead = files[0]
        ending = naming.suffix(model, lead.name, self._endings(model))
        for one in self._twice(name, model, ending):
            path = f"{folder}/{one}{ending}"
            if len(files) == 1:
                yield Place(folder, [self._link(path, lead)], [path])
                continue
            given, had = f"{folder}/{one}", os.path.splitext(lead.name)[0]
            beside = os.path.dirname(given)
            made = [self._link(path, lead)]
            for file in files[1:]:
                name_of = given + file.name[len(had) :] if file.name.startswith(had) else f"{beside}/{file.name}"
                made.append(self._link(name_of, file))
            yield Place(folder, made, [path])

    def _renamed(self, model: Deployable, files: Sequence[Placed]) -> list[Placed]:
        """A lone file and what goes along, under the names they have in a folder of their own."""
        ending = naming.suffix(model, files[0].name, self._endings(model))
        return [replace(files[0], name=self._own(model, files[0]) + ending), *files[1:]]

    def _own(self, model: Deployable, lead: Placed) -> str:
        """The name of a lone file without its ending, exact also where it is not UTF-8, unless it was renamed."""
        name = model.filename
        if not name.isascii():
            stored = os.path.basename(lead.path)
            name = stored if storable(stored) == model.filename else name
        return self._safe(naming.stem_of(name))

    def _twice(self, given: str, model: Deployable, ending: str) -> Iterator[str]:
        """The name itself, and where another model has it, the name with the start of the digest."""
        if len(given) < _SHORT and not self.app.refuses:
            yield given
            if not self.app.exact_names:
                yield f"{given}-{model.sha256[:8]}"
            return
        before, slash, stem = given.rpartition("/")
        shown = naming.shown(stem + ending, self.app.refuses)[: -len(ending) or None]
        yield before + slash + naming.shortened(shown, ending)[: -len(ending) or None]
        if not self.app.exact_names:
            yield before + slash + naming.shortened(shown, f"-{model.sha256[:8]}{ending}")[: -len(ending) or None]

    def _filled(self, template: str, model: Deployable) -> str:
        text = naming.filled(template, self.asked.fields(model))
        return "/".join(self._safe(part) for part in text.split("/")) or self._safe(model.filename)

    def _safe(self, name: str) -> str:
        kept = naming.inert(name)
        return naming.strict(kept) if self.windows_names else kept

    def _folder_template(self, model: Deployable, rule: Rule | None) -> str | None:
        if rule is not None and rule.folder:
            return rule.folder
        return self.target.folders.get(model.type, self.target.folders.get("*"))

    def _folder(self, model: Deployable, rule: Rule | None) -> str:
        template = self._folder_template(model, rule) or "."
        if "{" in template:
            template = self._filled(template, model)
        base = self.elsewhere.get(model.type, self.base)
        if (base, template) not in self._folders:
            self._folders[base, template] = os.path.normpath(os.path.join(base, template))
        return self._folders[base, template]

    def _endings(self, model: Deployable) -> tuple[str, ...]:
        endings = self.app.endings
        return endings.get(model.type) or endings.get("*", ())

    def _link(self, path: str, file: Placed) -> LinkFile:
        return LinkFile(path, file.path, file.sha256, self.how, along=file.role == "companion")


class Language(Folders):
    """Apps of language models: GGUF files, and folders in the way of Hugging Face where the app reads those."""

    def __post_init__(self) -> None:
        Folders.__post_init__(self)
        self.shared_rooms = True

    def refusal(self, model: Deployable, files: Sequence[Placed]) -> tuple[str, str] | None:
        if model.format in WHOLE_FOLDERS and not self._reads_folders(files):
            return "not_listed", f"{self.target.display_name} does not read a folder such as this one"
        return Folders.refusal(self, model, files)

    def _reads_folders(self, files: Sequence[Placed]) -> bool:
        if self.app.name == "lm_studio":
            return _is_mlx(files)
        return any("folder" in form for form in self.app.formats)


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
        projector = next((file for file in files if _is_projector(file)), None)
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
        return _gguf_only(self.target, model) or Folders.refusal(self, model, files)

    def candidates(self, model: Deployable, files: Sequence[Placed]) -> Iterator[Place]:
        lead = files[0]
        projector = next((file for file in files if _is_projector(file)), None)
        folder = self._folder(model, self.rule(model))
        stem = os.path.splitext(_SHARD.sub("", model.filename))[0]
        name = self._filled(self._naming, model) if self._naming != "{file}" else stem
        lines = [f"model_path: {json.dumps(lead.path, ensure_ascii=False)}"]
        if projector is not None:
            lines.append(f"mmproj_path: {json.dumps(projector.path, ensure_ascii=False)}")
        lines += [f"name: {json.dumps(stem, ensure_ascii=False)}", f"size_bytes: {model.size}", ""]
        for one in self._twice(_ascii(name), model, ""):
            path = f"{folder}/{one}/model.yml"
            note = written(path, "\n".join(lines).encode())._replace(source=lead.path)
            yield Place(folder, [note], [f"{folder}/{one}"])


class KoboldCpp(Folders):
    """A `.kcpps` file for each model, which names the stored file."""

    _KEYS: Mapping[str, str] = {"checkpoint": "sdmodel", "stt": "whispermodel"}

    def refusal(self, model: Deployable, files: Sequence[Placed]) -> tuple[str, str] | None:
        if model.type not in self._KEYS:
            return _gguf_only(self.target, model) or Folders.refusal(self, model, files)
        return Folders.refusal(self, model, files)

    def candidates(self, model: Deployable, files: Sequence[Placed]) -> Iterator[Place]:
        lead = files[0]
        settings: dict[str, object] = {self._KEYS.get(model.type, "model_param"): lead.path}
        projector = next((file for file in files if _is_projector(file)), None)
        if projector is not None:
            settings["mmproj"] = projector.path
        folder = self._folder(model, self.rule(model))
        stem = os.path.splitext(_SHARD.sub("", model.filename))[0]
        name = self._filled(self._naming, model) if self._naming != "{file}" else self._safe(stem)
        for one in self._twice(name, model, ".kcpps"):
            path = f"{folder}/{one}.kcpps"
            yield Place(folder, [written(path, _json(settings))._replace(source=lead.path)], [path])


class Entries(Folders):
    """Entries in the app's own configuration file that name stored files: no link is needed."""

    def refusal(self, model: Deployable, files: Sequence[Placed]) -> tuple[str, str] | None:
        if not all(file.path.isprintable() for file in files):
            return "not_listed", "its path holds characters that cannot be written in a configuration file"
        return _gguf_only(self.target, model) or Folders.refusal(self, model, files)

    def candidates(self, model: Deployable, files: Sequence[Placed]) -> Iterator[Place]:
        assert self.app.config is not None  # a record with this layout has a configuration file
        path = config_path(self.target, self.app, self.base)
        projector = [file for file in files if _is_projector(file)][:1]
        stem = os.path.splitext(_SHARD.sub("", model.filename))[0]
        name = self._filled(self._naming, model) if self._naming != "{file}" else stem
        for one in self._twice(re.sub(r"[\[\]#;\"'{}\\\s]+", "-", name).strip("-") or "model", model, ""):
            main = LinkFile(f"{path}#{one}", files[0].path, files[0].sha256, "entry")
            beside = (LinkFile(f"{path}#{one}#mmproj", file.path, file.sha256, "entry") for file in projector)
            yield Place(path, [main, *beside], [main.path])


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


def _is_projector_beside(file: Placed) -> bool:
    return file.role == "companion" and _is_projector(file)


def _is_projector(file: Placed) -> bool:
    name = os.path.basename(file.name).lower()
    return "mmproj" in name and name.endswith(".gguf")


def _is_weights(name: str) -> bool:
    return name.startswith("model") and name.endswith(".safetensors")


def _is_mlx(files: Sequence[Placed]) -> bool:
    names = [file.name for file in files]
    return "config.json" in names and any(map(_is_weights, names))


def _gguf_only(target: Target, model: Deployable) -> tuple[str, str] | None:
    if model.format == "gguf":
        return None
    return "not_listed", f"{target.display_name} reads GGUF files only"


def _ascii(name: str) -> str:
    return "/".join(_JAN.sub("-", part).strip("-.") or "model" for part in name.split("/"))


def _json(value: Mapping[str, object]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n").encode("utf-8", "replace")
