"""duplicates, unused: where the space goes."""

import sys
from collections.abc import Sequence
from typing import Any

import click

from modelhub.cli import output
from modelhub.cli.app import HubCommand, Session
from modelhub.core.names import counted
from modelhub.core.plain import plain
from modelhub.services.duplicates import Group, Relatives, foreseen
from modelhub.services.hub import Hub, open_hub
from modelhub.services.judge import require_exists
from modelhub.services.trash import parse_age, what_breaks

_SHOWN = 4


@click.command(cls=HubCommand)
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--min-size", metavar="SIZE", help="Only files at least this large, e.g. 100M.")
@click.option("--link", is_flag=True, help="Replace all but one of each by links, after comparing byte by byte.")
@click.option(
    "--way",
    type=click.Choice(("auto", "hardlink", "symlink")),
    default="auto",
    help="Kind of link (default: hard links on one file system, symlinks to the store).",
)
@click.option("--relatives", "related", is_flag=True, help="Models with the same tensors, or in another precision.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="With --link: only show.")
@click.pass_obj
def duplicates(
    session: Session,
    paths: Sequence[str],
    min_size: str | None,
    link: bool,
    way: Any,
    related: bool,
    yes: bool,
    dry_run: bool,
) -> int:
    """Find files with the same content under PATHs, or copies that scans left beside what is in the store."""
    if paths and related:
        raise click.UsageError("--relatives looks through the library; name no PATH with it.")
    with open_hub(output.settings(session), create=not link and bool(paths)) as hub:
        if related:
            return _relatives(session, hub)
        problems = 0
        if paths:
            least = output.parse_size(min_size) if min_size else 1
            task = hub.duplicates.find([require_exists(path) for path in paths], min_size=max(1, least))
            groups, problems = output.follow(task, session, output.say_problem)
        else:
            groups = tuple(hub.duplicates.copies())
        _say_groups(session, groups)
        done = foreseen(groups)
        if link and not dry_run and groups and _agreed(session, done.freed, yes=yes):
            done, problems = output.follow(hub.duplicates.link(groups, way), session, output.say_problem)
    if session.json:
        output.write_json(output.result_line(done) | {"duplicates": plain(groups)})
    elif not session.quiet:
        output.line(_told(done.files, len(groups), done.freed, done=not done.dry_run))
    return output.WITH_PROBLEMS if problems else 0


def _told(files: int, groups: int, freed: int, *, done: bool) -> str:
    copies = f"{files} {'copy' if files == 1 else 'copies'} of {counted(groups, 'file')}"
    could, would = ("became", "") if done else ("could be", "would be ")
    return f"{copies} {could} links; {output.size(freed)} {would}freed."


def _agreed(session: Session, freed: int, *, yes: bool) -> bool:
    if yes or session.json or not sys.stdin.isatty():
        return True
    return click.confirm(f"Replace them by links and free {output.size(freed)}?", err=True)


def _say_groups(session: Session, groups: Sequence[Group]) -> None:
    if session.json or session.quiet:
        return
    for group in groups:
        output.line(f"{output.size(group.size):>9}  {group.kept}")
        for path in group.others:
            output.line(f"{'=':>9}  {path}")


def _relatives(session: Session, hub: Hub) -> int:
    found: tuple[Relatives, ...]
    found, problems = output.follow(hub.duplicates.relatives(), session, output.say_problem)
    if session.json:
        output.write_json({"kind": "result", "relatives": found})
    else:
        for group in found:
            output.line(f"{group.because}:")
            for model in group.models:
                words = " ".join(word for word in (model.precision, model.quantization) if word)
                output.line(f"  {model.id:>5}  {output.size(model.size):>9}  {words:12}  {model.filename}")
        output.told(f"{counted(len(found), 'group')} of relatives.")
    return output.WITH_PROBLEMS if problems else 0


@click.command(cls=HubCommand)
@click.option("--not-opened-for", metavar="AGE", default="0d", help="Only what nobody opened for so long, e.g. 90d.")
@click.option("--all", "everything", is_flag=True, help="Every model, with what uses it.")
@click.pass_obj
def unused(session: Session, not_opened_for: str, everything: bool) -> int:
    """List models that nothing uses: no link, no app's configuration, no script; what deleting them would free."""
    age = parse_age(not_opened_for)
    with open_hub(output.settings(session), create=False) as hub:
        found = hub.unused.all() if everything else hub.unused.find(not_opened_for=age)
    if session.json:
        output.write_json({"models": found, "frees": sum(one.frees for one in found)})
        return 0
    rows = [
        (
            str(one.id),
            one.type,
            output.size(one.size),
            output.size(one.frees),
            one.opened or "never",
            what_breaks([use for use in one.uses if use.kind != "found" or everything][:_SHOWN]) or "-",
            one.filename,
        )
        for one in found
    ]
    output.table(("id", "type", "size", "frees", "opened", "used by", "name"), rows, right=("id", "size", "frees"))
    output.told(
        f"{counted(len(found), 'model')}; deleting them would free {output.size(sum(one.frees for one in found))}."
    )
    return 0
