"""How a model's numbers are stored: precision, the quantisation's usual name, and how many parameters there are.

A file's own statement counts where its tensors bear it out. Packed weights are counted as what they stand for.
"""

import re
from collections import Counter
from collections.abc import Mapping
from math import prod
from typing import NamedTuple

from modelhub.classify.globs import NameIndex
from modelhub.core.types import FILE_TYPE_NAME, Inspection, MetaValue

_PRECISION = {
    "F64": "fp64", "F32": "fp32", "F16": "fp16", "BF16": "bf16", "F8_E4M3": "fp8_e4m3fn",
    "F8_E4M3FNUZ": "fp8_e4m3fnuz", "F8_E5M2": "fp8_e5m2", "F8_E5M2FNUZ": "fp8_e5m2fnuz",
    "F4": "fp4", "I8": "int8", "U8": "uint8", "I16": "int16", "U16": "uint16", "I32": "int32", "U32": "uint32",
    "I64": "int64", "U64": "uint64",
}  # fmt: skip
_FLOATS = {"F64", "F32", "F16", "BF16"}
_INDICES = {"I64", "U64", "I32", "U32", "BOOL"}
_QUANT_NAME = re.compile(
    r"(?:^|[._\-\s])(?:UD-)?((?:I?Q\d(?:_(?:K|\d|XXS|XS|S|M|NL))*(?:_(?:XXS|XS|S|M|L|XL))?)|TQ\d_0|MXFP4(?:_MOE)?)(?=$|[._\-\s])",
    re.IGNORECASE,
)
_NOTABLE = 0.1
"""Share of the elements from which a second dtype is worth telling."""

_METHODS = {
    "gptq": "GPTQ", "awq": "AWQ", "exl2": "EXL2", "exl3": "EXL3", "hqq": "HQQ", "aqlm": "AQLM", "quip": "QuIP",
    "autoround": "AutoRound", "auto-round": "AutoRound", "quark": "Quark", "eetq": "EETQ", "vptq": "VPTQ",
    "torchao": "torchao", "spqr": "SpQR", "higgs": "HIGGS", "bitnet": "BitNet",
}  # fmt: skip
_WHOLE = {
    "bitsandbytes": "bnb-int8", "fp8": "FP8", "fbgemm_fp8": "FP8", "finegrained_fp8": "FP8", "mxfp4": "MXFP4",
}  # fmt: skip
_PACKED_WORDS = (".qweight", ".weight_packed")
_OF_QUANTISERS = re.compile(
    r"\.(?:scales?|qzeros|g_idx|biases|absmax|nested_absmax|quant_map|nested_quant_map|SCB|weight_format"
    r"|quant_state\.\w+|weight_scale(?:_inv|_2)?|weight_shape|weight_zero_point|input_scale|output_scale|scale_weight"
    r"|scale_input|zero_point|wscales|smooth_factor(?:_orig)?|q_(?:scale|perm|invperm|groups|group_map|scale_max))$"
    r"|(?:^|\.)scaled_fp8$|_scales$"
)


_BY_ENDING = (
    ("wscales", "F8_E4M3", "SVDQuant-fp4"),
    ("wscales", "", "SVDQuant-int4"),
    ("bitsandbytes__fp4", "", "bnb-fp4"),
    ("bitsandbytes__nf4", "", "bnb-nf4"),
    ("absmax", "", "bnb-nf4"),
    ("SCB", "", "bnb-int8"),
    ("qzeros", "g_idx", "GPTQ-4bit"),
    ("qzeros", "", "AWQ-4bit"),
    ("q_scale", "q_weight", "EXL2"),
    ("scales", "U32", "MLX-4bit"),
)
"""The last part of some tensors' names, another one or a dtype that must be there too, and whose they are."""


class Numbers(NamedTuple):
    """How the numbers are stored. `parameters` counts what packed weights stand for; empty or 0: not told."""

    precision: str
    quantization: str
    parameters: int


