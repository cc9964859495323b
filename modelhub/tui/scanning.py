"""Scanning from the terminal interface: where, how, a look first, and progress that can be stopped."""

from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.suggester import Suggester
from textual.widgets import Button, Input, RichLog, Select, Static

from modelhub.core.errors import ModelHubError
from modelhub.core.events import FileSeen, Problem, Progress
from modelhub.core.names import human_size, printable
from modelhub.core.places import completed
from modelhub.core.types import ADOPT_MODES, Adopt
from modelhub.services.hub import Hub
from modelhub.services.tally import ScanSummary
from modelhub.tui.actions import bindings
from modelhub.tui.jobs import Ended, Job, Told

_WORDS: dict[Adopt, str] = {
    "symlink": "move in, leave a link",
    "copy": "copy in",
    "move": "move in",
    "reference": "index in place",
    "hardlink": "hard link",
    "reflink": "copy on write",
}


_HINT = "→ completes a name · Enter looks first, Enter again scans · Esc stops or closes"


class _Folders(Suggester):
    """Completes the path of a folder while it is typed; → takes the suggestion."""

    async def get_suggestion(self, value: str) -> str | None:
        return completed(value)


class ScanScreen(ModalScreen[None]):
    """One scan: asked for, previewed, run, summed up."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("scan")

    def __init__(self, hub: Hub, adopt: Adopt) -> None:
        super().__init__()
        self._hub = hub
        self._adopt = adopt
        self._job: Job | None = None
        self._looked_at: tuple[str, object] | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static("Scan a folder", classes="title", markup=False)
            yield Input(placeholder="/path/to/models", id="path", suggester=_Folders(case_sensitive=True))
            choices = [(f"{mode}: {_WORDS[mode]}", mode) for mode in ADOPT_MODES]
            yield Select(choices, value=self._adopt, allow_blank=False, id="adopt")
            with Horizontal(id="buttons"):
                yield Button("Dry run", id="preview")
                yield Button("Scan", id="scan", variant="primary")
                yield Button("Close", id="close")
            yield Static(_HINT, id="hint", markup=False)
            yield Static(id="progress", markup=False)
            yield RichLog(id="log", max_lines=1000, wrap=True, markup=False)

    def on_mount(self) -> None:
        self.query_one("#path", Input).focus()

    @on(Input.Submitted)
    def _entered(self) -> None:
        """The first Enter looks, the next one on the same place and way scans."""
        self._start(dry_run=self._looked_at != self._asked())

    @on(Button.Pressed, "#preview")
    def _preview(self) -> None:
        self._start(dry_run=True)

    @on(Button.Pressed, "#scan")
    def _scan(self) -> None:
        self._start(dry_run=False)

    @on(Button.Pressed, "#close")
    def action_cancel(self) -> None:
        """Stop what runs, or close when nothing does."""
        if self._job is None:
            self.dismiss()
        else:
            self._job.cancel()
            self._say("Stopping …")

    def _asked(self) -> tuple[str, object]:
        return self.query_one("#path", Input).value.strip(), self.query_one("#adopt", Select).value

    def _start(self, *, dry_run: bool) -> None:
        path, mode = self._asked()
        if self._job is not None:
            return
        self.query_one(RichLog).clear()
        if not path:
            self._say("Name a folder.")
            return
        self._looked_at = (path, mode) if dry_run else None
        try:
            task = self._hub.scan([path], adopt=next(one for one in ADOPT_MODES if one == mode), dry_run=dry_run)
        except ModelHubError as error:
            self._say(f"{error.message} {error.hint}")
            return
        self._say("Starting …")
        self._job = Job(self, task)
        self._job.start()

    @on(Told)
    def _told(self, message: Told) -> None:
        event = message.event
        if isinstance(event, Progress):
            done = human_size(event.done) if event.unit == "bytes" else f"{event.done:,} {event.unit}"
            self._say(f"{done}  {printable(event.item)}")
        elif isinstance(event, Problem):
            self._log(f"problem    {event.message} {event.hint}", "red")
        elif isinstance(event, FileSeen) and event.outcome not in ("known", "skipped"):
            what = " ".join(word for word in (event.sub_type or event.base, event.type) if word)
            told = f"{event.outcome:9}  {what}  {printable(event.path)}  {event.message}"
            self._log(told, "red" if event.message else "")

    @on(Ended)
    def _ended(self, message: Ended) -> None:
        self._job = None
        if message.error is not None or message.value is None:
            self._looked_at = None
        if message.error is not None:
            self._say(f"{message.error.message} {message.error.hint}")
        elif isinstance(message.value, ScanSummary):
            self._say(_summed_up(message.value))
        else:
            self._say("Stopped. What was done stays; scan again to go on.")

    def _say(self, text: str) -> None:
        self.query_one("#progress", Static).update(text)

    def _log(self, text: str, style: str) -> None:
        self.query_one(RichLog).write(Text(text, style))

    def on_unmount(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self._job.join()


def _summed_up(summary: ScanSummary) -> str:
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in summary.outcomes.items())
    new = f"; {human_size(summary.bytes_stored)} new" if summary.bytes_stored else ""
    what = "Would be" if summary.dry_run else "Done"
    return f"{what}: {summary.files:,} files: {counts or 'no models'}{new}."
