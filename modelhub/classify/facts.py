"""What follows from a header without judging its type: numbers, context, licence, words, adapter."""

from collections.abc import Mapping

from modelhub.classify import adapters, categories, described
from modelhub.classify.globs import NameIndex
from modelhub.classify.quantization import numbers
from modelhub.classify.rulebook import RuleBook
from modelhub.core.types import CHAT_FEATURES, Facts, Inspection, MetaValue

_ARCHITECTURES = (
    "general.architecture", "modelspec.architecture", "config.architectures", "config.model_type",
    "config._class_name", "config.architecture", "index._class_name",
)  # fmt: skip
_CONTEXT = (
    "max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "n_ctx", "max_seq_len",
    "max_target_positions", "context_length", "max_seqlen",
)  # fmt: skip
_VOCABULARY = ("tokenizer.ggml.tokens.length", "config.vocab_size", "config.text_config.vocab_size")


def gather(inspection: Inspection, name: str, names: NameIndex, model_type: str, book: RuleBook) -> Facts:
    """Facts of an inspected model of that type; fields that nothing tells are empty or 0."""
    metadata = inspection.metadata
    stored = numbers(inspection, names, name)
    category, modalities, capabilities = categories.judge(name, inspection, names, model_type, book)
    return Facts(
        format=inspection.container,
        precision=stored.precision,
        quantization=stored.quantization,
        architecture=next((str(metadata[key]) for key in _ARCHITECTURES if metadata.get(key)), ""),
        parameters=stored.parameters,
        tensor_count=len(inspection.tensors),
        context_length=_context(metadata),
        triggers=described.triggers(metadata),
        license=described.license_of(metadata),
        license_name=described.license_name(metadata),
        languages=described.languages(metadata),
        modalities=modalities,
        capabilities=capabilities,
        category=category,
        tags=described.tags(metadata),
        description=described.description(metadata),
        base_models=described.base_models(metadata),
        datasets=described.datasets(metadata),
        vocabulary_size=next((found for key in _VOCABULARY if (found := _whole(metadata.get(key)))), 0),
        chat_template=CHAT_FEATURES in metadata,
        adapter=adapters.adapter(inspection, names, model_type),
    )


def _context(metadata: Mapping[str, MetaValue]) -> int:
    """Tokens of context, as GGUF, a sentence model's settings or config.json state it."""
    keys = [f"{metadata.get('general.architecture')}.context_length", "sentence_bert.max_seq_length"]
    keys += [f"config.{place}{key}" for place in ("", "text_config.", "llm_config.") for key in _CONTEXT]
    keys.append("tokenizer.model_max_length")  # where nothing is known the tokenizer states a number of 30 digits
    return next((found for key in keys if (found := _whole(metadata.get(key)))), 0)


def _whole(value: MetaValue | None) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 31 else 0