def numbers(inspection: Inspection, index: NameIndex, name: str) -> Numbers:
    """What the tensors of an inspected model, or else its description, tell of its numbers."""
    counted: Counter[str] = Counter()
    endings = {one.rpartition(".")[2] for one, _ in index.kinds()}
    for tensor, number in Counter(inspection.tensors.values()).items():
        counted[tensor.dtype] += prod(tensor.shape) * number
    weights = Counter({dtype: number for dtype, number in counted.items() if dtype not in _INDICES}) or counted
    quantization = _quantization(inspection, weights, endings | counted.keys(), name)
    unpacked = _unpacked(inspection, quantization)
    parameters = counted.total() if unpacked is None else unpacked
    return Numbers(_precision(inspection, weights), quantization, parameters)


def _precision(inspection: Inspection, counted: Counter[str]) -> str:
    """The dtype of most elements, with a second one of notable share. Of a quantised GGUF there is none to tell."""
    if not counted:
        return _PRECISION.get(_stated_dtype(inspection.metadata), "")
    ranked = counted.most_common(2)
    main = ranked[0][0]
    if inspection.container in ("gguf", "split_gguf") and main not in _FLOATS:
        return ""
    told = _PRECISION.get(main, main.lower())
    if len(ranked) > 1 and ranked[1][1] >= _NOTABLE * counted.total() and {main, ranked[1][0]} & {*_FLOATS, "F8_E4M3"}:
        told += f"+{_PRECISION.get(ranked[1][0], ranked[1][0].lower())}"
    return told


def _quantization(inspection: Inspection, counted: Counter[str], told: set[str], name: str) -> str:
    metadata = inspection.metadata
    if inspection.container in ("gguf", "split_gguf", "ggml"):
        return _block_quantization(metadata, counted, name)
    main = counted.most_common(1)[0][0] if counted else ""
    return _stated(metadata, main) or _by_tensors(told, main, metadata)


def _stated(metadata: Mapping[str, MetaValue], main: str) -> str:
    """What config.json says of the quantisation."""
    prefix = "config.quantization_config"
    method = str(metadata.get(f"{prefix}.quant_method") or "").lower()
    bits = _bits(metadata)
    if metadata.get(f"{prefix}.load_in_4bit") is True:
        return f"bnb-{metadata.get(f'{prefix}.bnb_4bit_quant_type') or 'nf4'}"
    if method in _WHOLE:
        return _WHOLE[method]
    if method in ("compressed-tensors", "modelopt"):
        return _compressed(metadata, main, bits)
    name = _METHODS.get(method, "MLX" if isinstance(metadata.get("config.quantization.group_size"), int) else "")
    if name:
        return f"{name}-{bits:g}bit" if bits else name
    return f"GPTQ-{metadata['quantize.bits']}bit" if metadata.get("quantize.bits") else ""


def _bits(metadata: Mapping[str, MetaValue]) -> float:
    keys = (
        "quantization_config.bits", "quantization.bits", "quantization_config.w_bit", "quantization_config.nbits",
        "quantization_config.quant_config.weight_quant_params.nbits",
        "quantization_config.config_groups.group_0.weights.num_bits",
    )  # fmt: skip
    found = (metadata.get(f"config.{key}") for key in keys)
    return next((value for value in found if isinstance(value, int | float) and value > 0), _codebook_bits(metadata))


def _codebook_bits(metadata: Mapping[str, MetaValue]) -> float:
    """AQLM: so many codebooks of so many bits stand for a group of weights."""
    books, width, group = (
        metadata.get(f"config.quantization_config.{key}")
        for key in ("num_codebooks", "nbits_per_codebook", "in_group_size")
    )
    if isinstance(books, int) and isinstance(width, int) and isinstance(group, int) and group > 0:
        return books * width / group
    return 0


def _compressed(metadata: Mapping[str, MetaValue], main: str, bits: float) -> str:
    form = str(metadata.get("config.quantization_config.format") or "")
    algorithm = str(metadata.get("config.quantization_config.quant_algo") or "").upper()
    if main.startswith("F8") or "float-quantized" in form or "FP8" in algorithm:
        return "FP8"
    if "nvfp4" in form or "FP4" in algorithm:
        return "NVFP4"
    if main == "I8" or "int-quantized" in form:
        return "INT8"
    return f"INT{bits:g}" if bits else "INT4"


