"""When a rule fires: each condition alone, and conditions inside conditions."""

from typing import Any

import pytest

from modelhub.classify.conditions import BadCondition, holds, parse
from modelhub.classify.globs import NameIndex
from modelhub.core.types import Inspection, Tensor

TENSORS = {
    "blocks.0.attn.to_q.weight": Tensor("F16", (64, 32)),
    "blocks.1.attn.to_q.weight": Tensor("F16", (64, 32)),
    "blocks.10.attn.to_q.weight": Tensor("BF16", (64, 64)),
    "head.bias": Tensor("F32", (8,)),
}
FILE = Inspection(
    "safetensors",
    1000,
    tensors=TENSORS,
    metadata={"kind": "Flux dev", "bert.pooling_type": 4},
    files=("a.json", "b/c.bin"),
)


def true(when: dict[str, Any]) -> bool:
    return holds(parse(when), FILE, NameIndex(FILE.tensors))


@pytest.mark.parametrize(
    ("when", "answer"),
    [
        ({}, True),
        ({"all": ["blocks.#.attn.to_q.weight", "head.bias"]}, True),
        ({"all": ["blocks.2.*"]}, False),
        ({"all": "blocks.10.*"}, True),
        ({"any": ["nothing.*", "head.*"]}, True),
        ({"any": ["nothing.*"]}, False),
        ({"none": ["*lora*"]}, True),
        ({"none": ["head.*"]}, False),
        ({"shapes": {"blocks.#.attn.to_q.weight": [64, None]}}, True),
        ({"shapes": {"blocks.0.attn.to_q.weight": [64, 64]}}, False),
        ({"shapes": {"head.bias": [8, 1]}}, False),
        ({"dtypes": {"blocks.*": "BF16"}}, True),
        ({"dtypes": {"head.*": ["F16", "BF16"]}}, False),
        ({"count": {"blocks.#.*": [3, 3]}}, True),
        ({"count": {"blocks.#.*": [None, 2]}}, False),
        ({"count": {"nothing.*": [1, None]}}, False),
        ({"max_tensors": 4}, True),
        ({"max_tensors": 3}, False),
        ({"metadata": {"kind": "^flux"}}, True),
        ({"metadata": {"kind": "schnell"}}, False),
        ({"metadata": {"other": "."}}, False),
        ({"metadata": {"*.pooling_type": "^4$"}}, True),
        ({"files": ["*.json", "b/c.bin"]}, True),
        ({"files": "b/*.safetensors"}, False),
        ({"container": ["gguf", "safetensors"]}, True),
        ({"container": "gguf"}, False),
        ({"regex": r"attn\.to_[qk]"}, True),
        ({"regex": r"blocks\.7\."}, False),
    ],
)
def test_a_condition_alone(when: dict[str, Any], answer: bool) -> None:
    assert true(when) is answer


def test_conditions_compose() -> None:
    inner = {"shapes": {"blocks.#.attn.to_q.weight": [64, 64]}, "none": [{"metadata": {"kind": "schnell"}}]}
    assert true({"all": [{"any": ["nothing", inner]}, "head.bias"], "none": [{"max_tensors": 1}]})
    assert not true({"none": [inner]})


def test_a_prefix_that_all_names_share_counts_for_nothing() -> None:
    wrapped = NameIndex({f"module.{name}": tensor for name, tensor in TENSORS.items()})
    assert "blocks.0.attn.to_q.weight" in wrapped
    assert "module.blocks.0.attn.to_q.weight" in wrapped
    assert wrapped.count("*to_q.weight") == 3


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"alll": ["x"]}, "unknown condition 'alll'"),
        ({"all": [{"wrong": 1}]}, "unknown condition 'wrong'"),
        ([], "must be a mapping"),
        ({"all": [3]}, "must be a mapping"),
        ({"shapes": {"x": "wide"}}, "must be a list of whole numbers"),
        ({"shapes": {"x": [True]}}, "must be a list of whole numbers"),
        ({"count": {"x": [1]}}, r"must be \[least, most\]"),
        ({"max_tensors": "few"}, "must be a whole number"),
        ({"container": [1]}, "must be a word or a list of words"),
        ({"metadata": "x"}, "must be a mapping"),
    ],
)
def test_what_is_no_condition_is_refused(given: Any, told: str) -> None:
    with pytest.raises(BadCondition, match=told):
        parse(given)


def test_conditions_are_not_nested_without_end() -> None:
    given: dict[str, Any] = {"all": ["x"]}
    for _ in range(20):
        given = {"all": [given]}
    with pytest.raises(BadCondition, match="nested"):
        parse(given)
