"""Which models a target takes, by its filters and rules, and what may be asked about a model to name it."""

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from modelhub.apps import naming
from modelhub.apps.folders import Asked
from modelhub.core.apps import Rule, Target
from modelhub.core.deployment import Deployable
from modelhub.core.types import ModelFilter
from modelhub.services import inventory
from modelhub.services.judge import Judge
from modelhub.store.library import Library

_CACHED = re.compile(r"models--([^/]+?)--([^/]+)")
_VERSION = re.compile(r"_?\d.*$")
_DOMAINS = {"checkpoint": "diffusion", "lora": "diffusion", "llm": "llm"}


class Selection:
    """One plan's questions to the library; each is asked once, and only if it comes up."""

    def __init__(self, library: Library, judge: Judge) -> None:
        self._library = library
        self._judge = judge
        self._fitting: dict[ModelFilter, set[int]] = {}
        self._metadata: dict[int, dict[str, str]] = {}

    def asked(self) -> Asked:
        return Asked(self.fields, self.metadata, self.described)

    def left_out(self, target: Target, models: Sequence[Deployable]) -> dict[int, str]:
        """Models that the target's filters leave out, and why."""
        options = target.options
        found: dict[int, str] = {}
        if options.include:
            wanted = {model.id for model in models if any(self.fits(rule, model) for rule in options.include)}
            found = {model.id: "the target's filter does not include it" for model in models if model.id not in wanted}
        for rule in options.exclude:
            found |= {model.id: "the target's filter excludes it" for model in models if self.fits(rule, model)}
        return found

    def rule_for(self, rules: Sequence[Rule]) -> Callable[[Deployable], Rule | None]:
        """The first rule that fits a model."""
        if not rules:
            return lambda _: None
        return lambda model: next((rule for rule in rules if self.fits(rule, model)), None)

    def fits(self, rule: Rule, model: Deployable) -> bool:
        if rule.when not in self._fitting:
            self._fitting[rule.when] = self._library.ids(rule.when)
        if model.id not in self._fitting[rule.when]:
            return False
        if rule.names and not any(self._named(pattern, model) for pattern in rule.names):
            return False
        if not rule.folders:
            return True
        found = self._places.get(model.id, ())
        return any(_under(path, pattern) for path in found for pattern in rule.folders)

    def _named(self, pattern: str, model: Deployable) -> bool:
        """A pattern over the file's name, or with slashes over its place in a tree or where it was found."""
        lower = pattern.lower()
        if "/" not in lower:
            return fnmatch.fnmatchcase(model.filename.lower(), lower)
        tail = "*/" + lower.removeprefix("**/").replace("**/", "*")
        tree = f"/{self._tree(model)}".lower()
        return any(fnmatch.fnmatchcase(path.lower(), tail) for path in (tree, *self._places.get(model.id, ())))

    def _tree(self, model: Deployable) -> str:
        family = self._judge.book.root(model.base)
        kind = model.type if model.type in ("llm", "lora", "vae", "controlnet") else f"{model.type}s"
        domain = self._judge.book.domains.get(model.base, "") or _DOMAINS.get(model.type, "")
        return "/".join(part for part in (domain, kind, family, model.filename) if part)

    @cached_property
    def _places(self) -> Mapping[int, list[str]]:
        return self._library.places()

    @cached_property
    def _repositories(self) -> Mapping[int, str]:
        return self._library.repositories()

    def fields(self, model: Deployable) -> dict[str, str]:
        publisher, repository = self._origin(model)
        return naming.fields_of(model, family=self._family(model.base), publisher=publisher, repo=repository)

    def _family(self, base: str) -> str:
        """The family as people file it: of language models without its version, qwen2 under qwen."""
        root = self._judge.book.root(base) if base else ""
        return root if self._judge.book.domains.get(base) == "diffusion" else _VERSION.sub("", root) or root

    def _origin(self, model: Deployable) -> tuple[str, str]:
        """Publisher and repository, as a site, a cache folder or the file itself names them."""
        known = self._repositories.get(model.id, "")
        for path in () if known else self._places.get(model.id, ()):
            cached = _CACHED.search(path)
            if cached:
                known = f"{cached[1]}/{cached[2]}"
        if known.count("/") == 1:
            publisher, _, repository = known.partition("/")
            return publisher, repository
        told = self.metadata(model.id) if model.format == "gguf" else {}
        keys = ("general.quantized_by", "general.organization", "general.author")
        publisher = next((told[key] for key in keys if told.get(key)), "local")
        return naming.hyphened(publisher), ""

    def metadata(self, model_id: int) -> Mapping[str, str]:
        if model_id not in self._metadata:
            self._metadata[model_id] = self._library.metadata_value(model_id)
        return self._metadata[model_id]

    def described(self, model: Deployable) -> dict[str, Any]:
        """A model as an inventory has it."""
        return inventory.entry(self._library.resolve(model.sha256))


def _under(path: str, pattern: str) -> bool:
    wanted = pattern.rstrip("/")
    return (
        path.startswith(f"{wanted}/") or fnmatch.fnmatchcase(path, wanted) or fnmatch.fnmatchcase(path, f"{wanted}/*")
    )
