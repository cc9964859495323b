"""The `_config` folder of a tree of models: how each app is pointed at it, and what is in it."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from modelhub.apps.configs.dumping import dumped
from modelhub.apps.configs.wanted import Wanted

_COMFYUI = {
    "base": "checkpoints", "lora": "loras", "vae": "vae", "controlnet": "controlnet", "embedding": "embeddings",
    "upscale": "upscale_models", "text_encoder": "text_encoders",
}  # fmt: skip
_FOOOCUS = {
    "diffusion/base": "path_checkpoints", "diffusion/lora": "path_loras", "diffusion/vae": "path_vae",
    "diffusion/controlnet": "path_controlnet", "diffusion/embedding": "path_embeddings",
    "diffusion/upscale": "path_upscale_models",
}  # fmt: skip
_FIRST_PORT = 8081


def files(folder: str, wanted: Wanted) -> dict[str, bytes | None]:
    """Every file of `_config`, by path; None for those that have nothing to say."""
    used = sorted({one for folders in wanted.folders.values() for one in folders})
    servers = [one for one in used if one.startswith("llm/") and one != "llm/embedding"]
    made: dict[str, bytes | None] = {
        f"{folder}/comfyui_extra_paths.yaml": _yaml(_comfyui(wanted.root, used)),
        f"{folder}/fooocus_paths.yaml": _yaml(
            {_FOOOCUS[one]: f"{wanted.root}/{one}" for one in used if one in _FOOOCUS}
        ),
        f"{folder}/manifest.yml": _yaml({"models": [dict(model) for model in wanted.models]} if wanted.models else {}),
    }
    for kind in ("coding", "general", "roleplay", "uncensored"):
        path = f"{folder}/llm_servers/{kind}.sh"
        place = f"llm/{kind}"
        port = _FIRST_PORT + servers.index(place) if place in servers else 0
        made[path] = _script(place, port) if port else None
    return made


def _comfyui(root: str, used: Sequence[str]) -> dict[str, Any]:
    block: dict[str, str] = {}
    for one in used:
        area, _, kind = one.partition("/")
        if area in ("diffusion", "video") and kind in _COMFYUI:
            key = _COMFYUI[kind]
            for category in (key, "diffusion_models") if key == "checkpoints" else (key,):
                block[category] = f"{block[category]}{one}\n" if category in block else f"{one}\n"
    lines = {category: text if text.count("\n") > 1 else text.strip() for category, text in block.items()}
    return {os.path.basename(root) or "models": {"base_path": root, **lines}} if lines else {}


def _script(place: str, port: int) -> bytes:
    depth = f'"$(dirname "$0")/../../{place}"'
    return f"""#!/bin/sh
# Serves the models of {place} with llama.cpp's router; further flags may be given.
exec llama-server --models-dir {depth} --port {port} "$@"
""".encode()


def _yaml(document: Mapping[str, Any]) -> bytes | None:
    return dumped(document).encode() if document else None
