"""The listers of the apps that make pictures and films; see `listers`."""

import glob
import json
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import yaml


def _extension(name: str) -> str:
    return os.path.splitext(name)[1]


def _below(folder: str | Path, *, links: bool) -> Iterator[tuple[str, str]]:
    """(path, name relative to `folder`) of all files below it; a link to a file is a file, broken or not."""
    for here, inner, names in os.walk(folder, followlinks=links):
        inner.sort()
        for name in sorted(names):
            path = os.path.join(here, name)
            yield path, os.path.relpath(path, folder)


# ComfyUI

_COMFYUI_WEIGHTS = frozenset({".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"})
_COMFYUI_PLAIN = (
    "checkpoints", "loras", "vae", "clip_vision", "style_models", "embeddings", "vae_approx", "gligen",
    "upscale_models", "latent_upscale_models", "hypernetworks", "photomaker", "model_patches", "audio_encoders",
)  # fmt: skip
_COMFYUI_FOLDERS = {name: [name] for name in (*_COMFYUI_PLAIN, "configs", "diffusers", "classifiers")} | {
    "text_encoders": ["text_encoders", "clip"],
    "diffusion_models": ["unet", "diffusion_models"],
    "controlnet": ["controlnet", "t2i_adapter"],
}
_COMFYUI_EXTENSIONS = {"configs": frozenset({".yaml"}), "classifiers": frozenset({""})}
_COMFYUI_LEGACY = {"clip": "text_encoders", "unet": "diffusion_models"}
_COMFYUI_GGUF = {"unet_gguf": "diffusion_models", "clip_gguf": "text_encoders"}


class ComfyUI:
    """A running ComfyUI: it reads the YAML when it starts, and each list again when a walked folder has changed.

    `gguf_node` stands for the ComfyUI-GGUF custom node, without which no .gguf is listed.
    """

    def __init__(self, models_root: Path, extra_yaml: Path | None = None, *, gguf_node: bool = False) -> None:
        self.folders = {key: [str(models_root / name) for name in names] for key, names in _COMFYUI_FOLDERS.items()}
        self.extensions = dict.fromkeys(self.folders, _COMFYUI_WEIGHTS) | _COMFYUI_EXTENSIONS
        self._lists: dict[str, tuple[dict[str, float], list[str]]] = {}
        if extra_yaml:
            self._read(extra_yaml)
        if gguf_node:
            for key, same in _COMFYUI_GGUF.items():
                self.folders[key] = self.folders[same]
                self.extensions[key] = frozenset({".gguf"})

    def _read(self, path: Path) -> None:
        """Nothing is checked, as in the app: a wrong file raises AttributeError or TypeError and stops the start."""
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        for block in content:
            if content[block] is not None:
                self._read_block(dict(content[block]) if isinstance(content[block], dict) else content[block], path)

    def _read_block(self, block: Any, path: Path) -> None:
        beside = os.path.dirname(os.path.abspath(path))
        base = block.pop("base_path") if "base_path" in block else ""
        base = os.path.join(beside, os.path.expandvars(os.path.expanduser(base)))
        first = block.pop("is_default") if "is_default" in block else False
        for key in block:
            for line in block[key].split("\n"):
                if line:
                    self._add(key, os.path.normpath(os.path.join(base, line)), first=first)

    def _add(self, key: str, folder: str, *, first: bool) -> None:
        key = _COMFYUI_LEGACY.get(key, key)
        folders = self.folders.setdefault(key, [])
        self.extensions.setdefault(key, frozenset())
        if folder not in folders:
            folders.insert(0 if first else len(folders), folder)

    def models(self, category: str) -> list[str]:
        """As GET /models/{category}; FileNotFoundError where a folder listed before is gone."""
        times, names = self._lists.get(category, ({}, []))
        unread = [folder for folder in self.folders[category] if os.path.isdir(folder) and folder not in times]
        if unread or any(os.path.getmtime(folder) != seen for folder, seen in times.items()):
            times, names = self._walk(category)
            self._lists[category] = times, names
        return names

    def _walk(self, category: str) -> tuple[dict[str, float], list[str]]:
        times: dict[str, float] = {}
        shown: set[str] = set()
        for folder in self.folders[category]:
            for here, inner, files in os.walk(folder, followlinks=True):
                inner[:] = [name for name in inner if name != ".git"]
                times[here] = os.path.getmtime(here)
                found = [os.path.join(here, name) for name in files if self._wanted(category, name)]
                if category == "diffusers":
                    found = [here] if "model_index.json" in files else []
                shown.update(os.path.relpath(path, folder) for path in found)
        return times, sorted(shown)

    def _wanted(self, category: str, name: str) -> bool:
        extensions = self.extensions[category]
        return not extensions or _extension(name).lower() in extensions


def comfyui(models_root: Path, extra_yaml: Path | None = None, gguf_node: bool = False) -> dict[str, list[str]]:
    """Category -> names that ComfyUI shows when it has just been started."""
    app = ComfyUI(models_root, extra_yaml, gguf_node=gguf_node)
    return {category: app.models(category) for category in app.folders}


