"""What model sites know of the library's models: asked by hash, kept for good, and weighed with the rest."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelhub import __version__
from modelhub.core.config import Settings
from modelhub.core.errors import InvalidInput, ModelHubError, Offline
from modelhub.core.events import Problem, Progress, Result, Task
from modelhub.core.types import External, Model, ModelFilter, Sha256
from modelhub.files.digest import tensor_digest
from modelhub.services.judge import Judge
from modelhub.services.library import Models
from modelhub.store.external import Answer, ExternalRecords
from modelhub.store.library import Library

if TYPE_CHECKING:
    from modelhub.remote.client import Client

SOURCES = ("civitai", "huggingface")
_TENSOR_FORMATS = ("safetensors",)
_AUTOV3_DIGITS = 12
_MOST_READ = 4 << 30
"""Bytes of a file that is read anew to be asked for by the hash of its tensors."""

_REPOSITORY_KEYS = (
    "general.source.huggingface.repository", "general.source.repo_url", "general.repo_url", "config._name_or_path",
    "card.repository",
)  # fmt: skip
_CACHE = "models--"


@dataclass(frozen=True, slots=True)
class LookedUp:
    """Totals of a look-up; `changed` counts models whose type, base or sub-type is another now."""

    models: int
    found: int
    changed: int
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Known:
    """What a site said of a model when it was last asked, in short."""

    model_id: int
    filename: str
    source: str
    says: str
    fetched_at: str


def external_says(record: External) -> str:
    """A site's answer in a few words; empty if it has nothing."""
    model = record.data.get("model")
    name = model.get("name") if isinstance(model, Mapping) else record.data.get("id")
    parts = (name, record.data.get("name"), record.data.get("baseModel"), record.data.get("pipeline_tag"))
    return ", ".join(str(part) for part in parts if part)


