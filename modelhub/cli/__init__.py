"""The command line. Importing this costs click alone; a command's module is imported when it runs."""

import contextlib
import os
import sys
from collections.abc import Sequence

import click

from modelhub.cli.app import main
from modelhub.core.actor import DOOR
from modelhub.core.errors import ModelHubError, from_os_error
from modelhub.core.names import printable

INTERRUPTED = 130
_BUG_HINT = "Please report it, with what MODELHUB_DEBUG=1 prints. Nothing of yours was lost."


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code. Every error becomes one or two lines on stderr here, never a traceback."""
    DOOR.set("cli")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = main.main(list(arguments), prog_name="modelhub", standalone_mode=False)
    except click.exceptions.Exit as request:
        return request.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return 0
    except Exception as error:  # noqa: BLE001  (the door's last line: a bug of ours is one line too)
        return _explain(error)
    finally:
        _tell_of_plugins()
    return code if isinstance(code, int) else 0


def _tell_of_plugins() -> None:
    """What went wrong with plugins, if any were asked; a command that needs none does not load the list of them."""
    loaded = sys.modules.get("modelhub.core.plugins")
    for message in loaded.warnings() if loaded is not None else ():
        click.echo(f"! {printable(message)}", err=True)


def _explain(error: Exception) -> int:
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, ModelHubError):
        return _tell(error)
    if isinstance(error, OSError):
        return _tell(from_os_error(error, printable(str(error.filename or "The system"))))
    if os.environ.get("MODELHUB_DEBUG"):
        raise error
    return _tell(ModelHubError(f"This is a bug in ModelHub: {type(error).__name__}: {error}.", hint=_BUG_HINT))


def _tell(error: ModelHubError) -> int:
    click.echo(f"Error: {printable(error.message)}", err=True)
    if error.hint:
        click.echo(f"  {printable(error.hint)}", err=True)
    return error.exit_code


def _silence_stdout() -> None:
    """The reader went away (`modelhub list | head`); do not complain when Python flushes at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
