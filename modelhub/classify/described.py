"""What a model's own description says: names, licence, languages, tags, what it was made from, trigger words."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping

from modelhub.core.types import MetaValue

Metadata = Mapping[str, MetaValue]

_TRIGGER_LIMIT = 20
_LICENCES = (
    "metadata.license", "card.license", "general.license", "modelspec.license", "license", "config.license",
    "voice.license",
)  # fmt: skip
_LANGUAGES = (
    "metadata.language_support", "card.language", "general.languages", "voice.language.code", "config.languages",
    "config.language", "config.phoneme_language", "metadata.language",
)  # fmt: skip
_TAGS = (
    "card.tags", "general.tags", "modelspec.tags", "metadata.tags", "metadata.use_cases",
    "metadata.specialized_domains",
)  # fmt: skip
_DESCRIPTIONS = (
    "metadata.description",
    "modelspec.description",
    "general.description",
    "card.description",
    "description",
)
_BASES = (
    "card.base_model", "adapter.base_model_name_or_path", "general.base_model.0.repo_url",
    "general.base_model.0.name", "ss_base_model_version", "ss_sd_model_name",
    "metadata.base_model",
)  # fmt: skip
_NAMES = (
    "general.name", "general.basename", "card.model_name", "card.title", "config._name_or_path", "modelspec.title",
    "general.base_model.0.name", "metadata.display_name", "metadata.name", "general.description",
    "clip.projector_type", "clip.vision.projector_type",
    "clip.audio.projector_type", "description", "onnx.graph",
)  # fmt: skip
_DATASETS = ("card.datasets", "general.datasets")
_SPDX = re.compile(r"[a-z0-9][a-z0-9.+\-]{1,40}", re.IGNORECASE)
_CODE = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8})*|multilingual|code", re.IGNORECASE)
_UNNAMED = re.compile(
    r"^(?:model|models?[-_]\w{0,8}|ggml[-_]model|unsloth|output|checkpoint|results?|main_graph)$", re.IGNORECASE
)
_FIRST_WORDS = 160


def names(metadata: Metadata) -> Iterator[str]:
    """What the model is called in its own description, surest first; the opening of a description comes last."""
    for key in _NAMES:
        value = str(metadata.get(key) or "").strip()
        if value and not _UNNAMED.match(value):
            yield value.rsplit("/", 1)[-1][:200]
    opening = str(metadata.get("card.description") or "")
    if opening:
        yield opening[:_FIRST_WORDS]


def license_of(metadata: Metadata) -> str:
    """The licence's identifier, lower-case as model cards write it; empty if none is stated."""
    for key in _LICENCES:
        found = _SPDX.match(str(metadata.get(key) or "").strip())
        if found:
            return found[0].lower()
    return ""


def license_name(metadata: Metadata) -> str:
    """What a licence that is none of the usual ones is called."""
    return str(metadata.get("card.license_name") or metadata.get("general.license.name") or "").strip()[:100]


def languages(metadata: Metadata) -> tuple[str, ...]:
    """Codes of the languages it is said to be for, as stated."""
    for key in _LANGUAGES:
        listed = [code.split("_", 1)[0] for code in _listed(metadata.get(key))]
        codes = tuple(dict.fromkeys(code for code in listed if _CODE.fullmatch(code)))
        if codes:
            return codes
    return ()


def tags(metadata: Metadata) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tag for key in _TAGS for tag in _listed(metadata.get(key))))


def description(metadata: Metadata) -> str:
    found = next((str(metadata[key]) for key in _DESCRIPTIONS if metadata.get(key)), "")
    return " ".join(found.split())


def base_models(metadata: Metadata) -> tuple[str, ...]:
    """What it was made from, as its description names it."""
    told = (one.removeprefix("https://huggingface.co/") for key in _BASES for one in _listed(metadata.get(key)))
    return tuple(dict.fromkeys(told))


def datasets(metadata: Metadata) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for key in _DATASETS for one in _listed(metadata.get(key))))


def triggers(metadata: Metadata) -> tuple[str, ...]:
    """Trigger words the trainer wrote down: the stated phrase, else the most frequent tags."""
    phrase = str(metadata.get("modelspec.trigger_phrase") or "").strip()
    if phrase:
        return tuple(word.strip() for word in phrase.split(",") if word.strip())[:_TRIGGER_LIMIT]
    try:
        folders = json.loads(str(metadata.get("ss_tag_frequency") or "{}"))
    except (ValueError, RecursionError):
        return ()
    counts: Counter[str] = Counter()
    for tagged in folders.values() if isinstance(folders, dict) else ():
        for tag, count in tagged.items() if isinstance(tagged, dict) else ():
            if isinstance(count, int):
                counts[str(tag).strip()] += count
    return tuple(tag for tag, _ in counts.most_common(_TRIGGER_LIMIT) if tag)


def _listed(value: MetaValue | None) -> list[str]:
    """The members of a list that was joined with commas."""
    return [one.strip() for one in str(value).split(",") if one.strip()] if value not in (None, "", False) else []
