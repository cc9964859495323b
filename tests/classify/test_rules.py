"""Patterns, conditions, precedence and weighing."""

import json
from functools import cache
from typing import Any

import pytest

from modelhub.classify import facts, rulebook, weigh
from modelhub.classify.conditions import Pattern
from modelhub.classify.globs import NameIndex
from modelhub.classify.rulebook import RuleBook
from modelhub.core.places import bundled
from modelhub.core.types import FILE_TYPE_NAME, Facts, Inspection, Tensor, Verdict
from modelhub.store import seed
from tests import build


@cache
def shipped() -> RuleBook:
    found = seed.load(bundled("classification_seed"))
    return rulebook.build(found.rows, found.digest)


def with_rules(*rules: dict[str, Any], table: str = "architecture_patterns") -> RuleBook:
    rows = {name: list(found) for name, found in seed.load(bundled("classification_seed")).rows.items()}
    rows[table] += [rule | {"origin": "user"} for rule in rules]
    return rulebook.build(rows, "test")


def architecture(key: str, when: dict[str, Any], **then: Any) -> dict[str, Any]:
    row = {"key": key, "architecture": then.get("base", "") or then.get("model_type", ""), "confidence_weight": 0.98}
    return row | {"conditions": json.dumps(when), "before": json.dumps(then.pop("before", []))} | then


def inspected(shapes: build.Shapes, **fields: Any) -> Inspection:
    tensors = {name: Tensor("F16", tuple(shape)) for name, shape in shapes.items()}
    given: dict[str, Any] = {"container": "safetensors", "size": 1_000_000, "tensors": tensors} | fields
    return Inspection(**given)


def judge(
    shapes: build.Shapes, name: str = "model.safetensors", book: RuleBook | None = None, **fields: Any
) -> Verdict:
    return weigh.classify(inspected(shapes, **fields), name, book or shipped(), 0.5).verdict


@pytest.mark.parametrize(
    ("glob", "name", "fits"),
    [
        ("a.weight", "a.weight", True),
        ("a.weight", "b.a.weight", False),
        ("*.weight", "b.a.weight", True),
        ("blocks.#.q", "blocks.12.q", True),
        ("blocks.#.q", "blocks.x.q", False),
        ("blocks~#~q", "blocks_12_q", True),
        ("blocks~#~q", "blocks.12.q", True),
        ("x.{a,b}.w", "x.b.w", True),
        ("x.{a,b}.w", "x.c.w", False),
        ("x?z", "xyz", True),
        ("a.weight", "aXweight", False),
        ("*", "any (thing) [at] all+", True),
    ],
)
def test_patterns(glob: str, name: str, fits: bool) -> None:
    index = NameIndex({"other": Tensor("F16", ()), name: Tensor("F16", (1,))})
    assert (glob in index) == fits
    assert (Tensor("F16", (1,)) in list(index.matching(glob))) == fits


CONDITIONS: dict[str, tuple[dict[str, Any], bool]] = {
    "all": ({"all": ["x.0.w", "x.1.w"]}, True),
    "all missing one": ({"all": ["x.0.w", "y"]}, False),
    "any": ({"any": ["y", "x.1.w"]}, True),
    "none": ({"all": ["x.0.w"], "none": ["x.1.*"]}, False),
    "shape": ({"shapes": {"x.0.w": [4, None]}}, True),
    "other shape": ({"shapes": {"x.0.w": [5, None]}}, False),
    "other rank": ({"shapes": {"x.0.w": [4]}}, False),
    "dtype": ({"dtypes": {"x.0.w": ["F16"]}}, True),
    "other dtype": ({"dtypes": {"x.0.w": ["F32"]}}, False),
    "metadata": ({"metadata": {"maker": "^me$"}}, True),
    "other metadata": ({"metadata": {"maker": "^you$"}}, False),
    "container": ({"container": ["gguf"], "all": ["x.0.w"]}, False),
    "few tensors": ({"all": ["x.0.w"], "max_tensors": 1}, False),
    "regex": ({"regex": r"x\.\d\.w"}, True),
}


