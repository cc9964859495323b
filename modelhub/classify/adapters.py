"""What an adapter's tensors say of it: its kind, its rank and alpha, and which parts of a model it patches.

Names are those of kohya's scripts, LyCORIS, PEFT, diffusers and XLabs.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from modelhub.classify.globs import NameIndex
from modelhub.core.types import Adapter, Inspection, MetaValue, Tensor

_KINDS = (
    ("dora", (".dora_scale", ".lora_magnitude_vector", ".lora_magnitude_vector.weight")),
    ("loha", (".hada_w1_a",)),
    ("lokr", (".lokr_w1", ".lokr_w1_a")),
    ("oft", (".oft_blocks", ".oft_diag", ".oft_r.weight", ".oft_R.weight")),
    ("boft", (".boft_R", ".boft_s")),
    ("glora", (".a1.weight",)),
    ("ia3", (".on_input", ".ia3_l")),
    ("full", (".diff",)),
)
_DOWN = re.compile(
    r"(?:\.lora_down\.weight|\.lora_A(?:\.\w+)?\.weight|\.lora\.down\.weight|_lora\.down\.weight|\.lora_A|\.lora_a"
    r"|\.down\.weight)$"
)
_HADAMARD = re.compile(r"\.hada_w1_b$|\.lokr_w1_b$|\.lokr_w2_b$")
_CONVOLUTION = 4
_PARTS = (
    ("text_encoder_2", re.compile(r"lora_te2|text_encoder_2|\bte2")),
    ("text_encoder", re.compile(r"lora_te1?_|text_encoder|text_model|^(?:cond_stage|clip)_")),
    ("unet", re.compile(r"lora_unet|^unet\.|down_blocks|input_blocks|up_blocks")),
    ("transformer", re.compile(r"transformer|double_blocks|single_blocks|diffusion_model|blocks[._]\d+|layers[._]\d+")),
)
Kinds: TypeAlias = Mapping[str, tuple[int, Tensor]]
"""One name of each kind of tensor, how many there are of it, and one of them."""


def adapter(inspection: Inspection, index: NameIndex, model_type: str) -> Adapter | None:
    """What the tensors of a LoRA, or of another adapter, tell; None of anything else."""
    if model_type not in ("lora", "lora_adapter"):
        return None
    kinds = {name: (number, index.tensors[name]) for name, number in index.kinds()}
    metadata = inspection.metadata
    return Adapter(_kind(kinds, metadata), _rank(kinds, metadata), _alpha(metadata), _targets(kinds))


def _kind(kinds: Kinds, metadata: Mapping[str, MetaValue]) -> str:
    """LyCORIS calls a LoRA with convolutions LoCon."""
    stated = str(metadata.get("adapter.peft_type") or "").lower()
    if metadata.get("adapter.use_dora") is True:
        return "dora"
    found = next((kind for kind, endings in _KINDS if any(name.endswith(endings) for name in kinds)), "")
    if found or stated:
        return found or stated
    spatial = any(
        len(tensor.shape) == _CONVOLUTION and max(tensor.shape[2:]) > 1
        for name, (_, tensor) in kinds.items()
        if _DOWN.search(name)
    )
    return "locon" if spatial else "lora"


def _rank(kinds: Kinds, metadata: Mapping[str, MetaValue]) -> int:
    """The rank of most of its pairs, else what the trainer wrote down."""
    ranks: Counter[int] = Counter()
    for name, (number, tensor) in kinds.items():
        ranks[_rank_of(name, tensor)] += number
    del ranks[0]
    if ranks:
        return ranks.most_common(1)[0][0]
    return _whole(metadata, ("ss_network_dim", "adapter.r", "lora_rank", "networkDim"))


def _rank_of(name: str, tensor: Tensor) -> int:
    if not tensor.shape:
        return 0
    return tensor.shape[0] if _DOWN.search(name) or _HADAMARD.search(name) else 0


def _alpha(metadata: Mapping[str, MetaValue]) -> float:
    for key in ("ss_network_alpha", "adapter.lora_alpha", "lora_alpha", "adapter.lora.alpha"):
        try:
            value = float(str(metadata.get(key)))
        except ValueError:
            continue
        if 0 < value < 1e9:
            return value
    return 0.0


def _targets(names: Iterable[str]) -> tuple[str, ...]:
    """Which parts of its base it patches."""
    parts = (next((part for part, pattern in _PARTS if pattern.search(name)), "") for name in names)
    return tuple(sorted(set(parts) - {""}))


def _whole(metadata: Mapping[str, MetaValue], keys: tuple[str, ...]) -> int:
    for key in keys:
        text = str(metadata.get(key, ""))
        if text.isascii() and text.isdigit() and len(text) < 9:
            return int(text)
    return 0
