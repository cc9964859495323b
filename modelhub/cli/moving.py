"""backup, restore, export, import, merge, move: a hub kept, shared and carried elsewhere."""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from modelhub.cli import output
from modelhub.cli.app import HubCommand, HubGroup, Session
from modelhub.cli.listing import filter_options, made_filter
from modelhub.core.errors import InvalidInput, NotFound
from modelhub.core.names import counted, printable
from modelhub.core.places import HubPlaces, expand
from modelhub.files import sealing
from modelhub.services import backup as backups
from modelhub.services import inventory, moving
from modelhub.services.bundles import KEY_FILE
from modelhub.services.hub import open_hub


@click.group(cls=HubGroup, invoke_without_command=True)
@click.option("--to", "folder", metavar="DIR", help="Copy to DIR instead of the hub's backups folder.")
@click.option("--keep", type=click.IntRange(min=0), help="How many copies stay (default: backup.keep; 0: all).")
@click.pass_context
def backup(context: click.Context, folder: str | None, keep: int | None) -> int | None:
    """Copy both databases, also while they are in use; older copies made by this command go."""
    if context.invoked_subcommand is not None:
        return None
    session: Session = context.obj
    settings = output.settings(session)
    with open_hub(settings, create=False) as hub:
        kept = settings.backups_kept if keep is None else keep
        made = backups.make(hub.places, keep=kept, folder=Path(expand(folder)) if folder else None)
        hub.audit.note("backup", moment=made.moment)
    if session.json:
        output.write_json(made)
    else:
        for path in made.files:
            output.line(str(path))
    return 0


@backup.command(name="list")
@click.pass_obj
def backup_list(session: Session) -> int:
    """List all backups of this hub, the newest first."""
    known = backups.every(HubPlaces(output.settings(session).hub))
    if session.json:
        output.write_json({"backups": known})
        return 0
    rows = [(one.moment, one.label, str(len(one.files)), output.size(one.size)) for one in known]
    output.table(("moment", "made", "databases", "size"), rows, right=("databases", "size"))
    return 0


@click.command(cls=HubCommand)
@click.argument("wanted", required=False, default="", metavar="[BACKUP]")
@click.option("--dry-run", is_flag=True, help="Say what would be restored; change nothing.")
@click.pass_obj
def restore(session: Session, wanted: str, dry_run: bool) -> int:
    """Put the databases back as they were in BACKUP: a moment, a file, or the last one. Model files stay."""
    settings = output.settings(session)
    places = HubPlaces(settings.hub)
    chosen = backups.choose(places, wanted)
    before = None
    if not dry_run:

        def note() -> None:
            with open_hub(settings, create=False) as hub:
                hub.audit.note("restore", moment=chosen.moment)

        before = backups.restore(places, chosen, note)
    if session.json:
        output.write_json({"restored": chosen, "before": before, "dry_run": dry_run})
        return 0
    for path in chosen.files:
        output.line(f"{'would restore' if dry_run else 'restored':14} {path}")
    if before is not None:
        output.line(
            f"What was there is in {places.backups} ({before.moment}). `modelhub doctor` compares it with the files."
        )
    return 0


@click.command(cls=HubCommand)
@filter_options
@click.option("--to", "target", metavar="FILE", default="-", help="Where to write (default: standard output).")
@click.option("--as", "form", type=click.Choice(inventory.FORMS), help="Its form (default: by its ending).")
@click.option("--bundle", metavar="DIR", help="Write the files and all that is known of them into DIR.")
@click.option("--recipient", "recipients", multiple=True, help="Encrypt the bundle for this age or SSH public key.")
@click.option("--passphrase-file", metavar="FILE", help="Encrypt the bundle with the passphrase in FILE.")
@click.option("--dry-run", is_flag=True, help="With --bundle: say how much it would be.")
@click.pass_obj
def export(
    session: Session,
    /,
    target: str,
    form: inventory.Form | None,
    bundle: str | None,
    recipients: Sequence[str],
    passphrase_file: str | None,
    dry_run: bool,
    **fields: Any,
) -> int:
    """Write the list of models, all or those that fit, as CSV, JSON or YAML; or with --bundle the models themselves."""
    if (recipients or passphrase_file) and not bundle:
        raise click.UsageError("Only a bundle is encrypted: name it with --bundle DIR.")
    with open_hub(output.settings(session), create=False) as hub:
        models = hub.models.find(made_filter(**fields))
        if bundle:
            folder = expand(bundle)
            cipher = None if dry_run else _cipher(folder, recipients, (), passphrase_file)
            task = hub.bundles.write(folder, models, cipher, dry_run=dry_run)
            done, problems = output.follow(task, session, output.say_problem)
            told = f"{counted(done.models, 'model')}, {counted(done.files, 'file')} ({output.size(done.bytes)})"
            also = f", {done.there} were there" if done.there else ""
            return output.finish(session, done, f"{told} {'would be ' if dry_run else ''}written{also}.", problems)
    if session.json and target == "-":
        output.write_json({"models": [inventory.entry(model) for model in models]})
    elif target == "-":
        inventory.write(sys.stdout, form or "csv", models)
    else:
        inventory.save(target, form or inventory.form_of(target), models)
        if session.json:
            output.write_json({"written": expand(target), "models": len(models)})
    return 0


