"""convert."""

import os

import click

from modelhub.cli import output
from modelhub.cli.app import HubCommand, Session
from modelhub.core.names import counted
from modelhub.core.places import expand
from modelhub.services import convert as conversion
from modelhub.services.hub import open_hub


@click.command(cls=HubCommand)
@click.argument("model")
@click.option("--to", "target", default="", metavar="FILE", help="The new file (default: beside it, as .safetensors).")
@click.option("--no-scan", is_flag=True, help="Do not take the new file into the hub.")
@click.option("--dry-run", is_flag=True, help="Judge it and count; write nothing.")
@click.pass_obj
def convert(session: Session, model: str, target: str, no_scan: bool, dry_run: bool) -> int:
    """Write MODEL, or a .ckpt, .pt, .pth or .bin file, as safetensors: nothing is run, every tensor is proved."""
    settings = output.settings(session)
    place = expand(model)
    if os.path.isfile(place) and (no_scan or dry_run):
        value, problems = output.follow(conversion.convert(place, target, dry_run=dry_run), session, output.say_problem)
    else:
        with open_hub(settings, create=os.path.isfile(place)) as hub:
            if not os.path.isfile(place):
                details = hub.models.details(model)
                place = details.path if target else conversion.place_of(details)
            task = conversion.convert(place, target, dry_run=dry_run)
            if not dry_run:
                task = hub.audit.watched("convert", task, source=place)
            value, problems = output.follow(task, session, output.say_problem)
            if not no_scan and not dry_run:
                _, more = output.follow(hub.scan([value.path]), session, output.say_problem)
                problems += more
    would = "would be " if dry_run else ""
    told = f"{counted(value.tensors, 'tensor')} ({output.size(value.bytes)}) {would}written and proved"
    return output.finish(session, value, f"{told}: {value.path}", problems)