@pytest.mark.parametrize("case", CONDITIONS)
def test_conditions_compose(case: str) -> None:
    when, fires = CONDITIONS[case]
    book = with_rules(architecture("mine", when, model_type="rmbg", because="it is so"))
    verdict = judge({"x.0.w": (4, 8), "x.1.w": (1,)}, book=book, metadata={"maker": "me"})
    assert ("mine" in [one.rule for one in verdict.evidence]) == fires


def test_a_rule_silences_those_it_comes_before() -> None:
    first = architecture("first", {"all": ["x"]}, model_type="rmbg", before=["second"], because="a")
    second = architecture("second", {"all": ["x"]}, model_type="sam", because="b")
    assert judge({"x": (1,)}, book=with_rules(first, second)).type == "rmbg"


@pytest.mark.parametrize("relation", ["before", "requires"])
def test_a_circle_is_cut_and_drawn(relation: str) -> None:
    def rule(key: str, other: str) -> dict[str, Any]:
        when = {"requires": [other]} if relation == "requires" else {}
        return architecture(key, when, model_type="sam", before=[other] if relation == "before" else [])

    book = with_rules(rule("a", "b"), rule("b", "a"))
    assert "a > b > a" in book.problems[0]
    assert not {"a", "b"} & {one.key for one in book.architectures}


@pytest.mark.parametrize("relation", ["before", "requires"])
def test_a_chain_without_end_is_cut(relation: str) -> None:
    def rule(number: int) -> dict[str, Any]:
        when = {"all": ["x"]} | ({"requires": [f"r{number + 1}"]} if relation == "requires" and number < 299 else {})
        return architecture(f"r{number}", when, model_type="sam", before=[f"r{number + 1}"] * (relation == "before"))

    book = with_rules(*(rule(number) for number in range(300)))
    assert any("too far" in problem for problem in book.problems)
    assert judge({"x": (1,)}, book=book).type == "sam"


@pytest.mark.parametrize("pattern", ["(a|aa)+$", "^(_|__)*[!?]"])
def test_a_pattern_that_may_never_end_is_left_out(pattern: str) -> None:
    assert "takes too long" in with_rules(architecture("slow", {"regex": pattern}, model_type="sam")).problems[0]


def test_a_pattern_that_proves_slow_is_given_up() -> None:
    pattern = Pattern("q(z|zz)+$")
    pattern.check()
    assert pattern.search("q" + "z" * 60 + "!") is None
    assert pattern.search("qz") is None, "it is not asked again"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (architecture("odd", {"sometimes": []}, model_type="sam"), "unknown condition 'sometimes'"),
        (architecture("odd", {}, model_type=""), "neither a model type nor a base model"),
        (architecture("odd", {"regex": "("}, model_type="sam"), "not valid"),
        ({"key": "odd", "architecture": "sam", "confidence_weight": 1.0, "conditions": "{"}, "not valid JSON"),
    ],
)
def test_a_rule_of_the_users_that_cannot_work_is_left_out_and_named(row: dict[str, Any], said: str) -> None:
    book = with_rules(row)
    assert len(book.problems) == 1
    assert "odd" in book.problems[0]
    assert said in book.problems[0]


def test_a_first_version_row_still_works() -> None:
    row = {"id": 7, "architecture": "sam", "tensor_pattern": r"my_decoder\.\d+", "confidence_weight": 0.95}
    assert judge({"my_decoder.3.w": (1,)}, book=with_rules(row)).type == "sam"


def test_a_new_architecture_needs_no_code() -> None:
    family = {"name": "novel", "display_name": "Novel", "parent": ""}
    rows = {name: list(found) for name, found in seed.load(bundled("classification_seed")).rows.items()}
    rows["base_models"].append(family)
    rows["architecture_patterns"].append(
        architecture("novel", {"all": ["novel_blocks.0.mix.weight"]}, model_type="unet", base="novel", because="so")
    )
    verdict = judge({"novel_blocks.0.mix.weight": (8, 8)}, book=rulebook.build(rows, "x"))
    assert (verdict.type, verdict.base, verdict.confidence >= 0.9) == ("unet", "novel", True)


