"""apps: the compatibility table, detection, what a running app lists; mapping: rules for all apps in one file."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from modelhub.cli import output
from modelhub.cli.app import HubGroup, Session
from modelhub.core.apps import App
from modelhub.core.errors import Conflict, from_os_error
from modelhub.core.names import counted, printable
from modelhub.core.plain import plain
from modelhub.services import mapping as mappings
from modelhub.services import running
from modelhub.services.detect import Detected, Detection
from modelhub.services.hub import known_apps, open_hub, preview_hub


@click.group(cls=HubGroup, invoke_without_command=True)
@click.pass_context
def apps(context: click.Context) -> int:
    """Show what can be deployed to each app, and how; find the installed ones."""
    if context.invoked_subcommand is None:
        return int(context.invoke(list_apps))
    return 0


def _known(session: Session) -> dict[str, App]:
    known, problems = known_apps(output.settings(session))
    for problem in problems:
        output.told(f"! {problem}")
    return known


@apps.command(name="list")
@click.pass_obj
def list_apps(session: Session) -> int:
    """Every app, what it reads, how models get there, and how it is made to look again."""
    known = _known(session)
    if session.json:
        output.write_json({"apps": list(known.values())})
        return 0
    rows = [(app.name, _methods(app), ", ".join(app.formats), app.refresh) for app in known.values()]
    columns = ["app", "method", "reads", "looks again"]
    if not sys.stdout.isatty():  # on a terminal there is no room for sentences
        columns.append("beware")
        told = (app.not_possible or " ".join(app.hazards) for app in known.values())
        output.table(columns, [(*row, text) for row, text in zip(rows, told, strict=True)])
    else:
        output.table(columns, rows)
    output.told("`modelhub apps show APP` tells all of one app: its folders, and what to beware of.")
    return 0


def _methods(app: App) -> str:
    if app.not_possible:
        return "not possible"
    links = ("links",) if "symlink" in app.methods else ()
    others = (method for method in app.ways if not (links and method in ("symlink", "hardlink", "reflink")))
    return ", ".join((*links, *others))


@apps.command()
@click.argument("app")
@click.pass_obj
def show(session: Session, app: str) -> int:
    """All that is known of APP: its folders, how it is found, what to beware of."""
    known = _known(session)
    if app not in known:
        raise click.UsageError(f"There is no app {printable(app)!r}. Apps: {', '.join(known)}.")
    record = known[app]
    if session.json:
        output.write_json(record)
        return 0
    for name, value in (
        ("name", record.display_name), ("reads", ", ".join(record.formats)), ("method", _methods(record)),
        ("why", record.not_possible), ("usual place", record.default_path), ("names", record.naming),
        ("looks again", record.refresh), ("from", record.origin),
    ):  # fmt: skip
        if value:
            output.line(f"{name:12} {value}")
    for hazard in record.hazards:
        output.line(f"{'beware':12} {hazard}")
    if record.folders:
        output.line()
        output.table(("type", "folder"), sorted(record.folders.items()))
    return 0


@apps.command()
@click.argument("folders", nargs=-1, metavar="[DIR]...")
@click.option("--yes", is_flag=True, help="Add a target for everything that is found.")
@click.option("--no-servers", is_flag=True, help="Do not ask the ports of running apps.")
@click.option("--dry-run", is_flag=True, help="Only show.")
@click.pass_obj
def detect(session: Session, folders: Sequence[str], yes: bool, no_servers: bool, dry_run: bool) -> int:
    """Find installed apps in their usual places and below DIRs, show what each would get, and add targets for them."""
    settings = output.settings(session)
    with preview_hub(settings) if dry_run else open_hub(settings) as hub:
        detection = Detection(hub.targets, hub.deployment, os.environ)
        found = detection.installed(folders, servers=not no_servers)
        if not session.json and not session.quiet:
            _say_found(found)
        asks = sys.stdin.isatty() and sys.stdout.isatty() and not session.json
        wanted = (
            one
            for one in (() if dry_run else found)
            if _can_be_added(one) and (yes or (asks and click.confirm(f"Deploy to {_place(one)}?", default=False)))
        )
        added = [detection.add(one) for one in wanted]
    if session.json:
        output.write_json({"found": found, "added": added})
    else:
        for target in added:
            output.line(f"added     {target.name}: {target.base_path}")
        if any(map(_can_be_added, found)) and not added and not yes and not asks:
            output.told("`modelhub apps detect --yes` adds targets for them.")
    return 0


def _can_be_added(found: Detected) -> bool:
    return not found.enabled and bool(found.base_path or found.app == "invokeai")


def _place(found: Detected) -> str:
    return printable(f"{found.display_name} ({found.base_path or found.url})")


def _say_found(found: Sequence[Detected]) -> None:
    rows = [
        (
            one.app,
            "running" if one.url else "",
            one.target,
            str(one.links),
            output.size(one.bytes),
            ", ".join(f"{kind} {count}" for kind, count in list(one.types.items())[:4]),
            one.base_path or one.url,
        )
        for one in found
    ]
    output.table(("app", "runs", "target", "links", "size", "would get", "path"), rows, right=("links", "size"))
    for one in found:
        for note in one.notes:
            output.told(f"! {_place(one)}: {note}")
    output.told(f"{counted(len(found), 'app')} found.")


@apps.command()
@click.argument("app")
@click.option("--url", default="", help="Its address, if it is not the usual one.")
@click.pass_obj
def models(session: Session, app: str, url: str) -> int:
    """List the models that running APP offers, by the names it gives them."""
    known = _known(session)
    if app not in known:
        raise click.UsageError(f"There is no app {printable(app)!r}. Apps: {', '.join(known)}.")
    names = running.models_of(known[app], url)
    if session.json:
        output.write_json({"app": app, "models": names})
    else:
        for name in names:
            output.line(name)
    return 0


@click.group(cls=HubGroup)
def mapping() -> None:
    """Keep the rules of all targets in one file."""


@mapping.command(name="export")
@click.argument("file", required=False, default="-")
@click.pass_obj
def export_mapping(session: Session, file: str) -> int:
    """Write all targets, their folders, filters and rules to FILE as JSON; to standard output without one."""
    with open_hub(output.settings(session)) as hub:
        text = json.dumps(plain(mappings.exported(hub.targets)), indent=2) + "\n"
    if file == "-":
        sys.stdout.write(text)
        return 0
    try:
        with open(file, "x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError as error:
        raise Conflict(f"{printable(file)} exists already.", hint="Name another file.") from error
    except OSError as error:
        raise from_os_error(error, printable(file)) from error
    return 0


@mapping.command(name="import")
@click.argument("file")
@click.option("--dry-run", is_flag=True, help="Only check, and show what would be.")
@click.pass_obj
def import_mapping(session: Session, file: str, dry_run: bool) -> int:
    """Make and change targets as the mapping in FILE says; `-` is standard input."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise from_os_error(error, printable(file)) from error
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{printable(file)} is not UTF-8 text.") from error
    settings = output.settings(session)
    with preview_hub(settings) if dry_run else open_hub(settings) as hub:
        mapped = mappings.read(text, hub.targets)
        done = [one.target for one in mapped] if dry_run else mappings.apply(mapped, hub.targets)
    if session.json:
        output.write_json({"targets": done})
    elif not session.quiet:
        for one in mapped:
            would = "would be " if dry_run and not one.same else ""
            what = "as it was" if one.same else "added" if one.new else "changed"
            output.line(f"{would}{what}  {one.target.name}: {one.target.base_path}")
    return 0
