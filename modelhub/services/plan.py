"""What deploying models to one target would change, found out without touching anything."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from modelhub.core.deployment import (
    NO_FILE,
    Conflict,
    Deployable,
    How,
    Layout,
    Link,
    LinkFile,
    MakeLink,
    Place,
    Placed,
    Resolution,
    Skip,
    Step,
)
from modelhub.core.templates import fixed_part
from modelhub.core.types import UNKNOWN
from modelhub.files import links
from modelhub.services.standing import Standing, entry_parts


class TargetPlan:
    """The steps for one target. `left_out` are models that its filters leave out, and why."""

    def __init__(
        self,
        standing: Standing,
        layout: Layout,
        records: dict[int, Link],
        placed: Mapping[int, Sequence[Placed]],
        *,
        reachable: set[int],
        left_out: Mapping[int, str],
        unique: Mapping[str, str],
        named: bool,
        resolution: Resolution = "keep",
    ) -> None:
        self._standing = standing
        self._target = standing.target
        self._layout = layout
        self._records = records
        self._placed = placed
        self._reachable = reachable
        self._left_out = left_out
        self._unique = unique
        self._named = named
        self._resolution = resolution
        self._listings: dict[str, set[str]] = {}
        self._roots: dict[str, str] = {}
        self._keys: dict[str, dict[str, str]] = {}
        self._ours = {file.path for link in records.values() if link.deployed for file in link.files}
        self._intended = {file.path for link in records.values() for file in link.files}
        self._going: set[str] = set()
        self._names_of_ours = {path.lower() for path in self._ours}
        self._planned: dict[str, set[str]] = defaultdict(set)

    def steps(self, models: Sequence[Deployable]) -> Iterator[Step]:
        if not self._named:
            alive = {model.id for model in models}
            for model_id, link in self._records.items():
                if model_id not in alive and self._standing.is_ours(link):
                    yield from self._removal(link, "the model was deleted")
        for model in models:
            step = None if model.id in self._records else self._plain(model)
            if step is not None:
                yield step
            else:
                yield from self._model(model)

    def _plain(self, model: Deployable) -> MakeLink | None:
        """The step for a sound lone file whose name is free, which is what most models of a first deployment are.

        None for all else, which `_model` looks at closely. There may be half a million of them.
        """
        if model.state != "ok" or model.missing or model.deleted or model.type == UNKNOWN:
            return None
        if model.id not in self._reachable or model.id in self._left_out:
            return None
        found = self._layout.plain(model, self._placed[model.id])
        if found is None:
            return None
        folder, file = found
        name, listing = file.path[len(folder) + 1 :].lower(), self._listings.get(folder) or self._listing(folder)
        by = self._unique.get(model.type)
        if name in listing:
            return None
        if by is not None:
            key, keys = _key_of(name, by), self._names(folder, by)
            if keys.get(key, file.path) != file.path:
                return None
            keys[key] = file.path
        self._planned[folder].add(name)
        listing.add(name)
        return MakeLink(self._target.name, model.id, file.sha256, file.path, file.source, model.size, file.how, (file,))

    def _removal(self, link: Link, because: str) -> Iterator[Step]:
        others = (other for other in self._records.values() if other is not link)
        yield from self._standing.removal(link, because, self._standing.needed_by_others(link, others, self._intended))

    def _model(self, model: Deployable) -> Iterator[Step]:
        record = self._records.get(model.id)
        refusal = self._refusal(model)
        if refusal is not None:
            yield from self._refused(model, record, refusal)
            return
        files = self._placed[model.id]
        if len(files) > 1:
            files = [file for file in files if file.path]
        places = list(self._layout.candidates(model, files))
        if record is not None and self._standing.is_ours(record):
            if any(self._is_done(record, made) for made in (place.files for place in places)):
                yield Skip(self._target.name, model.id, model.filename, "linked", "already linked")
                return
            begun = next((place for place in places if not record.deployed and _same_places(place, record)), None)
            if begun is not None:  # a run before could not end what it began
                yield self._make(model, begun.files)
                return
            moved = self._pointed_elsewhere(record, places)
            if moved is not None:
                yield self._make(model, moved)
                return
            if any(self._standing.of(file) for file in record.files):
                yield from self._removal(record, "it is to be there in another way or place")
                self._forget(record)
            elif not self._standing.is_gone(record.files[0]) and any(
                place.files[0].path == record.path for place in places
            ):
                by = f"{links.what_stands_at(record.path)}, where our link was"
                yield from self._conflict(model, places, record.path, by)
                return
        yield from self._link(model, places)

    def _refusal(self, model: Deployable) -> tuple[str, str] | None:
        if model.deleted or model.offline:
            return ("deleted", "it was deleted") if model.deleted else ("offline", "the drive with its file is away")
        if model.state != "ok":
            return model.state, f"it is {model.state}: {model.message}"
        if model.missing or model.id not in self._reachable:
            return "missing", "its file is gone"
        if model.type == UNKNOWN and not self._named:
            return "unknown", "its type is unknown; name the model to deploy it all the same"
        if model.id in self._left_out:
            return "filtered", self._left_out[model.id]
        return self._layout.refusal(model, self._placed[model.id])

    def _refused(self, model: Deployable, record: Link | None, refusal: tuple[str, str]) -> Iterator[Step]:
        if record is not None and refusal[0] == "unknown" and any(self._standing.of(file) for file in record.files):
            yield Skip(self._target.name, model.id, model.filename, "linked", "already linked, since it was named")
            return
        if record is not None and refusal[0] != "offline" and self._standing.is_ours(record):
            yield from self._removal(record, refusal[1])
        yield Skip(self._target.name, model.id, model.filename, *refusal)

    def _is_done(self, record: Link, made: Sequence[LinkFile]) -> bool:
        """Whether all files of the model stand where they should, and nothing else is recorded."""
        if not record.deployed or record.files[0].path != made[0].path:
            return False
        wanted = {(file.path, file.source, file.how, file.sha256) for file in made if self._may_go_along(file)}
        recorded = {(file.path, file.source, file.how, file.sha256) for file in record.files}
        return wanted == recorded and all(map(self._standing.of, record.files))

    def _pointed_elsewhere(self, record: Link, places: Sequence[Place]) -> list[LinkFile] | None:
        """Links that stand as they should and only lead to another place now, to be replaced at once; else None."""
        for place in places:
            made = place.files
            if len(made) != len(record.files):
                continue
            pairs = list(zip(sorted(made), sorted(record.files), strict=True))
            same = all(new.path == old.path and new.how == old.how == "symlink" for new, old in pairs)
            if same and all(map(self._standing.of, record.files)):
                was = {old.path: old.source for _, old in pairs}
                return [file._replace(was="" if was[file.path] == file.source else was[file.path]) for file in made]
        return None

    def _forget(self, record: Link) -> None:
        """The names of links that go are free."""
        self._going |= {file.path for file in record.files}
        for file in record.files:
            self._listing(os.path.dirname(file.path)).discard(os.path.basename(file.path).lower())
            for names in self._keys.values():
                names.pop(_key_of(file.path, "stem"), None)
                names.pop(_key_of(file.path, "name"), None)

    def _link(self, model: Deployable, places: Sequence[Place]) -> Iterator[Step]:
        """Files of the model's own name, or of that name with its digest where another model has it."""
        taken = ""
        for place in places:
            if self._stands_already(place):
                told = "already there, by a link of yours or of another target"
                yield Skip(self._target.name, model.id, model.filename, "linked", told)
                return
            taken = next((path for path in place.top if not self._is_free(path, place.files)), "")
            by = self._unique.get(model.type)
            other = "" if taken or by is None else self._clash(place.folder, by, place.files[0].path)
            if other and not any(other == file.path for file in place.files):
                taken = other
                self._plan_name(other)  # it is somebody's: the next name is tried
            if not taken:
                yield self._taken_up(model, place)
                return
            if self._resolution != "rename" and not self._is_a_models(taken):
                break
        by = "another model of that name" if self._is_a_models(taken) else links.what_stands_at(taken)
        yield from self._conflict(model, places, taken, by)

    def _stands_already(self, place: Place) -> bool:
        """Whether all that the model needs is there, though not by us: then it is nothing to us."""
        if any(self._is_planned(path) or path in self._intended for path in place.top):
            return False
        needed = [file for file in place.files if not (file.along or file.shared)]
        if any(file.how in NO_FILE for file in needed):
            return False
        return all(self._standing.of(file) for file in needed)

    def _is_a_models(self, path: str) -> bool:
        """Whether another model of ours has the name, or gets it in this plan, however it is written."""
        return self._is_planned(path) or path.lower() in self._names_of_ours

    def _conflict(self, model: Deployable, places: Sequence[Place], path: str, by: str) -> Iterator[Step]:
        if self._resolution == "rename" and len(places) > 1:
            place = places[1]
            if path not in place.top and all(self._is_free(one, place.files) for one in place.top):
                yield self._taken_up(model, place)
                return
        if self._resolution == "skip":
            yield Skip(self._target.name, model.id, model.filename, "taken", f"{path} is taken by {by}")
            return
        ways: tuple[Resolution, ...] = ("keep", "skip", "rename", *(("adopt",) if by.startswith("a file") else ()))
        resolution = self._resolution if self._resolution in ways else "keep"
        yield Conflict(self._target.name, model.id, path, by, ways, resolution)

    def _taken_up(self, model: Deployable, place: Place) -> MakeLink:
        """The step for a place that is free, whose names are the model's from now on."""
        self._claim(model, place)
        return self._make(model, [file for file in place.files if self._may_go_along(file)])

    def _make(self, model: Deployable, made: Sequence[LinkFile]) -> MakeLink:
        first = made[0]
        how: How = first.how
        if how in ("write", "register"):
            how = next((file.how for file in made if file.how not in ("write", "register")), how)
        return MakeLink(
            self._target.name, model.id, first.sha256, first.path, first.source, model.size, how, tuple(made)
        )

    def _is_free(self, path: str, made: Sequence[LinkFile]) -> bool:
        """Whether nothing has this name, or only what an interrupted run of ours has made of these links."""
        if made[0].how == "entry":
            config, name, _ = entry_parts(made[0])
            return not self._is_planned(path) and name not in self._standing.entries(config)
        folder, _, name = path.rpartition("/")
        if name.lower() not in self._listing(folder):
            return True
        if self._is_planned(path):
            return False
        if self._is_emptied(path):
            return True
        within = os.path.join(path, "")
        mine = [file for file in made if file.how != "register" and (file.path == path or file.path.startswith(within))]
        intended = any(file.path in self._intended for file in mine)
        return intended and all(self._standing.of(file) or self._standing.is_gone(file) for file in mine)

    def _is_emptied(self, path: str) -> bool:
        """Whether it is a folder that holds nothing but what this plan takes away."""
        if not self._going or os.path.islink(path) or not os.path.isdir(path):
            return False
        held = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
        return bool(held) and all(one in self._going for one in held)

    def _may_go_along(self, file: LinkFile) -> bool:
        """What only goes along, or is named by its content, stays away where something of that name is already."""
        if file.path in self._going:
            return True
        if file.shared:
            return self._standing.is_gone(file) or (file.path in self._ours and self._standing.of(file))
        return not file.along or self._standing.is_gone(file) or file.path in self._intended

    def _claim(self, model: Deployable, place: Place) -> None:
        by = self._unique.get(model.type)
        for path in place.top:
            self._plan_name(path)
            folder, _, name = path.rpartition("/")
            self._listing(folder).add(name.lower())
        if by is not None:
            self._names(place.folder, by)[_key_of(place.files[0].path, by)] = place.files[0].path

    def _plan_name(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        self._planned[folder].add(name.lower())

    def _is_planned(self, path: str) -> bool:
        """Whether a name is given to a model in this plan, however it is written."""
        folder, _, name = path.rpartition("/")
        return name.lower() in self._planned[folder]

    def _clash(self, folder: str, by: str, path: str) -> str:
        """Another file that the app could not tell from this one, though it lies in another folder; empty if none."""
        other = self._names(folder, by).get(_key_of(path, by), "")
        return "" if other == path else other

    def _names(self, folder: str, by: str) -> dict[str, str]:
        """What the app tells models apart by, for every file below its folder of a type."""
        root = self._roots.get(folder)
        if root is None:
            roots = map(self._below, self._target.folders.values())
            root = next((one for one in roots if folder == one or folder.startswith(f"{one}/")), folder)
            self._roots[folder] = root
        if root not in self._keys:
            found = (os.path.join(where, name) for where, _, names in os.walk(root) for name in names)
            self._keys[root] = {_key_of(path, by): path for path in found if path not in self._ours}
        return self._keys[root]

    def _below(self, folder: str) -> str:
        return os.path.normpath(os.path.join(self._standing.base, fixed_part(folder) or "."))

    def _listing(self, folder: str) -> set[str]:
        """Lower-case names in a folder: some file systems do not tell case, so we never rely on it."""
        if folder not in self._listings:
            try:
                self._listings[folder] = {entry.name.lower() for entry in os.scandir(folder)}
            except OSError:
                self._listings[folder] = set()
        return self._listings[folder]


def _same_places(place: Place, record: Link) -> bool:
    paths = {file.path for file in place.files if not file.along}
    return paths <= {file.path for file in record.files} and place.files[0].path == record.path


def _key_of(path: str, by: str) -> str:
    name = path.rpartition("/")[2].lower()
    return name.rpartition(".")[0] or name if by == "stem" else name
