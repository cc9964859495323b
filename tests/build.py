"""Small real model files for tests: our own writers, and recipes whose names and shapes follow the architectures.

Tensors are sparse: a file may claim gigabytes and take a few kilobytes on disk.
"""

import os
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelhub.samples.writers import Shapes, gguf, onnx, safetensors

__all__ = ["Shapes", "gguf", "onnx", "safetensors"]


def torch_zip(path: Path, pickled: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/data/0", b"\0" * 64)
        archive.writestr("archive/version", "3\n")
    return path


class _Attack:
    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:

        return os.system, (self._command,)


def malicious_pickle(command: str) -> bytes:
    """A pickle that runs `command` in whoever unpickles it."""
    return pickle.dumps({"weights": _Attack(command)}, protocol=2)


STATE_DICT = (
    b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01X\x06\x00\x00\x00weightq\x02ctorch._utils\n_rebuild_tensor_v2\n"
    b"q\x03((X\x07\x00\x00\x00storageq\x04ctorch\nFloatStorage\nq\x05X\x01\x00\x00\x000q\x06X\x03\x00\x00\x00cpuq\x07K"
    b"\x10tq\x08QK\x00K\x04K\x04\x86q\tK\x04K\x01\x86q\n\x89h\x00)Rq\x0btq\x0cRq\rs."
)
"""What `torch.save({"weight": tensor})` writes into data.pkl."""


# Architectures, as their authors name and shape them


def sd_unet(width: int, *, in_channels: int = 4, sdxl: bool = False) -> dict[str, Sequence[int]]:
    """The tensors of an LDM UNet that tell it, with cross-attention `width` wide."""
    p = "model.diffusion_model."
    block, channels = ("4", 640) if sdxl else ("1", 320)
    shapes: dict[str, Sequence[int]] = {f"{p}input_blocks.0.0.weight": (320, in_channels, 3, 3)}
    for layer in ("attn1", "attn2"):
        inner = channels if layer == "attn1" else width
        for part in ("to_k", "to_v"):
            shapes[f"{p}input_blocks.{block}.1.transformer_blocks.0.{layer}.{part}.weight"] = (channels, inner)
    return shapes | {
        f"{p}out.0.weight": (320,),
        f"{p}out.2.weight": (4, 320, 3, 3),
        f"{p}time_embed.0.weight": (1280, 320),
    }


def vae(latents: int = 4, prefix: str = "") -> dict[str, Sequence[int]]:
    return {
        f"{prefix}encoder.conv_in.weight": (128, 3, 3, 3),
        f"{prefix}decoder.conv_in.weight": (512, latents, 3, 3),
        f"{prefix}decoder.conv_out.weight": (3, 128, 3, 3),
        f"{prefix}decoder.mid.block_1.conv1.weight": (512, 512, 3, 3),
    }


def flux(prefix: str = "", *, guidance: bool = True) -> dict[str, Sequence[int]]:
    shapes: dict[str, Sequence[int]] = {
        f"{prefix}double_blocks.0.img_attn.norm.key_norm.scale": (128,),
        f"{prefix}double_blocks.0.img_attn.qkv.weight": (9216, 3072),
        f"{prefix}double_blocks.0.img_mod.lin.weight": (18432, 3072),
        f"{prefix}single_blocks.0.linear1.weight": (21504, 3072),
        f"{prefix}img_in.weight": (3072, 64),
    }
    return shapes | ({f"{prefix}guidance_in.in_layer.weight": (3072, 256)} if guidance else {})


def wan(dim: int = 5120) -> dict[str, Sequence[int]]:
    return {
        "blocks.0.self_attn.q.weight": (dim, dim),
        "blocks.0.cross_attn.k.weight": (dim, dim),
        "patch_embedding.weight": (dim, 16, 1, 2, 2),
    }


def kohya(modules: Sequence[str], *, rank: int = 16, inner: int = 768, outer: int = 320) -> dict[str, Sequence[int]]:
    shapes: dict[str, Sequence[int]] = {}
    for module in modules:
        shapes[f"{module}.lora_down.weight"] = (rank, inner)
        shapes[f"{module}.lora_up.weight"] = (outer, rank)
        shapes[f"{module}.alpha"] = ()
    return shapes


SD15_LORA = kohya([
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k",
    "lora_te_text_model_encoder_layers_0_mlp_fc1",
])  # fmt: skip
SDXL_LORA = kohya([
    "lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_k",
    "lora_te2_text_model_encoder_layers_0_mlp_fc1",
], inner=2048, outer=640)  # fmt: skip
FLUX_LORA = {
    f"transformer.single_transformer_blocks.{block}.attn.to_q.lora_{side}.weight": shape
    for block in range(4)
    for side, shape in (("A", (16, 3072)), ("B", (3072, 16)))
}
CONTROLNET = {
    "control_model.zero_convs.0.0.weight": (320, 320, 1, 1),
    "control_model.input_hint_block.0.weight": (16, 3, 3, 3),
    "control_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 768),
}
ESRGAN = {
    "conv_first.weight": (64, 3, 3, 3),
    "body.0.rdb1.conv1.weight": (32, 64, 3, 3),
    "conv_last.weight": (3, 64, 3, 3),
}
CLIP_L = {"text_model.embeddings.token_embedding.weight": (49408, 768), "text_model.final_layer_norm.weight": (768,)}
TOKENS = [f"token{number}" for number in range(64)]


def llm_pairs(architecture: str, name: str, *, file_type: int = 1, context: int = 8192) -> dict[str, Any]:
    return {
        "general.architecture": architecture,
        "general.name": name,
        "general.file_type": file_type,
        f"{architecture}.context_length": context,
        f"{architecture}.block_count": 1,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": TOKENS,
    }


LLM_TENSORS = {
    "token_embd.weight": ((1024, 64), "F16"),
    "blk.0.attn_q.weight": ((64, 64), "F16"),
    "output_norm.weight": ((64,), "F32"),
    "output.weight": ((1024, 64), "F16"),
}

_SD15 = (
    sd_unet(768)
    | vae(prefix="first_stage_model.")
    | {"cond_stage_model.transformer.text_model.final_layer_norm.weight": (768,)}
)
_SDXL = (
    sd_unet(2048, sdxl=True)
    | vae(prefix="first_stage_model.")
    | {"conditioner.embedders.0.transformer.text_model.final_layer_norm.weight": (768,)}
)
_BULK = {"model.diffusion_model.middle_block.1.proj_in.weight": (16000, 16000)}

SAMPLES: dict[str, tuple[str, Any]] = {
    "checkpoints/dreamshaper_8.safetensors": ("checkpoint", _SD15 | _BULK),
    "checkpoints/sd-v1-5-inpainting.safetensors": (
        "checkpoint",
        sd_unet(768, in_channels=9) | vae(prefix="first_stage_model.") | _BULK,
    ),
    "checkpoints/juggernautXL_v9.safetensors": ("checkpoint", _SDXL | _BULK),
    "checkpoints/ponyDiffusionV6XL.safetensors": ("checkpoint", _SDXL | _BULK),
    "flux/flux1-dev.safetensors": ("unet", flux()),
    "flux/flux1-schnell.safetensors": ("unet", flux(guidance=False)),
    "wan/wan2.1_t2v_14B.safetensors": ("unet", wan() | {"blocks.1.ffn.0.weight": (13824, 5120)}),
    "loras/add_detail.safetensors": ("lora", SD15_LORA),
    "loras/pixel-art-xl.safetensors": ("lora", SDXL_LORA),
    "loras/DetailedEyes_PonyXL.safetensors": ("lora", SDXL_LORA),
    "loras/flux_realism.safetensors": ("lora", FLUX_LORA),
    "vae/vae-ft-mse-840000.safetensors": ("vae", vae() | {"decoder.up.0.block.0.conv1.weight": (4096, 2048, 3, 3)}),
    "vae/ae.safetensors": ("vae", vae(16) | {"decoder.up.0.block.0.conv1.weight": (4096, 2048, 3, 3)}),
    "controlnet/control_v11p_sd15_canny.safetensors": (
        "controlnet",
        CONTROLNET | {"control_model.middle_block.0.weight": (20000, 2000)},
    ),
    "embeddings/EasyNegative.safetensors": ("embedding", {"emb_params": (8, 768)}),
    "upscalers/4x-UltraSharp.safetensors": ("upscaler", ESRGAN),
    "text_encoders/clip_l.safetensors": ("text_encoder", CLIP_L),
    "misc/mystery_weights.safetensors": ("unknown", {"a.weight": (4, 4), "b.weight": (4, 4)}),
}
"""Path -> (type it is, its tensors): files that every scan can take."""


def write_sample(folder: Path, name: str) -> Path:
    return safetensors(folder / name, SAMPLES[name][1])
