"""A hub that stands still: fixed answers for pictures of every screen, the same on every machine and day."""

from types import SimpleNamespace
from typing import Any

from modelhub.core.apps import Target
from modelhub.core.deployment import Conflict, MakeLink, Plan, Skip, TargetStatus
from modelhub.core.types import Category, Evidence, Listed, Location, Model, ModelFile, Sha256
from modelhub.services.checks import Check
from modelhub.services.duplicates import Group
from modelhub.services.library import ModelDetails
from modelhub.services.rules import RuleInfo
from modelhub.store.trash import Deleted
from modelhub.tui import dashboard

ADDRESS = Sha256("0123456789abcdef" * 4)
NAMES = (
    ("dreamshaper_8.safetensors", "checkpoint", "sd15", 2_130_000_000, "ok"),
    ("flux1-dev-Q4_K_S.gguf", "unet", "flux", 6_810_000_000, "ok"),
    ("half a download.safetensors", "unknown", "", 7_240_000, "broken"),
    ("ink-wash-v2.safetensors", "lora", "sdxl", 228_000_000, "ok"),
    ("Llama-3.2-3B-Instruct-Q4_K_M.gguf", "llm", "llama3_2", 2_020_000_000, "ok"),
    ("水彩 [bold]brush[/].safetensors", "lora", "pony", 114_000_000, "ok"),
)
LISTED = [
    Listed(number, name, kind, base, "", "F16", "Q4" if name.endswith("gguf") else "", size, 0.97, state, False,
           "art\x1fline" if kind == "lora" else "", "", False, False, "safetensors", "VISION CREATIVE ", "", "", False,
           number % 2 == 0, False)
    for number, (name, kind, base, size, state) in enumerate(NAMES, 1)
]  # fmt: skip
MODEL = Model(
    1, ADDRESS, NAMES[0][0], NAMES[0][3], "checkpoint", "sd15", "", "", 0.97, "tensors", "safetensors", "F16", "",
    "unet", 1_066_235_307, 0, 1130, "dreamy, soft light", "ok", "", "", missing=False, deleted=False, notes="Mine",
    classified_at="2026-01-02 03:04:05", created_at="2026-01-02 03:04:05", license="creativeml-openrail-m",
    category=Category("VISION", "CREATIVE", "GENERAL"), tags=("art", "line"),
)  # fmt: skip
DETAILS = ModelDetails(
    model=MODEL,
    files=(ModelFile(ADDRESS, NAMES[0][0], NAMES[0][3], ADDRESS[::-1], "", stored=True, verified_at=""),),
    path=f"/hub/models/{ADDRESS[:12]}/{NAMES[0][0]}",
    locations=(
        Location("/downloads/dreamshaper_8.safetensors", "symlink", present=True, first_seen="", recorded_at=""),
    ),
    deployed=("/apps/ComfyUI/models/checkpoints/dreamshaper_8.safetensors",),
    evidence=(
        Evidence("tensors", "checkpoint", 0.98, 1.0, "UNet, VAE and CLIP of Stable Diffusion 1.5", base="sd15"),
        Evidence("metadata", "checkpoint", 0.7, 0.8, "modelspec.architecture says so"),
        Evidence("filename", "checkpoint", 0.4, 0.5, "the name of a checkpoint"),
    ),
    corrections={},
    metadata=(
        ("safetensors", "modelspec.architecture", "stable-diffusion-v1"),
        ("safetensors", "modelspec.title", "Dream [/bold] Shaper"),
        ("safetensors", "ss_tag_frequency", '{"img": {"soft light": 20, "dreamy": 12}}'),
    ),
    external=(),
)
STATUS = [
    TargetStatus("comfyui", "ComfyUI", "/apps/ComfyUI/models", True, 3, 5, 0,
                 {"checkpoint": (1, 1), "lora": (1, 2), "unet": (1, 1)}, "comfyui", "symlink", 66_000_000_000),
    TargetStatus("ollama", "Ollama", "/apps/ollama", False, 0, 1, 1, {"llm": (0, 1)}, "ollama", "native", None),
]  # fmt: skip
PLAN = Plan((
    MakeLink("comfyui", 4, ADDRESS, "/apps/ComfyUI/models/loras/ink-wash-v2.safetensors", "/hub/models/a", 228_000_000),
    Conflict("comfyui", 6, "/apps/ComfyUI/models/loras/brush.safetensors", "a file of yours"),
    Skip("comfyui", 3, "half a download.safetensors", "broken", "it is broken: it ends too early"),
))  # fmt: skip
TARGETS = [
    Target(1, "comfyui", "ComfyUI", "/apps/ComfyUI/models", enabled=True, app="comfyui"),
    Target(2, "ollama", "Ollama", "/apps/ollama", enabled=False, app="ollama"),
]
RULES = [
    RuleInfo("model_types", "lora", "ours", enabled=True, says="LoRA", because="Low-rank adaptation"),
    RuleInfo("architecture_patterns", "lora-flux", "yours", enabled=True, says="lora flux", because="it patches FLUX"),
    RuleInfo("filename_patterns", "pony", "ours", enabled=False, says="pony", because="the name says so"),
]
SEEN = dashboard._Seen(
    types=[("lora", 14, 481_000_000), ("llm", 9, 5_530_000_000), ("checkpoint", 4, 5_980_000_000)],
    bases=[("sd15", 16, 6_510_000_000), ("", 9, 338_000_000), ("sdxl", 2, 3_060_000_000)],
    targets=STATUS,
    copies=3,
    wasted=1_200_000_000,
    saved=31_000_000_000,
    free=66_000_000_000,
    total=250_000_000_000,
    checks=[Check("room", "warning", "The disk is nearly full.", "Run `modelhub unused`.")],
)


def hub() -> Any:
    """As much of a hub as the screens ask for while nobody presses a key that changes something."""
    kept: dict[str, str] = {}
    return SimpleNamespace(
        settings=SimpleNamespace(page_size=1000, keys=(), adopt="symlink"),
        places=SimpleNamespace(root="/hub"),
        memory=SimpleNamespace(get=lambda key: kept.get(key, ""), set=kept.__setitem__),
        models=SimpleNamespace(
            listed=lambda limit=None, after=0: [one for one in LISTED if one.id > after],
            details=lambda _: DETAILS,
            of_ids=lambda ids: [MODEL],
        ),
        deployment=SimpleNamespace(
            status=lambda: STATUS,
            plan=lambda *_: PLAN,
            preview=lambda plan: SimpleNamespace(
                made=1, removed=0, linked=2, conflicts=1, configs=0, bytes_saved=228_000_000, bytes_copied=0
            ),
        ),
        targets=SimpleNamespace(all=lambda: TARGETS),
        duplicates=SimpleNamespace(
            copies=lambda: [Group(2_130_000_000, f"/hub/models/x/{NAMES[0][0]}", ("/downloads/a copy.safetensors",))]
        ),
        trash=SimpleNamespace(all=lambda: [Deleted(9, ADDRESS, "old-mix.ckpt", 4_200_000_000, "2026-01-02 03:04:05")]),
        rules=SimpleNamespace(listed=lambda: RULES),
    )
