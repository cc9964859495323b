"""A model of many files, inspected as one: tensors of all its parts, and what its describing files say."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from modelhub.core.types import CHAT_DANGER, CHAT_FEATURES, Inspection, MetaValue, State, Tensor
from modelhub.formats import chat, onnx, openvino, plain_yaml
from modelhub.formats.bundles import WEIGHTS, Bundle, Folder
from modelhub.formats.inspect import inspect
from modelhub.formats.pickles import PICKLE_SUFFIXES

Open = Callable[[str], AbstractContextManager[tuple[BinaryIO, int]]]
"""Opens a part by its relative name: the stream, and the file's bytes."""

Sizes = Mapping[str, int]
"""Bytes of each file by relative name."""

_PRECISION_ENDING = re.compile(r"_(?:quantized|u?int8|fp16|q4|q4f16|q8|bnb4)\.onnx$")
_MAX_WEIGHTS = 1000
_MAX_KEYS = 500
_OPENVINO = ".xml"
_MAX_TEXT = 4000
_MAX_LISTED = 500
_MAX_DEPTH = 5
_MAX_CARD = 1 << 17
_FRONT = "---"
_MAIN_COMPONENTS = ("transformer", "unet", "prior", "decoder")
_NESTED = {
    "text_config", "vision_config", "audio_config", "quantization_config", "llm_config", "thinker_config",
    "rope_scaling", "audio", "espeak", "language", "inference", "quantization", "generator_params", "encoder",
    "decoder", "quant_config", "weight_quant_params", "config_groups", "group_0", "weights", "chronos_config",
}  # fmt: skip
_TITLE = re.compile(r"^#\s+(\S.*)$", re.MULTILINE)
_MAX_NAME = 200
_MARKUP = ("#", "!", "<", "|", "-", "*", "[", ">", "`", "---")
_CARD = (
    "license",
    "pipeline_tag",
    "library_name",
    "base_model",
    "language",
    "datasets",
    "tags",
    "model_name",
    "metrics",
    "license_name",
)
_DESCRIBING = {
    "config.json": "config", "adapter_config.json": "adapter", "tokenizer_config.json": "tokenizer",
    "generation_config.json": "generation", "model_index.json": "index", "preprocessor_config.json": "preprocessor",
    "metadata.json": "metadata", "quantize_config.json": "quantize", "params.json": "params",
    "config_sentence_transformers.json": "sentence_transformers", "trainer_state.json": "trainer",
    "sentence_bert_config.json": "sentence_bert",
}  # fmt: skip
_WORST: tuple[State, ...] = ("unsafe", "broken")


def inspect_bundle(bundle: Bundle, folder: Folder, sizes: Sizes, open_part: Open) -> Inspection:
    """One inspection for all parts. A missing or damaged part makes the whole `broken`, and is named."""
    parts = _inspected(bundle)
    if len(parts) > _MAX_WEIGHTS:
        size = sum(sizes.get(name, 0) for name in bundle.parts)
        message = f"{len(parts)} files of weights; more than {_MAX_WEIGHTS} are not looked into."
        return Inspection(bundle.kind, size, "unsafe", "too_many_files", message)
    inspected = {name: _part(name, sizes, open_part) for name in parts}
    size = sum(sizes.get(name, 0) for name in bundle.parts)
    metadata = dict(_described(bundle, folder))
    tensors: dict[str, Tensor] = {}
    for name, one in inspected.items():
        if _speaks_for_all(name, bundle, parts):
            tensors |= one.tensors
            metadata = {**one.metadata, **metadata}
    container = _container(bundle, inspected)
    files = (*bundle.parts, *bundle.companions)
    whole = Inspection(container, size, tensors=tensors, metadata=metadata, files=files)
    return _judged(whole, bundle, inspected, sizes)


def _speaks_for_all(name: str, bundle: Bundle, parts: Collection[str]) -> bool:
    """Whether a part's tensors are the model's: of a pipeline its backbone's, of a graph that is there in several
    precisions the full one's.
    """
    if bundle.kind == "diffusers":
        return name.split("/", 1)[0] in _main_components(bundle)
    full = _PRECISION_ENDING.sub(".onnx", name)
    return full == name or full not in parts


def _judged(whole: Inspection, bundle: Bundle, inspected: Mapping[str, Inspection], sizes: Sizes) -> Inspection:
    """The worst that is true of a part is true of the whole."""
    for state in _WORST:
        for name, one in inspected.items():
            if one.state == state:
                return replace(whole, state=state, code=one.code, message=f"{name}: {one.message}")
    danger = whole.metadata.get(CHAT_DANGER)
    if danger is not None:
        return replace(whole, state="unsafe", code="unsafe_template", message=chat.danger_message(str(danger)))
    absent = list(bundle.missing)
    for name, one in inspected.items():
        beside = PurePosixPath(name).parent
        listed = str(one.metadata.get(onnx.EXTERNAL, "")).split("\n")
        absent += [str(beside / data) for data in listed if data and str(beside / data) not in sizes]
        if one.state == "not_model":
            return replace(whole, state="broken", code=one.code, message=f"{name}: {one.message}")
    if absent:
        shown = ", ".join(absent[:3]) + (f" and {len(absent) - 3} more" if len(absent) > 3 else "")
        verb = "is" if len(absent) == 1 else "are"
        return replace(whole, state="broken", code="missing_part", message=f"{shown} {verb} missing.")
    return whole


