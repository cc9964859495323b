"""Which files make up one model, and what they say together."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelhub.formats.bundles import Bundle, Folder
from modelhub.services.judge import Judge
from modelhub.services.units import Units, composite
from tests import build

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}


def folder(files: Mapping[str, Any], name: str = "model") -> Folder:
    """A folder of small JSON files; other contents do not matter."""
    texts = {path: json.dumps(content).encode() for path, content in files.items()}
    return Folder(name, {path: len(text) for path, text in texts.items()}, lambda path: texts[path])


def whole(files: Mapping[str, Any]) -> Bundle:
    found = folder(files).whole()
    assert found is not None
    return found


def test_a_hugging_face_folder_is_one_model() -> None:
    found = whole({"config.json": CONFIG, "model.safetensors": 0, "tokenizer.json": {}, "README.md": 0})
    assert (found.kind, found.parts[0], found.companions) == ("hf_folder", "model.safetensors", ("README.md",))
    assert set(found.parts) == {"model.safetensors", "config.json", "tokenizer.json"}


def test_a_stray_config_does_not_swallow_a_folder_of_checkpoints() -> None:
    assert folder({"config.json": CONFIG, "dreamshaper_8.safetensors": 0, "other.ckpt": 0}).whole() is None


def test_a_model_that_happens_to_lie_beside_is_no_part() -> None:
    found = whole({"config.json": CONFIG, "model.safetensors": 0, "my-finetune.gguf": 0})
    assert "my-finetune.gguf" not in (*found.parts, *found.companions)


def test_a_pipeline_takes_the_components_it_names_and_leaves_single_files() -> None:
    index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["d", "V"]}
    found = whole({
        "model_index.json": index, "unet/config.json": {}, "unet/diffusion_pytorch_model.safetensors": 0,
        "vae/config.json": {}, "sd15.safetensors": 0,
    })  # fmt: skip
    assert found.kind == "diffusers"
    assert "sd15.safetensors" not in found.parts
    assert {"unet/config.json", "vae/config.json"} < set(found.parts)


def test_a_missing_component_is_named() -> None:
    index = {"_class_name": "P", "unet": ["diffusers", "U"], "vae": ["diffusers", "V"]}
    assert whole({"model_index.json": index, "unet/config.json": {}}).missing == ("vae",)


def test_missing_shards_are_named_by_their_index_and_by_their_numbers() -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    files = {"config.json": CONFIG, "model.safetensors.index.json": index, "model-00001-of-00002.safetensors": 0}
    assert whole(files).missing == ("model-00002-of-00002.safetensors",)
    found = folder({"big-00001-of-00003.gguf": 0, "big-00003-of-00003.gguf": 0}).around("big-00003-of-00003.gguf")
    assert (found.kind, found.name, found.missing) == ("split_gguf", "big.gguf", ("big-00002-of-00003.gguf",))


@pytest.mark.parametrize(
    ("files", "asked", "parts", "companions"),
    [
        (["v.onnx", "v.onnx.json"], "v.onnx.json", ("v.onnx", "v.onnx.json"), ()),
        (["x.onnx", "x.onnx.data"], "x.onnx", ("x.onnx", "x.onnx.data"), ()),
        (["m.xml", "m.bin"], "m.bin", ("m.xml", "m.bin"), ()),
        (
            ["a.safetensors", "a.yaml", "a.preview.png", "a.civitai.info", "b.yaml"],
            "a.safetensors",
            ("a.safetensors",),
            ("a.civitai.info", "a.preview.png", "a.yaml"),
        ),
        (["q.gguf", "mmproj-f16.gguf"], "q.gguf", ("q.gguf",), ("mmproj-f16.gguf",)),
        (["q.gguf", "mmproj-f16.gguf"], "mmproj-f16.gguf", ("mmproj-f16.gguf",), ()),
        (["alone.safetensors", "alonely.yaml"], "alone.safetensors", ("alone.safetensors",), ()),
    ],
)
def test_files_beside_one_another(files: list[str], asked: str, parts: tuple[str, ...], companions: Any) -> None:
    found = folder(dict.fromkeys(files, 0)).around(asked)
    assert (found.parts, found.companions) == (parts, companions)


@pytest.mark.parametrize("count", ["99999", "00000"])
def test_an_impossible_number_of_shards_is_not_believed(count: str) -> None:
    name = f"m-00001-of-{count}.safetensors"
    assert len(folder({name: 0}).around(name).missing) == 0


@given(
    st.dictionaries(st.text("abc/.-_0123456789", max_size=20), st.none() | st.integers() | st.text("ab\n"), max_size=8)
)
def test_no_listing_breaks_it(files: dict[str, Any]) -> None:
    names = [*files, "model_index.json", "config.json"]
    listed = folder(dict.fromkeys(names, files))
    listed.whole()
    for name in names:
        if "/" not in name:
            assert listed.around(name).parts


def test_the_address_of_many_does_not_depend_on_their_order() -> None:
    assert composite({"a": "1" * 64, "b": "2" * 64}) == composite({"b": "2" * 64, "a": "1" * 64})
    assert composite({"a": "1" * 64}) != composite({"b": "1" * 64})


def write_llama(place: Path, *, shards: int = 2) -> Path:
    """A small sharded Hugging Face folder."""
    place.mkdir(parents=True)
    (place / "config.json").write_text(json.dumps(CONFIG | {"max_position_embeddings": 8192}))
    (place / "tokenizer.json").write_text("{}")
    (place / "README.md").write_text(
        "---\nlicense: apache-2.0\npipeline_tag: text-generation\n---\n# Model\n\nA small\nmodel.\n"
    )
    for number in range(1, shards + 1):
        shapes = {f"model.layers.{number - 1}.self_attn.q_proj.weight": (8, 8), "model.embed_tokens.weight": (8, 8)}
        build.safetensors(place / f"model-0000{number}-of-0000{shards}.safetensors", shapes)
    return place


def test_a_folder_is_judged_by_its_config_and_all_its_tensors(tmp_path: Path) -> None:
    found = Judge(0.5).at(str(write_llama(tmp_path / "Llama-tiny")))
    assert (found.inspection.container, found.verdict.type, found.verdict.base) == ("hf_folder", "llm", "llama")
    assert "model.layers.1.self_attn.q_proj.weight" in found.inspection.tensors
    assert found.inspection.metadata["card.license"] == "apache-2.0"
    assert found.inspection.metadata["card.description"] == "A small model."
    assert found.facts.context_length == 8192


def test_a_damaged_shard_makes_the_whole_broken_and_is_named(tmp_path: Path) -> None:
    place = write_llama(tmp_path / "Llama-tiny")
    shard = place / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-4])
    found = Judge(0.5).at(str(place)).inspection
    assert (found.state, "model-00002-of-00002.safetensors" in found.message) == ("broken", True)


def test_an_unsafe_part_makes_the_whole_unsafe(tmp_path: Path) -> None:
    place = write_llama(tmp_path / "Llama-tiny")
    build.torch_zip(place / "pytorch_model.bin", build.malicious_pickle("false"))
    assert Judge(0.5).at(str(place)).inspection.state == "unsafe"


def test_weights_that_lie_elsewhere_are_missed(tmp_path: Path) -> None:
    build.onnx(tmp_path / "m.onnx", {"w": (2, 2)}, external="m.onnx.data")
    found = Units(str(tmp_path)).of(str(tmp_path / "m.onnx"))
    assert found.bundle.parts == ("m.onnx",)
    inspection = Judge(0.5).unit(found).inspection
    assert (inspection.state, inspection.message) == ("broken", "m.onnx.data is missing.")


def test_a_repository_in_a_cache_is_called_by_its_name(tmp_path: Path) -> None:
    place = write_llama(tmp_path / "models--org--Tiny/snapshots/0123abcd")
    unit = Units(str(tmp_path)).of(str(place / "config.json"))
    assert unit.bundle.name == "Tiny"


GRAPH = """<?xml version="1.0"?><net name="net" version="11"><layers><layer id="1" name="w" type="Const">
<data element_type="f16" shape="4, 2" offset="0" size="16"/></layer></layers></net>"""


def test_an_openvino_graph_and_its_numbers_are_one_model(tmp_path: Path) -> None:
    (tmp_path / "m.xml").write_text(GRAPH)
    (tmp_path / "m.bin").write_bytes(bytes(16))
    found = Judge(0.5).at(str(tmp_path / "m.bin")).inspection
    assert (found.container, found.state, found.tensors["w"]) == ("openvino", "ok", ("F16", (4, 2)))
    (tmp_path / "m.bin").write_bytes(bytes(8))
    assert Judge(0.5).at(str(tmp_path / "m.xml")).inspection.code == "truncated"
    (tmp_path / "m.xml").write_text('<!DOCTYPE x [<!ENTITY a "b">]>' + GRAPH.split("?>")[1])
    assert Judge(0.5).at(str(tmp_path / "m.xml")).inspection.state == "broken"
