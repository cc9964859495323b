"""verify, repair, volumes, audit, doctor, db."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from modelhub.cli import output
from modelhub.cli.app import HubCommand, HubGroup, Session
from modelhub.core import problems
from modelhub.core.apps import Target
from modelhub.core.deployment import Finding
from modelhub.core.names import counted
from modelhub.core.places import HubPlaces, expand
from modelhub.services import backup
from modelhub.services import hub as hubs
from modelhub.services.checkup import TypeFolder
from modelhub.services.hub import Hub, open_hub
from modelhub.services.judge import require_exists
from modelhub.services.repair import places_under
from modelhub.services.verify import Scope, parse_subset

_MARKS = {"ok": "ok", "warning": "note", "problem": "BAD"}


@click.command(cls=HubCommand)
@click.option("--quick", is_flag=True, help="Compare sizes and headers only.")
@click.option("--subset", metavar="PART", help="5%: those read longest ago; 2/7: the second of seven fixed parts.")
@click.option("--resume", is_flag=True, help="Leave out what an interrupted run has read already.")
@click.option("--rate", metavar="SIZE", help="Read at most so much in a second, e.g. 100M.")
@click.pass_obj
def verify(session: Session, quick: bool, subset: str | None, resume: bool, rate: str | None) -> int:
    """Read every file of the library and compare it with its address; set aside what is damaged."""
    scope = parse_subset(subset) if subset else Scope()
    scope = replace(scope, quick=quick, resume=resume, rate=output.parse_size(rate) if rate else 0)
    with open_hub(output.settings(session), create=False) as hub:
        value, problems = output.follow(hub.verifier.verify(scope), session, output.say_problem)
    how = "by size and header" if quick else f"{output.size(value.bytes_read)} read"
    also = f" {value.skipped} were read before." if value.skipped else ""
    also += f" {value.offline} are on drives that are not there." if value.offline else ""
    return output.finish(
        session,
        value,
        f"{value.good} of {value.contents} files are whole ({how}), {value.problems} problems.{also}",
        problems,
    )


@click.command(cls=HubCommand)
@click.option("--from", "places", multiple=True, metavar="PATH", help="A folder or hub that may have it (repeatable).")
@click.option("--dry-run", is_flag=True, help="Look and prove; copy nothing.")
@click.pass_obj
def repair(session: Session, places: Sequence[str], dry_run: bool) -> int:
    """Bring damaged and lost files back from any good copy: one that a scan left in its place, or one in PATH."""
    with open_hub(output.settings(session), create=False) as hub:
        sources = [places_under(require_exists(place)) for place in places]
        value, problems = output.follow(hub.repairer.repair(sources, dry_run=dry_run), session, output.say_problem)
    would = "could be " if dry_run else ""
    return output.finish(
        session,
        value,
        f"{value.repaired} of {value.lost} lost files {would}repaired, {output.size(value.bytes)} copied.",
        problems,
    )


@click.command(cls=HubCommand)
@click.pass_obj
def volumes(session: Session) -> int:
    """List the drives and shares on which files were found outside the store, and which of them are away."""
    with open_hub(output.settings(session), create=False) as hub:
        known = hub.drives.all()
    if session.json:
        output.write_json({"volumes": known})
        return 0
    rows = [
        (
            one.label,
            "online" if one.online else "offline",
            str(one.files),
            str(one.models),
            one.last_seen,
            one.mount,
            one.id,
        )
        for one in known
    ]
    output.table(
        ("volume", "state", "files", "models", "last seen", "mounted at", "id"), rows, right=("files", "models")
    )
    return 0


@click.group(cls=HubGroup, invoke_without_command=True)
@click.pass_context
def audit(context: click.Context) -> int | None:
    """Show who changed what, when and through which door; or prove that nobody changed the log."""
    return context.invoke(audit_show) if context.invoked_subcommand is None else None


@audit.command(name="show")
@click.option("--limit", type=click.IntRange(min=1), default=50, help="The last so many (default: 50).")
@click.pass_obj
def audit_show(session: Session, limit: int) -> int:
    """Show the last changes, the newest last."""
    with open_hub(output.settings(session), create=False) as hub:
        entries = list(deque(hub.audit.entries(), limit))
    if session.json:
        output.write_json({"entries": entries})
        return 0
    rows = [
        [str(entry.get(key, "")) for key in ("line", "at", "who", "door", "what")]
        + [" ".join(f"{key}={value}" for key, value in dict(entry.get("detail", {})).items())]
        for entry in entries
    ]
    output.table(("line", "when", "who", "door", "what", "detail"), rows, right=("line",))
    return 0


@audit.command(name="verify")
@click.pass_obj
def audit_verify(session: Session) -> int:
    """Go through the chain of the log and name the first line that was changed, removed, added or swapped."""
    with open_hub(output.settings(session), create=False) as hub:
        lines, fault = hub.audit.verify()
    if session.json:
        output.write_json({"ok": fault is None, "lines": lines, "fault": fault})
    elif fault is not None:
        output.told(f"! line {fault.line} of {hub.places.audit}: {fault.message}.")
    elif not session.quiet:
        output.line(f"{counted(lines, 'line')}, each as it was written.")
    return 0 if fault is None else 1


@click.command(cls=HubCommand)
@click.argument("target", required=False)
@click.option("--repair", is_flag=True, help="Make the links of TARGET anew, and remove dead links into this hub.")
@click.option("--move", is_flag=True, help="Put misplaced models of yours into the folders of their types.")
@click.option("--dry-run", is_flag=True, help="With --repair or --move: only show.")
@click.option("--bundle", metavar="FILE", help="Write a zip for a bug report, without secrets.")
@click.option("--explain", metavar="CODE", help="Say what a problem's code means and what to do; needs no hub.")
@click.option("--page", is_flag=True, help="Print the troubleshooting page; needs no hub.")
@click.pass_obj
def doctor(
    session: Session,
    target: str | None,
    repair: bool,
    move: bool,
    dry_run: bool,
    bundle: str | None,
    explain: str | None,
    page: bool,
) -> int:
    """Check everything a hub is and stands on, and say what to do; or look closely at TARGET."""
    if page or explain:
        return _say_known(session, explain)
    if target is None and (repair or move):
        raise click.UsageError(f"Name the target: modelhub doctor TARGET {'--repair' if repair else '--move'}")
    with open_hub(output.settings(session), create=False) as hub:
        if target is not None:
            return _look_at(session, hub, hub.targets.get(target), repair=repair, move=move, dry_run=dry_run)
        if bundle:
            return _report(session, hub, bundle)
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


def _say_known(session: Session, code: str | None) -> int:
    if session.json:
        output.write_json({"problems": [problems.explain(code)] if code else problems.every()})
    elif code:
        known = problems.explain(code)
        output.line(f"{known.means}. {known.do}")
    else:
        click.echo(problems.page(), nl=False)
    return 0


def _report(session: Session, hub: Hub, bundle: str) -> int:
    target = Path(expand(bundle))
    members = hub.upkeep.report(target)
    if session.json:
        output.write_json({"bundle": target, "members": members})
    elif not session.quiet:
        output.line(f"{target}: {', '.join(members)}. Look into it before you send it.")
    return 0


def _look_at(session: Session, hub: Hub, target: Target, *, repair: bool, move: bool, dry_run: bool) -> int:
    findings = hub.checkup.all(target)
    if session.json and not (repair or move):
        output.write_json({"ok": not findings, "findings": findings, "folders": hub.checkup.folders(target)})
        return output.WITH_PROBLEMS if findings else 0
    if not session.json and not session.quiet:
        _say_findings(findings, hub.checkup.folders(target))
    problems = 0
    mended: set[str] = set()
    if move:
        moved, problems = output.follow(hub.checkup.move(findings, dry_run=dry_run), session, output.say_problem)
        mended.add("misplaced")
        _say(session, moved, f"{counted(moved.moved, 'file')} {'would be ' if dry_run else ''}moved.")
    if repair:
        cleaned = hub.checkup.clean(findings, dry_run=dry_run)
        plan = hub.deployment.plan([target.name])
        if dry_run:
            done = hub.deployment.preview(plan)
        else:
            done, more = output.follow(hub.deployment.apply(plan), session, output.say_problem)
            problems += more
        mended |= {"gone", "dangling", "orphan", "leftover"}
        would = "would be " if dry_run else ""
        told = (
            f"{done.made} links {would}made, {done.removed} {would}removed, {len(cleaned)} dead ones {would}cleaned up."
        )
        _say(session, done, told)
    left = [finding for finding in findings if finding.code not in mended]
    return output.WITH_PROBLEMS if problems or left else 0


def _say(session: Session, value: object, told: str) -> None:
    if session.json:
        output.write_json(output.result_line(value))
    elif not session.quiet:
        output.line(told)


def _say_findings(findings: Sequence[Finding], folders: Sequence[TypeFolder]) -> None:
    rows = [(one.type, one.real, str(one.files)) for one in folders if one.exists]
    output.table(("type", "folder as the app reads it", "files"), rows, right=("files",))
    output.line()
    for finding in findings:
        output.line(f"note  {finding.message}")
        output.line(f"      {finding.hint}")
    if not findings:
        output.line("ok    Every link stands and leads to its model.")


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
        saved = backup.make(hub.places).files
    if session.json:
        output.write_json({"backups": saved})
    else:
        for path in saved:
            output.line(str(path))
    return 0
