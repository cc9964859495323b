"""What deploying models to one target would change, found out without touching anything."""

import os
from collections.abc import Iterator, Sequence

from modelhub.core.deployment import Conflict, Link, LinkFile, MakeLink, RemoveLink, Skip, Step, Target
from modelhub.core.names import storable
from modelhub.core.places import expand
from modelhub.core.types import UNKNOWN, Model
from modelhub.files import links
from modelhub.services.library import Placed

_MAX_NAME = 255


class TargetPlan:
    """The steps for one target."""

    def __init__(
        self, target: Target, records: dict[int, Link], placed: dict[int, list[Placed]], *, named: bool
    ) -> None:
        self._target = target
        self._base = expand(target.base_path)
        self._records = records
        self._placed = placed
        self._named = named
        self._listings: dict[str, set[str]] = {}
        self._ours = {file.path for link in records.values() if link.deployed for file in link.files}

    def steps(self, models: Sequence[Model]) -> Iterator[Step]:
        for model in models:
            yield from self._model(model)
        if not self._named:
            alive = {model.id for model in models}
            for model_id, link in self._records.items():
                if model_id not in alive and is_ours(link):
                    yield from removal_of(self._target, link, "the model was deleted")

    def _model(self, model: Model) -> Iterator[Step]:
        record = self._records.get(model.id)
        refusal = self._refusal(model)
        if refusal:
            if refusal[0] == "unknown" and record is not None and standing(record):
                yield Skip(self._target.name, model.id, model.filename, "linked", "already linked, since it was named")
                return
            if record is not None and is_ours(record):
                yield from removal_of(self._target, record, refusal[1])
            yield Skip(self._target.name, model.id, model.filename, *refusal)
            return
        files = [file for file in self._placed[model.id] if file.path]
        folder = os.path.normpath(os.path.join(self._base, self._target.folders[model.type]))
        if record is not None and is_ours(record):
            stands = links.target_of(record.path) == record.source
            if self._is_done(record, files, folder):
                yield Skip(self._target.name, model.id, model.filename, "linked", "already linked")
                return
            if stands:
                yield from removal_of(self._target, record, "its place is another now")
                for path in {record.path, _folder_of(record, model)}:
                    self._listing(os.path.dirname(path)).discard(os.path.basename(path).lower())
            elif links.lstat(record.path) is not None and record.path.startswith(os.path.join(folder, "")):
                by = links.what_stands_at(record.path)
                yield Conflict(self._target.name, model.id, record.path, f"{by}, where our link was")
                return
        yield self._link(model, folder, files)

    @staticmethod
    def _is_done(record: Link, files: Sequence[Placed], folder: str) -> bool:
        """Whether all files of the model are linked, and nothing else."""
        wanted = sorted(file.path for file in files)
        inside = record.path.startswith(os.path.join(folder, ""))
        return inside and sorted(standing(record)) == wanted and len(record.files) == len(wanted)

    def _refusal(self, model: Model) -> tuple[str, str] | None:
        if model.deleted:
            return "deleted", "it was deleted"
        if model.state != "ok":
            return model.state, f"it is {model.state}: {model.message}"
        if model.missing or not self._is_there(model):
            return "missing", "its file is gone"
        if model.type == UNKNOWN and not self._named:
            return "unknown", "its type is unknown; name the model to deploy it all the same"
        if model.type not in self._target.folders:
            return "no_folder", f"{self._target.display_name} has no folder for the type {model.type}"
        return None

    def _is_there(self, model: Model) -> bool:
        files = [file for file in self._placed.get(model.id, []) if file.role != "companion"]
        return bool(files) and all(file.path and os.path.exists(file.path) for file in files)

    def _link(self, model: Model, folder: str, files: Sequence[Placed]) -> Step:
        """Links of the model's own name, or of that name with its digest where another model has it."""
        taken = ""
        for made in _places(model, folder, files):
            first, *more = made
            top = _top([file for file, one in zip(made, files, strict=True) if one.role != "companion"], folder)
            taken = next((path for path in top if not self._is_free(path, made)), "")
            if not taken:
                for path in top:
                    self._listing(os.path.dirname(path)).add(os.path.basename(path).lower())
                more = [file for file in more if self._may_go_along(file, files)]
                return MakeLink(
                    self._target.name, model.id, first.sha256, first.path, first.source, model.size, tuple(more)
                )
            if taken not in self._ours and not self._planned(taken):
                return Conflict(self._target.name, model.id, taken, links.what_stands_at(taken))
        return Conflict(self._target.name, model.id, taken, "another model of that name")

    def _is_free(self, path: str, made: Sequence[LinkFile]) -> bool:
        """Whether nothing has this name, or only what an interrupted run of ours has made of these links."""
        if os.path.basename(path).lower() not in self._listing(os.path.dirname(path)):
            return True
        mine = [file for file in made if file.path == path or file.path.startswith(os.path.join(path, ""))]
        found = [links.target_of(file.path) for file in mine]
        return any(found) and all(target in (None, file.source) for target, file in zip(found, mine, strict=True))

    @staticmethod
    def _may_go_along(file: LinkFile, files: Sequence[Placed]) -> bool:
        """What only goes along stays away where something of that name is already."""
        needed = any(one.path == file.source and one.role != "companion" for one in files)
        return needed or links.target_of(file.path) == file.source or links.lstat(file.path) is None

    def _planned(self, path: str) -> bool:
        """Whether the name was given to another model in this plan, so that nothing stands there yet."""
        return links.lstat(path) is None

    def _listing(self, folder: str) -> set[str]:
        """Lower-case names in a folder: some file systems do not tell case, so we never rely on it."""
        if folder not in self._listings:
            try:
                self._listings[folder] = {entry.name.lower() for entry in os.scandir(folder)}
            except OSError:
                self._listings[folder] = set()
        return self._listings[folder]


