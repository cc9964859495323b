"""What runs and what ran: its progress, its log, and stopping it."""

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.widgets import RichLog, Static

from modelhub.core.names import printable
from modelhub.services.hub import Hub
from modelhub.tui.actions import bindings
from modelhub.tui.frame import HubScreen
from modelhub.tui.jobs import Job
from modelhub.tui.table import Column, Header, LineTable, Row

_COLUMNS = (
    Column("Task", 0, middle=True), Column("State", 9), Column("Began", 9, least=90), Column("Done", 5, right=True),
    Column("How far", 46, least=110),
)  # fmt: skip
_TICK_SECONDS = 0.3


class _Line:
    def __init__(self, job: Job) -> None:
        self.job = job
        self.troubled = job.state == "failed" or job.problems > 0

    @property
    def key(self) -> object:
        return self.job

    @property
    def cells(self) -> Row:
        job = self.job
        share = f"{job.share:.0%}" if job.share is not None else "100%" if job.state == "done" else ""
        state = "stopping" if job.stopping else job.state
        return printable(job.title), state, job.began, share, job.told()


class JobsScreen(HubScreen):
    """Tasks of this session, the newest first; below, the log of the one under the cursor."""

    NAME = "jobs"
    BINDINGS = bindings("jobs")

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._told_of: Job | None = None
        self._logged = 0

    def content(self) -> ComposeResult:
        yield Header(_COLUMNS)
        yield LineTable(_COLUMNS)
        yield Static("Nothing was done yet in this session.", id="empty", markup=False)
        yield RichLog(id="log", max_lines=2000, wrap=True, markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(LineTable).focus()
        self.set_interval(_TICK_SECONDS, self.shown)

    def shown(self) -> None:
        lines = [_Line(job) for job in reversed(self.main.jobs)]
        self.query_one(LineTable).show(lines)
        self.query_one("#empty").display = not lines
        self._write_log()

    @on(LineTable.Moved)
    def _write_log(self) -> None:
        line = self.query_one(LineTable).current
        if not isinstance(line, _Line):
            return
        log = self.query_one(RichLog)
        if line.job is not self._told_of:
            log.clear()
            self._told_of, self._logged = line.job, 0
        new = line.job.log(self._logged)
        self._logged = line.job.logged
        for text, trouble in new:
            log.write(Text(text, "red" if trouble else ""), expand=True)

    def action_stop(self) -> None:
        line = self.query_one(LineTable).current
        if isinstance(line, _Line) and line.job.state == "running":
            line.job.cancel()
            self.shown()
