"""What follows from a header without judgement: precision, quantisation, size, context, trigger words."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from math import prod

from modelhub.core.types import FILE_TYPE_NAME, Facts, Inspection, MetaValue

_PRECISION = {
    "F64": "fp64", "F32": "fp32", "F16": "fp16", "BF16": "bf16", "F8_E4M3": "fp8_e4m3fn",
    "F8_E4M3FNUZ": "fp8_e4m3fnuz", "F8_E5M2": "fp8_e5m2", "F8_E5M2FNUZ": "fp8_e5m2fnuz",
    "F4": "fp4", "I8": "int8", "U8": "uint8", "I16": "int16", "I32": "int32", "I64": "int64",
}  # fmt: skip
_FLOATS = {"F64", "F32", "F16", "BF16"}
_QUANT_NAME = re.compile(
    r"(?:^|[._\-\s])(?:UD-)?((?:I?Q\d(?:_(?:K|\d|XXS|XS|S|M|NL))*(?:_(?:XXS|XS|S|M|L|XL))?)|TQ\d_0|MXFP4(?:_MOE)?)(?=$|[._\-\s])",
    re.IGNORECASE,
)
_TRIGGER_LIMIT = 20


def gather(inspection: Inspection, name: str) -> Facts:
    """Facts of an inspected file; fields the header does not tell are empty or 0."""
    metadata = inspection.metadata
    keys = ("general.architecture", "modelspec.architecture", "config.model_type", "config._class_name")
    architecture = next((str(metadata[key]) for key in keys if metadata.get(key)), "")
    return Facts(
        format=inspection.container,
        precision=_precision(inspection),
        quantization=_quantization(inspection, name),
        architecture=architecture,
        parameters=_parameters(inspection),
        tensor_count=len(inspection.tensors),
        context_length=_context(metadata, architecture),
        triggers=_triggers(metadata),
    )


def _elements_by_dtype(inspection: Inspection) -> Counter[str]:
    counted: Counter[str] = Counter()
    for tensor in inspection.tensors.values():
        counted[tensor.dtype] += prod(tensor.shape)
    return counted


def _precision(inspection: Inspection) -> str:
    """The dtype of most elements. In GGUF this is a fact only where the file is not quantised."""
    counted = _elements_by_dtype(inspection)
    if not counted:
        return ""
    dtype = counted.most_common(1)[0][0]
    if inspection.container == "gguf" and dtype not in _FLOATS:
        return ""
    return _PRECISION.get(dtype, dtype.lower())


def _quantization(inspection: Inspection, name: str) -> str:
    """The quantisation's usual name: the file's own statement where its tensors bear it out."""
    counted = _elements_by_dtype(inspection)
    if inspection.container == "gguf":
        return _gguf_quantization(inspection, counted, name)
    if any(tensor.endswith((".quant_state.bitsandbytes__nf4", ".absmax")) for tensor in inspection.tensors):
        return "nf4" if any("nf4" in tensor for tensor in inspection.tensors) else "bnb"
    if any(tensor.endswith(".qzeros") for tensor in inspection.tensors):
        return "gptq" if any(tensor.endswith(".g_idx") for tensor in inspection.tensors) else "awq"
    main = counted.most_common(1)[0][0] if counted else ""
    if main.startswith("F8"):
        return "fp8_scaled" if any("scale" in tensor for tensor in inspection.tensors) else "fp8"
    return ""


def _gguf_quantization(inspection: Inspection, counted: Counter[str], name: str) -> str:
    if not counted:
        return ""
    main = counted.most_common(1)[0][0]
    stated = str(inspection.metadata.get(FILE_TYPE_NAME, ""))
    if stated and _same_kind(stated, main):
        return stated
    named = _QUANT_NAME.search(name)
    if named and _same_kind(named[1].upper(), main):
        return named[1].upper()
    return main


def _same_kind(stated: str, main: str) -> bool:
    """Q4_K_M is mostly Q4_K; F16 is F16."""
    return stated == main or stated.startswith(f"{main}_") or main.startswith(stated.rsplit("_", 1)[0])


def _parameters(inspection: Inspection) -> int:
    return sum(prod(tensor.shape) for tensor in inspection.tensors.values())


_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "n_ctx", "max_seq_len")


def _context(metadata: Mapping[str, MetaValue], architecture: str) -> int:
    """Tokens of context, as GGUF or config.json state it."""
    keys = (f"{architecture}.context_length", *(f"config.{key}" for key in _CONTEXT_KEYS))
    keys += tuple(f"config.text_config.{key}" for key in _CONTEXT_KEYS)
    return next((found for key in keys if (found := _whole(metadata.get(key)))), 0)


def _whole(value: MetaValue | None) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 62 else 0


def _triggers(metadata: Mapping[str, MetaValue]) -> tuple[str, ...]:
    """Trigger words the trainer wrote down: the stated phrase, else the most frequent tags."""
    phrase = str(metadata.get("modelspec.trigger_phrase") or "").strip()
    if phrase:
        return tuple(word.strip() for word in phrase.split(",") if word.strip())[:_TRIGGER_LIMIT]
    try:
        folders = json.loads(str(metadata.get("ss_tag_frequency") or "{}"))
    except (ValueError, RecursionError):
        return ()
    counts: Counter[str] = Counter()
    for tags in folders.values() if isinstance(folders, dict) else ():
        for tag, count in tags.items() if isinstance(tags, dict) else ():
            if isinstance(count, int):
                counts[str(tag).strip()] += count
    return tuple(tag for tag, _ in counts.most_common(_TRIGGER_LIMIT) if tag)
