"""What each app would list of a folder: the judges of a deployment.

They are written from the apps' stated and measured behaviour, never copied from their code, and hold the traps on
purpose: what an app lists in error is listed here, what stops an app raises here. What nobody stated is left out.
"""

from tests.apps.listers_language import (
    jan,
    koboldcpp,
    llama_presets,
    llama_router_dir,
    llama_swap,
    lm_studio,
    mlx,
    piper,
    piper_http_ids,
    piper_load,
    text_generation_webui,
    whisper_cpp,
)
from tests.apps.listers_pictures import (
    ComfyUI,
    a1111_vae,
    comfyui,
    fooocus,
    forge_controlnet,
    forge_vae_and_text_encoders,
    invokeai_probe_path,
    invokeai_scan,
    stability_matrix,
    swarmui,
    swarmui_model_roots,
    wan2gp,
    webui_checkpoints,
    webui_loras,
    webui_upscalers,
)

__all__ = [
    "ComfyUI",
    "a1111_vae",
    "comfyui",
    "fooocus",
    "forge_controlnet",
    "forge_vae_and_text_encoders",
    "invokeai_probe_path",
    "invokeai_scan",
    "jan",
    "koboldcpp",
    "llama_presets",
    "llama_router_dir",
    "llama_swap",
    "lm_studio",
    "mlx",
    "piper",
    "piper_http_ids",
    "piper_load",
    "stability_matrix",
    "swarmui",
    "swarmui_model_roots",
    "text_generation_webui",
    "wan2gp",
    "webui_checkpoints",
    "webui_loras",
    "webui_upscalers",
    "whisper_cpp",
]