def _part(name: str, sizes: Sizes, open_part: Open) -> Inspection:
    with open_part(name) as (stream, size):
        if name.endswith(_OPENVINO):
            return openvino.inspect(stream, size, sizes.get(f"{name[: -len(_OPENVINO)]}.bin", 0))
        return inspect(stream, size, name)


def _inspected(bundle: Bundle) -> list[str]:
    """The parts that hold weights; an OpenVINO graph tells what is in the numbers beside it."""
    if bundle.parts[0].endswith(_OPENVINO):
        return [bundle.parts[0]]
    return [name for name in bundle.parts if _holds_weights(name)]


def _holds_weights(name: str) -> bool:
    return name.lower().endswith((*WEIGHTS, *PICKLE_SUFFIXES, ".tflite", ".mlmodel", ".keras"))


def _main_components(bundle: Bundle) -> tuple[str, ...]:
    folders = {name.split("/", 1)[0] for name in bundle.parts}
    return tuple(name for name in _MAIN_COMPONENTS if name in folders)[:1] or tuple(sorted(folders))


def _container(bundle: Bundle, inspected: dict[str, Inspection]) -> str:
    if bundle.whole:
        return bundle.kind
    return next((one.container for one in inspected.values()), bundle.kind)


def _described(bundle: Bundle, folder: Folder) -> Iterator[tuple[str, MetaValue]]:
    """What the describing files say, each under a prefix of its own."""
    if not bundle.whole:
        voice = f"{bundle.parts[0]}.json"
        yield from _flat("voice", folder.json(voice)) if voice in bundle.parts else ()
        return
    for name, prefix in _DESCRIBING.items():
        yield from _flat(prefix, folder.json(name))
    if folder.has("tokenizer.json") or folder.has("tokenizer.model"):
        yield "tokenizer.present", True
    template = _chat_template(folder)
    if template:
        yield CHAT_FEATURES, chat.features(template)
        if chat.danger(template):
            yield CHAT_DANGER, chat.danger(template)
    for component in _main_components(bundle) if bundle.kind == "diffusers" else ():
        yield from _flat("config", folder.json(f"{component}/config.json"))
    yield from _card(folder.text("README.md"))


def _chat_template(folder: Folder) -> str:
    """The text of the folder's chat templates; several are told as one."""
    apart = folder.text("chat_template.jinja")
    if apart:
        return apart
    for name in ("tokenizer_config.json", "chat_template.json", "processor_config.json"):
        told = folder.json(name)
        template = told.get("chat_template") if isinstance(told, dict) else None
        if isinstance(template, list):
            template = "\n".join(str(one.get("template", "")) for one in template if isinstance(one, dict))
        if isinstance(template, str) and template:
            return template
    return ""


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, MetaValue]]:
    if not isinstance(value, dict):
        return
    for key, inner in list(value.items())[:_MAX_KEYS]:
        name = f"{prefix}.{key}"
        if key == "chat_template":
            yield name, True
        elif isinstance(inner, str):
            yield name, inner[:_MAX_TEXT]
        elif isinstance(inner, bool | int | float):
            yield name, inner
        elif isinstance(inner, list) and inner:
            shown = [str(one) for one in inner[:_MAX_LISTED] if isinstance(one, str | int | float)]
            yield (name, ", ".join(shown)[:_MAX_TEXT]) if shown else (f"{name}.length", len(inner))
        elif isinstance(inner, dict) and key == "id2label":
            yield f"{name}.length", len(inner)
        elif isinstance(inner, dict) and key in _NESTED and prefix.count(".") < _MAX_DEPTH:
            yield from _flat(name, inner)


def _card(text: str) -> Iterator[tuple[str, MetaValue]]:
    """The YAML between the first two lines of dashes of a model card."""
    if not text.startswith(_FRONT):
        return
    front, _, body = text[len(_FRONT) : _MAX_CARD].partition(f"\n{_FRONT}")
    title = _TITLE.search(body)
    if title:
        yield "card.title", title[1].strip()[:_MAX_NAME]
    described = _first_paragraph(body)
    if described:
        yield "card.description", described
    told = plain_yaml.load(front)
    yield from _flat("card", {key: told[key] for key in _CARD if key in told})


def _first_paragraph(body: str) -> str:
    """The first lines of plain words: no heading, picture, table, list or code."""
    for paragraph in body.split("\n\n"):
        words = " ".join(paragraph.split())
        if words and not words.startswith(_MARKUP):
            return words[:_MAX_TEXT]
    return ""
