"""Every rule that is shipped is asked for by some model whose labels are known: a real header, or a smallest case."""

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelhub.classify import gather, weigh
from modelhub.classify.globs import NameIndex
from modelhub.classify.rulebook import RuleBook
from modelhub.core.types import Inspection, Tensor
from modelhub.services.judge import Judge

CASES: Mapping[str, Mapping[str, Any]] = yaml.safe_load((Path(__file__).parent / "cases.yaml").read_text("utf-8"))
HEADERS = Path(__file__).parent.parent / "corpus" / "headers"


@pytest.fixture(scope="module")
def book() -> RuleBook:
    return Judge(0.5).book


def smallest(case: Mapping[str, Any]) -> Inspection:
    tensors = {name: Tensor("F16", tuple(shape)) for name, shape in case.get("tensors", {}).items()}
    return Inspection(
        case.get("container", "safetensors"),
        2_000_000_000,
        tensors=tensors,
        metadata=case.get("metadata", {}),
        files=tuple(case.get("files", ())),
    )


def labelled() -> Iterator[tuple[str, Inspection]]:
    for path in sorted(HEADERS.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for record in map(json.loads, lines):
                tensors = {name: Tensor(dtype, tuple(shape)) for name, (dtype, shape) in record["tensors"].items()}
                yield (
                    record["name"],
                    Inspection(
                        record["container"],
                        record["size"],
                        tensors=tensors,
                        metadata=record["metadata"],
                        files=tuple(record.get("files", ())),
                    ),
                )


@pytest.mark.parametrize("rule", CASES)
def test_the_smallest_model_of_a_rule_is_judged_right(rule: str, book: RuleBook) -> None:
    case = CASES[rule]
    inspection = smallest(case)
    in_force = {fired.key for fired, stands in gather.trial(inspection, NameIndex(inspection.tensors), book) if stands}
    verdict = weigh.classify(inspection, "model.bin", book, 0.5).verdict
    model_type, base = case["is"].split()
    assert rule in in_force | {one.rule for one in verdict.evidence}
    assert (verdict.type if model_type != "*" else "*", verdict.base if base != "*" else "*") == (model_type, base)


def test_no_rule_is_without_a_model_that_asks_for_it(book: RuleBook) -> None:
    fired: set[str] = set(CASES)
    for name, inspection in labelled():
        fired |= {rule.key for rule, _ in gather.trial(inspection, NameIndex(inspection.tensors), book)}
        fired |= {one.rule for one in weigh.classify(inspection, name, book, 0.5).verdict.evidence}
    shipped = [*(one.key for one in book.architectures), *(one.key for one in book.filenames)]
    assert {*shipped, *(one.key for one in book.sub_types)} <= fired
