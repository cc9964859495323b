"""The listers of the apps that run language and speech models; see `listers`."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

# LM Studio


def lm_studio(models_root: Path) -> list[tuple[str, str, list[str]]]:
    """(publisher, model, GGUF names), from exactly two levels; one dangling link raises FileNotFoundError."""
    shown = []
    for publisher in _folders(models_root):
        for model in _folders(publisher):
            names = [path.name for path in _entries(model) if path.is_file() and path.suffix == ".gguf"]
            if names:
                shown.append((publisher.name, model.name, names))
    return shown


def _entries(folder: Path) -> list[Path]:
    """All that is in a folder, each looked at through its link."""
    paths = sorted(folder.iterdir())
    for path in paths:
        path.stat()
    return paths


def _folders(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_dir()]


# llama-server as a router


def llama_router_dir(models_dir: Path) -> dict[str, tuple[Path, Path | None]]:
    """Name -> (model, mmproj) of --models-dir: the files at the top, and one model for each folder beside them."""
    shown: dict[str, tuple[Path, Path | None]] = {}
    for path in sorted(models_dir.iterdir()):
        if path.is_dir():
            models, mmproj = _ggufs(path)
            shards = [model for model in models if "-00001-of-" in model.name]
            if models:
                shown[path.name] = (shards or models)[-1], mmproj
        elif path.is_file() and path.name.endswith(".gguf") and "mmproj" not in path.name:
            shown[path.name.removesuffix(".gguf")] = path, None
    return shown


def _ggufs(folder: Path) -> tuple[list[Path], Path | None]:
    found = [path for path in sorted(folder.iterdir()) if path.name.endswith(".gguf") and path.is_file()]
    companions = [path for path in found if "mmproj" in path.name]
    return [path for path in found if path not in companions], companions[-1] if companions else None


def llama_presets(ini: Path) -> dict[str, dict[str, str]]:
    """Name -> settings of --models-preset, with those of [*] below each; the models need no extension."""
    sections: dict[str, dict[str, str]] = {"": {}, "*": {}}
    current = sections[""]
    for line in map(str.strip, ini.read_text(encoding="utf-8").splitlines()):
        if line.startswith("[") and line.endswith("]"):
            current = sections.setdefault(line[1:-1], {})
        elif line and line[0] not in ";#":
            key, equals, value = line.partition("=")
            if not equals:
                raise ValueError(f"neither a section nor a setting: {line}")
            current[key.strip()] = value.strip()
    if sections.pop("").get("version") != "1":
        raise ValueError("version = 1 is missing")
    everywhere = sections.pop("*")
    return {name: everywhere | own for name, own in sections.items()}


# Jan, llama-swap, KoboldCpp


def jan(data_folder: Path) -> dict[str, dict[str, Any]]:
    """Id -> model.yml; FileNotFoundError for a model that is not where its model.yml says."""
    root = data_folder / "llamacpp/models"
    shown = {}
    for folder in _jan_folders(root) if root.is_dir() else ():
        name = folder.relative_to(root).as_posix()
        if re.fullmatch(r"[A-Za-z0-9/_.-]+", name) and not {".", ".."} & set(name.split("/")):
            shown[name] = _jan_model(folder / "model.yml", data_folder)
    return shown


def _jan_folders(folder: Path) -> Iterator[Path]:
    """Depth first, and never below a folder that holds a model.yml."""
    if (folder / "model.yml").exists():
        yield folder
        return
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        yield from _jan_folders(inner)


def _jan_model(path: Path, data_folder: Path) -> dict[str, Any]:
    model = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(model, dict) or not isinstance(model.get("model_path"), str):
        raise ValueError(f"model_path is missing: {path}")  # noqa: TRY004  (what is wrong is the file)
    for key in ("model_path", "mmproj_path"):
        if key in model:
            (data_folder / model[key]).stat()
    return model


def llama_swap(path: Path) -> dict[str, dict[str, Any]]:
    """Name -> settings; every model must say its command."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    models = content.get("models") if isinstance(content, dict) else None
    if not isinstance(models, dict):
        raise ValueError(f"no models: {path}")  # noqa: TRY004  (what is wrong is the file)
    for name, model in models.items():
        if not isinstance(model, dict) or not isinstance(model.get("cmd"), str):
            raise ValueError(f"{name}: cmd is missing")  # noqa: TRY004  (what is wrong is the file)
    return models


def koboldcpp(kcpps: Path) -> dict[str, Any]:
    """The settings of --config; FileNotFoundError for a model in it that is not there."""
    settings = json.loads(kcpps.read_text(encoding="utf-8"))
    if not isinstance(settings, dict):
        raise ValueError(f"no settings: {kcpps}")  # noqa: TRY004  (what is wrong is the file)
    for key in ("model_param", "mmproj", "sdmodel", "whispermodel"):
        if settings.get(key):
            os.stat(settings[key])
    return settings


# text-generation-webui, MLX


def text_generation_webui(models_root: Path) -> list[str]:
    """GGUF files at any depth, the first part of several only, and then the folders at the top that hold others."""
    ggufs = [
        os.path.relpath(os.path.join(here, name), models_root)
        for here, _, names in os.walk(models_root, followlinks=True)
        for name in names
        if name.lower().endswith(".gguf")
    ]
    parts = {name: re.search(r"-(\d+)-of-\d+\.gguf$", name) for name in ggufs}
    of_ggufs = {name.split("/")[0] for name in ggufs}
    folders = [path for path in models_root.iterdir() if path.is_dir()]
    return [
        *sorted(name for name, part in parts.items() if not part or int(part[1]) == 1),
        *sorted(path.name for path in folders if path.name not in of_ggufs or _holds_tensors(path)),
    ]


def _holds_tensors(folder: Path) -> bool:
    return any(path.is_file() and path.name.lower().endswith((".safetensors", ".pt")) for path in folder.iterdir())


def mlx(folder: Path) -> list[str]:
    """The files of a model that mlx-lm reads; FileNotFoundError without config.json or without any weights."""
    json.loads((folder / "config.json").read_text(encoding="utf-8"))
    weights = sorted(path.name for path in folder.glob("model*.safetensors"))
    if not weights:
        raise FileNotFoundError(f"no model*.safetensors in {folder}")
    return weights


# Piper, whisper.cpp


def piper(data_dir: Path) -> list[str]:
    """The voices of a --data-dir: both files at its top, with one stem."""
    return sorted(path.stem for path in data_dir.glob("*.onnx") if path.is_file() and _voice_settings(path).is_file())


def piper_http_ids(data_dir: Path) -> list[str]:
    """The same voices as Piper's HTTP server names them: it strips letters where it means an ending."""
    return [f"{name}.onnx.json".rstrip(".onxjs") for name in piper(data_dir)]


def piper_load(data_dir: Path, voice: str) -> Path:
    """The model of a voice; FileNotFoundError where one of its two files is missing."""
    model = data_dir / f"{voice}.onnx"
    json.loads(_voice_settings(model).read_text(encoding="utf-8"))
    model.stat()
    return model


def _voice_settings(model: Path) -> Path:
    return model.with_name(f"{model.name}.json")


def whisper_cpp(folder: Path) -> list[str]:
    """The names `ggml-*.bin` whose content `whisper-cli -m` would load."""
    return [path.name for path in sorted(folder.glob("ggml-*.bin")) if path.is_file() and _is_ggml(path)]


def _is_ggml(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == (0x67676D6C).to_bytes(4, "little")