def test_tensors_outweigh_a_lying_name_and_the_lie_is_still_shown() -> None:
    verdict = judge(build.SDXL_LORA, "beautiful_checkpoint_vae.safetensors")
    assert (verdict.type, verdict.base) == ("lora", "sdxl")
    assert "vae" in [candidate.type for candidate in verdict.candidates]
    assert verdict.confidence < judge(build.SDXL_LORA, "model.safetensors").confidence


def test_methods_that_agree_make_each_other_surer() -> None:
    silent, agreeing = judge(build.SD15_LORA), judge(build.SD15_LORA, "style_lora.safetensors")
    assert agreeing.confidence > silent.confidence


def test_below_the_threshold_it_is_unknown_with_candidates() -> None:
    book, shapes = shipped(), {"a": (1,)}
    verdict = weigh.classify(inspected(shapes), "x-slider.safetensors", book, 0.9).verdict
    assert verdict.type == "unknown"
    assert [candidate.type for candidate in verdict.candidates] == ["lora"]
    assert 0 < verdict.confidence < 0.9


def test_nothing_known_is_unknown_with_no_confidence() -> None:
    verdict = judge({"a": (1,)})
    assert (verdict.type, verdict.confidence, verdict.candidates) == ("unknown", 0.0, ())


def test_an_unusual_size_costs_confidence() -> None:
    usual = judge(build.SD15_LORA, size=50_000_000)
    assert judge(build.SD15_LORA, size=900_000_000_000).confidence < usual.confidence
    assert usual.scores["size"] > 0


def test_a_backbone_with_its_vae_is_a_checkpoint() -> None:
    assert judge(build.sd_unet(768)).type == "unet"
    assert judge(build.sd_unet(768) | build.vae(prefix="first_stage_model.")).type == "checkpoint"


@pytest.mark.parametrize(
    ("name", "sub_type"),
    [
        ("cuteStyle_pony_v2", "pony"),
        ("detail-illustrious", "illustrious"),
        ("noobai_style", "noobai"),
        ("plain", "sdxl"),
    ],
)
def test_finer_families_come_from_the_name_within_the_family(name: str, sub_type: str) -> None:
    assert judge(build.SDXL_LORA, f"{name}.safetensors").sub_type == sub_type
    assert judge(build.SD15_LORA, f"{name}.safetensors").sub_type == "sd15"


def test_finer_families_come_from_the_trainers_metadata() -> None:
    trained_on = {"ss_sd_model_name": "ponyDiffusionV6XL.safetensors"}
    assert judge(build.SDXL_LORA, metadata=trained_on).sub_type == "pony"


def test_variants_are_told() -> None:
    assert judge(build.sd_unet(768, in_channels=9)).variant == "inpaint"
    assert judge(build.flux()).variant == "dev"
    assert judge(build.flux(guidance=False)).variant == "schnell"


@pytest.mark.parametrize(
    ("pairs", "kind", "base"),
    [
        (build.llm_pairs("llama", "Llama 3"), "llm", "llama"),
        (build.llm_pairs("qwen2", "Qwen"), "llm", "qwen2"),
        (build.llm_pairs("nomic-bert", "nomic"), "embedding_model", "nomic_bert"),
        ({"general.architecture": "flux"}, "unet", "flux"),
        ({"general.architecture": "clip"}, "mmproj", ""),
        ({"general.architecture": "llama", "general.type": "adapter"}, "lora_adapter", "llama"),
        ({"general.architecture": "starlight-9"}, "gguf", "starlight_9"),
    ],
)
def test_a_gguf_says_what_it_is(pairs: dict[str, Any], kind: str, base: str) -> None:
    metadata = {key: value for key, value in pairs.items() if not isinstance(value, list)}
    verdict = judge({"blk.0.attn_q.weight": (8, 8)}, "model.gguf", container="gguf", metadata=metadata)
    assert (verdict.type, verdict.base) == (kind, base)


