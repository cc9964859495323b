"""Names in apps: templates filled from what is known of a model, endings that apps read, names they hide."""

import fnmatch
import os
import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from modelhub.core.deployment import Deployable
from modelhub.core.templates import FIELD

MAX_NAME = 255
"""Bytes that file systems take for one name."""

_LOOSE = re.compile(r"[-_. ]*([-_. ])\1+|(?<=/)[-_. ]+|[-_. ]+(?=/|$)|^[-_. ]+")
_SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "safetensors": (".safetensors", ".sft"),
    "gguf": (".gguf",),
    "onnx": (".onnx",),
    "ggml": (".bin",),
    "torch_zip": (".pt", ".pth", ".ckpt", ".bin", ".pt2", ".pkl"),
    "torch_legacy": (".pt", ".pth", ".ckpt", ".bin", ".pkl"),
    "pickle": (".pt", ".pth", ".ckpt", ".bin", ".pkl"),
}
"""Endings that say the truth about a format, the usual one first."""
_ACTS = ("Cc", "Zl", "Zp")
KNOWN_ENDINGS = frozenset(ending for endings in _SUFFIXES.values() for ending in endings)
_QUANT = re.compile(
    r"[-_. ]*(?:(?:i1|ud|imat|imatrix)[-_. ])?"
    r"\b(?:iq\d\w*|q\d(?:_[a-z0-9]+)*|f16|f32|bf16|fp16|fp8|fp32|mxfp4(?:_moe)?)$",
    re.IGNORECASE,
)
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in range(1, 10))}


def fields_of(model: Deployable, *, family: str, publisher: str, repo: str) -> dict[str, str]:
    """What a template can name, each value fit to be part of a name."""
    stem = stem_of(model.filename)
    values = {
        "file": stem, "name": stem, "clean": hyphened(stem), "model": without_quant(stem), "base": model.base,
        "family": family or model.base, "sub_type": model.sub_type, "variant": model.variant, "type": model.type,
        "size": parameters(model.parameters), "quant": model.quantization, "precision": model.precision,
        "format": model.format, "architecture": model.architecture, "primary": model.primary.lower(),
        "secondary": model.secondary.lower(), "specialization": model.specialization.lower(),
        "license": model.license, "publisher": publisher, "repo": repo or without_quant(stem),
        "hash": model.sha256[:8],
    }  # fmt: skip
    for name in ("base", "family", "sub_type", "variant", "type"):
        values[name] = dotted(values[name])
    return {name: inert(value.replace("/", "-")) for name, value in values.items()}


def stem_of(name: str) -> str:
    """A name without its ending, if that is one of a model file; ``v1.5`` has none."""
    own = ending(name)
    return name[: -len(own)] if own in KNOWN_ENDINGS else name


def filled(template: str, fields: Mapping[str, str]) -> str:
    """The template with its fields; what is empty leaves no double or dangling separators behind."""
    if template == "{file}":
        return fields["file"]
    text = FIELD.sub(lambda match: next((fields[word] for word in match[1].split("|") if fields[word]), ""), template)
    text = _LOOSE.sub(r"\1", text) if any(not value for value in fields.values()) else text
    return "/".join(part for part in text.split("/") if part not in ("", ".", ".."))


def dotted(key: str) -> str:
    """A key as people write it: ``qwen2_5`` is qwen2.5, ``sd_turbo`` is sd-turbo."""
    return re.sub(r"(?<=\d)_(?=\d)", ".", key).replace("_", "-")


def hyphened(text: str) -> str:
    """Lower case, words joined by hyphens; dots stay between digits."""
    lower = unicodedata.normalize("NFC", text).lower()
    return re.sub(r"(?<!\d)\.|\.(?!\d)|[^\w.]+|_+", "-", lower).strip("-.") or "model"


def parameters(number: int) -> str:
    """A number of parameters as names have it: 8b, 1.5b, 270m."""
    for unit, factor in (("b", 10**9), ("m", 10**6)):
        if number >= factor * 0.95:
            value = number / factor
            return f"{value:.0f}{unit}" if value >= 10 or abs(value - round(value)) < 0.05 else f"{value:.1f}{unit}"
    return ""


def without_quant(stem: str) -> str:
    """A file's name without the quantisation at its end."""
    return _QUANT.sub("", stem) or stem


def inert(name: str) -> str:
    """A name without what a terminal or a file system could take for an order, and not hidden."""
    if name.isascii() and name.isprintable() and not name.startswith(".") and "/" not in name:
        return name
    kept = "".join("_" if char == "/" or unicodedata.category(char) in _ACTS else char for char in name)
    return kept.lstrip(".") or "model"


def strict(name: str) -> str:
    """A name that Windows and its file systems take as well."""
    kept = re.sub(r'[<>:"|?*\\]', "_", name).rstrip(" .") or "model"
    return f"_{kept}" if kept.split(".")[0].lower() in _RESERVED else kept


def ending(name: str) -> str:
    """The ending of a name with its dot, in lower case; empty if it has none."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def suffix(model: Deployable, name: str, endings: tuple[str, ...]) -> str:
    """The lower-case ending that tells the truth about the content, of those the app lists if it can be.

    `name` is the stored file's; it keeps an ending that is true. Formats we have no table for keep theirs.
    """
    return _true_ending(model.format, ending(name), endings)


@lru_cache(maxsize=1024)
def _true_ending(form: str, own: str, endings: tuple[str, ...]) -> str:
    true = _SUFFIXES.get(form)
    if true is None:
        return own
    if own in true and (not endings or own in endings):
        return own
    listed = [one for one in true if one in endings]
    return listed[0] if listed else own if own in true else true[0]


@lru_cache(maxsize=64)
def _hides(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns))


def is_hidden(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether the app does not show a file of this name."""
    return _hides(patterns).match(name) is not None


def shown(name: str, patterns: tuple[str, ...]) -> str:
    """`name`, or one that the app does not hide: dots before the ending become hyphens."""
    if not patterns or not is_hidden(name, patterns):
        return name
    stem, ending = os.path.splitext(name)
    return stem.lstrip(".").replace(".", "-") + ending


def shortened(stem: str, ending: str) -> str:
    """`stem` and `ending`, of which file systems take 255 bytes together."""
    room = MAX_NAME - len(os.fsencode(ending))
    if len(stem) * 4 <= room:
        return stem + ending
    while len(os.fsencode(stem)) > room:
        stem = stem[:-1]
    return stem + ending
