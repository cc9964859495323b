"""Models of many files, told by the names in a folder and the small files that describe them.

Pure over a listing: which files make up one model is decided here, reading them is somebody else's work.
"""

import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import msgspec

from modelhub.formats import onnx

MAX_JSON = 8 << 20
"""Bytes of a describing file that are read; a tokenizer or an index of 100,000 tensors fits."""

Names = Mapping[str, int]
"""Names of the files under a folder, relative and with slashes, and their sizes in bytes."""

Read = Callable[[str], bytes]
"""The first MAX_JSON bytes of a file of the listing; empty if it cannot be read."""

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".onnx", ".h5", ".npz", ".msgpack", ".gguf", ".sft")
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.[a-z]+)", re.IGNORECASE)
_CANONICAL = re.compile(
    r"(?:(?:diffusion_)?pytorch_model|model|adapter_model|flax_model|tf_model|pytorch_lora_weights|weights|consolidated"
    r"|open_clip_(?:pytorch_)?model|gptq_model|quantize|output|prior|speech_model|spk2info|vocoder|decoder|encoder)"
    r"(?:[-_.](?!.*\bof-00001\b).*)?\.(?:safetensors|bin|pt|pth|onnx|h5|npz|msgpack|onnx_data|data)"
    r"|(?:gptq_)?model.*-\d{5}-of-\d{5}\.(?:safetensors|bin)",
    re.IGNORECASE,
)
_DESCRIBING = ("config.json", "adapter_config.json", "model_index.json", "params.json", "modules.json")
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_BESIDE = (
    ".yaml", ".yml", ".json", ".civitai.info", ".cm-info.json", ".metadata.json", ".preview.png", ".preview.jpg",
    ".preview.jpeg", ".preview.webp", ".png", ".jpg", ".jpeg", ".webp", ".txt", ".sha256", ".md",
)  # fmt: skip
_TEXT_FILES = re.compile(
    r"[\w.-]*config[\w.-]*\.json|tokenizer[\w.-]*|[\w.-]*vocab[\w.-]*|merges\.txt|[\w.-]*tokens[\w.-]*\.json"
    r"|[\w.-]+\.(?:model|tiktoken|jinja|bpe)|[\w.-]+\.index\.json|modules\.json|params\.json|metadata\.json|chat_template\.\w+"
    r"|(?:configuration|modeling|tokenization|processing|image_processing|feature_extraction)_\w+\.py|[\w.-]*speakers?[\w.-]*",
    re.IGNORECASE,
)
"""Files that describe a model; whatever else lies in its folder is the user's."""

_ABOUT = re.compile(r"(?:readme|license|licence|notice|use_policy)(?:[._-][\w.-]*)?|\.gitattributes", re.IGNORECASE)
_MODULE = re.compile(r"\d+_[A-Za-z]+")
_MAX_PARTS = 2000
_MAX_SHARING = 12
"""GGUF files beside one mmproj that may all be meant by it; in a larger heap nobody can tell."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files that are one model. Names are relative to the folder; `parts[0]` leads.

    `whole` says that the model is the folder itself, to be deployed as one. `companions` belong to it and may
    change or go without making it another model. `missing` are parts that should be there.
    """

    kind: str
    name: str
    parts: tuple[str, ...]
    companions: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    whole: bool = False


