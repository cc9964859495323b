"""deploy (apply, undo, history), undeploy, status."""

from collections.abc import Sequence
from typing import Any

import click

from modelhub.cli import output
from modelhub.cli.app import HubCommand, HubGroup, Session
from modelhub.core.deployment import (
    HOW_WORDS,
    QUIET_SKIPS,
    RESOLUTIONS,
    Conflict,
    JournalStep,
    MakeLink,
    Note,
    Plan,
    RemoveLink,
    Skip,
    Step,
    WriteConfig,
)
from modelhub.core.errors import ModelHubError
from modelhub.core.names import counted
from modelhub.core.types import Model
from modelhub.services import running
from modelhub.services.applying import Deployed
from modelhub.services.hub import Hub, open_hub

_REFUSED = ("broken", "unsafe", "missing", "offline", "deleted", "not_listed", "no_folder")
"""Why a model that was named is not deployed after all."""

_FLAGS = ("--json", "-q", "--quiet")
_WITH_VALUE = ("--hub", "--config")


class _Deploy(HubGroup):
    """`deploy` alone, or with targets, applies; the words `undo` and `history` are commands of their own."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        given = iter(args)
        first = ""
        for word in given:
            if word in _WITH_VALUE:
                next(given, None)
            elif word not in _FLAGS:
                first = word
                break
        if first not in self.commands and not {"-h", "--help"} & set(args):
            args = ["apply", *args]
        return super().parse_args(context, args)


@click.group(cls=_Deploy)
def deploy() -> None:
    """Link models into every enabled target, or into the TARGETs named. Run it again whenever you like.

    `modelhub deploy [TARGET]...` is short for `modelhub deploy apply`.
    """


@deploy.command()
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option("--target", "-t", "more_targets", multiple=True, help="Only this target (may be repeated).")
@click.option("--model", "-m", "models", multiple=True, help="Only this model (may be repeated).")
@click.option(
    "--on-conflict",
    type=click.Choice(RESOLUTIONS),
    default="keep",
    help="Where a file of yours stands: keep it and say so, skip it silently, rename the link, adopt the file.",
)
@click.option("--refresh", is_flag=True, help="Make apps that can be asked look again.")
@click.option("--dry-run", is_flag=True, help="Show the plan; change nothing.")
@click.pass_obj
def apply(
    session: Session,
    targets: Sequence[str],
    more_targets: Sequence[str],
    models: Sequence[str],
    on_conflict: Any,
    refresh: bool,
    dry_run: bool,
) -> int:
    """Link models into every enabled target, or into the TARGETs named."""
    names = (*targets, *more_targets)
    with open_hub(output.settings(session), create=False) as hub:
        chosen = _chosen(hub, models)
        plan = hub.deployment.plan(names, chosen, on_conflict)
        adopted: tuple[JournalStep, ...] = ()
        failed = 0
        if not dry_run and any(conflict.resolution == "adopt" for conflict in plan.conflicts):
            adopted, failed = output.follow(hub.adopt(plan), session, output.say_problem)
            plan = hub.deployment.plan(names, chosen, "rename")
        code = _carry_out(session, hub, plan, adopted, dry_run=dry_run)
        refused = chosen and any(skip.code in _REFUSED for skip in plan.skips)
        if failed or refused:
            code = max(code, output.WITH_PROBLEMS)
        if refresh and not dry_run:
            code = max(code, _refresh(session, hub, names))
    return code


def _refresh(session: Session, hub: Hub, names: Sequence[str]) -> int:
    """Ask running apps to look again; one that is not there is told, and is no reason to fail what was done."""
    problems = 0
    for target in hub.deployment.chosen(names):
        app = hub.targets.app_of(target)
        try:
            done = running.refresh(app, target)
        except ModelHubError as error:
            problems += 1
            output.told(f"! {target.name}: {error.message} {error.hint}")
        else:
            if not session.json and not session.quiet:
                output.line(f"refresh   {target.name}: {'asked' if done else app.refresh or 'nothing to ask'}")
    return output.WITH_PROBLEMS if problems else 0


@click.command(cls=HubCommand)
@click.argument("run", type=int, required=False)
@click.option("--dry-run", is_flag=True, help="Show what would be undone; change nothing.")
@click.pass_context
def undo(context: click.Context, run: int | None, dry_run: bool) -> int:
    """Take back the last operation, or RUN: links, files, configurations, deletions, corrections are as before it.

    `modelhub deploy undo` takes back the last deployment, whatever was done to models since.
    """
    session: Session = context.obj
    with open_hub(output.settings(session), create=False) as hub:
        of_models = context.parent is None or context.parent.command is not deploy
        undoing = hub.undo.plan(run, of_models=of_models)
        if not session.json and not session.quiet:
            one = undoing.run
            output.line(f"{'would undo' if dry_run else 'undo'}      {one.what} of {one.started_at} (run {one.id})")
            for step in (*undoing.users, *undoing.models):
                output.line(f"{_BACK.get(step.action, 'back'):9} {step.path}")
        return _carry_out(session, hub, undoing.plan, dry_run=dry_run, task=None if dry_run else hub.undo.run(undoing))


@click.command(cls=HubCommand)
@click.pass_obj
def history(session: Session) -> int:
    """What was deployed, undeployed, moved, deleted, restored, set by hand and undone, newest first."""
    with open_hub(output.settings(session), create=False) as hub:
        runs = hub.undo.runs()
    if session.json:
        output.write_json({"runs": runs})
        return 0
    rows = [(str(one.id), one.what, one.state, one.started_at, str(one.steps)) for one in runs]
    output.table(("run", "what", "state", "started", "steps"), rows, right=("run", "steps"))
    return 0


@click.command(cls=HubCommand)
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option("--target", "-t", "more_targets", multiple=True, help="Only this target (may be repeated).")
@click.option("--model", "-m", "models", multiple=True, help="Only this model (may be repeated).")
@click.option("--all", "everything", is_flag=True, help="All links in all targets.")
@click.option("--dry-run", is_flag=True, help="Show the plan; change nothing.")
@click.pass_obj
def undeploy(
    session: Session,
    targets: Sequence[str],
    more_targets: Sequence[str],
    models: Sequence[str],
    everything: bool,
    dry_run: bool,
) -> int:
    """Remove links that deploy made, and nothing else."""
    names = (*targets, *more_targets)
    if not names and not models and not everything:
        raise click.UsageError("Name targets or models, or use --all.")
    with open_hub(output.settings(session), create=False) as hub:
        plan = hub.deployment.plan_removal(names, _chosen(hub, models))
        return _carry_out(session, hub, plan, dry_run=dry_run)


deploy.add_command(undo)
deploy.add_command(history)


def _chosen(hub: Hub, names: Sequence[str]) -> list[Model] | None:
    return [hub.models.resolve(name) for name in names] if names else None


def _carry_out(
    session: Session, hub: Hub, plan: Plan, adopted: tuple[JournalStep, ...] = (), *, dry_run: bool, task: Any = None
) -> int:
    for step in plan.steps:
        if session.json:
            output.write_json(step)
        elif not session.quiet:
            _say_step(step)
    problems = 0
    if dry_run:
        totals = hub.deployment.preview(plan)
    else:
        totals, problems = output.follow(task or hub.deployment.apply(plan, adopted), session, output.say_problem)
    if session.json:
        output.write_json(output.result_line(totals))
    elif not session.quiet:
        output.line(_summary(totals))
    unable = any(note.code in ("no_method", "config") for note in plan.notes)
    left = [conflict for conflict in plan.conflicts if conflict.resolution != "adopt"]
    return output.WITH_PROBLEMS if problems or left or unable else 0


def _say_step(step: Step) -> None:
    if isinstance(step, Note):
        output.told(f"! {step.target}: {step.message}")
    elif isinstance(step, MakeLink):
        output.line(f"{'replace' if step.replaces else HOW_WORDS[step.how]:9} {step.target}: {step.path}")
    elif isinstance(step, RemoveLink):
        output.line(f"unlink    {step.target}: {step.path} ({step.because})")
    elif isinstance(step, WriteConfig):
        output.line(
            f"{'write' if step.content is not None else 'remove':9} {step.target}: {step.path} ({step.because})"
        )
    elif isinstance(step, Conflict):
        told = "taken into the hub" if step.resolution == "adopt" else "left as it is"
        output.told(f"! conflict  {step.target}: {step.path} is taken by {step.by}; {told}")
    elif isinstance(step, Skip) and step.code not in QUIET_SKIPS:
        output.line(f"skip      {step.target}: {step.name}: {step.because}")


_BACK = {"restored": "trash", "set": "set back"}
"""What undoing does to a model, where it does not bring it back."""


def _summary(totals: Deployed) -> str:
    would = "would be " if totals.dry_run else ""
    parts = [
        f"{totals.made} links {would}made",
        f"{totals.removed} {would}removed",
        f"{totals.linked} already right",
        f"{totals.skipped} skipped",
        f"{totals.conflicts} conflicts",
        *([f"{counted(totals.configs, 'configuration')} {would}written"] if totals.configs else []),
    ]
    copied = f", {output.size(totals.bytes_copied)} copied" if totals.bytes_copied else ""
    return f"{', '.join(parts)}; {output.size(totals.bytes_saved)} not copied{copied}."


@click.command(cls=HubCommand)
@click.option("--types", "by_type", is_flag=True, help="For each type as well.")
@click.pass_obj
def status(session: Session, by_type: bool) -> int:
    """Show what is deployed, against what could be."""
    with open_hub(output.settings(session), create=False) as hub:
        targets = hub.deployment.status()
    if session.json:
        output.write_json({"targets": targets})
        return 0
    rows = [
        (
            target.name,
            "yes" if target.enabled else "no",
            str(target.deployed),
            str(target.available),
            str(target.broken),
            target.method,
            "" if target.free is None else output.size(target.free),
            target.base_path,
        )
        for target in targets
    ]
    output.table(
        ("target", "enabled", "deployed", "available", "broken", "method", "free", "path"),
        rows,
        right=("deployed", "available", "broken", "free"),
    )
    if by_type:
        output.line()
        lines = [
            (target.name, kind, str(deployed), str(available))
            for target in targets
            for kind, (deployed, available) in sorted(target.by_type.items())
        ]
        output.table(("target", "type", "deployed", "available"), lines, right=("deployed", "available"))
    return 0
