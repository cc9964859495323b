"""Models: listed, shown, explained, corrected, judged again."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from modelhub.core.deployment import JournalStep, Placed
from modelhub.core.errors import InvalidInput, ModelHubError
from modelhub.core.events import Problem, Progress, Result, Task
from modelhub.core.names import is_utf8, printable
from modelhub.core.types import (
    Category,
    Classified,
    Evidence,
    External,
    Listed,
    Location,
    Model,
    ModelFile,
    ModelFilter,
)
from modelhub.files.blobs import Blobs
from modelhub.services.audit import Audit
from modelhub.services.evaluate import labelled_header
from modelhub.services.judge import Judge
from modelhub.services.units import stored_unit
from modelhub.store.external import ExternalRecords
from modelhub.store.found import FoundFiles
from modelhub.store.journal import Journal
from modelhub.store.library import Content, Library
from modelhub.store.targets import Targets
from modelhub.store.verdicts import CORRECTABLE

_CHUNK = 200
_LONGEST_WORD = 100
_LONGEST_ENDING = 13
_MAX_NAME = 255
"""Bytes that file systems take for one name."""


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """Everything that is known about one model."""

    model: Model
    files: tuple[ModelFile, ...]
    path: str
    locations: tuple[Location, ...]
    deployed: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    corrections: Mapping[str, str]
    metadata: tuple[tuple[str, str, str], ...]
    external: tuple[External, ...]


def _renamed(before: str, name: str) -> str:
    """The new file name; raises InvalidInput for what cannot be one."""
    ending = PurePath(before).suffix
    known = len(ending) <= _LONGEST_ENDING and ending[1:].isalnum() and not ending[1:].isdecimal()
    wanted = name.strip(" ")
    if known and not wanted.lower().endswith(ending.lower()):
        wanted += ending
    if wanted != printable(wanted) or "/" in wanted or wanted.startswith(".") or len(os.fsencode(wanted)) > _MAX_NAME:
        raise InvalidInput(
            f"{printable(name)[:_LONGEST_WORD]!r} is no name for a model.",
            hint=f"Give up to {_MAX_NAME} bytes of visible characters, without / and no dot first.",
        )
    return wanted


@dataclass(frozen=True, slots=True)
class TypeCount:
    """How many models of a type there are; `share` 0-1 of all models, `size` in bytes."""

    type: str
    display_name: str
    models: int
    share: float
    size: int


@dataclass(frozen=True, slots=True)
class Reclassified:
    """Totals of a reclassification; `changed` counts models whose type, base or sub-type is another now."""

    models: int
    changed: int
    unreachable: int


def content_path(content: Content, blobs: Blobs, elsewhere: Mapping[str, str]) -> str:
    """Where a content is read: in the store, or at the real end of a place it was found; empty if unknown."""
    if content.stored:
        return f"{blobs.root}{os.sep}{content.sha256}{os.sep}{content.name}"
    place = elsewhere.get(content.sha256, "")
    real = os.path.realpath(place) if place else ""
    stands_for = blobs.contains(real) if real else None
    return real if stands_for in (None, content.sha256) else ""  # a link to another model took its place


class Models:
    """The library as its users see it."""

    def __init__(
        self,
        library: Library,
        found_files: FoundFiles,
        targets: Targets,
        blobs: Blobs,
        judge: Judge,
        external: ExternalRecords,
        journal: Journal,
        audit: Audit,
    ) -> None:
        self._library = library
        self._journal = journal
        self._audit = audit
        self._external = external
        self._found_files = found_files
        self._targets = targets
        self._blobs = blobs
        self._judge = judge

    def find(self, wanted: ModelFilter, *, sort: str = "id", limit: int | None = None) -> list[Model]:
        return self._library.find(wanted, sort=sort, limit=limit)

    def of_ids(self, ids: Sequence[int]) -> list[Model]:
        """These models, in the order of their ids; those that are gone are left out."""
        return self._library.of_ids(ids)

    def listed(self, *, limit: int | None = None, after: int = 0) -> list[Listed]:
        """Every model by name with as much as a table shows; made for a hundred thousand of them.

        `after` leaves out those whose id is not above it.
        """
        return self._library.listed(limit=limit, after=after)

    def count(self, wanted: ModelFilter) -> int:
        return self._library.count(wanted)

    def resolve(self, text: str) -> Model:
        return self._library.resolve(text)

    def details(self, text: str) -> ModelDetails:
        """Everything about the model that `text` names; raises NotFound or Ambiguous."""
        model = self._library.resolve(text)
        links = [link.path for link in self._targets.links() if link.model_id == model.id and link.deployed]
        paths = self.paths([model.id])
        return ModelDetails(
            model=model,
            files=tuple(self._library.files(model.id)),
            path=paths.get(model.id, ""),
            locations=tuple(self._library.locations(model.id)),
            deployed=tuple(links),
            evidence=tuple(self._library.evidence(model.id)),
            corrections=self._library.corrections(model.id),
            metadata=tuple(self._library.metadata(model.id)),
            external=tuple(self._external.known([model.id]).get(model.id, ())),
        )

    def paths(self, model_ids: Sequence[int] | None = None) -> dict[int, str]:
        """Where the file that stands for each model can be read; models that cannot be reached are left out."""
        return {model_id: files[0].path for model_id, files in self.files(model_ids).items() if files[0].path}

    def files(self, model_ids: Sequence[int] | None = None) -> dict[int, list[Placed]]:
        """All files of each model and where they can be read, the one that stands for it first."""
        contents = self._library.contents(model_ids)
        elsewhere = self._found_files.sources() if any(not content.stored for content in contents) else {}
        found: dict[int, list[Placed]] = {}
        for content in contents:
            path = content_path(content, self._blobs, elsewhere)
            placed = Placed(content.relative, content.role, path, content.sha256, content.size)
            found.setdefault(content.model_id, []).append(placed)
        return found

    def types(self) -> list[tuple[str, str]]:
        """Every known type and its display name."""
        return list(self._judge.book.types.items())

    def bases(self) -> list[str]:
        return list(self._judge.book.parents)

    def statistics(self) -> list[TypeCount]:
        rows = self._library.statistics()
        total = sum(models for _, models, _ in rows) or 1
        names = self._judge.book.types
        return [TypeCount(kind, names.get(kind, kind), models, models / total, size) for kind, models, size in rows]

    def base_statistics(self) -> list[tuple[str, int, int]]:
        """Base (empty: none is known), number of models and their bytes, most numerous first."""
        return self._library.statistics("base")

    def correct(
        self,
        text: str,
        *,
        fields: Mapping[str, str],
        add_tags: Sequence[str] = (),
        remove_tags: Sequence[str] = (),
        notes: str | None = None,
        name: str = "",
        dry_run: bool = False,
    ) -> Model:
        """Set type, sub-type or base by hand (an empty value lifts the correction), tags, notes, the name.

        A name without a file's ending keeps the one it had; links are called by it from the next deployment on.
        A dry run gives the model as it would be; a lifted correction shows the value that stands now.
        """
        model = self._library.resolve(text)
        unknown = set(fields) - set(CORRECTABLE)
        if unknown:
            raise InvalidInput(f"{min(unknown)} cannot be set.", hint=f"Fields: {', '.join(CORRECTABLE)}.")
        for value in (*fields.values(), *add_tags, *remove_tags):
            if value != printable(value) or len(value) > _LONGEST_WORD:
                told = f"{printable(value)[:_LONGEST_WORD]!r} is no word for a model."
                raise InvalidInput(told, hint=f"Give up to {_LONGEST_WORD} visible characters.")
        if notes is not None and not is_utf8(notes):
            raise InvalidInput("The note is no valid text.", hint="Give it in UTF-8.")
        kind = fields.get("type")
        if kind and kind not in self._judge.book.types:
            raise InvalidInput(f"{printable(kind)!r} is no model type.", hint="`modelhub types` lists them.")
        filename = _renamed(model.filename, name) if name else model.filename
        if dry_run:
            return replace(
                model,
                filename=filename,
                type=kind or model.type,
                base=fields.get("base") or model.base,
                sub_type=fields.get("sub_type") or model.sub_type,
                category=Category(*(fields.get(level) or old for level, old in model.category._asdict().items())),
                tags=tuple(sorted((set(model.tags) | set(add_tags)) - set(remove_tags))),
                notes=model.notes if notes is None else notes,
            )
        had = self._library.corrections(model.id)
        before = {
            "fields": {field: had.get(field, "") for field in fields},
            "tags": list(model.tags),
            "notes": model.notes,
            "name": model.filename,
        }
        change = {"fields": fields, "tags": [*add_tags], "untags": [*remove_tags], "notes": notes, "name": name}
        self._audit.note("set", model=model.sha256, **change)
        run = self._journal.begin("set")
        step = JournalStep("set", model.filename, sha256=model.sha256, before=json.dumps(before).encode(),
                           model_id=model.id)  # fmt: skip
        self._journal.note(run, [step])
        self._set(model, fields, add_tags, remove_tags, notes, filename)
        self._journal.close(run)
        return self._library.resolve(str(model.id))

    def set_back(self, model_id: int, before: bytes) -> None:
        """Undo a correction: `before` is what the journal kept of the model."""
        told = json.loads(before)
        model = self._library.resolve(str(model_id))
        tags = [str(tag) for tag in told.get("tags", ())]
        gone = [tag for tag in model.tags if tag not in tags]
        self._set(model, told.get("fields", {}), tags, gone, told.get("notes"), told.get("name", model.filename))

    def _set(
        self,
        model: Model,
        fields: Mapping[str, str],
        add_tags: Sequence[str],
        remove_tags: Sequence[str],
        notes: str | None,
        name: str,
    ) -> None:
        if name != model.filename:
            self._library.rename(model.id, name)
        self._library.correct(model.id, fields)
        if "" in fields.values():
            self.judge_again([model])
        self._library.annotate(model.id, add_tags=add_tags, remove_tags=remove_tags, notes=notes)

    def corrected(self) -> list[tuple[Model, Mapping[str, str]]]:
        """The models of which something was set by hand, and what."""
        return [
            (model, self._library.corrections(model.id))
            for model in self._library.find(ModelFilter())
            if model.method == "manual"
        ]

    def export_corrections(self) -> Task[list[str]]:
        """A line of a header file for each of them: tensors and what the rules read of the metadata, no weights.

        The type and base of a model that was corrected otherwise count as right too.
        """
        keys = self._judge.book.metadata_keys
        lines: list[str] = []
        for model, fields in self.corrected():
            judged, problems = self._judge_all([model])
            yield from problems
            if model.id in judged:
                truth = {"type": model.type, "base": model.base, **fields}
                lines.append(labelled_header(judged[model.id], model.filename, truth, keys))
        yield Result(lines)

    def classify(self, path: str) -> Classified:
        """Judge a file or folder that need not be in the library."""
        return self._judge.at(path)

    def reclassify(self, models: Sequence[Model] | None, *, dry_run: bool = False) -> Task[Reclassified]:
        """Judge models again by the rules in force; None means those that other rules judged or that are marked."""
        if models is None:
            stale = self._library.stale(self._judge.book.digest)
            models = [model for model in self._library.find(ModelFilter()) if model.id in stale]
        return self._reclassify(models, dry_run=dry_run)

    def _reclassify(self, models: Sequence[Model], *, dry_run: bool) -> Task[Reclassified]:
        changed = unreachable = 0
        for start in range(0, len(models), _CHUNK):
            chunk = models[start : start + _CHUNK]
            yield Progress("reclassify", start, len(models), "models", chunk[0].filename)
            judged, problems = self._judge_all(chunk)
            yield from problems
            unreachable += len(problems)
            corrected = {model.id for model in chunk if model.method == "manual"}
            for model in chunk:
                if model.id in judged and model.id not in corrected:
                    verdict = judged[model.id].verdict
                    changed += (model.type, model.base, model.sub_type) != (
                        verdict.type,
                        verdict.base,
                        verdict.sub_type,
                    )
            if not dry_run:
                self._library.reclassify(list(judged.items()), self._judge.book.digest)
        yield Result(Reclassified(len(models), changed, unreachable))

    def judge_again(self, models: Sequence[Model]) -> list[Problem]:
        """Judge models by what is known now, what sites said included; what cannot be read is told."""
        judged, problems = self._judge_all(models)
        self._library.reclassify(list(judged.items()), self._judge.book.digest)
        return problems

    def _judge_all(self, models: Sequence[Model]) -> tuple[dict[int, Classified], list[Problem]]:
        placed = self.files([model.id for model in models])
        known = self._external.known(model.id for model in models)
        judged: dict[int, Classified] = {}
        problems: list[Problem] = []
        for model in models:
            files = [file for file in placed.get(model.id, []) if file.role != "companion"]
            if not files or not all(file.path for file in files):
                problems.append(
                    Problem(
                        "missing",
                        f"{printable(model.filename)} cannot be reached.",
                        "Scan its place.",
                        model.filename,
                        model.sha256,
                    )
                )
                continue
            try:
                listed = [(file.name, file.path, file.size, file.role) for file in placed[model.id] if file.path]
                told = known.get(model.id, ())
                if model.sha256 == files[0].sha256:
                    beside = stored_unit(model.filename, listed).sidecars if len(listed) > 1 else ()
                    judged[model.id] = self._judge.named(files[0].path, model.filename, (*told, *beside))
                else:
                    judged[model.id] = self._judge.unit(stored_unit(model.filename, listed), told)
            except ModelHubError as error:
                problems.append(Problem.of(error, item=model.filename, sha256=model.sha256))
        return judged, problems
