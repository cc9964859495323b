"""verify, doctor, db."""

import click

from modelhub.cli import output
from modelhub.cli.app import HubCommand, HubGroup, Session
from modelhub.core.places import HubPlaces
from modelhub.services import hub as hubs
from modelhub.services.hub import open_hub

_MARKS = {"ok": "ok", "warning": "note", "problem": "BAD"}


@click.command(cls=HubCommand)
@click.option("--quick", is_flag=True, help="Compare sizes and headers only.")
@click.pass_obj
def verify(session: Session, quick: bool) -> int:
    """Read every file of the library and compare it with its address."""
    with open_hub(output.settings(session), create=False) as hub:
        value, problems = output.follow(hub.upkeep.verify(quick=quick), session, output.say_problem)
    if session.json:
        output.write_json(output.result_line(value))
    elif not session.quiet:
        how = "by size and header" if quick else f"{output.size(value.bytes_read)} read"
        output.line(f"{value.good} of {value.contents} files are whole ({how}), {value.problems} problems.")
    return output.WITH_PROBLEMS if problems else 0


@click.command(cls=HubCommand)
@click.pass_obj
def doctor(session: Session) -> int:
    """Check the hub, its databases, rules, files, links and targets, and say what to do."""
    with open_hub(output.settings(session), create=False) as hub:
        checks = hub.upkeep.doctor()
    bad = any(check.status == "problem" for check in checks)
    if session.json:
        output.write_json({"ok": not bad, "checks": checks})
    else:
        for check in checks:
            if not session.quiet or check.status != "ok":
                output.line(f"{_MARKS[check.status]:5} {check.message}")
                if check.hint:
                    output.line(f"      {check.hint}")
    return output.WITH_PROBLEMS if bad else 0


@click.group(cls=HubGroup)
def db() -> None:
    """Status, upgrade and backup of the two databases."""


@db.command(name="status")
@click.pass_obj
def db_status(session: Session) -> int:
    """Show where both databases stand; changes nothing."""
    states = hubs.database_status(HubPlaces(output.settings(session).hub))
    if session.json:
        output.write_json({"databases": states})
    else:
        rows = [(one.tree, one.condition, one.revision or "-", one.head, str(one.path)) for one in states]
        output.table(("database", "condition", "revision", "newest", "path"), rows)
    return 0


@db.command(name="upgrade")
@click.option("--dry-run", is_flag=True, help="Only show what would be upgraded.")
@click.pass_obj
def db_upgrade(session: Session, dry_run: bool) -> int:
    """Bring both databases to this program's version, after a backup."""
    settings = output.settings(session)
    before = hubs.database_status(HubPlaces(settings.hub))
    saved: tuple[object, ...] = ()
    if not dry_run:
        with open_hub(settings, create=False) as hub:
            saved = hub.upgraded_from
    old = [one.tree for one in before if one.condition != "current"]
    if session.json:
        output.write_json({"upgraded": old, "backups": saved, "dry_run": dry_run})
    elif not session.quiet:
        would = "would be upgraded" if dry_run else "upgraded"
        output.line(f"{', '.join(old)} {would}." if old else "Both databases are current.")
        for path in saved:
            output.line(f"backup: {path}")
    return 0


@db.command(name="backup")
@click.pass_obj
def db_backup(session: Session) -> int:
    """Copy both databases into the hub's backups folder, also while they are in use."""
    settings = output.settings(session)
    with open_hub(settings, create=False) as hub:
        saved = hubs.backup(hub.places)
    if session.json:
        output.write_json({"backups": saved})
    else:
        for path in saved:
            output.line(str(path))
    return 0
