"""Scanning: where, how, a look first, and progress that can be stopped or left to run."""

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, RichLog, Select, Static

from modelhub.core.names import human_size, printable
from modelhub.core.types import ADOPT_MODES, Adopt
from modelhub.services.hub import Hub
from modelhub.services.tally import ScanSummary
from modelhub.tui.actions import bindings
from modelhub.tui.dialogs import Folders
from modelhub.tui.jobs import Job

_WORDS: dict[Adopt, str] = {
    "symlink": "move in, leave a link",
    "copy": "copy in",
    "move": "move in",
    "reference": "index in place",
    "hardlink": "hard link",
    "reflink": "copy on write",
}
_HINT = "→ completes a name · Enter looks first, Enter again scans · Esc stops · Close lets it run on"
_TICK_SECONDS = 0.15


class ScanScreen(ModalScreen[None]):
    """One scan: asked for, previewed, run, summed up. Closed by its button it goes on running."""

    BINDINGS = bindings("scan")

    def __init__(self, hub: Hub, adopt: Adopt) -> None:
        super().__init__()
        self._hub = hub
        self._adopt = adopt
        self._job: Job | None = None
        self._logged = 0
        self._looked_at: tuple[str, object] | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield Static("Scan a folder", classes="title", markup=False)
            yield Input(placeholder="/path/to/models", id="path", suggester=Folders(case_sensitive=True))
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
        self.set_interval(_TICK_SECONDS, self._tick)

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
    def _close(self) -> None:
        self.dismiss()

    def action_cancel(self) -> None:
        """Stop what runs, or close when nothing does."""
        if self._job is None:
            self.dismiss()
        else:
            self._job.cancel()

    def _asked(self) -> tuple[str, object]:
        return self.query_one("#path", Input).value.strip(), self.query_one("#adopt", Select).value

    def _start(self, *, dry_run: bool) -> None:
        from modelhub.tui.app import ModelHubApp  # noqa: PLC0415  (the app knows its screens, and they know it)

        path, mode = self._asked()
        if self._job is not None or not isinstance(self.app, ModelHubApp):
            return
        self.query_one(RichLog).clear()
        if not path:
            self._say("Name a folder.")
            return
        self._looked_at = (path, mode) if dry_run else None
        adopt = next(one for one in ADOPT_MODES if one == mode)
        self._logged = 0
        title = f"{'Look at' if dry_run else 'Scan'} {path}"
        self._job = self.app.start(title, lambda: self._hub.scan([path], adopt=adopt, dry_run=dry_run))

    def _tick(self) -> None:
        job = self._job
        if job is None:
            return
        state = job.state
        new = job.log(self._logged)
        self._logged = job.logged
        for text, trouble in new:
            self.query_one(RichLog).write(Text(text, "red" if trouble else ""), expand=True)
        if state == "running":
            self._say(job.told())
            return
        self._job = None
        if state != "done":
            self._looked_at = None
        if job.error is not None:
            self._say(f"{job.error.message} {job.error.hint}")
        elif isinstance(job.value, ScanSummary):
            self._say(_summed_up(job.value))
        else:
            self._say("Stopped. What was done stays; scan again to go on.")

    def _say(self, text: str) -> None:
        self.query_one("#progress", Static).update(printable(text))


def _summed_up(summary: ScanSummary) -> str:
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in summary.outcomes.items())
    new = f"; {human_size(summary.bytes_stored)} new" if summary.bytes_stored else ""
    what = "Would be" if summary.dry_run else "Done"
    return f"{what}: {summary.files:,} files: {counts or 'no models'}{new}."
