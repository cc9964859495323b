"""Which family a model is of, told by the architecture its file states and by what it is called."""

import re
from collections.abc import Iterator

from modelhub.classify import described
from modelhub.classify.rulebook import Family, RuleBook
from modelhub.core.types import Evidence, Inspection

_ARCHITECTURES = ("config.model_type", "general.architecture")
_NO_FAMILY = {"clip", "diffusion", "vision-encoder-decoder-model"}
"""What `general.architecture` says of files that have no family of that name: a projector calls itself clip."""

_TOLD_BY_TENSORS = {"safetensors", "sft", "torch_zip", "torch_legacy", "torch_tar", "npz"}
"""Formats in which apps for pictures keep their helpers (a CLIP, a depth model): these serve every family."""

_KNOWN, _OWN, _NAMED, _MADE_FROM = 0.97, 0.8, 0.8, 0.6
_GENERIC = 0.3
"""How sure a GGUF's word for a diffusion family is: one word stands for all versions of it."""


def from_architecture(inspection: Inspection, book: RuleBook) -> Iterator[Evidence]:
    """The family of the stated architecture; one that no rule knows is called what the file itself calls it."""
    for key in _ARCHITECTURES:
        stated = str(inspection.metadata.get(key) or "").strip()
        if not stated or (key == "general.architecture" and stated in _NO_FAMILY):
            continue
        family = book.by_architecture.get(stated) or book.by_architecture.get(stated.lower())
        own = re.sub(r"\W+", "_", stated.lower()).strip("_")[:40]
        generic = family is not None and family.domain == "diffusion"
        sure = _GENERIC if generic else _KNOWN if family else _OWN
        yield _evidence("metadata", family.name if family else own, sure, f"{key} is “{stated[:60]}”", book)
        return


def from_names(name: str, inspection: Inspection, model_type: str, book: RuleBook) -> Iterator[Evidence]:
    """Families that the file's name or its own description tell, of those that can be of this type."""
    domain = book.domains.get(model_type, "")
    if inspection.container in _TOLD_BY_TENSORS and domain in ("", "vision"):
        return
    fitting = [family for family in book.families if family.names and _fits(family, domain)]
    told = [("filename", name, _NAMED), *(("metadata", text, _NAMED) for text in described.names(inspection.metadata))]
    told += [("metadata", base, _MADE_FROM) for base in described.base_models(inspection.metadata)]
    said: set[tuple[str, str]] = set()
    for method, text, sure in told:
        for family in fitting:
            found = family.names.search(text) if family.names else None
            if found and (method, family.name) not in said:
                said.add((method, family.name))
                whose = "the name" if method == "filename" else "its own description"
                yield _evidence(method, family.name, sure, f"{whose} says “{found[0].strip('._- ')}”", book)


def _fits(family: Family, domain: str) -> bool:
    """Names of language models mean nothing on a diffusion model's adapter, and the other way round."""
    if not domain or not family.domain:
        return family.domain != "diffusion"
    return (family.domain == "diffusion") == (domain == "diffusion")


def _evidence(method: str, family: str, sure: float, because: str, book: RuleBook) -> Evidence:
    root = book.root(family)
    return Evidence(
        method=method,
        claim="",
        confidence=sure,
        weight=book.weights.get(method, 0.0),
        because=because,
        rule=f"family-{family}",
        base=root,
        sub_type=family if family != root else "",
    )
