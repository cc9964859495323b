"""For any sequence of deployments, crashes, and what users and apps do: nothing that is not ours is touched."""

import contextlib
import hashlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from modelhub.core import config
from modelhub.core.deployment import Plan
from modelhub.core.errors import ModelHubError
from modelhub.files import links, placements
from modelhub.services.hub import Hub, open_hub
from tests import build
from tests.apps.machine import language_model
from tests.conftest import finish, scan

TARGETS = ("links", "copies", "hard", "listed", "ollama", "view")
CONFIG = "# mine\nown:\n  base_path: /x\n  loras: |\n    a\n    b\n"


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub with five models and a target of each kind, to be copied."""
    place = tmp_path_factory.mktemp("stocked")
    build.safetensors(place / "in/detail.safetensors", build.SD15_LORA)
    build.safetensors(place / "in/other/detail.safetensors", build.SD15_LORA, mark="second of that name")
    build.safetensors(place / "in/ae.safetensors", build.vae(16))
    language_model(place / "in/Qwen2.5-0.5B-Q8_0.gguf", "qwen2")
    language_model(place / "in/Qwen2.5-0.5B-Q4_K_M.gguf", "qwen2", file_type=15, mark="q4")
    with opened(place / "hub") as hub:
        scan(hub, place / "in", adopt="copy")
    return place / "hub"


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Hub]:
    with open_hub(config.load({}, hub=str(path))) as hub:
        yield hub


class Crash(BaseException):
    """The end of the program at a point of our choice."""


class World:
    """A hub, five targets, and a user whose files must stay as they are."""

    def __init__(self, root: Path, hub: Hub) -> None:
        self.root = root
        self.hub = hub
        self.users: dict[Path, str] = {}
        self.blobs = digests(hub.places.models)
        for name, app, method in (
            ("links", "comfyui", ""), ("copies", "forge", "copy"), ("hard", "swarmui", "hardlink"),
            ("listed", "comfyui", "config"), ("ollama", "ollama", ""), ("view", "view_local", ""),
        ):  # fmt: skip
            hub.targets.add(name, str(root / name / "models"), app=app, method=method)
        self.own(root / "links/models/loras/mine.safetensors", "mine")
        (root / "listed").mkdir(exist_ok=True)
        (root / "listed/extra_model_paths.yaml").write_text(CONFIG)

    def own(self, path: Path, content: str) -> None:
        """The user writes a file; whatever stood there is gone by the user's own hand."""
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir() and not path.is_symlink():
                return
            path.unlink(missing_ok=True)
            path.write_text(content)
            self.users[path] = state(path)

    def ours(self) -> list[Path]:
        """Paths that are recorded as deployed, in order."""
        found = {file.path for link in self.hub.targets._targets.links() for file in link.files}
        return sorted(Path(path) for path in found if path.startswith(str(self.root)) and os.path.lexists(path))

    def users_during(self, plan: Plan, how: int) -> None:
        """A file of the user's where the plan wants to work."""
        paths = [step.path for step in plan.removals] + [step.path for step in plan.links]
        paths = [path for path in paths if "#" not in path]
        if paths:
            self.own(Path(paths[how % len(paths)]), f"in between {how}")

    def check(self) -> None:
        for path, before in self.users.items():
            assert state(path) == before, path
        assert digests(self.hub.places.models) == self.blobs
        told = yaml.safe_load((self.root / "listed/extra_model_paths.yaml").read_text())
        assert told["own"] == yaml.safe_load(CONFIG)["own"]


def digests(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def state(path: Path) -> str:
    if path.is_symlink():
        return f"link {os.readlink(path)}"
    return f"file {path.read_bytes()!r}" if path.is_file() else "folder" if path.is_dir() else "nothing"


def deploy(world: World, which: int, how: int) -> None:
    names = TARGETS[which % 6 : which % 6 + 1 + how % 3]
    resolution = ("keep", "skip", "rename")[how % 3]
    finish(world.hub.deployment.apply(world.hub.deployment.plan(names, resolution=resolution)))  # type: ignore[arg-type]


def undeploy(world: World, which: int, how: int) -> None:
    names = () if how % 2 else TARGETS[which % 6 : which % 6 + 1]
    finish(world.hub.deployment.apply(world.hub.deployment.plan_removal(names)))


def undo(world: World, which: int, how: int) -> None:
    with contextlib.suppress(ModelHubError):
        finish(world.hub.undo.run(world.hub.undo.plan()))


def crash(world: World, which: int, how: int) -> None:
    """The program ends in the middle of a deployment, or of taking one back."""
    steps = itertools.count()

    def failing(real: Callable[..., object]) -> Callable[..., object]:
        def work(*given: object, **named: object) -> object:
            if next(steps) >= which % 9:
                raise Crash
            return real(*given, **named)

        return work

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Crash):
        for module, name in (
            (placements, "place"),
            (placements, "take_away"),
            (placements, "write_over"),
            (links, "sync"),
        ):
            patch.setattr(module, name, failing(getattr(module, name)))
        (undeploy if how % 3 == 0 else deploy)(world, which, how)