def test_a_vocabulary_alone_is_a_tokenizer() -> None:
    metadata = {"general.architecture": "llama", "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens.length": 32000}
    assert judge({}, "vocab.gguf", container="gguf", metadata=metadata).type == "tokenizer_only"


def facts_of(dtypes: dict[str, str], name: str = "x", **fields: Any) -> Facts:
    tensors = {key: Tensor(dtype, (256, 256)) for key, dtype in dtypes.items()}
    given: dict[str, Any] = {"container": "safetensors", "size": 1, "tensors": tensors} | fields
    inspection = Inspection(**given)
    return facts.gather(inspection, name, NameIndex(inspection.tensors), "lora", shipped())


def test_precision_is_that_of_most_elements() -> None:
    assert facts_of(dict.fromkeys("abcdefghijk", "BF16") | {"l": "F32"}).precision == "bf16"
    assert facts_of(dict.fromkeys("abcdefghijk", "F8_E4M3") | {"l": "F32"}).precision == "fp8_e4m3fn"


def test_a_second_precision_is_told_where_it_holds_a_tenth() -> None:
    assert facts_of({"a": "BF16", "b": "BF16", "c": "F32"}).precision == "bf16+fp32"


@pytest.mark.parametrize(
    ("stated", "dtype", "name", "quantization"),
    [
        ("Q4_K_M", "Q4_K", "x.gguf", "Q4_K_M"),
        ("F16", "Q4_K", "x.gguf", "Q4_K"),
        ("", "Q4_K", "model-Q4_K_S.gguf", "Q4_K_S"),
        ("", "Q8_0", "model-Q4_K_S.gguf", "Q8_0"),
        ("IQ4_XS", "IQ4_XS", "x.gguf", "IQ4_XS"),
    ],
)
def test_a_gguf_is_quantised_as_its_tensors_bear_out(stated: str, dtype: str, name: str, quantization: str) -> None:
    metadata = {FILE_TYPE_NAME: stated} if stated else {}
    assert facts_of({"a": dtype, "b": dtype}, name, container="gguf", metadata=metadata).quantization == quantization


def test_trigger_words_come_from_the_trainers_tags() -> None:
    tags = json.dumps({"10_ink": {"ink wash": 40, "mountain": 12}, "5_more": {"ink wash": 3}})
    assert facts_of({}, metadata={"ss_tag_frequency": tags}).triggers == ("ink wash", "mountain")
    assert facts_of({}, metadata={"modelspec.trigger_phrase": "ohwx, inkpunk"}).triggers == ("ohwx", "inkpunk")
    assert facts_of({}, metadata={"ss_tag_frequency": "[not json"}).triggers == ()


def test_parameters_are_counted() -> None:
    assert facts_of({"a": "F16", "b": "F16"}).parameters == 2 * 256 * 256


@pytest.mark.parametrize(
    ("shapes", "kind", "base"),
    [
        ({"string_to_param.*": (6, 768)}, "embedding", "sd15"),
        ({"string_to_param.*": (4, 1024)}, "embedding", "sd2"),
        ({"": (1, 768)}, "aesthetic_gradient", "sd15"),
        (
            dict.fromkeys(("conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "layer4.0.conv1.weight"), (64,))
            | {"fc.weight": (1000, 2048)},
            "image_classifier",
            "resnet",
        ),
        (
            {"backbone.body.conv1.weight": (64,), "rpn.head.cls": (1,), "roi_heads.box_predictor.cls": (1,)},
            "detector",
            "faster_r_cnn",
        ),
    ],
)
def test_pickled_models_are_told_by_their_tensors(shapes: dict[str, tuple[int, ...]], kind: str, base: str) -> None:
    verdict = judge(shapes, "pytorch.pt")
    assert (verdict.type, verdict.base) == (kind, base)


def test_a_family_without_a_rule_is_called_what_its_own_files_call_it() -> None:
    metadata = {"config.model_type": "Star-Light2", "config.architectures": "StarLightForCausalLM"}
    verdict = judge({"x": (2, 2)}, "folder", container="hf_folder", metadata=metadata)
    assert (verdict.type, verdict.base) == ("llm", "star_light2")
