"""rules: list, show, test, add, edit, disable, enable, reset, export, import, lint."""

import os
import sys
from pathlib import Path

import click

from modelhub.cli import output
from modelhub.cli.app import HubGroup, Session
from modelhub.core.errors import from_os_error
from modelhub.core.names import counted, printable
from modelhub.services.hub import open_hub
from modelhub.services.judge import require_exists
from modelhub.services.rules import rule_text


@click.group(cls=HubGroup, invoke_without_command=True)
@click.pass_context
def rules(context: click.Context) -> int:
    """List and change the rules of classification."""
    if context.invoked_subcommand is None:
        return int(context.invoke(list_rules))
    return 0


@rules.command(name="list")
@click.argument("text", required=False, default="")
@click.option("--table", default="", help="Only this table, e.g. architecture_patterns.")
@click.option("--mine", is_flag=True, help="Only rules of yours.")
@click.pass_obj
def list_rules(session: Session, text: str = "", table: str = "", mine: bool = False) -> int:
    """List the rules, or those whose key or words hold TEXT."""
    with open_hub(output.settings(session)) as hub:
        found = hub.rules.listed(table=table, text=text, mine=mine)
    if session.json:
        output.write_json({"rules": found})
    elif not session.quiet:
        rows = [
            (one.table, one.key, one.origin, "yes" if one.enabled else "no", one.says, one.because) for one in found
        ]
        output.table(("table", "rule", "whose", "on", "says", "because"), rows)
        output.told(f"{counted(len(found), 'rule')}.")
    return 0


@rules.command()
@click.argument("key")
@click.pass_obj
def show(session: Session, key: str) -> int:
    """Print the rule KEY as YAML."""
    with open_hub(output.settings(session)) as hub:
        told = hub.rules.show(key)
    if session.json:
        output.write_json({"key": key, "yaml": told})
    else:
        click.echo(told.rstrip())
    return 0


@rules.command()
@click.argument("path")
@click.pass_obj
def test(session: Session, path: str) -> int:
    """Show which rules fire for the model at PATH, and which of them another one silences."""
    with open_hub(output.settings(session)) as hub:
        classified, tried = hub.rules.try_on(require_exists(path))
    verdict = classified.verdict
    if session.json:
        output.write_json(
            {"type": verdict.type, "base": verdict.base, "confidence": verdict.confidence, "rules": tried}
        )
    elif not session.quiet:
        output.line(f"{verdict.type} {verdict.base}, {verdict.confidence:.0%} sure")
        rows = [(one.key, "silenced" if one.silenced else "stands", one.says, one.because) for one in tried]
        output.table(("rule", "fires and", "says", "because"), rows)
    return 0


@rules.command()
@click.argument("file", metavar="FILE|-")
@click.option("--replace", is_flag=True, help="Take the place of your rules of the same keys.")
@click.option("--dry-run", is_flag=True, help="Only check.")
@click.pass_obj
def add(session: Session, file: str, replace: bool, dry_run: bool) -> int:
    """Add the rules of a YAML FILE, or of standard input, to yours."""
    return _take_in(session, _read(file), file, replace=replace, dry_run=dry_run)


@rules.command(name="import")
@click.argument("file", metavar="FILE|-")
@click.option("--dry-run", is_flag=True, help="Only check.")
@click.pass_obj
def import_rules(session: Session, file: str, dry_run: bool) -> int:
    """Take in rules that were exported, or a model_categorization.json; yours of the same keys are replaced."""
    return _take_in(session, _read(file), file, replace=True, dry_run=dry_run)


@rules.command()
@click.argument("key")
@click.option("--from", "source", metavar="FILE|-", help="What the rule is to be, instead of an editor.")
@click.option("--dry-run", is_flag=True, help="Only check.")
@click.pass_obj
def edit(session: Session, key: str, source: str | None, dry_run: bool) -> int:
    """Change the rule KEY in your editor; ours stays under yours, and `reset` brings it back."""
    if source is not None:
        return _take_in(session, _read(source), source, replace=True, dry_run=dry_run, only=key)
    with open_hub(output.settings(session)) as hub:
        told = hub.rules.show(key)
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to edit in; use --from FILE.")
    changed = click.edit(told, extension=".yaml")
    if changed is None or changed == told:
        output.told("Nothing was changed.")
        return 0
    return _take_in(session, changed, key, replace=True, dry_run=dry_run, only=key)