class Folder:
    """One folder and what lies under it, asked what models it holds."""

    def __init__(self, name: str, names: Names, read: Read) -> None:
        self.name = name
        self._names = names
        self._read = read

    @cached_property
    def _here(self) -> dict[str, int]:
        return {name: size for name, size in self._names.items() if "/" not in name}

    def whole(self) -> Bundle | None:
        """The model that this folder is, if it is one."""
        for recognise in (self._diffusers, self._packages, self._transformers):
            found = recognise()
            if found is not None and len(found.parts) <= _MAX_PARTS:
                return found
        return None

    def around(self, name: str) -> Bundle:
        """The model that the file `name` of this folder belongs to; a lone file is a bundle of one."""
        sharded = _SHARD.fullmatch(name)
        if sharded:
            return self._shards(sharded)
        main = self._main_of(name)
        parts = (main, *self._needed_by(main))
        companions = tuple(other for other in self._beside(main) if other not in parts)
        return Bundle("file", main, parts, companions)

    # A folder as one model

    def _diffusers(self) -> Bundle | None:
        index = self.json("model_index.json")
        if not isinstance(index, dict) or "_class_name" not in index:
            return None
        components = [key for key, value in index.items() if isinstance(value, list) and value and value[0]]
        parts = [name for name in self._names if name.split("/", 1)[0] in components and "/" in name]
        missing = [name for name in components if not any(part.startswith(f"{name}/") for part in parts)]
        for component in components:
            missing += self._missing_shards(f"{component}/")
        optional = ("safety_checker", "feature_extractor", "image_encoder")
        return Bundle(
            "diffusers", self.name, ("model_index.json", *sorted(_without_about(parts))), self._about(),
            tuple(name for name in missing if name not in optional), whole=True,
        )  # fmt: skip

    def _packages(self) -> Bundle | None:
        """Folders that other frameworks write: TensorFlow's SavedModel and Core ML's package."""
        names = self._names
        if "saved_model.pb" in names:
            parts = [name for name in names if name.startswith(("variables/", "assets/", "keras_metadata", "finger"))]
            index = "variables/variables.index"
            missing = () if index in names or "variables" not in str(parts) else (index,)
            return Bundle(
                "savedmodel", self.name, ("saved_model.pb", *sorted(parts)), self._about(), missing, whole=True
            )
        if "Manifest.json" in names and any(name.startswith("Data/com.apple.CoreML/") for name in names):
            parts = [name for name in names if name.startswith("Data/")]
            missing = () if any(name.endswith(".mlmodel") for name in parts) else ("Data/…/model.mlmodel",)
            return Bundle("mlpackage", self.name, ("Manifest.json", *sorted(parts)), (), missing, whole=True)
        return None

    def _transformers(self) -> Bundle | None:
        here = self._here
        weights = [name for name in here if _CANONICAL.fullmatch(name)] or self._only_weights()
        describing = [name for name in _DESCRIBING if name in here]
        tokenizer = [name for name in _TOKENIZER if name in here]
        described = any(isinstance(self.json(name), dict | list) for name in describing)
        lora = any(name.startswith("pytorch_lora_weights") for name in weights) and "README.md" in here
        inner = [name for name in self._names if _is_module(name)]
        missing = self._missing_shards("")
        only_onnx = not weights and not missing
        graphs = [name for name in self._names if only_onnx and name.startswith(("onnx/", "openvino/"))]
        if not weights and not missing and not graphs and not inner and len(tokenizer) < 2:
            return None
        if not described and not lora and not (len(tokenizer) > 1 and not _model_files(here)):
            return None
        text = [name for name in here if _TEXT_FILES.fullmatch(name) and not _ABOUT.fullmatch(name)]
        parts = sorted({*weights, *inner, *graphs, *text, *describing, *tokenizer})
        lead = next(iter(sorted(weights, key=_preference)), None) or (sorted(graphs) or describing or tokenizer)[0]
        parts.remove(lead)
        return Bundle("hf_folder", self.name, (lead, *parts), self._about(), missing, whole=True)

    def _only_weights(self) -> list[str]:
        """The one file of weights beside a configuration and a card, whatever it is called."""
        weights = [name for name in _model_files(self._here) if not name.lower().endswith(".gguf")]
        described = "config.json" in self._here and any(_ABOUT.fullmatch(name) for name in self._here)
        return weights if described and len(weights) == 1 else []

    def _missing_shards(self, folder: str) -> tuple[str, ...]:
        """Shards that an index beside them, or their own numbering, asks for."""
        names = {name[len(folder) :] for name in self._names if name.startswith(folder)}
        wanted: set[str] = set()
        for index in (name for name in names if name.endswith(".index.json") and "/" not in name):
            stored = self.json(folder + index)
            listed = stored.get("weight_map") if isinstance(stored, dict) else None
            if isinstance(listed, dict):
                alike = {str(name) for name in listed.values()}
                shown = alike if len(alike) < _MAX_PARTS else set()
                other = index.replace(".safetensors.index.json", "").replace(".bin.index.json", "")
                whole = {f"{other}.safetensors", f"{other}.bin"} & names
                wanted |= set() if whole else shown
        for name in names:
            sharded = _SHARD.fullmatch(name)
            if sharded and "/" not in name:
                wanted |= set(_all_shards(sharded))
        kinds = {PurePosixPath(name).suffix for name in wanted & names}
        absent = {name for name in wanted - names if not kinds or PurePosixPath(name).suffix in kinds}
        return tuple(folder + name for name in sorted(absent) if ".." not in name and not name.startswith("/"))

    # Files beside one another

    def _shards(self, sharded: re.Match[str]) -> Bundle:
        stem, suffix = sharded["stem"], sharded["suffix"]
        wanted = _all_shards(sharded)
        index = [name for name in (f"{stem}{suffix}.index.json",) if name in self._here]
        parts = [name for name in wanted if name in self._here]
        missing = tuple(name for name in wanted if name not in self._here)
        kind = "split_gguf" if suffix.lower() == ".gguf" else "shards"
        return Bundle(kind, f"{stem}{suffix}", (*parts, *index), tuple(self._same_stem(stem)), missing)

    def _main_of(self, name: str) -> str:
        """The model file that `name` lies beside, or `name` itself."""
        if name.endswith((".onnx.data", ".onnx_data", ".onnx.json")):
            owner = re.sub(r"(\.onnx)[._](data|json)$", r"\1", name)
            return owner if owner in self._here else name
        if name.endswith(".bin") and f"{name[:-4]}.xml" in self._here:
            return f"{name[:-4]}.xml"
        lower = name.lower()
        if lower.endswith((*WEIGHTS, ".xml")):
            return name
        stems = [lower.removesuffix(ending) for ending in _BESIDE if lower.endswith(ending)]
        owners = [self._lower.get(stem + suffix) for stem in stems for suffix in ("", *WEIGHTS)]
        fitting = [owner for owner in owners if owner is not None and owner.lower().endswith(WEIGHTS) and owner != name]
        return max(fitting, key=len) if fitting else name

    def _needed_by(self, main: str) -> list[str]:
        stem = main[:-4]
        if main.endswith(".xml") and f"{stem}.bin" in self._here:
            return [f"{stem}.bin"]
        if not main.lower().endswith(".onnx"):
            return []
        beside = {f"{main}.data", f"{main}_data", f"{main}.json", *self._named_in(main)}
        return sorted(name for name in beside if name in self._here and name != main)

    def _named_in(self, graph: str) -> list[str]:
        """The files that an ONNX graph names as those of its weights."""
        if self._here.get(graph, MAX_JSON + 1) > MAX_JSON:
            return []
        content = self._read(graph)
        told = onnx.inspect(io.BytesIO(content), len(content)).metadata.get(onnx.EXTERNAL, "")
        return str(told).split("\n")

    def _beside(self, main: str) -> list[str]:
        found = set(self._same_stem(PurePosixPath(main).stem))
        found.update(name for name in (f"{main}.json",) if name in self._here)
        if main.lower().endswith(".gguf") and main not in self._towers:
            found.update(self._towers)
        return sorted(found - {main})

    @cached_property
    def _lower(self) -> dict[str, str]:
        return {name.lower(): name for name in self._here}

    @cached_property
    def _towers(self) -> tuple[str, ...]:
        """The image or audio towers beside GGUF models, unless so many models share them that nobody can tell."""
        files = [name for name in self._here if name.lower().endswith(".gguf")]
        towers = tuple(name for name in files if "mmproj" in name.lower())
        return towers if len(files) - len(towers) <= _MAX_SHARING else ()

    def _same_stem(self, stem: str) -> list[str]:
        lower = stem.lower()
        return sorted(self._lower[lower + ending] for ending in _BESIDE if lower + ending in self._lower)

    def _about(self) -> tuple[str, ...]:
        return tuple(sorted(name for name in self._here if _ABOUT.fullmatch(name)))

    def has(self, name: str) -> bool:
        return name in self._names

    def text(self, name: str) -> str:
        """A describing file of the folder; empty if it is not there or too long."""
        if self._names.get(name, MAX_JSON + 1) > MAX_JSON:
            return ""
        return self._read(name).decode("utf-8", "replace")

    def json(self, name: str) -> Any:
        """A describing file of the folder as JSON; None if it is not there or not JSON."""
        text = self.text(name)
        try:
            return msgspec.json.decode(text) if text else None
        except (msgspec.DecodeError, RecursionError):
            pass
        try:
            return json.loads(text)  # some configurations hold Infinity, which is no JSON
        except (ValueError, RecursionError):
            return None


def _all_shards(sharded: re.Match[str]) -> list[str]:
    """The names of all shards of a set; none for a count that cannot be true."""
    count = int(sharded["count"])
    if not 0 < count <= _MAX_PARTS or not 0 < int(sharded["number"]) <= count:
        return [sharded[0]]
    return [f"{sharded['stem']}-{number:05}-of-{sharded['count']}{sharded['suffix']}" for number in range(1, count + 1)]


def _is_module(name: str) -> bool:
    """sentence-transformers keeps each layer's settings and weights in a numbered folder."""
    folder, slash, _ = name.partition("/")
    return bool(slash) and _MODULE.fullmatch(folder) is not None


def _model_files(names: Mapping[str, int]) -> list[str]:
    return [name for name in names if name.lower().endswith(WEIGHTS)]


def _without_about(names: list[str]) -> list[str]:
    return [name for name in names if not _ABOUT.fullmatch(PurePosixPath(name).name)]


def _preference(name: str) -> tuple[bool, str]:
    return not name.endswith(".safetensors"), name