WHOLE_FOLDERS = frozenset({"hf_folder", "diffusers", "savedmodel", "mlpackage"})
"""Formats of models that are a folder, and are deployed as one."""


def _places(model: Model, folder: str, files: Sequence[Placed]) -> Iterator[list[LinkFile]]:
    """Where the links of a model may go, the best place first.

    A model that is a folder keeps its inner names, and parts that name one another keep theirs; a lone file takes
    the model's name, and what goes along follows it.
    """
    lead, digest = files[0], model.sha256[:8]
    if model.format in WHOLE_FOLDERS:
        for name in (model.filename, _shortened(model.filename, f"-{digest}")):
            yield [_link_to(os.path.join(folder, name, *file.name.split("/")), file) for file in files]
    elif sum(file.role != "companion" for file in files) > 1:
        for place in (folder, os.path.join(folder, _shortened(os.path.splitext(model.filename)[0], f"-{digest}"))):
            yield [_link_to(os.path.join(place, file.name), file) for file in files]
    else:
        stem, suffix = os.path.splitext(_file_name(model, lead))
        had = os.path.splitext(lead.name)[0]
        for given in (stem, _shortened(stem, f"-{digest}{suffix}").removesuffix(suffix)):
            names = [given + file.name[len(had) :] if file.name.startswith(had) else file.name for file in files]
            names[0] = f"{given}{suffix.lower()}"
            yield [_link_to(os.path.join(folder, name), file) for name, file in zip(names, files, strict=True)]


def _link_to(path: str, file: Placed) -> LinkFile:
    return LinkFile(path, file.path, file.sha256)


def _top(made: Sequence[LinkFile], folder: str) -> list[str]:
    """The names that a model takes in the target's folder: of its needed files, or of the folder that holds them."""
    own = os.path.commonpath([os.path.dirname(file.path) for file in made])
    return [file.path for file in made] if own == folder else [own]


def _folder_of(record: Link, model: Model) -> str:
    """The model's own folder in the target, or the link itself."""
    if model.format not in WHOLE_FOLDERS:
        return record.path
    return os.path.commonpath([os.path.dirname(file.path) for file in record.files])


def _file_name(model: Model, lead: Placed) -> str:
    """The stored file's name, exact also where it is not UTF-8, unless the model was renamed."""
    stored = os.path.basename(lead.path)
    return stored if storable(stored) == model.filename else model.filename


def _shortened(stem: str, ending: str) -> str:
    """`stem` and `ending`, of which file systems take 255 bytes together."""
    room = _MAX_NAME - len(os.fsencode(ending))
    while len(os.fsencode(stem)) > room:
        stem = stem[:-1]
    return stem + ending


def standing(link: Link) -> list[str]:
    """The contents that a record's links point to, as far as they stand as we made them."""
    return [file.source for file in link.files if links.target_of(file.path) == file.source]


def removal_of(target: Target, link: Link, because: str) -> Iterator[Step]:
    """Remove a model's links; what took the place of one is the user's, and the others go all the same."""
    ours = [file for file in link.files if links.target_of(file.path) == file.source or links.lstat(file.path) is None]
    for file in link.files:
        if file not in ours:
            by = f"{links.what_stands_at(file.path)}, where our link was"
            yield Conflict(target.name, link.model_id, file.path, by)
    if ours:
        first, *more = ours
        folders = tuple(_made_for(target, link))
        yield RemoveLink(target.name, link.model_id, first.path, first.source, because, tuple(more), folders)


def _made_for(target: Target, link: Link) -> list[str]:
    """Folders that exist only for this model's links, deepest first: those below the target's own."""
    base = expand(target.base_path)
    own = {base, *(os.path.normpath(os.path.join(base, folder)) for folder in target.folders.values())}
    found = set()
    for path, _, _ in link.files if link.more else ():
        folder = os.path.dirname(path)
        while folder.startswith(os.path.join(base, "")) and folder not in own:
            found.add(folder)
            folder = os.path.dirname(folder)
    return sorted(found, key=len, reverse=True)


def is_ours(link: Link) -> bool:
    """Recorded as made, or made by a run that was interrupted before it could say so."""
    return link.deployed or bool(standing(link))


def is_whole(link: Link) -> bool:
    """Whether all links of a deployed model stand and lead to something."""
    return len(standing(link)) == len(link.files) and all(os.path.exists(file.path) for file in link.files)