# Stable Diffusion WebUI (A1111), Forge and reForge

_WEBUI_UPSCALERS = {
    "ESRGAN": {".pt", ".pth", ".safetensors"},
    "DAT": {".pt", ".pth", ".safetensors"},
    "HAT": {".pt", ".pth"},
    "SwinIR": {".pt", ".pth"},
    "RealESRGAN": {".pth"},
    "ScuNET": {".pth"},
}


def _webui_files(folder: Path, extensions: Collection[str]) -> Iterator[tuple[Path, str]]:
    """Any depth, links followed; nothing where a folder of the whole path starts with a dot; no broken links."""
    for path, name in _below(folder, links=True):
        hidden = "/." in os.path.dirname(path)
        if _extension(name).lower() in extensions and not hidden and os.path.exists(path):
            yield Path(path), name


def webui_checkpoints(folder: Path, gguf: bool = False, ckpt_dir: Path | None = None) -> list[str]:
    """Of models/Stable-diffusion and of --ckpt-dir beside it; `gguf` for Forge."""
    places = [folder]
    if ckpt_dir:
        instead = ckpt_dir / "experiments/pretrained_models"
        places.insert(0, instead if instead.exists() else ckpt_dir)
    extensions = {".ckpt", ".safetensors"} | ({".gguf"} if gguf else set())
    found = {path: name for place in places for path, name in _webui_files(place, extensions)}
    return [name for name in found.values() if not name.endswith((".vae.ckpt", ".vae.safetensors"))]


def webui_loras(folder: Path) -> tuple[dict[str, Path], list[tuple[Path, Path]]]:
    """Stem -> path, and the pairs of paths that have one stem, of which only the second is usable."""
    found: dict[str, Path] = {}
    collisions = []
    for path, _ in _webui_files(folder, {".pt", ".ckpt", ".safetensors"}):
        if path.stem in found:
            collisions.append((found[path.stem], path))
        found[path.stem] = path
    return found, collisions


def forge_vae_and_text_encoders(*folders: Path) -> dict[str, Path]:
    """File name -> path, the last one wins; of models/VAE, models/text_encoder, --vae-dir, --text-encoder-dir."""
    endings = ("ckpt", "pt", "bin", "safetensors", "gguf")
    return {
        os.path.basename(path): Path(path)
        for folder in folders
        for path, name in _below(folder, links=False)
        if name.endswith(endings)
    }


def a1111_vae(*folders: Path) -> dict[str, Path]:
    """File name -> path, the last one wins; of models/VAE and --vae-dir."""
    patterns = [
        os.path.join(folder, "**", ending) for folder in folders for ending in ("*.ckpt", "*.pt", "*.safetensors")
    ]
    found = [path for pattern in patterns for path in glob.iglob(pattern, recursive=True)]
    return {os.path.basename(path): Path(path) for path in found}


def forge_controlnet(folder: Path) -> list[str]:
    """Stems (the app adds a short hash to each); one broken link raises FileNotFoundError."""
    stems = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        entry.stat()
        stem, extension = os.path.splitext(entry.name)
        if extension in (".pt", ".pth", ".ckpt", ".safetensors", ".bin", ".patch"):
            stems.append(stem)
        elif entry.is_dir():
            stems += forge_controlnet(Path(entry.path))
    return stems


def webui_upscalers(models_root: Path) -> dict[str, list[str]]:
    return {
        name: [shown for _, shown in _webui_files(models_root / name, extensions)]
        for name, extensions in _WEBUI_UPSCALERS.items()
    }


# Fooocus

_FOOOCUS_LISTS = {"path_checkpoints": "checkpoints", "path_loras": "loras"}
_FOOOCUS_STRINGS = {
    "path_embeddings": "embeddings",
    "path_vae": "vae",
    "path_vae_approx": "vae_approx",
    "path_upscale_models": "upscale_models",
    "path_inpaint": "inpaint",
    "path_controlnet": "controlnet",
    "path_clip_vision": "clip_vision",
    "path_fooocus_expansion": "prompt_expansion/fooocus_expansion",
    "path_safety_checker": "safety_checker",
    "path_sam": "sam",
}


def fooocus(config_txt: Path, default_models: Path) -> dict[str, list[str]]:
    """Key of config.txt -> names; a list given to a key that takes a string raises TypeError, as its use does."""
    config = json.loads(config_txt.read_text(encoding="utf-8")) if config_txt.exists() else {}
    shown = {}
    for key, default in (_FOOOCUS_LISTS | _FOOOCUS_STRINGS).items():
        folders = _fooocus_setting(os.environ.get(key, config.get(key)), str(default_models / default))
        if key in _FOOOCUS_LISTS and isinstance(folders, str):
            folders = [folders]
        elif key in _FOOOCUS_STRINGS:
            folders = [os.path.join(folders, "")]
        shown[key] = [name for folder in folders for name in _fooocus_files(folder)]
    return shown


