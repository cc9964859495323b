"""How things really stand in a target: what stands of our links, what the app would not list, what lies wrong."""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from modelhub.apps import naming
from modelhub.core.apps import App, Target
from modelhub.core.deployment import NO_FILE, Finding, JournalStep, LinkFile, Note, WriteConfig
from modelhub.core.errors import ModelHubError, as_ours
from modelhub.core.events import Problem, Result, Task
from modelhub.core.names import printable
from modelhub.core.places import HubPlaces, expand
from modelhub.core.templates import fixed_part
from modelhub.core.types import UNKNOWN
from modelhub.files import links, placements
from modelhub.files.walk import Found, walk
from modelhub.services import running
from modelhub.services.applying import Application
from modelhub.services.deploy import Deployment
from modelhub.services.judge import Judge
from modelhub.services.prepare import base_of, elsewhere_of
from modelhub.services.standing import Standing
from modelhub.services.targets import TargetDesk
from modelhub.store.journal import Journal
from modelhub.store.library import Library

_SURE = 0.8
_MODEL_ENDINGS = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".onnx")


@dataclass(frozen=True, slots=True)
class TypeFolder:
    """A folder as the app itself would read it: where it leads, and how many files are in it."""

    type: str
    folder: str
    real: str
    exists: bool
    files: int


@dataclass(frozen=True, slots=True)
class Moved:
    moved: int
    problems: int
    dry_run: bool


