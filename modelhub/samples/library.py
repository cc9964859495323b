"""The sample library: about sixty models as people have them, and what lies about beside them."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from modelhub.samples import architectures as nets
from modelhub.samples import writers

_TOKENS = [f"token{number}" for number in range(64)]
_TRAINED = {"ss_network_module": "networks.lora", "ss_network_dim": "32", "ss_network_alpha": "16"}
_SHIFT = '{"folder": {"detailed eyes": 120, "masterpiece": 88, "1girl": 60}}'


def write(folder: Path) -> Iterator[Path]:
    """Write every sample under `folder`; each path is given when it is done."""
    for name, make in _FILES.items():
        yield make(folder / name)
    yield language_folder(folder / "huggingface/SmolLM2-135M-Instruct")
    yield _embedding_folder(folder / "huggingface/all-MiniLM-L6-v2")
    yield _sharded_folder(folder / "huggingface/TinyLlama-1.1B-Chat-v1.0")
    yield _pipeline_folder(folder / "diffusers/tiny-sd-pipeline")
    yield from _voices(folder / "voices")
    yield from _oddities(folder)


def _st(shapes: nets.Tensors, dtype: str = "F16", **metadata: str) -> Callable[[Path], Path]:
    return lambda path: writers.safetensors(path, shapes, dtype=dtype, metadata=metadata)


def _torch(shapes: nets.Tensors, wrapper: str = "", dtype: str = "F16") -> Callable[[Path], Path]:
    return lambda path: writers.torch_zip(path, shapes, dtype=dtype, wrapper=wrapper)


def _llm(
    architecture: str, name: str, kind: str, number: int, size: tuple[int, int, tuple[int, int], int, int]
) -> Callable[[Path], Path]:
    pairs = {
        "general.architecture": architecture, "general.name": name, "general.file_type": number,
        f"{architecture}.context_length": 32768, f"{architecture}.block_count": size[0],
        f"{architecture}.embedding_length": size[1], f"{architecture}.attention.head_count": size[2][0],
        f"{architecture}.attention.head_count_kv": size[2][1], "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": _TOKENS, "tokenizer.chat_template": "{{ messages }}",
    }  # fmt: skip
    return lambda path: writers.gguf(path, pairs, nets.gguf_llama(*size, kind))


def _diffusion_gguf(architecture: str, kind: str, number: int, shapes: nets.Tensors) -> Callable[[Path], Path]:
    pairs: Mapping[str, Any] = {"general.architecture": architecture, "general.file_type": number}
    return lambda path: writers.gguf(path, pairs, nets.quantised(shapes, kind))


_QWEN = (24, 896, (14, 2), 4864, 151936)
_LLAMA_1B = (16, 2048, (32, 8), 8192, 128256)
_GEMMA = (18, 640, (4, 1), 2048, 262144)

_FILES: dict[str, Callable[[Path], Path]] = {
    "checkpoints/dreamshaper_8.safetensors": _st(nets.sd15_checkpoint()),
    "checkpoints/sd-v1-5-inpainting.safetensors": _st(nets.sd15_checkpoint(in_channels=9), "F8_E4M3"),
    "checkpoints/juggernautXL_v9.safetensors": _st(nets.sdxl_checkpoint(), "F8_E4M3"),
    "checkpoints/old-anime-mix.ckpt": _torch(
        nets.vae(prefix="first_stage_model.") | {
            name: shape for name, shape in nets.ldm_unet().items() if ".input_blocks.1." in name or "blocks.0." in name
        }, wrapper="state_dict",
    ),
    "diffusion_models/wan2.1_t2v_1.3B_fp8_e4m3fn.safetensors": _st(nets.wan(), "F8_E4M3"),
    "diffusion_models/sd15-unet-only.safetensors": _st(nets.ldm_unet(prefix=""), "F8_E4M3"),
    "diffusion_models/flux1-dev-Q2_K.gguf": _diffusion_gguf("flux", "Q2_K", 10, nets.flux()),
    "loras/add_detail.safetensors": _st(nets.kohya_sd15(), ss_base_model_version="sd_v1", **_TRAINED),
    "loras/film-grain-v2.safetensors": _st(nets.kohya_sd15(8), ss_base_model_version="sd_v1", **_TRAINED),
    "loras/ink-wash.safetensors": _st(nets.kohya_sd15(16), ss_base_model_version="sd_v1", **_TRAINED),
    "loras/DetailedEyes_XL_V3.safetensors": _st(
        nets.kohya_sdxl(), ss_base_model_version="sdxl_base_v1-0", ss_tag_frequency=_SHIFT, **_TRAINED
    ),
    "loras/pixel-art-xl.safetensors": _st(nets.kohya_sdxl(8), ss_base_model_version="sdxl_base_v1-0", **_TRAINED),
    "loras/expressive_ponyXL.safetensors": _st(
        nets.kohya_sdxl(4), ss_base_model_version="sdxl_base_v1-0", ss_sd_model_name="ponyDiffusionV6XL.safetensors",
        **_TRAINED,
    ),
    "loras/illustrious-lineart.safetensors": _st(
        nets.kohya_sdxl(4), ss_base_model_version="sdxl_base_v1-0", ss_sd_model_name="Illustrious-XL-v0.1.safetensors",
    ),
    "loras/flux_realism_lora.safetensors": _st(nets.diffusers_flux_lora(), "BF16"),
    "loras/flux-film-noir.safetensors": _st(nets.diffusers_flux_lora(4), "BF16"),
    "loras/wan_orbit_shot.safetensors": _st(nets.wan_lora(8), "BF16"),
    "loras/wan_claymation.safetensors": _st(nets.wan_lora(4), "BF16"),
    "loras/soft-light-v3.safetensors": _st(nets.kohya_sd15(4), ss_base_model_version="sd_v1", **_TRAINED),
    "loras/paper-cutout-xl.safetensors": _st(nets.kohya_sdxl(6), ss_base_model_version="sdxl_base_v1-0", **_TRAINED),
    "loras/a8f3c21e.safetensors": _st(nets.kohya_sdxl(2)),
    "vae/vae-ft-mse-840000-ema-pruned.safetensors": _st(nets.vae(), "F32"),
    "vae/ae.safetensors": _st(nets.vae(16), "BF16"),
    "vae/kl-f8-anime2.ckpt": _torch(nets.vae(), wrapper="state_dict"),
    "controlnet/control_v11p_sd15_canny.safetensors": _st(nets.controlnet_sd15()),
    "controlnet/control_v11f1p_sd15_depth.safetensors": _st(nets.controlnet_sd15()),
    "embeddings/EasyNegative.safetensors": _st({"emb_params": (8, 768)}, "F32"),
    "embeddings/badhandv4.safetensors": _st({"emb_params": (6, 768)}, "F32"),
    "embeddings/negativeXL_D.safetensors": _st({"clip_l": (8, 768), "clip_g": (8, 1280)}, "F32"),
    "upscalers/4x-UltraSharp.pth": _torch(nets.esrgan(2), dtype="F32"),
    "upscalers/RealESRGAN_x2.pth": _torch(nets.esrgan(1, 2), dtype="F32"),
    "upscalers/realesr-general-x4v3.pth": _torch(nets.compact_upscaler(), wrapper="params", dtype="F32"),
    "upscalers/4x_foolhardy_Remacri.safetensors": _st(nets.esrgan(), "F32"),
    "upscalers/1x-DeJPG.safetensors": _st(nets.esrgan(6, 1), "F32"),
    "vae_approx/taesd_decoder.safetensors": _st({
        "1.weight": (64, 4, 3, 3), "3.conv.0.weight": (64, 64, 3, 3), "18.weight": (3, 64, 3, 3), "18.bias": (3,),
    }),
    "text_encoders/clip_l.safetensors": _st(nets.clip_l()),
    "llm/qwen2.5-0.5b-instruct-q8_0.gguf": _llm("qwen2", "Qwen2.5 0.5B Instruct", "Q8_0", 7, _QWEN),
    "llm/qwen2.5-0.5b-instruct-fp16.gguf": _llm("qwen2", "Qwen2.5 0.5B Instruct", "F16", 1, _QWEN),
    "llm/Llama-3.2-1B-Instruct-Q4_K_M.gguf": _llm("llama", "Llama 3.2 1B Instruct", "Q4_K", 15, _LLAMA_1B),
    "llm/Llama-3.2-1B-Instruct-Q6_K.gguf": _llm("llama", "Llama 3.2 1B Instruct", "Q6_K", 18, _LLAMA_1B),
    "llm/Llama-3.2-1B-Instruct-Q2_K.gguf": _llm("llama", "Llama 3.2 1B Instruct", "Q2_K", 10, _LLAMA_1B),
    "llm/DeepSeek-R1-Distill-Qwen-0.5B-Q8_0.gguf": _llm("qwen2", "DeepSeek R1 Distill Qwen", "Q8_0", 7, _QWEN),
    "llm/gemma-3-270m-it-Q8_0.gguf": _llm("gemma3", "Gemma 3 270m It", "Q8_0", 7, _GEMMA),
    "llm/nomic-embed-text-v1.5.Q8_0.gguf": _llm(
        "nomic-bert", "nomic-embed-text-v1.5", "Q8_0", 7, (12, 768, (12, 12), 3072, 30528)
    ),
    "whisper/ggml-base.en.bin": lambda path: writers.whisper(path, layers=6, width=512),
    "whisper/ggml-tiny.bin": lambda path: writers.whisper(path, layers=4, width=384),
}  # fmt: skip


def language_folder(place: Path) -> Path:
    """A small language model as its repository holds it."""
    shapes = _language_model(place, 30, 576, (9, 3), 1536, 49152)
    writers.safetensors(place / "model.safetensors", shapes, dtype="BF16", metadata={"format": "pt"})
    return place


def _language_model(
    place: Path, layers: int, width: int, heads: tuple[int, int], feed: int, vocabulary: int
) -> nets.Tensors:
    """The tensors of a Llama-like model of this size, which is described in its folder."""
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": width, "num_hidden_layers": layers,
        "max_position_embeddings": 8192, "vocab_size": vocabulary, "torch_dtype": "bfloat16",
    }  # fmt: skip
    _describe(place, config, "license: apache-2.0\nlanguage: [en]\npipeline_tag: text-generation")
    return nets.llama_layers(layers, width, heads, feed, vocabulary)


def _sharded_folder(place: Path) -> Path:
    shapes = list(_language_model(place, 8, 2048, (32, 4), 5632, 32000).items())
    halves = dict(shapes[: len(shapes) // 2]), dict(shapes[len(shapes) // 2 :])
    index: dict[str, str] = {}
    for number, half in enumerate(halves, 1):
        name = f"model-0000{number}-of-00002.safetensors"
        index |= dict.fromkeys(half, name)
        writers.safetensors(place / name, half, dtype="BF16", metadata={"format": "pt"})
    writers.text(place / "model.safetensors.index.json", {"metadata": {}, "weight_map": index})
    return place


def _embedding_folder(place: Path) -> Path:
    config = {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": 384, "max_position_embeddings": 512}
    _describe(
        place, config, "license: apache-2.0\npipeline_tag: sentence-similarity\nlibrary_name: sentence-transformers"
    )
    writers.text(place / "config_sentence_transformers.json", {"__version__": {"sentence_transformers": "2.0.0"}})
    writers.text(place / "sentence_bert_config.json", {"max_seq_length": 256, "do_lower_case": False})
    shapes: nets.Tensors = {"embeddings.word_embeddings.weight": (30522, 384)}
    for number in range(6):
        layer = f"encoder.layer.{number}.attention.self"
        shapes |= {f"{layer}.{part}.weight": (384, 384) for part in ("query", "key", "value")}
    writers.safetensors(place / "model.safetensors", shapes, dtype="F32", metadata={"format": "pt"})
    return place


def _describe(place: Path, config: Mapping[str, Any], card: str) -> None:
    writers.text(place / "config.json", config)
    writers.text(place / "tokenizer_config.json", {"model_max_length": 8192, "chat_template": "{{ messages }}"})
    writers.text(place / "tokenizer.json", {"version": "1.0", "model": {"type": "BPE"}})
    writers.text(place / "README.md", f"---\n{card}\n---\n# {place.name}\n")


def _pipeline_folder(place: Path) -> Path:
    components = {
        "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"], "scheduler": ["diffusers", "PNDMScheduler"],
    }  # fmt: skip
    index = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.30.0"}
    writers.text(place / "model_index.json", index | components)
    writers.text(place / "scheduler/scheduler_config.json", {"_class_name": "PNDMScheduler"})
    for name, kind in (("unet", "UNet2DConditionModel"), ("vae", "AutoencoderKL"), ("text_encoder", "CLIPTextModel")):
        writers.text(place / name / "config.json", {"_class_name": kind, "cross_attention_dim": 768})
    writers.safetensors(place / "unet/diffusion_pytorch_model.safetensors", nets.diffusers_unet())
    writers.safetensors(place / "vae/diffusion_pytorch_model.safetensors", nets.vae())
    writers.safetensors(place / "text_encoder/model.safetensors", nets.clip_l())
    return place


def _voices(place: Path) -> Iterator[Path]:
    shapes = {"enc_p.emb.weight": (130, 192), "dec.conv_pre.weight": (256, 192, 7), "flow.flows.0.pre.weight": (96, 96)}
    for name, language in (("en_US-lessac-medium", "en-us"), ("de_DE-thorsten-high", "de")):
        writers.text(
            place / f"{name}.onnx.json",
            {"audio": {"sample_rate": 22050}, "espeak": {"voice": language}, "num_speakers": 1, "piper_version": "1.0"},
        )
        yield writers.onnx(place / f"{name}.onnx", shapes, properties={"comment": "piper", "language": language})


def _oddities(folder: Path) -> Iterator[Path]:
    """What lies about in every collection: copies, companions, pointers, pages, ruins, and a trap."""
    copy = folder / "to sort/add_detail (1).safetensors"
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / "loras/add_detail.safetensors", copy)
    yield copy
    yield writers.text(folder / "checkpoints/sd-v1-5-inpainting.yaml", "model:\n  target: ldm.LatentInpaintDiffusion\n")
    yield writers.text(folder / "loras/add_detail.civitai.info", {"trainedWords": ["add detail"]})
    yield writers.text(
        folder / "to sort/big-model.safetensors",
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 4265146304\n",
    )
    yield writers.text(folder / "to sort/login.safetensors", "<!DOCTYPE html><html><title>Log in</title></html>")
    cut = writers.safetensors(folder / "to sort/half_a_download.safetensors", nets.kohya_sdxl(2), mark="cut")
    with cut.open("r+b") as stream:
        stream.truncate(cut.stat().st_size // 2)
    yield cut
    shard = folder / "to sort/incomplete-00001-of-00003.gguf"
    yield writers.gguf(shard, {"general.architecture": "llama", "split.count": 3, "split.no": 0})
    yield writers.running_pickle(folder / "to sort/free_model.ckpt", "false")
    yield writers.safetensors(folder / "to sort/mystery_weights.safetensors", {"a.weight": (4, 4), "b.weight": (4, 4)})