def raced(world: World, which: int, how: int) -> None:
    """The user or an app acts after the plan was shown and before it is carried out."""
    names = TARGETS[which % 6 : which % 6 + 2]
    deployment = world.hub.deployment
    plan = deployment.plan_removal(names) if how % 2 else deployment.plan(names)
    (app_rewrites, user_links, user_deletes, user_takes_the_name)[how % 4](world, which, how)
    world.users_during(plan, how)
    finish(deployment.apply(plan))


def app_rewrites(world: World, which: int, how: int) -> None:
    """As SwarmUI does: the link is put aside and a file takes its place; from now on it is the user's."""
    if ours := world.ours():
        path = ours[which % len(ours)]
        with contextlib.suppress(OSError):
            if path.is_file():
                world.own(path, f"rewritten {how}")


def user_links(world: World, which: int, how: int) -> None:
    if ours := world.ours():
        path = ours[which % len(ours)]
        if path.is_symlink() or path.is_file():
            path.unlink()
            path.symlink_to(world.root / f"elsewhere{how}")
            world.users[path] = state(path)


def user_deletes(world: World, which: int, how: int) -> None:
    if ours := world.ours():
        path = ours[which % len(ours)]
        if path.is_symlink() or path.is_file():
            path.unlink()
            world.users.pop(path, None)


def user_moves(world: World, which: int, how: int) -> None:
    """A link of ours under a name of the user's choice is the user's."""
    if ours := world.ours():
        path = ours[which % len(ours)]
        new = path.with_name(f"moved{how}-{path.name}")
        if (path.is_symlink() or path.is_file()) and not os.path.lexists(new):
            path.rename(new)
            world.users.pop(path, None)
            if not new.is_symlink() and os.stat(new).st_nlink > 1:
                return  # a hard link shares its content with the store
            world.users[new] = state(new)


def user_takes_the_name(world: World, which: int, how: int) -> None:
    """A file where the next deployment would put a link."""
    plan = world.hub.deployment.plan((TARGETS[which % 6],))
    if plan.links:
        world.own(Path(plan.links[how % len(plan.links)].path.partition("#")[0]), f"mine {how}")


def other_wishes(world: World, which: int, how: int) -> None:
    """Another mapping, another template, another type."""
    if which % 3 == 0:
        world.hub.targets.map_type("links", "lora", f"loras/{how % 3}")
    elif which % 3 == 1:
        world.hub.targets.change("copies", naming=("", "{type}-{name}", "{base}/{clean}")[how % 3])
    else:
        kind = ("", "embedding", "vae")[how % 3]
        world.hub.models.correct("Qwen2.5-0.5B-Q8_0.gguf", fields={"type": kind})


ACTIONS = (
    *[deploy, deploy, undeploy, undo, crash, crash, raced, raced],
    *[app_rewrites, user_links, user_deletes, user_moves, user_takes_the_name, other_wishes],
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    some.lists(
        some.tuples(some.sampled_from(ACTIONS), some.integers(0, 30), some.integers(0, 30)), min_size=2, max_size=12
    )
)
def test_nothing_that_is_not_ours_is_ever_changed(
    stocked: Path, actions: list[tuple[Callable[[World, int, int], None], int, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(stocked, root / "hub", symlinks=True)
        with opened(root / "hub") as hub:
            world = World(root / "apps", hub)
            for action, which, how in actions:
                action(world, which, how)
                world.check()
            finish(hub.deployment.apply(hub.deployment.plan_removal()))
            world.check()
            needed = "ollama" if any("manifests" in path.parts for path in world.users) else "nothing"
            left = [path for path in (root / "apps").rglob("*") if path.is_symlink() and path not in world.users]
            left = [path for path in left if needed not in path.parts]  # a manifest of the user's names these blobs
            assert not left, "what we made is gone"
