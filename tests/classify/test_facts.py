"""What a file states without judgement: numbers, words, adapters; and what a model is for."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from modelhub.classify import facts, rulebook, weigh
from modelhub.classify.globs import NameIndex
from modelhub.classify.rulebook import RuleBook
from modelhub.core.places import bundled
from modelhub.core.types import Facts, Inspection, Tensor
from modelhub.store import seed

Shapes = Mapping[str, tuple[str, tuple[int, ...]]]


@cache
def book() -> RuleBook:
    shipped = seed.load(bundled("classification_seed"))
    return rulebook.build(shipped.rows, shipped.digest)


def told(
    tensors: Shapes | None = None, kind: str = "llm", name: str = "model", container: str = "hf_folder", **metadata: Any
) -> Facts:
    listed = {key: Tensor(*value) for key, value in (tensors or {}).items()}
    given = {key.replace("__", "."): value for key, value in metadata.items()}
    inspection = Inspection(container, 1, tensors=listed, metadata=given)
    return facts.gather(inspection, name, NameIndex(listed), kind, book())


QUANT = "config__quantization_config__"


@pytest.mark.parametrize(
    ("tensors", "metadata", "quantization", "parameters"),
    [
        ({"a.weight": ("F32", (10, 10))}, {}, "F32", 100),
        ({"a.weight": ("BF16", (10, 10))}, {}, "BF16", 100),
        ({"a.weight": ("F8_E4M3", (10, 10)), "a.scale_weight": ("F32", ())}, {}, "FP8-scaled", 100),
        ({"a.weight": ("F8_E4M3", (10, 10))}, {f"{QUANT}quant_method": "fp8"}, "FP8", 100),
        (
            {
                "a.qweight": ("I32", (10, 8)), "a.qzeros": ("I32", (1, 1)), "a.scales": ("F16", (1, 64)),
                "a.g_idx": ("I32", (80,)),
            },
            {f"{QUANT}quant_method": "gptq", f"{QUANT}bits": 4}, "GPTQ-4bit", 640,
        ),
        (
            {"a.qweight": ("I32", (80, 1)), "a.qzeros": ("I32", (1, 1)), "a.scales": ("F16", (1, 8))},
            {}, "AWQ-4bit", 640,
        ),
        (
            {
                "a.weight": ("U8", (50, 1)), "a.weight.absmax": ("F32", (2,)),
                "a.weight.quant_state.bitsandbytes__nf4": ("U8", (9,)),
            },
            {}, "bnb-nf4", 100,
        ),
        ({"a.weight": ("I8", (10, 10)), "a.SCB": ("F32", (10,))}, {}, "bnb-int8", 100),
        (
            {"a.weight": ("U32", (10, 1)), "a.scales": ("F16", (10, 1)), "a.biases": ("F16", (10, 1))},
            {"config__quantization__group_size": 64, "config__quantization__bits": 4}, "MLX-4bit", 80,
        ),
        (
            {"a.qweight": ("I8", (10, 5)), "a.wscales": ("F16", (1, 10)), "a.smooth_factor": ("F16", (10,))},
            {}, "SVDQuant-int4", 100,
        ),
        ({"a.q_weight": ("I32", (4, 4)), "a.q_scale": ("I32", (4,))}, {}, "EXL2", 0),
    ],
)  # fmt: skip
def test_quantisation_is_named_and_packed_weights_are_counted_for_what_they_are(
    tensors: Shapes, metadata: dict[str, Any], quantization: str, parameters: int
) -> None:
    found = told(tensors, **metadata)
    assert (found.quantization, found.parameters) == (quantization, parameters)


def test_every_element_that_is_stored_counts_as_model_sites_count_them() -> None:
    assert told({"a": ("F32", (4, 4)), "mask": ("BOOL", (2, 2))}).parameters == 20


LORA = {"lora_unet_a.lora_down.weight": ("F16", (8, 320)), "lora_unet_a.lora_up.weight": ("F16", (320, 8))}


@pytest.mark.parametrize(
    ("tensors", "kind", "rank", "targets"),
    [
        (LORA, "lora", 8, ("unet",)),
        (LORA | {"lora_te_b.lora_down.weight": ("F16", (8, 768))}, "lora", 8, ("text_encoder", "unet")),
        (LORA | {"lora_unet_a.dora_scale": ("F16", (320, 1))}, "dora", 8, ("unet",)),
        ({"lora_unet_a.lora_down.weight": ("F16", (4, 320, 3, 3))}, "locon", 4, ("unet",)),
        (
            {"lora_unet_a.hada_w1_a": ("F16", (320, 6)), "lora_unet_a.hada_w1_b": ("F16", (6, 320))},
            "loha",
            6,
            ("unet",),
        ),
        ({"lora_unet_a.lokr_w1": ("F16", (4, 4)), "lora_unet_a.lokr_w2": ("F16", (8, 8))}, "lokr", 0, ("unet",)),
        ({"lora_unet_a.oft_blocks": ("F16", (4, 8, 8))}, "oft", 0, ("unet",)),
        ({"transformer.transformer_blocks.0.attn.to_q.lora_A.weight": ("F16", (16, 64))}, "lora", 16, ("transformer",)),
    ],
)
def test_an_adapter_tells_its_kind_rank_and_what_it_patches(
    tensors: Shapes, kind: str, rank: int, targets: tuple[str, ...]
) -> None:
    found = told(tensors, "lora", container="safetensors", ss_network_alpha="4.0").adapter
    assert found is not None
    assert (found.kind, found.rank, found.alpha, found.targets) == (kind, rank, 4.0, targets)


def test_what_is_no_adapter_has_none() -> None:
    assert told(LORA, "checkpoint").adapter is None


@pytest.mark.parametrize(
    ("metadata", "field", "value"),
    [
        ({"card__license": "Apache-2.0"}, "license", "apache-2.0"),
        ({"general__license": "mit"}, "license", "mit"),
        ({"card__license": "other", "card__license_name": "deepseek"}, "license", "other"),
        ({"license": "AGPL-3.0 https://example.org"}, "license", "agpl-3.0"),
        ({"card__language": "en, de, zh-cn"}, "languages", ("en", "de", "zh-cn")),
        ({"general__languages": "fr"}, "languages", ("fr",)),
        ({"voice__language__code": "de_DE"}, "languages", ("de",)),
        ({"card__language": "a sentence of words"}, "languages", ()),
        ({"config__max_position_embeddings": 4096}, "context_length", 4096),
        ({"general__architecture": "llama", "llama__context_length": 8192}, "context_length", 8192),
        ({"sentence_bert__max_seq_length": 256, "config__max_position_embeddings": 512}, "context_length", 256),
        ({"tokenizer__model_max_length": 10**30}, "context_length", 0),
        ({"config__vocab_size": 32000}, "vocabulary_size", 32000),
        ({"card__tags": "chat, gguf"}, "tags", ("chat", "gguf")),
        ({"card__base_model": "org/base"}, "base_models", ("org/base",)),
        ({"general__base_model__0__repo_url": "https://huggingface.co/org/base"}, "base_models", ("org/base",)),
        ({"card__datasets": "a, b"}, "datasets", ("a", "b")),
        ({"card__description": "A  model\nfor ink."}, "description", "A model for ink."),
        ({"chat__features": "chat, tools"}, "chat_template", True),
    ],
)  # fmt: skip
def test_what_a_description_states(metadata: dict[str, Any], field: str, value: object) -> None:
    assert getattr(told(**metadata), field) == value


@pytest.mark.parametrize(
    ("kind", "name", "metadata", "category", "modalities"),
    [
        ("llm", "star-7b", {}, ("LANGUAGE", "BASE", "GENERAL"), ("TEXT",)),
        ("llm", "star-7b-instruct", {}, ("LANGUAGE", "CHAT", "GENERAL"), ("TEXT",)),
        ("llm", "star-7b", {"chat__features": "chat"}, ("LANGUAGE", "CHAT", "GENERAL"), ("TEXT",)),
        ("llm", "star-coder-7b", {}, ("LANGUAGE", "CODE", "TECHNICAL"), ("TEXT",)),
        ("llm", "star-encoder", {}, ("LANGUAGE", "BASE", "GENERAL"), ("TEXT",)),
        ("llm", "star-r1-7b", {}, ("LANGUAGE", "REASONING", "GENERAL"), ("TEXT",)),
        ("llm", "star-math-7b-instruct", {}, ("LANGUAGE", "REASONING", "SCIENTIFIC"), ("TEXT",)),
        ("llm", "biostar-medical", {}, ("LANGUAGE", "BASE", "MEDICAL"), ("TEXT",)),
        ("llm", "star-legal-chat", {}, ("LANGUAGE", "CHAT", "LEGAL"), ("TEXT",)),
        ("llm", "star-roleplay-13b", {}, ("LANGUAGE", "CREATIVE", "GENERAL"), ("TEXT",)),
        ("embedding_model", "x", {}, ("LANGUAGE", "ANALYSIS", "GENERAL"), ("TEXT",)),
        ("vision_language", "x-chat", {}, ("MULTIMODAL", "CHAT", "GENERAL"), ("TEXT", "IMAGE")),
        ("stt", "x", {}, ("AUDIO", "ANALYSIS", "GENERAL"), ("AUDIO", "TEXT")),
        ("tts", "x", {}, ("AUDIO", "CREATIVE", "GENERAL"), ("TEXT", "AUDIO")),
        ("lora", "x", {}, ("VISION", "CREATIVE", "GENERAL"), ("TEXT", "IMAGE")),
        ("upscaler", "x", {}, ("VISION", "CREATIVE", "GENERAL"), ("IMAGE",)),
    ],
)
def test_what_a_model_is_for(
    kind: str, name: str, metadata: dict[str, Any], category: tuple[str, ...], modalities: tuple[str, ...]
) -> None:
    found = told(kind=kind, name=name, **metadata)
    assert tuple(found.category) == category
    assert found.modalities == modalities


def test_capabilities_add_up() -> None:
    found = told(name="star-coder-instruct", chat__features="chat, tools, thinking")
    assert {"chat", "tools", "reasoning", "code"} <= set(found.capabilities)


@pytest.mark.parametrize(
    ("name", "metadata", "base", "sub_type"),
    [
        ("x", {"config__model_type": "llama"}, "llama", ""),
        ("Llama-3.1-8B", {"config__model_type": "llama"}, "llama", "llama3_1"),
        ("deepseek-coder-6.7b", {"config__model_type": "llama"}, "deepseek", ""),
        ("x", {"config__model_type": "bert", "card__title": "bge-base-en"}, "bge", ""),
        ("x", {"config__model_type": "starlight-9"}, "starlight_9", ""),
        ("x", {"config__model_type": "gemma2"}, "gemma", "gemma2"),
    ],
)
def test_families_are_told_by_architecture_and_by_name(
    name: str, metadata: dict[str, Any], base: str, sub_type: str
) -> None:
    given = {key.replace("__", "."): value for key, value in metadata.items()}
    given["config.architectures"] = "BertModel" if "bert" in str(metadata) else "StarForCausalLM"
    verdict = weigh.classify(Inspection("hf_folder", 1, metadata=given), name, book(), 0.5).verdict
    assert verdict.base == base
    assert verdict.sub_type in (sub_type, base)


def test_a_name_decides_between_what_the_tensors_leave_open() -> None:
    tensors = {
        "encoder.conv_in.weight": Tensor("F16", (128, 3, 3, 3)),
        "decoder.conv_in.weight": Tensor("F16", (512, 4, 3, 3)),
        "decoder.conv_out.weight": Tensor("F16", (3, 128, 3, 3)),
    }
    for name, base in (("vae.safetensors", "sd15"), ("sdxl_vae.safetensors", "sdxl"), ("flux_vae.safetensors", "sd15")):
        verdict = weigh.classify(Inspection("safetensors", 10**8, tensors=tensors), name, book(), 0.5).verdict
        assert (name, verdict.type, verdict.base) == (name, "vae", base)


def test_what_a_user_wrote_in_metadata_json_goes_first() -> None:
    found = told(
        metadata__license="custom",
        metadata__language_support="en, es",
        metadata__tags="safe",
        metadata__use_cases="customer_support",
        metadata__specialized_domains="legal",
        metadata__description="For the desk.",
        metadata__base_model="meta-llama/Llama-2-7b",
        card__license="mit",
        card__tags="chat",
    )
    assert (found.license, found.languages, found.description) == ("custom", ("en", "es"), "For the desk.")
    assert found.tags == ("chat", "safe", "customer_support", "legal")
    assert found.base_models == ("meta-llama/Llama-2-7b",)
