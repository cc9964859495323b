"""Models in folders by their type: how most apps lay them out. For each model the places it may go, the best first.

Pure: nothing here looks at a disk. The order of files matters: the first is the one that the app looks for, and it
is made last and removed first.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from modelhub.apps import naming
from modelhub.core.apps import App, Rule, Target
from modelhub.core.deployment import Deployable, How, Layout, LinkFile, Place, Placed
from modelhub.core.names import storable

WHOLE_FOLDERS = frozenset({"hf_folder", "diffusers", "savedmodel", "mlpackage"})
"""Formats of models that are a folder, and are deployed as one."""

_UNSEEN = ("", "")
_SHORT = 50
"""Characters of a name that fit into 255 bytes with any ending, however many bytes each has."""

_SHARD = re.compile(r"-\d{5}-of-\d{5}(?=\.\w+$)")


@dataclass(frozen=True, slots=True)
class Asked:
    """What layouts may ask about a model beyond its row: each is looked up only where a layout needs it."""

    fields: Callable[[Deployable], dict[str, str]]
    metadata: Callable[[int], Mapping[str, str]] = lambda _: {}
    described: Callable[[Deployable], Mapping[str, object]] = lambda _: {}


@dataclass(slots=True)
class Folders(Layout):
    """Files in the folder of their type: the layout of most apps.

    A model that is a folder keeps its inner names, and parts that name one another keep theirs; a lone file takes
    the model's name, and what goes along follows it.
    """

    target: Target
    app: App
    base: str
    how: How
    asked: Asked
    rule: Callable[[Deployable], Rule | None] = lambda _: None
    windows_names: bool = False
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    shared_rooms: bool = False
    _naming: str = field(init=False)
    _folders: dict[tuple[str, str], str] = field(init=False, default_factory=dict)
    _ways: dict[tuple[str, str, str], tuple[str, str] | None] = field(init=False, default_factory=dict)
    _has_plain: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._naming = self.target.options.naming or self.app.naming
        special = self._naming != "{file}" or self.target.options.rules or self.app.rules
        templates = any("{" in folder for folder in self.target.folders.values())
        self._has_plain = type(self) is Folders and not (special or templates or self.windows_names)

    def refusal(self, model: Deployable, files: Sequence[Placed]) -> tuple[str, str] | None:
        if self._folder_template(model, None) is None:
            return "no_folder", f"{self.target.display_name} has no folder for the type {model.type}"
        if model.format in WHOLE_FOLDERS:
            return None
        endings = self.app.endings_of(model.type)
        ending = naming.suffix(model, files[0].name, endings)
        if endings and ending not in endings:
            return (
                "not_listed",
                f"{self.target.display_name} lists no {ending or 'files without an ending'} as {model.type}",
            )
        return None

    def plain(self, model: Deployable, files: Sequence[Placed]) -> tuple[str, LinkFile] | None:
        if not self._has_plain or len(files) != 1:
            return None
        lead, name = files[0], model.filename
        own = naming.ending(name)
        key = (model.type, model.format, own if lead.name == name else naming.ending(lead.name))
        way = self._ways.get(key, _UNSEEN)
        if way is _UNSEEN:
            way = self._ways[key] = self._way(model, files)
        stem = name[: -len(own)] if own in naming.KNOWN_ENDINGS else name
        if way is None or not 0 < len(stem) < _SHORT or not name.isascii() or name != naming.inert(name):
            return None
        folder, ending = way
        if self.app.refuses and naming.is_hidden(stem + ending, self.app.refuses):
            return None
        return folder, LinkFile(f"{folder}/{stem}{ending}", lead.path, lead.sha256, self.how)

    def _way(self, model: Deployable, files: Sequence[Placed]) -> tuple[str, str] | None:
        """Folder and ending of lone files of a type, format and ending; None if such files are refused."""
        if model.format in WHOLE_FOLDERS or self.refusal(model, files) is not None:
            return None
        return self._folder(model, None), naming.suffix(model, files[0].name, self.app.endings_of(model.type))

    def candidates(self, model: Deployable, files: Sequence[Placed]) -> Iterator[Place]:
        rule = self.rule(model)
        folder = self._folder(model, rule)
        template = (rule.name if rule else "") or self._naming
        if len(files) > 1 and not self.app.companions:
            files = [file for file in files if file.role != "companion"]
        name = self._filled(template, model) if template != "{file}" else ""
        if model.format in WHOLE_FOLDERS:
            yield from self._in_a_folder(model, files, folder, name or self._safe(model.filename))
        elif len(files) > 1 and sum(file.role != "companion" for file in files) > 1:
            yield from self._parts(model, files, folder, name if template.endswith("/") else "")
        elif template.endswith("/") and self.shared_rooms:
            yield from self._lone(model, files, folder, f"{name}/{self._own(model, files[0])}")
        elif template.endswith("/") or (self.app.own_folder and any(map(_is_projector_beside, files))):
            yield from self._in_a_folder(model, self._renamed(model, files), folder, name or self._own(model, files[0]))
        else:
            yield from self._lone(model, files, folder, name or self._own(model, files[0]))

    def _in_a_folder(self, model: Deployable, files: Sequence[Placed], folder: str, name: str) -> Iterator[Place]:
        """A folder of the model's own, in which its files keep their names."""
        for one in self._twice(name, model, ""):
            made = [self._link(f"{folder}/{one}/{file.name}", file) for file in files]
            yield Place(folder, made, [f"{folder}/{one}"])

    def _parts(self, model: Deployable, files: Sequence[Placed], folder: str, name: str) -> Iterator[Place]:
        """Parts name one another, so they keep their names: side by side, or in a folder of their own."""
        stem = self._safe(stem_without_shard(model))
        if name and self.shared_rooms:
            made = [self._link(f"{folder}/{name}/{file.name}", file) for file in files]
            yield Place(folder, made, [file.path for file in made if not file.along])
        elif name or self.app.own_folder:
            yield from self._in_a_folder(model, files, folder, name or stem)
        else:
            apart = naming.shortened(self._safe(os.path.splitext(model.filename)[0]), f"-{model.sha256[:8]}")
            for place in (folder, f"{folder}/{apart}"):
                made = [self._link(f"{place}/{file.name}", file) for file in files]
                top = [file.path for file in made if not file.along] if place == folder else [place]
                yield Place(folder, made, top)

    def _lone(self, model: Deployable, files: Sequence[Placed], folder: str, name: str) -> Iterator[Place]:
        """One file under the model's name; what goes along follows it."""
        lead = files[0]
        ending = naming.suffix(model, lead.name, self.app.endings_of(model.type))
        for one in self._twice(name, model, ending):
            path = f"{folder}/{one}{ending}"
            if len(files) == 1:
                yield Place(folder, [self._link(path, lead)], [path])
                continue
            given, had = f"{folder}/{one}", os.path.splitext(lead.name)[0]
            beside = os.path.dirname(given)
            made = [self._link(path, lead)]
            for file in files[1:]:
                name_of = given + file.name[len(had) :] if file.name.startswith(had) else f"{beside}/{file.name}"
                made.append(self._link(name_of, file))
            yield Place(folder, made, [path])

    def _renamed(self, model: Deployable, files: Sequence[Placed]) -> list[Placed]:
        """A lone file and what goes along, under the names they have in a folder of their own."""
        ending = naming.suffix(model, files[0].name, self.app.endings_of(model.type))
        return [files[0]._replace(name=self._own(model, files[0]) + ending), *files[1:]]

    def _own(self, model: Deployable, lead: Placed) -> str:
        """The name of a lone file without its ending, exact also where it is not UTF-8, unless it was renamed."""
        name = model.filename
        if not name.isascii():
            stored = os.path.basename(lead.path)
            name = stored if storable(stored) == model.filename else name
        return self._safe(naming.stem_of(name))

    def _called(self, model: Deployable) -> str:
        """What a note or entry that names a model is called: as the template says, else as its file."""
        return self._filled(self._naming, model) if self._naming != "{file}" else stem_without_shard(model)

    def _twice(self, given: str, model: Deployable, ending: str) -> Iterator[str]:
        """The name itself, and where another model has it, the name with the start of the digest."""
        if len(given) < _SHORT and not self.app.refuses:
            yield given
            if not self.app.exact_names:
                yield f"{given}-{model.sha256[:8]}"
            return
        before, slash, stem = given.rpartition("/")
        shown = naming.shown(stem + ending, self.app.refuses)[: -len(ending) or None]
        yield before + slash + naming.shortened(shown, ending)[: -len(ending) or None]
        if not self.app.exact_names:
            yield before + slash + naming.shortened(shown, f"-{model.sha256[:8]}{ending}")[: -len(ending) or None]

    def _filled(self, template: str, model: Deployable) -> str:
        text = naming.filled(template, self.asked.fields(model))
        return "/".join(self._safe(part) for part in text.split("/")) or self._safe(model.filename)

    def _safe(self, name: str) -> str:
        kept = naming.inert(name)
        return naming.strict(kept) if self.windows_names else kept

    def _folder_template(self, model: Deployable, rule: Rule | None) -> str | None:
        if rule is not None and rule.folder:
            return rule.folder
        return self.target.folders.get(model.type, self.target.folders.get("*"))

    def _folder(self, model: Deployable, rule: Rule | None) -> str:
        template = self._folder_template(model, rule) or "."
        if "{" in template:
            template = self._filled(template, model)
        base = self.elsewhere.get(model.type, self.base)
        if (base, template) not in self._folders:
            self._folders[base, template] = os.path.normpath(os.path.join(base, template))
        return self._folders[base, template]

    def _link(self, path: str, file: Placed) -> LinkFile:
        return LinkFile(path, file.path, file.sha256, self.how, along=file.role == "companion")


def stem_without_shard(model: Deployable) -> str:
    """The file's name without its ending and without what numbers it as one of many."""
    return os.path.splitext(_SHARD.sub("", model.filename))[0]


def projector_of(files: Sequence[Placed]) -> Placed | None:
    """The projector of a model that sees, if it has one beside it."""
    return next((file for file in files if is_projector(file)), None)


def _is_projector_beside(file: Placed) -> bool:
    return file.role == "companion" and is_projector(file)


def is_projector(file: Placed) -> bool:
    name = os.path.basename(file.name).lower()
    return "mmproj" in name and name.endswith(".gguf")