def _read(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == "-" else rule_text(Path(os.path.expanduser(file)))


def _take_in(
    session: Session, content: str | bytes, where: str, *, replace: bool, dry_run: bool, only: str = ""
) -> int:
    with open_hub(output.settings(session)) as hub:
        keys = hub.rules.add(content, printable(where), replace=replace, only=only, dry_run=dry_run)
    if session.json:
        output.write_json({"rules": keys, "dry_run": dry_run})
    elif not session.quiet:
        done = "would be yours" if dry_run else "now yours"
        output.line(f"{counted(len(keys), 'rule')} {done}: {', '.join(keys[:10])}{' …' if len(keys) > 10 else ''}")
        if not dry_run:
            output.told("`modelhub reclassify --stale` judges by them.")
    return 0


@rules.command()
@click.argument("key")
@click.pass_obj
def disable(session: Session, key: str) -> int:
    """Switch the rule KEY off."""
    return _switch(session, key, enabled=False)


@rules.command()
@click.argument("key")
@click.pass_obj
def enable(session: Session, key: str) -> int:
    """Switch the rule KEY on again."""
    return _switch(session, key, enabled=True)


def _switch(session: Session, key: str, *, enabled: bool) -> int:
    with open_hub(output.settings(session)) as hub:
        silent = hub.rules.enable(key, enabled=enabled)
    if session.json:
        output.write_json({"key": key, "enabled": enabled, "silent": silent})
    elif not session.quiet:
        output.line(f"{key}: {'on' if enabled else 'off'}")
        for other in silent:
            output.line(f"{other} builds on it and never fires now.")
    return 0


@rules.command()
@click.argument("key", required=False, default="")
@click.option("--all", "everything", is_flag=True, help="All rules of yours.")
@click.pass_obj
def reset(session: Session, key: str, everything: bool) -> int:
    """Take your rule KEY away, so that ours holds again."""
    if bool(key) == everything:
        raise click.UsageError("Name a rule, or use --all.")
    with open_hub(output.settings(session)) as hub:
        gone = hub.rules.reset(key)
    if session.json:
        output.write_json({"removed": gone})
    elif not session.quiet:
        output.line(f"{counted(gone, 'rule')} of yours taken away.")
    return 0


@rules.command()
@click.argument("file", required=False, default="-", metavar="[FILE]")
@click.option("--all", "everything", is_flag=True, help="All rules in force, not only yours.")
@click.pass_obj
def export(session: Session, file: str, everything: bool) -> int:
    """Write your rules to FILE, or to standard output, as one YAML file."""
    with open_hub(output.settings(session)) as hub:
        told = hub.rules.export(everything=everything)
    if file == "-":
        click.echo(told.rstrip())
        return 0
    path = Path(os.path.expanduser(file))
    try:
        path.write_text(told, encoding="utf-8")
    except OSError as error:
        raise from_os_error(error, printable(path)) from error
    if session.json:
        output.write_json({"file": str(path)})
    return 0


@rules.command()
@click.option("--no-samples", is_flag=True, help="Do not try them on the sample library.")
@click.pass_obj
def lint(session: Session, no_samples: bool) -> int:
    """Check the rules: what is wrong with one, what it hides, and what never matters."""
    with open_hub(output.settings(session)) as hub:
        found = hub.rules.lint(samples=not no_samples)
    wrong = sum(1 for one in found if one.level == "error")
    if session.json:
        output.write_json({"errors": wrong, "findings": found})
    elif not session.quiet:
        if found:
            rows = [(one.level, one.table, one.key, one.message) for one in found]
            output.table(("level", "table", "rule", "finding"), rows)
        output.told(f"{counted(wrong, 'error')}, {counted(len(found) - wrong, 'note')}.")
    return output.WITH_PROBLEMS if wrong else 0