class Checkup:
    def __init__(
        self,
        places: HubPlaces,
        library: Library,
        desk: TargetDesk,
        judge: Judge,
        journal: Journal,
        application: Application,
        deployment: Deployment,
    ) -> None:
        self._places = places
        self._library = library
        self._desk = desk
        self._judge = judge
        self._journal = journal
        self._application = application
        self._deployment = deployment

    def count(self, target: Target) -> int:
        """Models that are deployed to a target, as recorded."""
        return sum(link.deployed for link in self._desk.records(target))

    def folders(self, target: Target) -> list[TypeFolder]:
        """The folders of a target as its app would read them."""
        app = self._desk.app_of(target)
        base = base_of(target, app, self._desk.deployed)
        elsewhere = elsewhere_of(target, app, base)
        found = []
        for kind, folder in sorted(target.folders.items()):
            path = _folder(elsewhere.get(kind, base), folder)
            there = os.path.isdir(path)
            files = sum(1 for entry in os.scandir(path) if not entry.is_dir()) if there else 0
            found.append(TypeFolder(kind, path, os.path.realpath(path), there, files))
        return found

    def all(self, target: Target) -> list[Finding]:
        """Everything that is not as it should be."""
        if not os.path.isdir(expand(target.base_path)):
            told = f"{target.name}: {printable(expand(target.base_path))} does not exist."
            hint = f"Run `modelhub targets edit {target.name} --path PATH`."
            return [Finding(target.name, "no_folder", expand(target.base_path), told, hint), *self.links(target)]
        return [*self.links(target), *self._strangers(target)]

    def _configuration(self, target: Target) -> Iterator[Finding]:
        """The app's own file, if it does not say what it should or cannot be read."""
        for step in self._deployment.reconfigured(target, []):
            again = f"Run `modelhub deploy --target {target.name}`."
            if isinstance(step, WriteConfig):
                told = f"{target.name}: {printable(step.path)} does not name what is deployed, or is gone."
                yield Finding(target.name, "config", step.path, told, again)
            elif isinstance(step, Note):
                yield Finding(target.name, "config", "", f"{target.name}: {step.message}", f"Correct it, then: {again}")

    def links(self, target: Target) -> Iterator[Finding]:
        """What was made and does not stand as we made it, or leads nowhere; and the app's own configuration."""
        yield from self._configuration(target)
        standing = self._desk.standing(target)
        standing.registered = running.registered(self._desk.app_of(target), target)
        names = {model.id: model.filename for model in self._library.deployables()}
        for link in self._desk.records(target):
            for file in link.files if link.deployed else ():
                if not (standing.of(file) and standing.leads(file)):
                    yield self._broken(target, standing, file, names.get(link.model_id, "a deleted model"))

    def _broken(self, target: Target, standing: Standing, file: LinkFile, name: str) -> Finding:
        again = f"Run `modelhub deploy --target {target.name}`."
        if file.how == "register":
            told = f"{target.name}: {target.display_name} does not know {printable(name)} any more."
            return Finding(target.name, "gone", file.path, told, again)
        if file.how in NO_FILE or standing.is_gone(file):
            told = f"{target.name}: {printable(file.path)} should lead to {printable(name)}, but is gone."
            return Finding(target.name, "gone", file.path, told, again)
        if standing.of(file):
            told = f"{target.name}: {printable(file.path)} leads to a file that is gone."
            return Finding(target.name, "dangling", file.path, told, f"{again} It takes the link away.")
        if file.how == "symlink" and not os.path.islink(file.path):
            told = f"{target.name}: {printable(file.path)} was our link to {printable(name)} and is a file now."
            hint = f"The app rewrote it. `modelhub deploy -t {target.name} --on-conflict adopt` takes it into the hub."
            return Finding(target.name, "became_file", file.path, told, hint)
        what = links.what_stands_at(file.path)
        told = f"{target.name}: {printable(file.path)} should lead to {printable(name)}, but is {what}."
        return Finding(target.name, "replaced", file.path, told, f"Move it away, then: {again}")

    def _strangers(self, target: Target) -> Iterator[Finding]:
        """What is not ours in the target's folders, as far as it is a trouble."""
        app = self._desk.app_of(target)
        base = base_of(target, app, self._desk.deployed)
        ours = {file.path for link in self._desk.records(target) for file in link.files}
        for folder, kinds in _by_folder(base, target).items():
            for found in walk(folder) if os.path.isdir(folder) else ():
                if isinstance(found, Found) and found.path not in ours:
                    yield from self._stranger(target, app, base, found, kinds)

    def _stranger(self, target: Target, app: App, base: str, found: Found, kinds: Sequence[str]) -> Iterator[Finding]:
        path = found.path
        if found.kind == "link":
            if not os.path.exists(path):
                orphan = (links.target_of(path) or "").startswith(f"{self._places.models}{os.sep}")
                told = f"{target.name}: {printable(path)} is {links.what_stands_at(path)}, which is gone."
                hint = (
                    f"`modelhub doctor {target.name} --repair` takes it away: it led into this hub."
                    if orphan
                    else "It is yours: remove it, or put back what it led to."
                )
                yield Finding(target.name, "orphan" if orphan else "foreign_broken", path, told, hint)
            return
        if links.is_leftover(os.path.basename(path)):
            told = f"{target.name}: {printable(path)} was left behind by a deployment that was interrupted."
            yield Finding(target.name, "leftover", path, told, f"`modelhub doctor {target.name} --repair` removes it.")
            return
        if not path.lower().endswith(_MODEL_ENDINGS) or found.kind != "file":
            return
        yield from self._not_listed(target, app, path, kinds)
        yield from self._misplaced(target, base, path, kinds)

    @staticmethod
    def _not_listed(target: Target, app: App, path: str, kinds: Sequence[str]) -> Iterator[Finding]:
        name = os.path.basename(path)
        ending = os.path.splitext(name)[1]
        endings = {one for kind in kinds for one in app.endings_of(kind)}
        if endings and ending not in endings:
            told = f"{target.name}: {app.display_name} does not look for {ending} there, so not for {printable(path)}."
            yield Finding(target.name, "not_listed", path, told, "Rename it in lower case, or convert it.")
        elif app.refuses and naming.is_hidden(name, app.refuses):
            told = f"{target.name}: {app.display_name} hides {printable(path)} for its name."
            yield Finding(target.name, "hidden", path, told, "Give it another name.")

    def _misplaced(self, target: Target, base: str, path: str, kinds: Sequence[str]) -> Iterator[Finding]:
        try:
            verdict = self._judge.at(path).verdict
        except (OSError, ModelHubError):
            return
        if verdict.type in (UNKNOWN, *kinds) or verdict.confidence < _SURE or verdict.type not in target.folders:
            return
        right = os.path.join(_folder(base, target.folders[verdict.type]), os.path.basename(path))
        told = f"{target.name}: {printable(path)} lies wrong: it is a {verdict.type} ({verdict.confidence:.0%} sure)."
        hint = f"`modelhub doctor {target.name} --move` puts it at {printable(right)}."
        yield Finding(target.name, "misplaced", path, told, hint, {"to": right, "type": verdict.type})

    def clean(self, findings: Sequence[Finding], *, dry_run: bool) -> list[str]:
        """Remove what is surely ours and of no use: links into this hub that lead nowhere, and what a crash left.

        Whatever is not that any more in this moment stays.
        """
        cleaned = []
        for finding in findings:
            found = links.lstat(finding.path)
            if found is None or finding.code not in ("orphan", "leftover"):
                continue
            led = links.target_of(finding.path)
            useless = finding.code == "leftover" and stat.S_ISREG(found.st_mode)
            if led is not None:
                useless = led.startswith(f"{self._places.models}{os.sep}") and not os.path.exists(finding.path)
            if useless:
                cleaned.append(finding.path)
                if not dry_run:
                    os.unlink(finding.path)
        return cleaned

    def move(self, findings: Sequence[Finding], *, dry_run: bool) -> Task[Moved]:
        """Put misplaced files into the folders of their types; nothing is overwritten, and `deploy undo` undoes it."""
        wrong = [finding for finding in findings if finding.code == "misplaced"]
        if dry_run:
            yield Result(Moved(len(wrong), 0, dry_run))
            return
        moved = problems = 0
        ids = {target.name: target.id for target in self._desk.all()}
        with self._application.alone("move") as run:
            for finding in wrong:
                to = str(finding.facts["to"])
                step = JournalStep("moved", finding.path, to, target_id=ids[finding.target])
                try:
                    new = [JournalStep("folder", folder) for folder in placements.missing_folders(os.path.dirname(to))]
                    self._journal.note(run, [*new, step])
                    links.rename_free(finding.path, to)
                except (ModelHubError, OSError) as error:
                    known = as_ours(error, printable(finding.path))
                    yield Problem.of(known, item=finding.path)
                    problems += 1
                else:
                    moved += 1
        yield Result(Moved(moved, problems, dry_run))


def _folder(base: str, folder: str) -> str:
    """A mapping's folder; of a template as much as is the same for all models."""
    return os.path.normpath(os.path.join(base, fixed_part(folder) or "."))


def _by_folder(base: str, target: Target) -> Mapping[str, list[str]]:
    """The types that share each folder."""
    found: dict[str, list[str]] = {}
    for kind, folder in target.folders.items():
        found.setdefault(_folder(base, folder), []).append(kind)
    return found