@click.command(cls=HubCommand, name="import")
@click.argument("bundle", metavar="DIR")
@click.option("--identity", "identities", multiple=True, metavar="FILE", help="A secret key that opens the bundle.")
@click.option("--passphrase-file", metavar="FILE", help="The passphrase that opens the bundle.")
@click.option("--dry-run", is_flag=True, help="Say what would come; change nothing.")
@click.pass_obj
def import_(
    session: Session, bundle: str, identities: Sequence[str], passphrase_file: str | None, dry_run: bool
) -> int:
    """Take the models of a bundle in: every file is proved, every model judged anew."""
    folder = expand(bundle)
    with open_hub(output.settings(session)) as hub:
        cipher = _cipher(folder, (), identities, passphrase_file)
        value, problems = output.follow(hub.bundles.read(folder, cipher, dry_run=dry_run), session, output.say_problem)
    would = "would be " if dry_run else ""
    told = f"{value.new} models {would}new, {value.known} {would}completed; {output.size(value.bytes)} {would}copied."
    return output.finish(session, value, told, problems)


@click.command(cls=HubCommand)
@click.argument("other", metavar="HUB")
@click.option("--dry-run", is_flag=True, help="Say what would come; change nothing.")
@click.pass_obj
def merge(session: Session, other: str, dry_run: bool) -> int:
    """Take everything of another HUB into this one; links that led there lead here. The other hub's files stay."""
    with open_hub(output.settings(session)) as hub:
        value, problems = output.follow(hub.merging.merge(expand(other), dry_run=dry_run), session, output.say_problem)
    came = value.models
    would = "would be " if dry_run else ""
    told = f"{came.new} models {would}new, {came.known} {would}completed; {output.size(came.bytes)} {would}taken in."
    if not dry_run:
        told += f" {counted(value.links, 'link')} lead here now, {counted(value.targets, 'target')} taken over."
    if value.left:
        told += f" {value.left} are deployed there in other ways: `modelhub --hub {other} undeploy --all`."
    return output.finish(session, value, told, problems)


@click.command(cls=HubCommand)
@click.argument("folder", metavar="DIR")
@click.option("--keep-old", is_flag=True, help="Leave the files at the old place as well.")
@click.option("--dry-run", is_flag=True, help="Say what would be moved; change nothing.")
@click.pass_obj
def move(session: Session, folder: str, keep_old: bool, dry_run: bool) -> int:
    """Move the hub to DIR, also on another disk: files are proved there, links led there, and then it goes here."""
    task = moving.move(output.settings(session), folder, keep_old=keep_old, dry_run=dry_run)
    value, problems = output.follow(task, session, output.say_problem)
    would = "would be " if dry_run else ""
    told = f"{counted(value.files, 'file')} ({output.size(value.bytes)}) {would}moved"
    told += "." if dry_run else f", {counted(value.links, 'link')} led there."
    if value.left:
        told += f" {counted(value.left, 'file')} that are not the hub's stay at the old place."
    if not dry_run:
        told += f" Set model_hub.path to {expand(folder)}, or use --hub."
    return output.finish(session, value, told, problems)


def _cipher(
    folder: str, recipients: Sequence[str], identities: Iterable[str], passphrase_file: str | None
) -> sealing.Sealing | None:
    if passphrase_file:
        os.makedirs(folder, exist_ok=True)
        passphrase = _text(passphrase_file).strip()
        if not passphrase:
            raise InvalidInput(f"{printable(passphrase_file)} is empty.", hint="Write a passphrase into it.")
        return sealing.with_passphrase(os.path.join(folder, KEY_FILE), passphrase)
    keys = [key for path in identities for key in sealing.identities_in(_text(path))]
    return sealing.Sealing(recipients, keys) if recipients or keys else None


def _text(path: str) -> str:
    try:
        return Path(expand(path)).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound(f"{printable(path)} does not exist.", hint="Check the path.") from error
