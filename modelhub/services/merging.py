"""Two hubs made one: models, files and all that is known of the other come here; links that led there lead here."""

import contextlib
import dataclasses
import os
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from modelhub.core.errors import Conflict, DatabaseBroken, ModelHubError, NotFound, as_ours
from modelhub.core.events import Event, Problem, Result, Task
from modelhub.core.names import printable
from modelhub.core.places import HubPlaces
from modelhub.files import digest, links
from modelhub.files.blobs import Blobs
from modelhub.services.audit import Audit
from modelhub.services.bundles import Bundles, Imported
from modelhub.store import migrate
from modelhub.store.engine import Database
from modelhub.store.found import FoundFiles
from modelhub.store.library import Library
from modelhub.store.targets import Targets
from modelhub.store.transfer import Transfer


@dataclass(frozen=True, slots=True)
class Merged:
    """Totals of a merge. `links` lead here now; `targets` were taken over; `left` files are deployed from the other
    hub in ways that a link cannot follow: undeploy them there.
    """

    models: Imported
    links: int
    targets: int
    left: int
    dry_run: bool


class Merging:
    def __init__(
        self,
        places: HubPlaces,
        bundles: Bundles,
        library: Library,
        found_files: FoundFiles,
        targets: Targets,
        audit: Audit,
    ) -> None:
        self._places = places
        self._bundles = bundles
        self._library = library
        self._found_files = found_files
        self._targets = targets
        self._audit = audit
        self._blobs = Blobs(places)

    def merge(self, folder: str, *, dry_run: bool = False) -> Task[Merged]:
        """Take everything of the hub in `folder`; that hub stays as it is, but for links, which lead here then.

        On one file system contents are shared, not copied. Raises NotFound, or DatabaseBroken for a hub that this
        version has not opened yet.
        """
        theirs = HubPlaces(Path(folder))
        _require_current(theirs, self._places)
        database = Database(theirs.library)
        try:
            task = self._merge(theirs, database, dry_run=dry_run)
            yield from task if dry_run else self._audit.watched("merge", task, hub=folder)
        finally:
            database.close()

    def _merge(self, theirs: HubPlaces, database: Database, *, dry_run: bool) -> Task[Merged]:
        library, their_blobs = Library(database), Blobs(theirs)
        rows = list(Transfer(database).models([model.id for model in library.deployables()]))
        elsewhere = FoundFiles(database).sources()
        sizes = {file["sha256"]: file["size"] for row in rows for file in row["files"]}

        bring = partial(_their_file, their_blobs, elsewhere, sizes)
        imported = yield from _last(self._bundles.take(rows, bring, dry_run=dry_run, share=True))
        if dry_run:
            yield Result(Merged(imported, 0, 0, 0, dry_run=True))
            return
        taken = self._take_targets(Targets(database))
        moved = left = 0
        for path, sha256, how in self._links_of(database, taken):
            try:
                if how == "symlink":
                    moved += self._relink(path, sha256, their_blobs)
                elif how:
                    left += 1
                elif self._relink(path, sha256, their_blobs):
                    moved += 1
                    self._found_files.note([], [(path, digest.stamp(os.lstat(path)), sha256)])
            except (OSError, ModelHubError) as error:
                yield Problem.of(as_ours(error, printable(path)), item=path, sha256=sha256)
        yield Result(Merged(imported, moved, len(taken), left, dry_run=False))

    @staticmethod
    def _links_of(database: Database, taken: set[int]) -> Iterator[tuple[str, str, str]]:
        """What leads into the other hub: path, SHA-256, and how it was deployed (empty: a scan left it)."""
        for path, sha256 in FoundFiles(database).links():
            yield path, sha256, ""
        for link in Targets(database).links():
            if link.deployed and link.target_id in taken:
                for file in link.files:
                    yield file.path, file.sha256, file.how

    def _take_targets(self, theirs: Targets) -> set[int]:
        """Targets of the other hub that it uses come over, under another name if that one is used here; their ids."""
        here = {target.name: target for target in self._targets.all()}
        used = {link.target_id for link in self._targets.links()}
        taken: set[int] = set()
        for target in theirs.all():
            mine = here.get(target.name)
            if not target.enabled and mine is not None:
                continue
            taken.add(target.id)
            if mine is None:
                self._targets.add(target)
            elif mine.base_path == target.base_path:
                self._targets.change(mine.id, enabled=True)
            elif mine.enabled or mine.id in used:
                name = next(name for number in count(2) if (name := f"{target.name}-{number}") not in here)
                self._targets.add(dataclasses.replace(target, name=name))
            else:
                self._targets.remove(mine.id)
                self._targets.add(target)
        return taken

    def _relink(self, path: str, sha256: str, theirs: Blobs) -> bool:
        """Whether the link at `path` led to this content there, and leads to it here now."""
        source = links.target_of(path)
        stored = next(iter(self._blobs.files(sha256)), None)
        if source is None or stored is None or theirs.contains(os.path.realpath(path)) != sha256:
            return False
        links.replace_link(path, source, stored.path)
        return True


@contextlib.contextmanager
def _their_file(
    theirs: Blobs, elsewhere: Mapping[str, str], sizes: Mapping[str, int], sha256: str, _beside: str
) -> Iterator[str]:
    """Where a content of the other hub can be read."""
    path = theirs.find(sha256, sizes[sha256]) or elsewhere.get(sha256, "")
    if not path or not os.path.isfile(path):
        raise NotFound(f"{sha256[:12]}… is not in that hub.", hint="Run `modelhub verify` there.")
    yield os.path.realpath(path)


def _last(task: Task[Imported]) -> Generator[Event, None, Imported]:
    """The events of a task, and its result."""
    result: list[Imported] = []
    for event in task:
        if isinstance(event, Result):
            result.append(event.value)
        else:
            yield event
    return result[-1]


def _require_current(theirs: HubPlaces, ours: HubPlaces) -> None:
    if not theirs.library.is_file() or not theirs.models.is_dir():
        raise NotFound(f"There is no hub in {printable(theirs.root)}.", hint="Name the folder with its modelhub.db.")
    if os.path.samefile(theirs.root, ours.root):
        raise Conflict(f"{printable(theirs.root)} is this hub itself.", hint="Name another one.")
    state = migrate.status("modelhub", theirs.library)
    migrate.refuse_newer(state)
    if state.condition != "current":
        told = f"The hub in {printable(theirs.root)} is of an earlier version."
        raise DatabaseBroken(told, hint=f"Bring it up to date: modelhub --hub {printable(theirs.root)} db upgrade")
