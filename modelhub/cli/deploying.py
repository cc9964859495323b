"""deploy, undeploy, status."""

from collections.abc import Sequence

import click

from modelhub.cli import output
from modelhub.cli.app import HubCommand, Session
from modelhub.core.deployment import Conflict, MakeLink, Plan, RemoveLink, Skip, Step
from modelhub.core.types import Model
from modelhub.services.applying import Deployed
from modelhub.services.hub import Hub, open_hub


@click.command(cls=HubCommand)
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option("--target", "-t", "more_targets", multiple=True, help="Only this target (may be repeated).")
@click.option("--model", "-m", "models", multiple=True, help="Only this model (may be repeated).")
@click.option("--dry-run", is_flag=True, help="Show the plan; change nothing.")
@click.pass_obj
def deploy(
    session: Session,
    targets: Sequence[str],
    more_targets: Sequence[str],
    models: Sequence[str],
    dry_run: bool,
) -> int:
    """Link models into every enabled target, or into the TARGETs named. Run it again whenever you like."""
    with open_hub(output.settings(session), create=False) as hub:
        plan = hub.deployment.plan((*targets, *more_targets), _chosen(hub, models))
        return _carry_out(session, hub, plan, dry_run=dry_run)


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


def _chosen(hub: Hub, names: Sequence[str]) -> list[Model] | None:
    return [hub.models.resolve(name) for name in names] if names else None


def _carry_out(session: Session, hub: Hub, plan: Plan, *, dry_run: bool) -> int:
    for step in plan.steps:
        if session.json:
            output.write_json(step)
        elif not session.quiet:
            _say_step(step)
    problems = 0
    if dry_run:
        totals = hub.deployment.preview(plan)
    else:
        totals, problems = output.follow(hub.deployment.apply(plan), session, output.say_problem)
    if session.json:
        output.write_json(output.result_line(totals))
    elif not session.quiet:
        output.line(_summary(totals))
    return output.WITH_PROBLEMS if problems or plan.conflicts else 0


def _say_step(step: Step) -> None:
    if isinstance(step, MakeLink):
        output.line(f"link      {step.target}: {step.path}")
    elif isinstance(step, RemoveLink):
        output.line(f"unlink    {step.target}: {step.path} ({step.because})")
    elif isinstance(step, Conflict):
        output.told(f"! conflict  {step.target}: {step.path} is taken by {step.by}; left as it is")
    elif isinstance(step, Skip) and step.code not in ("linked", "no_folder"):
        output.line(f"skip      {step.target}: {step.name}: {step.because}")


def _summary(totals: Deployed) -> str:
    would = "would be " if totals.dry_run else ""
    parts = [
        f"{totals.made} links {would}made",
        f"{totals.removed} {would}removed",
        f"{totals.linked} already right",
        f"{totals.skipped} skipped",
        f"{totals.conflicts} conflicts",
    ]
    return f"{', '.join(parts)}; {output.size(totals.bytes_saved)} not copied."


@click.command(cls=HubCommand)
@click.pass_obj
def status(session: Session) -> int:
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
            target.base_path,
        )
        for target in targets
    ]
    output.table(
        ("target", "enabled", "deployed", "available", "broken", "path"),
        rows,
        right=("deployed", "available", "broken"),
    )
    return 0
