"""targets: list, add, edit, filter, remove, enable, disable, map."""

from collections.abc import Sequence

import click

from modelhub.cli import output
from modelhub.cli.app import HubGroup, Session
from modelhub.core.apps import Target
from modelhub.core.rules import said, typed_condition
from modelhub.services.hub import open_hub, preview_hub


@click.group(cls=HubGroup, invoke_without_command=True)
@click.pass_context
def targets(context: click.Context) -> int:
    """List and change the places models are deployed to."""
    if context.invoked_subcommand is None:
        return int(context.invoke(list_targets))
    return 0


@targets.command(name="list")
@click.pass_obj
def list_targets(session: Session) -> int:
    """List the targets."""
    with open_hub(output.settings(session)) as hub:
        found = hub.targets.all()
    if session.json:
        output.write_json({"targets": found})
    else:
        rows = [
            (
                one.name,
                one.app,
                "yes" if one.enabled else "no",
                one.method or "-",
                said(one.options.include) or "-",
                one.base_path,
            )
            for one in found
        ]
        output.table(("target", "app", "enabled", "method", "only", "path"), rows)
    return 0


@targets.command()
@click.argument("name")
@click.argument("path", required=False, default="")
@click.option("--app", default="folder", help="The app it is (`modelhub apps` lists them); a plain folder by default.")
@click.option("--display-name", default="", help="How it is shown.")
@click.option(
    "--method", default="", help="symlink, hardlink, reflink, copy, config or native; the app's own by default."
)
@click.option("--url", default="", help="Where the app runs, if it is spoken to: http://127.0.0.1:9090.")
@click.option("--disabled", is_flag=True, help="Do not deploy to it yet.")
@click.option("--dry-run", is_flag=True, help="Only check.")
@click.pass_obj
def add(
    session: Session,
    name: str,
    path: str,
    app: str,
    display_name: str,
    method: str,
    url: str,
    disabled: bool,
    dry_run: bool,
) -> int:
    """Add a target NAME at PATH; its app gives it its folders."""
    settings = output.settings(session)
    with preview_hub(settings) if dry_run else open_hub(settings) as hub:
        make = hub.targets.preview if dry_run else hub.targets.add
        given = {"app": app, "display_name": display_name, "method": method, "url": url}
        return _say(session, make(name, path, enabled=not disabled, **given))


@targets.command()
@click.argument("name")
@click.option("--path", default="", help="Its base path.")
@click.option("--display-name", default="", help="How it is shown.")
@click.option("--method", help="symlink, hardlink, reflink, copy, config or native; '' is the app's own.")
@click.option("--names", help="Template of names, such as {base}/{clean}; '' is the app's own.")
@click.option("--url", help="Where the app runs, if it is spoken to; '' is its usual address.")
@click.option("--app-config", help="The app's configuration file, if it is another than usual.")
@click.option("--dry-run", is_flag=True, help="Only check.")
@click.pass_obj
def edit(
    session: Session,
    name: str,
    path: str,
    display_name: str,
    method: str | None,
    names: str | None,
    url: str | None,
    app_config: str | None,
    dry_run: bool,
) -> int:
    """Change target NAME: its place, how models get there, how they are called."""
    with open_hub(output.settings(session)) as hub:
        changed = hub.targets.change(
            name,
            path=path,
            display_name=display_name,
            method=method,
            naming=names,
            url=url,
            config=app_config,
            dry_run=dry_run,
        )
        return _say(session, changed)


@targets.command(name="filter")
@click.argument("name")
@click.option("--include", multiple=True, metavar="CONDITION", help="Only models that fit, e.g. 'base=sdxl size<8G'.")
@click.option("--exclude", multiple=True, metavar="CONDITION", help="No models that fit, e.g. 'tag=nsfw'.")
@click.option("--clear", is_flag=True, help="Forget the conditions so far.")
@click.option("--dry-run", is_flag=True, help="Only check.")
@click.pass_obj
def filter_target(
    session: Session, name: str, include: Sequence[str], exclude: Sequence[str], clear: bool, dry_run: bool
) -> int:
    """Show or set which models target NAME takes: keys type, base, sub_type, tag, format, quant, category, capability,
    license, name, folder, and size with < or >; several words must all fit, several options are alternatives.
    """
    with open_hub(output.settings(session)) as hub:
        target = hub.targets.filter(
            name,
            include=[typed_condition(text) for text in include],
            exclude=[typed_condition(text) for text in exclude],
            clear=clear,
            dry_run=dry_run,
        )
    if session.json:
        output.write_json(target)
    elif not session.quiet:
        output.line(f"include  {said(target.options.include) or 'everything'}")
        output.line(f"exclude  {said(target.options.exclude) or 'nothing'}")
    return 0


@targets.command()
@click.argument("name")
@click.option("--path", default="", help="Its base path, if it is another.")
@click.pass_obj
def enable(session: Session, name: str, path: str) -> int:
    """Deploy to target NAME from now on."""
    with open_hub(output.settings(session)) as hub:
        return _say(session, hub.targets.change(name, enabled=True, path=path))


@targets.command()
@click.argument("name")
@click.pass_obj
def disable(session: Session, name: str) -> int:
    """Do not deploy to target NAME any more; its links stay."""
    with open_hub(output.settings(session)) as hub:
        return _say(session, hub.targets.change(name, enabled=False))


@targets.command()
@click.argument("name")
@click.pass_obj
def remove(session: Session, name: str) -> int:
    """Forget target NAME. Undeploy it first."""
    with open_hub(output.settings(session)) as hub:
        hub.targets.remove(name)
    if session.json:
        output.write_json({"removed": name})
    elif not session.quiet:
        output.line(f"{name} is forgotten.")
    return 0


@targets.command(name="map")
@click.argument("name")
@click.argument("model_type", required=False, metavar="[TYPE]")
@click.argument("folder", required=False, metavar="[FOLDER]")
@click.option("--remove", "removing", is_flag=True, help="Deploy this type no more.")
@click.pass_obj
def map_type(session: Session, name: str, model_type: str | None, folder: str | None, removing: bool) -> int:
    """Show the folders of target NAME, or set the FOLDER that models of TYPE go to."""
    if model_type and not folder and not removing:
        raise click.UsageError("Name the folder too, or use --remove.")
    with open_hub(output.settings(session)) as hub:
        if model_type:
            target = hub.targets.map_type(name, model_type, None if removing else folder)
        else:
            target = hub.targets.get(name)
    if session.json:
        output.write_json(target)
    elif not session.quiet:
        output.table(("type", "folder"), sorted(target.folders.items()))
    return 0


def _say(session: Session, target: Target) -> int:
    if session.json:
        output.write_json(target)
    elif not session.quiet:
        state = "enabled" if target.enabled else "disabled"
        chosen = [f"method {target.method}"] if target.method else []
        chosen += [f"names {target.options.naming}"] if target.options.naming else []
        chosen += [f"at {target.options.url}"] if target.options.url else []
        more = f" ({', '.join(chosen)})" if chosen else ""
        output.line(f"{target.name} ({target.display_name}), {state}: {target.base_path}{more}")
    return 0
