"""trust: show, allow, forbid, scan, signature."""

from collections.abc import Sequence

import click

from modelhub.cli import output
from modelhub.cli.app import HubGroup, Session
from modelhub.core.types import ModelFilter
from modelhub.services.hub import open_hub
from modelhub.services.security import Trust


@click.group(cls=HubGroup, invoke_without_command=True)
@click.pass_context
def trust(context: click.Context) -> int | None:
    """What speaks for or against loading a model. Alone: the unsafe models that were allowed all the same."""
    return context.invoke(trust_list) if context.invoked_subcommand is None else None


@trust.command(name="list")
@click.pass_obj
def trust_list(session: Session) -> int:
    """List the unsafe models that were allowed, by whom and why."""
    with open_hub(output.settings(session), create=False) as hub:
        allowed = hub.trust.allowed()
    if session.json:
        output.write_json({"allowed": [{"model": model, "override": one} for model, one in allowed]})
        return 0
    rows = [(str(one.model_id), one.made_at, one.made_by, model.filename, one.reason) for model, one in allowed]
    output.table(("id", "allowed", "by", "name", "because"), rows, right=("id",))
    return 0


@trust.command(name="show")
@click.argument("model")
@click.pass_obj
def trust_show(session: Session, model: str) -> int:
    """Where MODEL comes from, whether you trust that, and what scanners and signatures say."""
    with open_hub(output.settings(session), create=False) as hub:
        details = hub.models.details(model)
        found = hub.trust.of(details)
    if session.json:
        output.write_json(found)
    else:
        for name, value in told(found):
            output.line(f"{name:17} {value}")
    return 0


def told(found: Trust) -> list[tuple[str, str]]:
    """What is known, line by line."""
    lines = [("state", f"{found.state}: {found.message}" if found.message else found.state)]
    if found.allowed:
        one = found.allowed
        lines.append(("allowed", f"by {one.made_by or 'somebody'} on {one.made_at}: {one.reason}"))
    for source in found.sources:
        scans = "".join(f"; {name}: {says}" for name, says in source.scans.items())
        trusted = "trusted" if source.trusted else "not in security.trusted_sources"
        lines.append((source.site, f"{source.publisher or 'publisher not known'} ({trusted}){scans}"))
    lines += [
        (one.kind.replace("_", " "), f"{one.status} ({one.examined_at}, {one.who or '-'}): {one.message}")
        for one in found.examinations
    ]
    return lines


@trust.command()
@click.argument("model")
@click.option("--reason", required=True, help="Why; it is recorded with your name.")
@click.pass_obj
def allow(session: Session, model: str, reason: str) -> int:
    """Let an unsafe MODEL be deployed all the same. It holds for what was found in it, and for nothing else."""
    with open_hub(output.settings(session), create=False) as hub:
        made = hub.trust.allow(model, reason)
    if session.json:
        output.write_json(made)
    elif not session.quiet:
        output.line(f"Allowed, though: {made.message}")
    return 0


@trust.command()
@click.argument("model")
@click.pass_obj
def forbid(session: Session, model: str) -> int:
    """Take back what was allowed; the next deploy removes its links."""
    with open_hub(output.settings(session), create=False) as hub:
        was = hub.trust.withdraw(model)
    if session.json:
        output.write_json({"withdrawn": was})
    elif not session.quiet:
        output.line("It is not allowed any more." if was else "It was not allowed.")
    return 0


@trust.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.pass_obj
def scan(session: Session, models: Sequence[str]) -> int:
    """Have the virus scanner of the settings (security.virus_scan) look at models, at all if none is named."""
    with open_hub(output.settings(session), create=False) as hub:
        chosen = [hub.models.resolve(name) for name in models] or hub.models.find(ModelFilter())
        value, problems = output.follow(hub.trust.scan(chosen), session, output.say_problem)
    return output.finish(
        session,
        value,
        f"{value.clean} of {value.models} clean, {value.infected} infected, {value.failed} failed.",
        problems,
    )


@trust.command()
@click.argument("model")
@click.option("--signature", "bundle", default="", metavar="FILE", help="The bundle (default: model.sig beside it).")
@click.option("--signer", "signers", multiple=True, help="Trust this one too: a PEM file, or identity@issuer.")
@click.pass_obj
def signature(session: Session, model: str, bundle: str, signers: Sequence[str]) -> int:
    """Verify the OpenSSF Model Signing bundle of MODEL, or of a file or folder."""
    with open_hub(output.settings(session), create=False) as hub:
        found = hub.trust.signature(model, bundle, signers)
    if session.json:
        output.write_json(found)
    else:
        output.line(f"{found.status}: {found.message}")
    return output.WITH_PROBLEMS if found.status == "invalid" else 0
