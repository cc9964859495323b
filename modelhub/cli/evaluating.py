"""evaluate, corrections."""

import gzip
import os
from pathlib import Path

import click

from modelhub.cli import output
from modelhub.cli.app import HubCommand, HubGroup, Session
from modelhub.cli.scanning import judging
from modelhub.core.errors import Conflict, from_os_error
from modelhub.core.names import counted, printable
from modelhub.services import evaluate as evaluation
from modelhub.services.evaluate import Evaluation
from modelhub.services.hub import open_hub
from modelhub.services.judge import require_exists


@click.command(cls=HubCommand)
@click.argument("path", metavar="DIR|FILE")
@click.option("--blind", is_flag=True, help="Give headers their meaningless names, where they have some.")
@click.option("--misses", type=click.IntRange(min=0), default=20, help="List so many wrong ones (default: 20).")
@click.pass_obj
def evaluate(session: Session, path: str, blind: bool, misses: int) -> int:
    """Judge models whose labels are known, and say how many were right and how sure."""
    with judging(output.settings(session)) as judge:
        task = evaluation.evaluate(judge, Path(require_exists(path)), blind=blind)
        found, _ = output.follow(task, session, output.say_problem)
    if session.json:
        output.write_json(output.result_line(found))
    elif not session.quiet:
        _say(found, misses)
    return 0


def _say(found: Evaluation, misses: int) -> None:
    output.line(
        f"{counted(found.models, 'model')}: type {found.type_right:.1%}, base {found.base_right:.1%},"
        f" both {found.both_right:.1%} right"
    )
    output.line(
        f"confidence: {found.confidence_right:.2f} of right answers, {found.confidence_wrong:.2f} of wrong ones,"
        f" {found.sure_and_wrong} wrong at 0.8 or more; calibration error {found.calibration_error:.3f}"
    )
    output.line()
    bins = [(f"{low:.1f}", str(count), output.percent(right)) for low, count, right in found.bins]
    output.table(("sure from", "models", "right"), bins, right=("sure from", "models", "right"))
    mixed = [
        (kind, str(sum(said.values())), ", ".join(f"{other} {count}" for other, count in said.items() if other != kind))
        for kind, said in found.confusion.items()
    ]
    output.line()
    output.table(("type", "models", "taken for"), mixed, right=("models",))
    wrong = [
        (f"{one.type} {one.base}", f"{one.judged_type} {one.judged_base}", output.percent(one.confidence), one.name)
        for one in found.misses[:misses]
    ]
    if wrong:
        output.line()
        output.table(("right", "judged", "sure", "model"), wrong, right=("sure",))


@click.group(cls=HubGroup, invoke_without_command=True)
@click.pass_context
def corrections(context: click.Context) -> int:
    """List what was set by hand, and export it as headers."""
    if context.invoked_subcommand is None:
        return int(context.invoke(list_corrections))
    return 0


@corrections.command(name="list")
@click.pass_obj
def list_corrections(session: Session) -> int:
    """List the models of which something was set by hand."""
    with open_hub(output.settings(session), create=False) as hub:
        found = hub.models.corrected()
    if session.json:
        output.write_json(
            {"corrections": [{"id": model.id, "filename": model.filename, **told} for model, told in found]}
        )
    elif not session.quiet:
        rows = [
            (str(model.id), ", ".join(f"{field} {value}" for field, value in told.items()), model.filename)
            for model, told in found
        ]
        output.table(("id", "by hand", "name"), rows, right=("id",))
    return 0


@corrections.command()
@click.argument("file", metavar=f"FILE{evaluation.HEADERS}")
@click.pass_obj
def export(session: Session, file: str) -> int:
    """Write the corrected models' headers to FILE, without weights, to be given to the rules' authors."""
    path = Path(os.path.expanduser(file))
    if not path.name.endswith(evaluation.HEADERS):
        raise click.UsageError(f"The file must end with {evaluation.HEADERS}.")
    if path.exists():
        raise Conflict(f"{printable(path)} is there already.", hint="Name another file.")
    with open_hub(output.settings(session), create=False) as hub:
        lines, problems = output.follow(hub.models.export_corrections(), session, output.say_problem)
    try:
        with gzip.open(path, "wt", encoding="utf-8") as stream:
            stream.writelines(f"{line}\n" for line in lines)
    except OSError as error:
        raise from_os_error(error, printable(path)) from error
    if session.json:
        output.write_json({"file": str(path), "models": len(lines)})
    elif not session.quiet:
        output.line(f"{counted(len(lines), 'header')} in {path}; look through it before you give it away.")
    return output.WITH_PROBLEMS if problems else 0
