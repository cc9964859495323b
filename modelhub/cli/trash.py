"""delete, trash (list, restore, purge), prune."""

import sys
from collections.abc import Callable, Sequence

import click

from modelhub.cli import output
from modelhub.cli.app import HubCommand, HubGroup, Session
from modelhub.core.names import counted
from modelhub.services import trash as bin_
from modelhub.services.hub import Hub, open_hub
from modelhub.services.trash import Doomed, PrunePlan, Trashed


@click.command(cls=HubCommand)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--dry-run", is_flag=True, help="Show what would go; change nothing.")
@click.pass_obj
def delete(session: Session, models: Sequence[str], dry_run: bool) -> int:
    """Put models into the trash: their links go, their files and all that is known of them stay."""
    with open_hub(output.settings(session), create=False) as hub:
        chosen = list({model.id: model for model in map(hub.models.resolve, models)}.values())
        plan = hub.trash.plan_delete(chosen)
        _say(session, [f"trash     {model.filename}" for model in chosen])
        _say(session, [f"unlink    {step.target}: {step.path}" for step in plan.removals])
        if dry_run:
            size = sum(model.size for model in chosen)
            done, problems = Trashed(len(chosen), len(plan.removals), 0, size, 0, dry_run=True), 0
        else:
            done, problems = output.follow(hub.trash.delete(chosen, plan), session, output.say_problem)
    would = "would be " if dry_run else ""
    told = (
        f"{counted(done.models, 'model')} {would}in the trash, {counted(done.links, 'link')} {would}removed;"
        f" {output.size(done.bytes)} stay on the disk until `modelhub prune`."
    )
    return output.finish(session, done, told, problems)


@click.group(cls=HubGroup, invoke_without_command=True)
@click.pass_context
def trash(context: click.Context) -> int | None:
    """List what is in the trash, bring it back, or remove it for good."""
    return context.invoke(trash_list) if context.invoked_subcommand is None else None


@trash.command(name="list")
@click.pass_obj
def trash_list(session: Session) -> int:
    """List what is in the trash, the longest there first."""
    with open_hub(output.settings(session), create=False) as hub:
        gone = hub.trash.all()
    if session.json:
        output.write_json({"models": gone})
        return 0
    rows = [(str(one.id), one.deleted_at, output.size(one.size), one.sha256[:10], one.filename) for one in gone]
    output.table(("id", "deleted", "size", "hash", "name"), rows, right=("id", "size"))
    return 0


@trash.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--dry-run", is_flag=True, help="Show what would come back; change nothing.")
@click.pass_obj
def restore(session: Session, models: Sequence[str], dry_run: bool) -> int:
    """Take models out of the trash, and link them again where they were linked."""
    with open_hub(output.settings(session), create=False) as hub:
        gone = hub.trash.find(models)
        targets = hub.trash.plan_restore(gone)
        _say(session, [f"restore   {one.filename}" for one in gone])
        if dry_run:
            done, problems = Trashed(len(gone), 0, 0, sum(one.size for one in gone), 0, dry_run=True), 0
        else:
            done, problems = output.follow(hub.trash.restore(gone), session, output.say_problem)
    told = f"{counted(done.models, 'model')} {'would be ' if dry_run else ''}back"
    where = f", linked again in {', '.join(targets)}" if targets else ""
    return output.finish(session, done, f"{told}{where}.", problems)


@trash.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--yes", is_flag=True, help="Do it; without this it is only shown, or asked for on a terminal.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed; change nothing.")
@click.pass_obj
def purge(session: Session, models: Sequence[str], yes: bool, dry_run: bool) -> int:
    """Remove models that are in the trash for good, now."""
    with open_hub(output.settings(session), create=False) as hub:
        ids = [one.id for one in hub.trash.find(models)]
        age = bin_.parse_age("0d")

        def plan() -> PrunePlan:
            return hub.trash.plan_prune(older_than=age, only=[one for one in hub.trash.all() if one.id in ids])

        return _carry_out(session, hub, plan, yes=yes, dry_run=dry_run)


@click.command(cls=HubCommand)
@click.option("--older-than", metavar="AGE", help="Only what was deleted that long ago, e.g. 30d, 12h, 0d.")
@click.option("--orphans", is_flag=True, help="Also files of the store that are in no row of the library.")
@click.option("--quarantine", is_flag=True, help="Also contents that were found damaged and set aside.")
@click.option("--yes", is_flag=True, help="Do it; without this it is only shown, or asked for on a terminal.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed; change nothing.")
@click.pass_obj
def prune(session: Session, older_than: str | None, orphans: bool, quarantine: bool, yes: bool, dry_run: bool) -> int:
    """Remove for good what has been in the trash for a while (setting trash.days), and show it first."""
    settings = output.settings(session)
    age = bin_.parse_age(older_than if older_than is not None else str(settings.trash_days))
    with open_hub(settings, create=False) as hub:

        def plan() -> PrunePlan:
            return hub.trash.plan_prune(older_than=age, orphans=orphans, quarantine=quarantine)

        return _carry_out(session, hub, plan, yes=yes, dry_run=dry_run)


def _carry_out(session: Session, hub: Hub, replan: Callable[[], PrunePlan], *, yes: bool, dry_run: bool) -> int:
    plan = replan()
    if session.json and (dry_run or not yes):
        output.write_json({"plan": plan})
    _say_plan(session, plan)
    asked = not dry_run and not yes and not session.json and sys.stdin.isatty() and bool(plan.models or plan.removals)
    if asked:
        yes = click.confirm(f"Remove {output.size(plan.frees)} for good?", err=True)
    done, problems = bin_.foreseen(plan, dry_run=True), 0
    if yes and not dry_run:
        done, problems = output.follow(hub.trash.prune(replan), session, output.say_problem)
    would = "would be " if done.dry_run else ""
    told = (
        f"{counted(done.models, 'model')} and {counted(done.files, 'file')} {would}removed,"
        f" {output.size(done.frees)} {would}freed, {done.kept} kept."
    )
    if done.dry_run and not dry_run:
        told += " Nothing was removed; --yes does it."
    return output.finish(session, done, told, problems)


def _say_plan(session: Session, plan: PrunePlan) -> None:
    _say(session, [f"forget    {one.filename} (deleted {one.deleted_at})" for one in plan.models])
    for word, files in (("remove", plan.contents), ("orphan", plan.orphans), ("damaged", plan.quarantined)):
        _say(session, [_removal(word, one) for one in files])
    _say(session, [f"keep      {one.name}: {one.because}" for one in plan.kept])


def _removal(word: str, one: Doomed) -> str:
    also = "" if one.frees else "; it has other names on the disk, so nothing is freed"
    links = f"; {counted(len(one.links), 'link')} to it" if one.links else ""
    return f"{word:9} {one.path} ({output.size(one.size)}{also}{links})"


def _say(session: Session, lines: Sequence[str]) -> None:
    if not session.json and not session.quiet:
        for line in lines:
            output.line(line)
