"""What uses a model: links of ours and of others, configurations of apps, scripts that start them."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from modelhub.core.apps import Target
from modelhub.core.deployment import NO_FILE
from modelhub.core.places import expand
from modelhub.files.blobs import Blobs
from modelhub.files.walk import links_under, read_text
from modelhub.services.targets import TargetDesk
from modelhub.store.trash import Trash

_TEXTS = (
    ".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".txt", ".env", ".sh", ".bash", ".bat", ".cmd", ".ps1",
    ".service", ".desktop", ".plist",
)  # fmt: skip
_MOST_TEXTS = 2000
_WORD = re.compile(r"[^\"'`\n\r\t=,;|<>*?]+")
_MOST_LINKS = 200_000


class Use(NamedTuple):
    """`kind`: link (ours), entry (ours, in an app's configuration), found (where a scan left a link), foreign (a link
    of somebody else's), config (a file of an app, or of yours, that names it). `place` is the link or the file.
    """

    kind: str
    place: str
    target: str = ""


class Uses:
    """Looks for what uses contents; each look is fresh."""

    def __init__(self, desk: TargetDesk, trash: Trash, blobs: Blobs, launch_files: Sequence[str]) -> None:
        self._desk = desk
        self._trash = trash
        self._blobs = blobs
        self._launch_files = launch_files

    def of(self, contents: Mapping[str, Iterable[str]]) -> dict[str, list[Use]]:
        """What uses each content, by its SHA-256. `contents` maps them to the names by which others may know them."""
        if not contents:
            return {}
        targets = self._desk.all()
        known = [*self._ours(targets), *self._left_by_scans(contents)]
        places = {use.place for _, use in known}
        foreign = (found for target in targets for found in self._foreign(target, places))
        named = self._named(targets, contents)
        found: dict[str, list[Use]] = {}
        for sha256, use in (*known, *foreign, *named):
            if sha256 in contents and use.kind:
                found.setdefault(sha256, []).append(use)
        return found

    def _ours(self, targets: Sequence[Target]) -> Iterator[tuple[str, Use]]:
        """Links and entries that we made; those that a run was only about to make are told apart by no kind."""
        for target in targets:
            for link in self._desk.records(target):
                for file in link.files:
                    kind = "entry" if file.how in NO_FILE else "link"
                    yield file.sha256, Use(kind if link.deployed else "", file.path, target.name)

    def _left_by_scans(self, contents: Iterable[str]) -> Iterator[tuple[str, Use]]:
        for path, sha256 in self._trash.links_to(contents):
            stands = self._blobs.contains(os.path.realpath(path)) == sha256
            yield sha256, Use("found" if stands else "", path)

    def _foreign(self, target: Target, ours: set[str]) -> Iterator[tuple[str, Use]]:
        """Links into the store below a target that neither we nor a scan made."""
        base = expand(target.base_path)
        if not target.enabled or not os.path.isdir(base):
            return
        for path in links_under(base, most=_MOST_LINKS):
            address = None if path in ours else self._blobs.contains(os.path.realpath(path))
            if address is not None:
                yield address, Use("foreign", path, target.name)

    def _named(self, targets: Sequence[Target], contents: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, Use]]:
        """Texts of apps, and the user's own, that name a model's file."""
        wanted = {name: sha256 for sha256, names in contents.items() for name in names if len(name) > 3}
        if not wanted:
            return
        seen: set[str] = set()
        for place, name in self._texts(targets):
            if place in seen:
                continue
            seen.add(place)
            told = {os.path.basename(word.strip().replace("\\", "/")) for word in _words(read_text(place))}
            for known in told & wanted.keys():
                yield wanted[known], Use("config", place, name)

    def _texts(self, targets: Sequence[Target]) -> Iterator[tuple[str, str]]:
        for target in targets:
            base = expand(target.base_path)
            if target.enabled:
                for folder in (base, os.path.dirname(base)):
                    yield from ((path, target.name) for path in _texts_in(folder))
        for given in self._launch_files:
            path = expand(given)
            if os.path.isdir(path):
                yield from ((text, "") for text in _texts_in(path))
            else:
                yield path, ""


def _words(text: str) -> Iterator[str]:
    """Pieces of a text that may be a path: between quotes or signs, and between spaces."""
    for piece in _WORD.findall(text):
        yield piece
        if " " in piece:
            yield from piece.split()


def _texts_in(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            found = [entry.path for entry in entries if entry.name.lower().endswith(_TEXTS) and entry.is_file()]
    except OSError:
        return []
    return sorted(found)[:_MOST_TEXTS]
