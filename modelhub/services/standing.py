"""What stands of what we made: links, copies, files and entries, looked at each time anew."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property

from modelhub.apps import configs, ollama
from modelhub.apps.configs import Entry
from modelhub.core.apps import App, Target
from modelhub.core.deployment import NO_FILE, Conflict, Link, LinkFile, RemoveLink, Step
from modelhub.core.errors import ModelHubError
from modelhub.files import links, placements

_AS_RECORDED = "register"
"""What only a running app can tell counts as standing; `modelhub doctor TARGET` asks it."""


class Standing:
    """Looks at a target's disk. Configuration files are read once."""

    def __init__(self, target: Target, app: App, base: str, made_folders: frozenset[str] = frozenset()) -> None:
        self.target = target
        self.base = base
        self._app = app
        self._made_folders = made_folders
        self._entries: dict[str, Mapping[str, Entry]] = {}
        self.registered: set[str] | None = None
        """What a running app says it knows; None if it was not asked, or is not there."""

    def of(self, file: LinkFile) -> bool:
        """Whether at its path is what we made."""
        if file.how == _AS_RECORDED:
            return self.registered is None or os.path.realpath(file.source) in self.registered
        if file.how == "entry":
            return self._named(file) == file.source
        return placements.stands(file)

    def leads(self, file: LinkFile) -> bool:
        """Whether it leads to a file that is there."""
        if file.how in NO_FILE:
            return os.path.exists(file.source)
        return os.path.exists(file.path)

    def holds(self, link: Link) -> bool:
        """Whether anything that we made for a model stands, in full or by a run that was interrupted."""
        return any(file.how != _AS_RECORDED and self.of(file) for file in link.files)

    def is_ours(self, link: Link) -> bool:
        """Recorded as made, or made by a run that was interrupted before it could say so."""
        return link.deployed or self.holds(link)

    def is_whole(self, link: Link) -> bool:
        """Whether everything of a deployed model stands and leads to something."""
        return all(self.of(file) and self.leads(file) for file in link.files)

    def is_gone(self, file: LinkFile) -> bool:
        """Whether nothing stands at its place."""
        if file.how == "entry":
            path, name, part = entry_parts(file)
            return bool(part) or name not in self.entries(path)
        return file.how != _AS_RECORDED and links.lstat(file.path) is None

    def entries(self, path: str) -> Mapping[str, Entry]:
        """The models that a configuration names."""
        if path not in self._entries:
            kind = self._app.config.kind if self._app.config else ""
            try:
                content = placements.read_config(path)[0]
            except (OSError, ModelHubError):
                content = None
            self._entries[path] = configs.entries(kind, path, content)
        return self._entries[path]

    def _named(self, file: LinkFile) -> str:
        path, name, part = entry_parts(file)
        entry = self.entries(path).get(name)
        if entry is None:
            return ""
        return entry.mmproj if part else entry.model

    def removal(self, link: Link, because: str, needed: frozenset[str] = frozenset()) -> Iterator[Step]:
        """Remove a model's files; what took the place of one is the user's, and the others go all the same.

        `needed` are paths of shared files that something else needs as well.
        """
        standing = [file for file in link.files if self.of(file) or self.is_gone(file)]
        for file in link.files:
            if file not in standing and file.path not in needed:
                by = f"{links.what_stands_at(file.path)}, where our link was"
                yield Conflict(self.target.name, link.model_id, file.path, by)
        ours = [file for file in standing if not (file.shared and file.path in needed)]
        if not link.deployed and self.registered is None:  # it was never told of the model, and is not there now
            ours = [file for file in ours if file.how != _AS_RECORDED]
        if ours:
            first = ours[0]
            folders = tuple(self._made_for(link))
            yield RemoveLink(self.target.name, link.model_id, first.path, first.source, because, tuple(ours), folders)

    def _made_for(self, link: Link) -> list[str]:
        """Folders that we made for this model's files, deepest first: those below the target's own, which stay."""
        own = {self.base, *(os.path.normpath(os.path.join(self.base, one)) for one in self.target.folders.values())}
        found = set()
        for file in link.files:
            if file.how in NO_FILE:
                continue
            folder = os.path.dirname(file.path)
            while folder.startswith(os.path.join(self.base, "")) and folder not in own:
                if folder in self._made_folders:
                    found.add(folder)
                folder = os.path.dirname(folder)
        return sorted(found, key=len, reverse=True)

    def needed_by_others(self, link: Link, others: Iterable[Link], recorded: Collection[str]) -> frozenset[str]:
        """Paths of shared files that other models need as well: `others` of ours, or the user's.

        `recorded` are all paths that are ours, also of models that go with this one.
        """
        shared = {file.path for file in link.files if file.shared}
        if not shared:
            return frozenset()
        needed = {file.path for other in others if other.deployed for file in other.files if file.shared}
        for path, digests in self._manifests.items():
            if path not in recorded:
                needed |= {f"{self.base}/blobs/sha256-{digest}" for digest in digests}
        return frozenset(shared & needed)

    @cached_property
    def _manifests(self) -> Mapping[str, set[str]]:
        """The digests that each of Ollama's manifests names; read once, since every model's removal asks."""
        return {path: _digests(path) for path in manifests(self.base)}


def rebased(records: Iterable[Link], name: str, base: str) -> list[Link]:
    """Records of links in the hub's own folder of a target, which moved with the hub."""
    mark = f"/deployed/{name}/"
    if not f"{base}/".endswith(mark):
        return list(records)
    return [link._replace(files=tuple(_moved(file, mark, base) for file in link.files)) for link in records]


def _moved(file: LinkFile, mark: str, base: str) -> LinkFile:
    old, found, rest = file.path.partition(mark)
    if not found or file.how in NO_FILE or f"{old}{mark}" == f"{base}/":
        return file
    return file._replace(path=f"{base}/{rest}")


def entry_parts(file: LinkFile) -> tuple[str, str, str]:
    """The configuration file, the name in it, and ``mmproj`` for a projector."""
    path, _, rest = file.path.partition("#")
    name, _, part = rest.partition("#")
    return path, name, part


def manifests(base: str) -> Iterator[str]:
    """Ollama's manifests below a folder: four levels down."""
    top = os.path.join(base, "manifests")
    for folder, _, names in os.walk(top):
        for name in names:
            yield os.path.join(folder, name)


def _digests(manifest: str) -> set[str]:
    try:
        content = placements.read_config(manifest)[0]
        return ollama.digests_named(content or b"{}")
    except (OSError, ValueError, ModelHubError):
        return set()
