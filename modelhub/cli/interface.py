"""Commands that open the terminal interface: `modelhub tui`, and `modelhub demo` at its end."""

import subprocess
import sys
from pathlib import Path

import click

from modelhub.cli import output
from modelhub.cli.app import HubCommand, Session
from modelhub.core.errors import InvalidInput, ModelHubError
from modelhub.services.demo import Demo, make_demo
from modelhub.services.hub import open_hub

_DEMO = "modelhub-demo"


@click.command(cls=HubCommand)
@click.pass_obj
def tui(session: Session) -> int:
    """Open the terminal interface; `modelhub` alone does the same."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidInput("There is no terminal to show the interface on.", hint="`modelhub --help` lists commands.")
    from modelhub.tui.app import run  # noqa: PLC0415  (only this command needs Textual)

    with open_hub(output.settings(session)) as hub:
        wanted = run(hub)
    if wanted == "demo":
        _make_and_show(session, _DEMO, tables=False)
    return 0


@click.command(cls=HubCommand)
@click.argument("folder", default=_DEMO, metavar="[DIR]")
@click.option("--tables", is_flag=True, help="Print tables at the end, also on a terminal.")
@click.pass_obj
def demo(session: Session, folder: str, tables: bool) -> int:
    """Build about sixty sample models in DIR, scan and deploy them, and show the result."""
    _make_and_show(session, folder, tables=tables)
    return 0


def _make_and_show(session: Session, folder: str, *, tables: bool) -> None:
    task = make_demo(Path(folder).absolute())
    made, _ = output.follow(task, session, lambda _: None)
    if session.json:
        output.write_json(output.result_line(made))
    else:
        output.line(f"{made.files} sample files and folders lie in {made.downloads}; on disk they are nearly empty.")
    hub = ("--hub", made.hub)
    _step(session, *hub, "scan", "--yes", made.downloads, accept=(0, 3))
    for app, place in made.apps.items():
        _step(session, *hub, "targets", "enable", app, "--path", place)
    _step(session, *hub, "deploy")
    _show(session, made, tables=tables)


def _show(session: Session, made: Demo, *, tables: bool) -> None:
    hub = ("--hub", made.hub)
    if sys.stdin.isatty() and sys.stdout.isatty() and not tables and not session.json:
        _modelhub(*hub)
        output.line(f"Open it again: modelhub --hub {made.hub}")
        return
    for command in ("list", "stats", "status", "doctor"):
        _step(session, *hub, command)


def _step(session: Session, *words: str, accept: tuple[int, ...] = (0,)) -> None:
    """Run a command as a user would, and show it."""
    if session.json:
        words = (*words, "--json")
    elif session.quiet:
        words = (*words, "--quiet")
    else:
        output.line("")
        output.line(f"$ modelhub {' '.join(words)}")
        sys.stdout.flush()
    code = _modelhub(*words)
    if code not in accept:
        raise ModelHubError(f"`modelhub {' '.join(words)}` ended with {code}.", hint="See what it said above.")


def _modelhub(*words: str) -> int:
    return subprocess.run([sys.executable, "-P", "-m", "modelhub", *words], check=False).returncode  # noqa: S603  (ours)