class Lookup:
    """Asks the sites. Only hashes go to Civitai, and to the Hugging Face hub names that the files state."""

    def __init__(
        self, settings: Settings, models: Models, library: Library, external: ExternalRecords, judge: Judge
    ) -> None:
        self._settings = settings
        self._models = models
        self._library = library
        self._external = external
        self._judge = judge

    def run(
        self,
        models: Sequence[Model] | None = None,
        *,
        sources: Sequence[str] = SOURCES,
        again: bool = False,
        dry_run: bool = False,
    ) -> Task[LookedUp]:
        """Ask about models; None means those that a site was never asked about, all of them with `again`.

        Raises Offline if asking is switched off.
        """
        unknown = set(sources) - set(SOURCES)
        if unknown:
            raise InvalidInput(f"There is no site {min(unknown)!r}.", hint=f"Sites: {', '.join(SOURCES)}.")
        if not self._settings.external_apis and not dry_run:
            raise Offline("Asking sites is switched off.", hint="Set external_apis.enabled to true.")
        return self._run(models, sources, again=again, dry_run=dry_run)

    def known(self, models: Sequence[Model] | None = None) -> list[Known]:
        """What sites said of models, of all of them if none are given; nobody is asked."""
        every = self._library.find(ModelFilter()) if models is None else models
        told = self._external.known(model.id for model in every)
        return [
            Known(model.id, model.filename, one.source, external_says(one), one.fetched_at)
            for model in every
            for one in told.get(model.id, ())
        ]

    def _run(
        self, models: Sequence[Model] | None, sources: Sequence[str], *, again: bool, dry_run: bool
    ) -> Task[LookedUp]:
        every = list(self._library.find(ModelFilter())) if models is None else list(models)
        asked: set[int] = set()
        before: set[int] = set()
        for source in sources:
            done = self._external.asked(source) if models is None and not again else set()
            due = (model for model in every if model.id not in done and model.state == "ok")
            wanted = [model for model in due if source == "civitai" or self._repositories(model)]
            asked |= {model.id for model in wanted}
            if wanted and not dry_run:
                ask = self._civitai if source == "civitai" else self._huggingface
                yield from self._asking(source, ask(wanted), len(wanted), before)
        if dry_run or not before:
            yield Result(LookedUp(len(asked), len(before), 0, dry_run))
            return
        found = [model for model in every if model.id in before]
        old = {model.id: (model.type, model.base, model.sub_type) for model in found}
        yield from self._models.judge_again(found)
        new = (self._library.resolve(str(model.id)) for model in found)
        changed = sum(old[model.id] != (model.type, model.base, model.sub_type) for model in new)
        yield Result(LookedUp(len(asked), len(found), changed, dry_run))

    def _asking(
        self, source: str, answers: Iterator[list[Answer]], total: int, found: set[int]
    ) -> Iterator[Progress | Problem]:
        """Write answers down as they come; a site that fails ends its own part only."""
        done = 0
        try:
            for batch in answers:
                self._external.add(batch)
                found |= {one.model_id for one in batch if one.data}
                done += len(batch)
                yield Progress(f"lookup {source}", done, total, "models", "")
        except ModelHubError as error:
            yield Problem.of(error, item=source)

    def _civitai(self, models: Sequence[Model]) -> Iterator[list[Answer]]:
        from modelhub.remote import civitai  # noqa: PLC0415  (only a look-up needs the net)

        leads = self._leads(models)
        by_hash: dict[str, list[int]] = {}
        for model in models:
            if model.id in leads:
                by_hash.setdefault(leads[model.id], []).append(model.id)
        with self._client("civitai", self._settings.civitai_url) as client:
            for batch in civitai.versions(client, list(by_hash)):
                missed = [sha256 for sha256, version in batch.items() if version is None]
                tensors = dict(self._by_tensors(missed, by_hash))
                for sha256, digest in tensors.items():
                    batch[sha256] = civitai.by_hash(client, digest)
                yield [
                    Answer(model_id, "civitai", tensors.get(sha256, sha256), version or {})
                    for sha256, version in batch.items()
                    for model_id in by_hash.get(sha256, ())
                ]

    def _by_tensors(self, hashes: Sequence[str], by_hash: dict[str, list[int]]) -> Iterator[tuple[str, str]]:
        """AutoV3 of files that no site knows as a whole: a header that was edited leaves the tensors as they were."""
        for sha256 in hashes:
            model = self._library.resolve(str(by_hash[sha256][0]))
            path = self._models.paths([model.id]).get(model.id, "")
            if model.format in _TENSOR_FORMATS and model.size <= _MOST_READ and path:
                digest = tensor_digest(path)
                if digest:
                    yield sha256, digest[:_AUTOV3_DIGITS]

    def _huggingface(self, models: Sequence[Model]) -> Iterator[list[Answer]]:
        from modelhub.remote import huggingface  # noqa: PLC0415  (only a look-up needs the net)

        leads = self._leads(models)
        with self._client("huggingface", self._settings.huggingface_url) as client:
            for model in models:
                names = self._repositories(model)
                sha256 = leads.get(model.id, "")
                held = ((name, huggingface.repository(client, name)) for name in names)
                proved = ((name, told) for name, told in held if told and huggingface.holds(told, sha256))
                name, told = next(proved, ("", None))
                yield [Answer(model.id, "huggingface", name or names[0], told or {})]

    def _client(self, source: str, base: str) -> "Client":
        from modelhub.remote.client import Client  # noqa: PLC0415  (as above)

        delay, timeout = self._judge.book.apis.get(source, (1.0, 10.0))
        token = os.environ.get("HF_TOKEN", "") if source == "huggingface" else ""
        headers = {"Authorization": f"Bearer {token}"} if token else None
        return Client(base, delay=delay, timeout=timeout, agent=f"modelhub/{__version__}", headers=headers)

    def _leads(self, models: Sequence[Model]) -> dict[int, Sha256]:
        """SHA-256 of the file that stands for each model."""
        leads: dict[int, Sha256] = {}
        for content in self._library.contents([model.id for model in models]):
            leads.setdefault(content.model_id, content.sha256)
        return leads

    def _repositories(self, model: Model) -> list[str]:
        """Repositories that a model's own files or the place where it was found name."""
        told = {key: value for _, key, value in self._library.metadata(model.id)}
        stated = (told[key] for key in _REPOSITORY_KEYS if told.get(key))
        names = [name.removeprefix("https://huggingface.co/").strip("/") for name in stated]
        for place in self._library.locations(model.id):
            parts = [part for part in place.path.split(os.sep) if part.startswith(_CACHE)]
            names += [part.removeprefix(_CACHE).replace("--", "/", 1) for part in parts]
        return [name for name in dict.fromkeys(names) if name.count("/") == 1 and not name.startswith((".", "/"))]
