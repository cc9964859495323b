"""The application: which screen is seen, what runs, the theme, and what works everywhere."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

from textual import on, work
from textual.app import App
from textual.binding import BindingType
from textual.events import Key
from textual.notifications import SeverityLevel
from textual.screen import Screen

from modelhub.core.actor import DOOR
from modelhub.core.errors import ModelHubError
from modelhub.core.events import Task
from modelhub.core.names import counted, is_utf8, printable
from modelhub.core.types import Model
from modelhub.services.hub import Hub
from modelhub.services.undo import Undoing
from modelhub.tui.actions import bindings, keymap, remapped
from modelhub.tui.clipboard import copy
from modelhub.tui.dashboard import DashboardScreen
from modelhub.tui.deploying import DeployScreen
from modelhub.tui.dialogs import Ask, Show
from modelhub.tui.duplicates import DuplicatesScreen
from modelhub.tui.frame import HubScreen, JobLine
from modelhub.tui.help import HelpScreen
from modelhub.tui.jobs import Ended, Job, Then, quick
from modelhub.tui.jobscreen import JobsScreen
from modelhub.tui.library import LibraryScreen
from modelhub.tui.palette import ActionCommands
from modelhub.tui.rules import RulesScreen
from modelhub.tui.table import LineTable
from modelhub.tui.targets import TargetsScreen
from modelhub.tui.trash import TrashScreen

_DARK, _LIGHT = "textual-dark", "textual-light"
_THEME = "interface_theme"
_SCREENS: dict[str, type[HubScreen]] = {
    one.NAME: one
    for one in (
        LibraryScreen, DashboardScreen, DeployScreen, TargetsScreen, DuplicatesScreen, TrashScreen, RulesScreen,
        JobsScreen,
    )
}  # fmt: skip
_TICK_SECONDS = 0.25
_JOBS_KEPT = 100


class ModelHubApp(App[str]):
    """The library lies at the bottom; one other screen at a time is put over it, details and dialogs over both.

    It returns ``demo`` if the user asked for the sample library.
    """

    TITLE = "ModelHub"
    CSS_PATH = "style.tcss"
    COMMANDS = App.COMMANDS | {ActionCommands}
    BINDINGS: ClassVar[list[BindingType]] = bindings("everywhere")

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self.hub = hub
        self.jobs: list[Job] = []
        keys = keymap(hub.settings.keys)
        self.actions = remapped(keys)
        self.set_keymap(keys)

    def on_mount(self) -> None:
        kept = self.hub.memory.get(_THEME)
        self.theme = kept if kept in self.available_themes else _DARK
        self.theme_changed_signal.subscribe(self, lambda theme: self._keep_theme(theme.name))
        self.set_interval(_TICK_SECONDS, self._tick)
        self.push_screen(LibraryScreen(self.hub))

    # Screens

    @property
    def library(self) -> LibraryScreen:
        return next(screen for screen in self.screen_stack if isinstance(screen, LibraryScreen))

    def action_screen(self, name: str) -> None:
        """Show a screen by its name; what lies over the library gives way."""
        if isinstance(self.screen, _SCREENS[name]):
            return
        while not isinstance(self.screen, LibraryScreen):
            self.pop_screen()
        if name == LibraryScreen.NAME:
            self.library.shown()
        else:
            self.push_screen(_SCREENS[name](self.hub))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A dialog is answered before one goes elsewhere."""
        if action in ("screen", "help") and self.screen.is_modal:
            return False
        return super().check_action(action, parameters)

    def on_key(self, event: Key) -> None:
        """Letters that were typed quicker than the focus moved (F, then a word) go where it is now."""
        first = event._sender  # noqa: SLF001  (the table that got the key says so; Textual asks by no other name)
        if isinstance(first, LineTable) and self.focused is not first:
            event.prevent_default()
            (self.focused or self.screen).post_message(Key(event.key, event.character))

    def action_help(self) -> None:
        first = self.screen.NAME if isinstance(self.screen, HubScreen) else ""
        self.push_screen(HelpScreen(self.actions, first))

    def action_theme(self) -> None:
        self.theme = _DARK if self.theme == _LIGHT else _LIGHT

    @work(thread=True)
    def _keep_theme(self, name: str) -> None:
        try:
            self.hub.memory.set(_THEME, name)
        except ModelHubError:
            return  # a hub that can only be read keeps nothing

    def action_demo(self) -> None:
        self.exit("demo")

    # Jobs

    @property
    def running(self) -> list[Job]:
        return [job for job in self.jobs if job.state == "running"]

    def start(self, title: str, make: Callable[[], Task[Any]], then: Then | None = None) -> Job:
        """Make and run a task in a thread of its own; for `then` see Job."""
        job = Job(self, title, make, then)
        self.jobs = [*self.jobs[-_JOBS_KEPT:], job]
        job.start()
        self._tick()
        return job

    def _tick(self) -> None:
        running = self.running
        more = f"  (+{len(running) - 1})" if len(running) > 1 else ""
        text = f"{running[0].title}  {running[0].told()}{more}" if running else ""
        for screen in self.screen_stack:
            for line in screen.query(JobLine):
                line.text = printable(text)
        if running and self.library.is_current:
            self.library.take_new()

    @on(Ended)
    def _ended(self, message: Ended) -> None:
        job = message.job
        self._tick()
        self.changed()
        if job.error is not None:
            self.say(f"{job.title}: {job.error.message} {job.error.hint}", "error")
        elif job.state == "stopped":
            self.say(f"{job.title}: stopped. What was done stays.", "warning")
        elif job.state == "failed":
            self.say(f"{job.title}: it failed; 8 shows its log.", "error")
        else:
            if job.problems:
                told = job.log()[-1][0] if job.problems == 1 else f"{job.problems} problems; 8 shows them."
                self.say(f"{job.title}: {told}", "warning")
            came = job.then(job.value) if job.then is not None else None
            if came:
                job.tell(came)
                self.say(came)

    def changed(self) -> None:
        """Something in the hub is another now: every screen looks again."""
        for screen in self.screen_stack:
            if isinstance(screen, HubScreen):
                screen.shown()

    def say(self, text: str, severity: SeverityLevel = "information") -> None:
        """A notice, in plain text."""
        self.notify(printable(text), severity=severity, markup=False)

    def delete(self, name: str, models: Callable[[], Sequence[Model]]) -> None:
        """Put models into the trash."""

        def make() -> Task[Any]:
            chosen = models()
            return self.hub.trash.delete(chosen, self.hub.trash.plan_delete(chosen))

        self.start(f"Delete {name}", make, lambda _: f"{name}: in the trash; U in the library undoes it.")

    def undo(self, *, of_models: bool = True) -> None:
        """Take back the last operation; the last deployment without `of_models`."""
        look = partial(self.hub.undo.plan, of_models=of_models)
        self.start("Look at the last operation", lambda: quick(look), partial(self._undo, self.screen))

    def _undo(self, screen: Screen[Any], undoing: Undoing) -> None:
        """What touches apps or files is asked about; a model is back, or as it was, at once."""
        links = len(undoing.plan.links) + len(undoing.plan.removals)
        parts = [printable(step.path) for step in undoing.models[:1]]
        parts += [counted(links, "link")] if links else []
        parts += [counted(len(undoing.users), "file") + " of yours"] if undoing.users else []
        told = f"{', '.join([undoing.run.what, *parts])}, of {undoing.run.started_at} UTC"

        def run(sure: bool | None) -> None:
            if sure:
                self.start("Undo", lambda: self.hub.undo.run(undoing), lambda _: f"Undone: {told}")

        if undoing.models:
            run(sure=True)
        elif self.screen is screen:
            self.push_screen(Ask(f"Take back: {told}?", "Take back"), run)

    # Leaving

    async def action_quit(self) -> None:
        """Leave; running tasks are named first, and stopped cleanly."""
        running = self.running
        if not running:
            self.exit()
        elif not isinstance(self.screen, Ask):
            names = ", ".join(job.title for job in running)
            question = f"Still running: {names}.\nStop and leave? What is done stays done."
            self.push_screen(Ask(question, "Stop and leave"), self._leave)

    def _leave(self, sure: bool | None) -> None:
        if sure:
            for job in self.running:
                job.cancel()
            self._wait_and_exit()

    @work(thread=True)
    def _wait_and_exit(self) -> None:
        for job in self.running:
            job.join()
        self.call_from_thread(self.exit)

    def show(self, title: str, text: str) -> None:
        """A text to read or to copy by hand."""
        self.push_screen(Show(title, text))

    # Clipboard

    def copy(self, text: str, what: str) -> None:
        """Copy a text; where nothing takes it, show it to be copied by hand."""
        if not is_utf8(text):
            self.say(f"Its {what} is no valid text, and cannot be copied: {text}", "warning")
        elif not text:
            self.say(f"It has no {what}.", "warning")
        elif copy(self, text):
            self.say(f"Copied: {text}")
        else:
            self.show(f"This terminal has no clipboard; here is the {what}", text)


def run(hub: Hub) -> str | None:
    """Show the hub until the user leaves; ``demo`` if they asked for the sample library."""
    DOOR.set("tui")
    return ModelHubApp(hub).run()