def _by_tensors(told: set[str], main: str, metadata: Mapping[str, MetaValue]) -> str:
    """What the last parts of the tensors' names, and their dtypes, tell where no configuration lies beside them."""
    for needed, also, name in _BY_ENDING:
        if needed in told and (not also or also in told):
            return name
    if main.startswith("F8"):
        return "FP8-scaled" if told & {"scale_weight", "scaled_fp8", "weight_scale"} else "FP8"
    if main in ("I8", "U8"):
        return "INT8"
    return main if main in _FLOATS else _stated_dtype(metadata)


def _stated_dtype(metadata: Mapping[str, MetaValue]) -> str:
    """The dtype that config.json states."""
    stated = str(metadata.get("config.torch_dtype") or metadata.get("config.dtype") or "")
    return {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}.get(stated, "")


def _block_quantization(metadata: Mapping[str, MetaValue], counted: Counter[str], name: str) -> str:
    """GGUF's and GGML's own kinds: by file_type where it is of the tensors' kind, else by name, else the tensors'."""
    stated = str(metadata.get(FILE_TYPE_NAME, "")).removesuffix("_MOE")
    if not counted:
        return stated
    main = counted.most_common(1)[0][0]
    if stated and _same_kind(stated, main):
        return stated
    named = _QUANT_NAME.search(name)
    if named and _same_kind(named[1].upper(), main):
        return named[1].upper()
    return main


def _same_kind(stated: str, main: str) -> bool:
    """Q4_K_M is mostly Q4_K; F16 is F16."""
    return stated == main or stated.startswith(f"{main}_") or main.startswith(stated.rsplit("_", 1)[0])


def _unpacked(inspection: Inspection, quantization: str) -> int | None:
    """How many weights packed ones stand for, without those of the quantiser; 0: untold, None: nothing is packed."""
    if quantization.startswith(_UNCOUNTABLE):
        return _described(inspection.metadata)
    packed = _packing(quantization)
    if not packed:
        return None
    total = 0
    for name, tensor in inspection.tensors.items():
        if _OF_QUANTISERS.search(name):
            continue
        elements = prod(tensor.shape)
        if tensor.dtype in ("I32", "U32", "U8", "I8") and name.endswith((".weight", *_PACKED_WORDS, "_blocks")):
            elements = int(elements * _WIDTH[tensor.dtype] / packed)
        total += elements
    return total


_UNCOUNTABLE = ("EXL2", "EXL3", "AQLM", "VPTQ", "QuIP", "HQQ", "SpQR")
"""Quantisations whose packed tensors do not tell how many weights they stand for."""


def _described(metadata: Mapping[str, MetaValue]) -> int:
    """The parameters of a dense Llama-like model, from the sizes that its config.json states; 0 if it lacks some."""
    keys = ("hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size", "num_attention_heads")
    stated = [metadata.get(f"config.{key}") for key in keys]
    sizes = [value for value in stated if isinstance(value, int) and 0 < value < 1 << 24]
    if len(sizes) < len(keys):
        return 0
    width, layers, inner, vocabulary, heads = sizes
    shared, head = metadata.get("config.num_key_value_heads"), metadata.get("config.head_dim")
    head_width = head if isinstance(head, int) and head > 0 else width // heads
    queries, keys_values = heads * head_width, (shared if isinstance(shared, int) else heads) * head_width
    layer = 2 * width * queries + 2 * width * keys_values + 3 * width * inner + 2 * width
    ends = vocabulary * width * (1 if metadata.get("config.tie_word_embeddings") is True else 2)
    return ends + layers * layer + width


_WIDTH = {"I32": 32, "U32": 32, "U8": 8, "I8": 8}


def _packing(quantization: str) -> float:
    """Bits of a weight in its packed form; 0 if nothing is packed."""
    if quantization in ("bnb-nf4", "bnb-fp4", "SVDQuant-int4", "SVDQuant-fp4", "INT4", "NVFP4", "MXFP4"):
        return 4
    if quantization in ("bnb-int8", "INT8", "FP8", "FP8-scaled"):
        return 8
    found = re.search(r"-([\d.]+)bit$", quantization)
    return float(found[1]) if found else 0
