"""Small real model files for tests: our own writers, and recipes whose names and shapes follow the architectures.

Tensors are sparse: a file may claim gigabytes and take a few kilobytes on disk.
"""

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "I64": 64, "U8": 8}
Shapes = Mapping[str, Sequence[int]]


def safetensors(
    path: Path, shapes: Shapes, *, dtype: str = "F16", metadata: Mapping[str, str] | None = None, mark: str = ""
) -> Path:
    """A valid sparse safetensors file. `mark` goes into the first bytes of the data, to tell contents apart."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name, shape in shapes.items():
        size = prod(shape) * BITS[dtype] // 8
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        start = stream.tell()
        stream.write(os.fsencode(mark or path.name)[:offset])
        stream.truncate(start + offset)
    return path


def gguf(
    path: Path,
    pairs: Mapping[str, Any],
    tensors: Mapping[str, tuple[Sequence[int], int]] | None = None,
    *,
    version: int = 3,
) -> Path:
    """A GGUF file; tensors are name -> (shape innermost first, ggml type 0 or 1)."""
    tensors = tensors or {}
    out = io.BytesIO()
    out.write(b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs)))
    for key, value in pairs.items():
        out.write(_text(key) + _value(value))
    offset = 0
    for name, (shape, kind) in tensors.items():
        dims = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        out.write(_text(name) + dims + struct.pack("<IQ", kind, offset))
        offset += -(-prod(shape) * (4, 2)[kind] // 32) * 32
    out.write(b"\0" * (-out.tell() % 32))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.write(out.getvalue())
        stream.truncate(out.tell() + offset)
    return path


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _value(value: Any) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<IB", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    items = b"".join(_text(item) for item in value)
    return struct.pack("<IIQ", 9, 8, len(value)) + items


def torch_zip(path: Path, pickled: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/data/0", b"\0" * 64)
        archive.writestr("archive/version", "3\n")
    return path


def _field(number: int, content: bytes | int) -> bytes:
    """One field of a protobuf message."""
    if isinstance(content, int):
        return _varint(number << 3) + _varint(content)
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def onnx(path: Path, shapes: Shapes | None = None, *, external: str = "") -> Path:
    """An ONNX model with float weights, in the file `external` if that is named."""
    graph = _field(1, _field(4, b"Conv")) + _field(2, b"graph") + _field(11, _field(1, b"input"))
    for name, shape in (shapes or {"w": (2, 2)}).items():
        tensor = b"".join(_field(1, side) for side in shape) + _field(2, 1) + _field(8, name.encode())
        if external:
            tensor += _field(13, _field(1, b"location") + _field(2, external.encode())) + _field(14, 1)
        else:
            tensor += _field(9, bytes(4 * prod(shape)))
        graph += _field(5, tensor)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_field(1, 8) + _field(2, b"pytorch") + _field(7, graph))
    return path


class _Attack:
    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

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
    "token_embd.weight": ((64, 1024), 1),
    "blk.0.attn_q.weight": ((64, 64), 1),
    "output_norm.weight": ((64,), 0),
    "output.weight": ((64, 1024), 1),
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

GGUF_SAMPLES = {
    "llm/Llama-3.2-3B-Instruct-F16.gguf": ("llm", llm_pairs("llama", "Llama 3.2 3B Instruct"), LLM_TENSORS),
    "llm/qwen2.5-0.5b-instruct-fp16.gguf": ("llm", llm_pairs("qwen2", "Qwen2.5 0.5B Instruct"), LLM_TENSORS),
    "llm/nomic-embed-text-v1.5.gguf": (
        "embedding_model",
        llm_pairs("nomic-bert", "nomic-embed-text-v1.5"),
        LLM_TENSORS,
    ),
    "llm/ggml-vocab-only.gguf": ("tokenizer_only", llm_pairs("llama", "vocabulary"), {}),
}


def write_sample(folder: Path, name: str) -> Path:
    return safetensors(folder / name, SAMPLES[name][1])


def write_samples(folder: Path) -> Iterator[Path]:
    """Every sample, and what a scan must cope with beside them."""
    for name in SAMPLES:
        yield write_sample(folder, name)
    for name, (_, pairs, tensors) in GGUF_SAMPLES.items():
        yield gguf(folder / name, pairs, tensors)
    yield from write_oddities(folder)


def write_oddities(folder: Path) -> Iterator[Path]:
    """A copy, a pointer, a web page, a truncated file, a harmless and a malicious pickle."""
    odd = folder / "odd"
    odd.mkdir(parents=True, exist_ok=True)
    copy = odd / "add_detail (1).safetensors"
    copy.write_bytes((folder / "loras/add_detail.safetensors").read_bytes())
    yield copy
    pointer = odd / "big.safetensors"
    pointer.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 4265146304\n")
    yield pointer
    page = odd / "login.safetensors"
    page.write_text("<!DOCTYPE html><html><title>Log in</title></html>")
    yield page
    whole = safetensors(odd / "cut_off.safetensors", SDXL_LORA)
    with whole.open("r+b") as stream:
        stream.truncate(whole.stat().st_size // 2)
    yield whole
    yield torch_zip(odd / "4x-old-upscaler.pth", STATE_DICT)
    yield torch_zip(odd / "free_model.ckpt", malicious_pickle("false"))
