"""Real headers under meaningless names: the header alone must tell what they are. A new case is a new file."""

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from modelhub.classify import rulebook, weigh
from modelhub.classify.rulebook import RuleBook
from modelhub.core.places import bundled
from modelhub.core.types import Inspection, Tensor
from modelhub.store import seed

CASES = sorted((Path(__file__).parent.parent / "corpus").glob("*.json.gz"))
SAME_TYPE = {"unet": "diffusion_model", "facerestore": "face_restore", "ultralytics": "detector", "sam": "segmentation"}
SAME_BASE = {"sd15": "sd1", "flux": "flux1", "wan": "wan21", "": "any"}


@cache
def book() -> RuleBook:
    shipped = seed.load(bundled("classification_seed"))
    return rulebook.build(shipped.rows, shipped.digest)


def inspection(record: dict[str, Any]) -> Inspection:
    tensors = {name: Tensor(dtype, tuple(shape)) for name, (dtype, shape) in record["tensors"].items()}
    size = sum(_bytes(tensor) for tensor in tensors.values())
    return Inspection(record["container"], size, tensors=tensors, metadata=record.get("metadata") or {})


def _bytes(tensor: Tensor) -> int:
    count = 1
    for length in tensor.shape:
        count *= length
    return count * (4 if tensor.dtype == "F32" else 1 if tensor.dtype.startswith("F8") else 2)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name.removesuffix(".json.gz"))
def test_the_corpus_is_classified(path: Path) -> None:
    record = json.loads(gzip.decompress(path.read_bytes()))
    truth, verdict = record["truth"], weigh.classify(inspection(record), record["blind_name"], book(), 0.5).verdict
    assert SAME_TYPE.get(verdict.type, verdict.type) in {truth["type"], *truth.get("accept_type", [])}
    assert verdict.confidence >= 0.5
    wanted = {truth["base"], *truth.get("accept_base", [])}
    if "any" not in wanted and truth["type"] != "other":
        assert SAME_BASE.get(verdict.base, verdict.base) in wanted
