"""paths, config, completion."""

import os

import click
from click.shell_completion import get_completion_class

from modelhub.cli import app, output
from modelhub.cli.app import HubCommand, HubGroup, Session
from modelhub.core import places


@click.command(cls=HubCommand)
@click.pass_obj
def paths(session: Session) -> int:
    """Show where everything is."""
    settings = output.settings(session)
    hub = places.HubPlaces(settings.hub)
    rows = {
        "hub": hub.root,
        "library": hub.library,
        "rules": hub.rules,
        "models": hub.models,
        "backups": hub.backups,
        "config": places.user_config_file(os.environ),
        "hub_config": hub.config,
        "defaults": places.bundled("config.yaml"),
        "seed_rules": places.bundled("classification_seed"),
    }
    if session.json:
        output.write_json({name: str(path) for name, path in rows.items()})
    else:
        for name, path in rows.items():
            output.line(f"{name:12}{path}{'' if path.exists() else '  (not there)'}")
    return 0


@click.group(cls=HubGroup)
def config() -> None:
    """Show the effective settings."""


@config.command(name="show")
@click.pass_obj
def config_show(session: Session) -> int:
    """Every setting, its value, and where it comes from."""
    settings = output.settings(session)
    if session.json:
        output.write_json({one.key: {"value": one.value, "source": one.source} for one in settings.listing})
    else:
        rows = [
            (one.key, ", ".join(one.value) if isinstance(one.value, tuple) else str(one.value), one.source)
            for one in settings.listing
        ]
        output.table(("setting", "value", "source"), rows)
    return 0


@config.command(name="path")
@click.pass_obj
def config_path(session: Session) -> int:
    """The settings files that are read, in order."""
    settings = output.settings(session)
    files = [places.bundled("config.yaml"), *settings.files]
    if session.json:
        output.write_json({"files": files})
    else:
        for path in files:
            output.line(str(path))
    return 0


@click.command(cls=HubCommand)
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(shell: str) -> int:
    """Print the completion script of SHELL; add `eval "$(modelhub completion bash)"` to its start-up file."""
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"No completion for {shell}.")
    click.echo(found(app.main, {}, "modelhub", "_MODELHUB_COMPLETE").source())
    return 0
