"""The table of commands, and the options that every one of them takes before or after its name."""

import importlib
from dataclasses import dataclass
from typing import Any

import click

from modelhub import __version__

COMMANDS: dict[str, tuple[str, str]] = {
    "scan": ("modelhub.cli.scanning:scan", "Take the models in folders into the hub."),
    "classify": ("modelhub.cli.scanning:classify", "Say what files are; needs no hub."),
    "explain": ("modelhub.cli.scanning:explain", "Show all the evidence for what a model is."),
    "list": ("modelhub.cli.listing:list_models", "List models."),
    "show": ("modelhub.cli.listing:show", "Show everything about one model."),
    "set": ("modelhub.cli.listing:set_fields", "Correct a model by hand, tag it, note something."),
    "reclassify": ("modelhub.cli.listing:reclassify", "Judge models again by the rules in force."),
    "hash": ("modelhub.cli.listing:hash_files", "Write a .sha256 file beside each file of a model."),
    "lookup": ("modelhub.cli.listing:lookup", "Ask model sites what they know, by hash."),
    "evaluate": ("modelhub.cli.evaluating:evaluate", "Measure the rules on models whose labels are known."),
    "corrections": ("modelhub.cli.evaluating:corrections", "List what was set by hand, and export it as headers."),
    "types": ("modelhub.cli.listing:types", "List the model types."),
    "rules": ("modelhub.cli.rules:rules", "List and change the rules of classification."),
    "stats": ("modelhub.cli.listing:stats", "Count models and bytes by type."),
    "apps": ("modelhub.cli.apps:apps", "Show and find apps, and how models get to them."),
    "mapping": ("modelhub.cli.apps:mapping", "Keep the rules of all targets in one file."),
    "targets": ("modelhub.cli.targets:targets", "List and change the places models are deployed to."),
    "deploy": ("modelhub.cli.deploying:deploy", "Link models into the enabled targets; undo it."),
    "undeploy": ("modelhub.cli.deploying:undeploy", "Remove links that deploy made."),
    "status": ("modelhub.cli.deploying:status", "Show what is deployed, against what could be."),
    "delete": ("modelhub.cli.trash:delete", "Put models into the trash; nothing is lost."),
    "trash": ("modelhub.cli.trash:trash", "List what is in the trash, restore it, or remove it for good."),
    "prune": ("modelhub.cli.trash:prune", "Remove for good what has long been in the trash; shows it first."),
    "undo": ("modelhub.cli.deploying:undo", "Take back the last operation."),
    "history": ("modelhub.cli.deploying:history", "What was done, newest first."),
    "convert": ("modelhub.cli.converting:convert", "Write a safe PyTorch file as safetensors, without running it."),
    "trust": ("modelhub.cli.trusting:trust", "Unsafe models, virus scanner, signatures, where models come from."),
    "duplicates": ("modelhub.cli.space:duplicates", "Find files with the same content, and make them one."),
    "unused": ("modelhub.cli.space:unused", "Models that nothing uses, and what deleting them would free."),
    "verify": ("modelhub.cli.upkeep:verify", "Read every stored file and prove it whole."),
    "repair": ("modelhub.cli.upkeep:repair", "Bring damaged and lost files back from a good copy."),
    "volumes": ("modelhub.cli.upkeep:volumes", "The drives and shares with your files; which are away."),
    "audit": ("modelhub.cli.upkeep:audit", "Who changed what and when; prove that the log was not changed."),
    "backup": ("modelhub.cli.moving:backup", "Copy both databases, also while they are in use."),
    "restore": ("modelhub.cli.moving:restore", "Put the databases back as they were."),
    "export": ("modelhub.cli.moving:export", "Write the list of models, or the models themselves."),
    "import": ("modelhub.cli.moving:import_", "Take in the models of a bundle."),
    "merge": ("modelhub.cli.moving:merge", "Take everything of another hub into this one."),
    "move": ("modelhub.cli.moving:move", "Move the hub to another folder or disk."),
    "doctor": ("modelhub.cli.upkeep:doctor", "Check everything and say what to do."),
    "db": ("modelhub.cli.upkeep:db", "Status, upgrade and backup of the databases."),
    "tui": ("modelhub.cli.interface:tui", "Open the terminal interface; `modelhub` alone does the same."),
    "demo": ("modelhub.cli.interface:demo", "Build a sample library and show what ModelHub does."),
    "paths": ("modelhub.cli.settings:paths", "Show where everything is."),
    "config": ("modelhub.cli.settings:config", "Show the effective settings."),
    "completion": ("modelhub.cli.settings:completion", "Print the completion script of a shell."),
}


@dataclass
class Session:
    """What the common options say."""

    hub: str | None = None
    config: str | None = None
    json: bool = False
    quiet: bool = False


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    session = context.ensure_object(Session)
    if value and parameter.name:
        setattr(session, parameter.name, value)


def common_options() -> list[click.Parameter]:
    """Fresh option objects, since a command owns its own."""
    return [
        click.Option(["--hub"], metavar="DIR", expose_value=False, callback=_remember, help="The hub to work on."),
        click.Option(
            ["--config"],
            metavar="FILE",
            expose_value=False,
            callback=_remember,
            help="Settings file of yours.",
        ),
        click.Option(["--json"], is_flag=True, expose_value=False, callback=_remember, help="JSON only, on stdout."),
        click.Option(
            ["--quiet", "-q"],
            is_flag=True,
            expose_value=False,
            callback=_remember,
            help="No progress, no table.",
        ),
    ]


class HubCommand(click.Command):
    """A command that takes the common options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += common_options()


class HubGroup(click.Group):
    """A group of such commands."""

    command_class = HubCommand

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += common_options()


class _Lazy(HubGroup):
    """Commands are known by name and imported when used, so that help stays quick."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in COMMANDS.items()])

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib  # noqa: PLC0415  (only a mistyped command needs it)

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            context.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(context, args)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="modelhub %(version)s")
def main() -> None:
    """One local store for all your AI models: each file once, known, explained, deployed to every app."""