def _fooocus_setting(value: Any, default: str) -> Any:
    """One missing folder of several gives up all of them."""
    folders = [value] if isinstance(value, str) else value
    return value if folders and all(os.path.isdir(folder) for folder in folders) else default


def _fooocus_files(folder: str) -> list[str]:
    listed = {".pth", ".ckpt", ".bin", ".safetensors"}
    return [name for _, name in _below(folder, links=False) if _extension(name).lower() in listed]


# InvokeAI

INVOKEAI_SUFFIXES = (".ckpt", ".bin", ".pth", ".safetensors", ".pt", ".gguf")
_INVOKEAI_MARKS = {
    "config.json",
    "model_index.json",
    "learned_embeds.bin",
    "pytorch_lora_weights.bin",
    "image_encoder.txt",
}


def invokeai_scan(path: Path) -> list[Path]:
    """As GET /scan_folder: files and model folders; the path asked for is resolved, what is found below is not."""
    return list(_invokeai_below(path.resolve(strict=True), 20))


def _invokeai_below(folder: Path, depth: int) -> Iterator[Path]:
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    files = [path for path in entries if path.is_file()]
    if _INVOKEAI_MARKS & {path.name for path in files}:
        yield folder
        return
    yield from (path for path in files if path.name.endswith(INVOKEAI_SUFFIXES))
    for inner in (path for path in entries if path.is_dir() and depth):
        yield from _invokeai_below(inner, depth - 1)


def invokeai_probe_path(path: Path) -> Path:
    """The path an install would store: links are resolved first, and then the suffix must be a known one."""
    resolved = path.resolve(strict=True)
    if resolved.is_dir():
        if not _INVOKEAI_MARKS & set(os.listdir(resolved)):
            raise ValueError(f"no model folder: {resolved}")
    elif resolved.suffix not in INVOKEAI_SUFFIXES:
        raise ValueError(f"unknown suffix {resolved.suffix!r}: {resolved}")
    return resolved


# SwarmUI, Stability Matrix, Wan2GP

_SWARMUI_FOLDERS = {
    "Stable-Diffusion": ("Stable-Diffusion", "tensorrt", "diffusion_models", "unet"),
    "LoRA": ("Lora",),
    "VAE": ("VAE",),
    "Embedding": ("Embeddings",),
    "ControlNet": ("controlnet", "model_patches"),
    "Clip": ("text_encoders", "clip"),
    "ClipVision": ("clip_vision",),
}
_SWARMUI_EXTENSIONS = {".safetensors", ".sft", ".engine", ".gguf", ".ckpt", ".pt", ".pth", ".bin"}
_STABILITY_MATRIX_FOLDERS = (
    "StableDiffusion", "DiffusionModels", "Lora", "LyCORIS", "VAE", "ApproxVAE", "TextEncoders", "ClipVision",
    "Embeddings", "Hypernetwork", "ControlNet", "T2IAdapter", "IpAdapter", "IpAdapters15", "IpAdaptersXl", "ESRGAN",
    "RealESRGAN", "SwinIR", "StyleModels", "GLIGEN", "Sams", "Ultralytics", "AfterDetailer", "AudioEncoders",
    "ModelPatches", "Diffusers", "GFPGAN", "Codeformer", "PromptExpansion",
)  # fmt: skip
_STABILITY_MATRIX_EXTENSIONS = {".safetensors", ".pt", ".ckpt", ".pth", ".bin", ".sft", ".gguf"}


def swarmui(model_roots: list[Path]) -> dict[str, list[str]]:
    """Category -> names; the same relative name in two places is one model."""
    return {
        category: sorted({
            name
            for root in model_roots
            for folder in folders
            for _, name in _below(root / folder, links=True)
            if not re.search(r"(^|/)\.", name) and _extension(name) in _SWARMUI_EXTENSIONS
        })
        for category, folders in _SWARMUI_FOLDERS.items()
    }  # fmt: skip


def swarmui_model_roots(settings_fds: Path) -> list[Path]:
    """What `ModelRoot` of Data/Settings.fds names; relative to the app's folder, which is two above the file."""
    line = re.search(r"^\s*ModelRoot:(.*)$", settings_fds.read_text(encoding="utf-8"), re.MULTILINE)
    names = line[1].strip() if line else "Models"
    return [settings_fds.parent.parent / name.strip() for name in names.split(";") if name.strip()]


def stability_matrix(models_root: Path) -> dict[str, list[str]]:
    """Folder of the shared library -> names below it."""
    return {
        folder: [
            name
            for _, name in _below(models_root / folder, links=True)
            if _extension(name).lower() in _STABILITY_MATRIX_EXTENSIONS
        ]
        for folder in _STABILITY_MATRIX_FOLDERS
    }


def wan2gp(config: Path, app_root: Path, wanted: str) -> Path | None:
    """Where the model with exactly this file name is found; None makes the app download it."""
    settings = json.loads(config.read_text(encoding="utf-8")) if config.exists() else {}
    places = [app_root / name / wanted for name in settings.get("checkpoints_paths", ["ckpts", "."])]
    return next((path for path in places if path.is_file()), None)
