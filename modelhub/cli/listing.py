"""list, show, set, reclassify, types, stats."""

from collections.abc import Sequence
from typing import Any

import click

from modelhub.cli import output
from modelhub.cli.app import HubCommand, Session
from modelhub.cli.trusting import told
from modelhub.core.names import counted
from modelhub.core.plain import plain
from modelhub.core.types import SORT_KEYS, External, Model, ModelFilter
from modelhub.services.hub import open_hub
from modelhub.services.judge import Judge
from modelhub.services.library import ModelDetails
from modelhub.services.lookup import SOURCES, Known, external_says


def filter_options(command: Any) -> Any:
    """Every field of ModelFilter as options."""
    options = (
        click.argument("text", nargs=-1, callback=lambda _context, _parameter, words: " ".join(words)),
        click.option("--type", "types", multiple=True, help="Only this type (may be repeated)."),
        click.option("--base", "bases", multiple=True, help="Only this base family (may be repeated)."),
        click.option("--sub-type", "sub_types", multiple=True, help="Only this sub-type (may be repeated)."),
        click.option("--tag", "tags", multiple=True, help="Only models with this tag (may be repeated)."),
        click.option("--format", "formats", multiple=True, help="Only this file format (may be repeated)."),
        click.option("--quant", "quantizations", multiple=True, help="Only this quantisation (may be repeated)."),
        click.option("--category", "categories", multiple=True, help="Only this category (may be repeated)."),
        click.option("--capability", "capabilities", multiple=True, help="Only what can do this (may be repeated)."),
        click.option("--license", "licenses", multiple=True, help="Only this licence (may be repeated)."),
        click.option(
            "--state",
            "states",
            multiple=True,
            type=click.Choice(("ok", "broken", "unsafe")),
            help="Only this state.",
        ),
        click.option("--min-size", metavar="SIZE", help="At least this large, e.g. 2G."),
        click.option("--max-size", metavar="SIZE", help="At most this large."),
        click.option("--min-confidence", type=click.FloatRange(0, 1), help="At least this sure (0-1)."),
        click.option("--max-confidence", type=click.FloatRange(0, 1), help="At most this sure (0-1)."),
        click.option("--deleted", is_flag=True, help="Deleted models instead of the others."),
        click.option("--missing/--present", default=None, help="Only models whose file is gone / is there."),
        click.option("--deployed/--not-deployed", default=None, help="Only models that are / are not deployed."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def made_filter(min_size: str | None, max_size: str | None, **fields: Any) -> ModelFilter:
    return ModelFilter(
        min_size=output.parse_size(min_size) if min_size else None,
        max_size=output.parse_size(max_size) if max_size else None,
        **fields,
    )


@click.command(cls=HubCommand, name="list")
@filter_options
@click.option("--sort", type=click.Choice(SORT_KEYS), default="type", help="Order (default: type).")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.")
@click.pass_obj
def list_models(session: Session, /, sort: str, limit: int | None, **fields: Any) -> int:
    """List models, all or those that fit TEXT: words, and terms such as type:lora size:>2G is:deployed.

    A word is looked for in name, type, base, sub-type, tags and trigger words. All must fit; a,b means either, a minus
    before a term (write -- first) means not, = asks for the whole value: type:=lora. Fields: type, base, sub, name,
    tag, trigger, quant, format, category, can, license, size, sure, is.
    """
    wanted = made_filter(**fields)
    with open_hub(output.settings(session), create=False) as hub:
        models = hub.models.find(wanted, sort=sort, limit=limit)
        total = hub.models.count(wanted) if limit else len(models)
    if session.json:
        output.write_json({"models": models, "total": total})
    elif session.quiet:
        for model in models:
            output.line(str(model.id))
    else:
        _table(models)
        output.told(f"{len(models)} of {counted(total, 'model')}." if limit else f"{counted(total, 'model')}.")
    return 0


def _table(models: Sequence[Model]) -> None:
    columns = ("id", "type", "base", "sub-type", "sure", "precision", "size", "state", "hash", "name")
    rows = [
        (
            str(model.id),
            model.type,
            model.base,
            model.sub_type,
            "by hand" if model.method == "manual" else output.percent(model.confidence),
            model.quantization or model.precision,
            output.size(model.size),
            model.condition,
            model.sha256[:10],
            model.filename,
        )
        for model in models
    ]
    output.table(columns, rows, right=("id", "sure", "size"))


@click.command(cls=HubCommand)
@click.argument("model")
@click.pass_obj
def show(session: Session, model: str) -> int:
    """Show everything about MODEL: a name, an id, or the start of a hash."""
    with open_hub(output.settings(session), create=False) as hub:
        details = hub.models.details(model)
        trust = hub.trust.of(details)
    if session.json:
        output.write_json(_details_json(details) | {"trust": trust})
    else:
        _say_details(details)
        for name, value in told(trust)[1:]:
            output.line(f"{name:17} {value}")
    return 0


def _details_json(details: ModelDetails) -> dict[str, Any]:
    fields: dict[str, Any] = plain(details.model)
    return fields | {
        "path": details.path,
        "files": details.files,
        "locations": details.locations,
        "deployed": details.deployed,
        "corrections": details.corrections,
        "evidence": details.evidence,
        "external": details.external,
        "metadata": {key: value for _, key, value in details.metadata},
    }


def _say_details(details: ModelDetails) -> None:
    model = details.model
    facts: list[tuple[str, str]] = [
        ("name", model.filename),
        (
            "type",
            f"{model.type} ({'set by hand' if model.method == 'manual' else f'{model.confidence:.0%} sure'})",
        ),
        (
            "base",
            " / ".join(word for word in dict.fromkeys((model.base, model.sub_type, model.variant)) if word),
        ),
        ("size", f"{output.size(model.size)} ({model.size:,} bytes)"),
        ("format", " ".join(word for word in (model.format, model.precision, model.quantization) if word)),
        ("architecture", model.architecture),
        ("parameters", f"{model.parameters:,}" if model.parameters else ""),
        ("context", f"{model.context_length:,} tokens" if model.context_length else ""),
        ("tensors", f"{model.tensor_count:,}" if model.tensor_count else ""),
        ("category", "/".join(word for word in model.category if word)),
        ("reads and makes", ", ".join(model.modalities)),
        ("can", ", ".join(model.capabilities)),
        ("license", " ".join(word for word in (model.license, model.facts.get("license_name", "")) if word)),
        ("languages", ", ".join(model.languages)),
        ("adapter", _adapter(model)),
        ("made from", ", ".join(model.facts.get("base_models", ()))),
        ("datasets", ", ".join(model.facts.get("datasets", ()))),
        ("description", model.facts.get("description", "")),
        ("triggers", model.triggers),
        *((one.source, _site_says(one)) for one in details.external),
        ("tags", ", ".join(model.tags)),
        ("notes", model.notes),
        (
            "state",
            model.condition + (f": {model.message}" if model.message else ""),
        ),
    ]
    if len(details.files) > 1:
        facts += [("sha256", model.sha256)]
        facts += [
            (file.role, f"{file.sha256[:10]}  {output.size(file.size):>9}  {file.name}") for file in details.files
        ]
    elif details.files:
        file = details.files[0]
        facts += [("sha256", file.sha256), ("blake3", file.blake3), ("autov2", file.sha256[:10].upper())]
    facts += [("stored at", details.path)]
    facts += [
        (f"found ({place.how or 'known'})" if place.present else "was at", place.path) for place in details.locations
    ]
    facts += [("deployed to", path) for path in details.deployed]
    for name, value in facts:
        if value:
            output.line(f"{name:17} {value}")


def _site_says(record: External) -> str:
    told = external_says(record)
    when = f"{'gone' if record.gone else 'asked'} {record.fetched_at[:10]}"
    return f"{told or 'nothing'} ({when})"


def _adapter(model: Model) -> str:
    told = model.facts.get("adapter")
    if not told:
        return ""
    parts = [told["kind"]]
    parts += [f"rank {told['rank']}"] if told["rank"] else []
    parts += [f"alpha {told['alpha']:g}"] if told["alpha"] else []
    return ", ".join(parts) + (f" on {', '.join(told['targets'])}" if told["targets"] else "")


@click.command(cls=HubCommand, name="set")
@click.argument("model")
@click.option("--type", "kind", help="What it is; '' lets the rules decide again.")
@click.option("--sub-type", help="Its finer family; '' lets the rules decide again.")
@click.option("--base", help="Its base family; '' lets the rules decide again.")
@click.option("--category", help="What it is for, as PRIMARY/SECONDARY/SPECIALIZATION; '' lets the rules decide again.")
@click.option("--tag", "add_tags", multiple=True, help="Add a tag (may be repeated).")
@click.option("--untag", "remove_tags", multiple=True, help="Remove a tag (may be repeated).")
@click.option("--note", help="A note of yours; '' removes it.")
@click.option("--name", default="", help="Another name; links are called by it from the next deployment on.")
@click.option("--dry-run", is_flag=True, help="Show what the model would be; change nothing.")
@click.pass_obj
def set_fields(
    session: Session,
    model: str,
    kind: str | None,
    sub_type: str | None,
    base: str | None,
    category: str | None,
    add_tags: Sequence[str],
    remove_tags: Sequence[str],
    note: str | None,
    name: str,
    dry_run: bool,
) -> int:
    """Correct MODEL by hand. What is set here outlives every reclassification."""
    given = {"type": kind, "sub_type": sub_type, "base": base}
    fields = {name: value for name, value in given.items() if value is not None} | _levels(category)
    if not fields and not add_tags and not remove_tags and note is None and not name:
        raise click.UsageError("Nothing to set; see --help.")
    with open_hub(output.settings(session), create=False) as hub:
        changed = hub.models.correct(
            model, fields=fields, add_tags=add_tags, remove_tags=remove_tags, notes=note, name=name, dry_run=dry_run
        )
    if session.json:
        output.write_json(changed)
    elif not session.quiet:
        words = " ".join(dict.fromkeys(word for word in (changed.type, changed.base, changed.sub_type) if word))
        output.line(
            f"{changed.id}  {changed.filename}: {words}" + (f"  [{', '.join(changed.tags)}]" if changed.tags else "")
        )
    return 0


def _levels(category: str | None) -> dict[str, str]:
    """LANGUAGE/CODE/TECHNICAL as three fields; levels that are left out stay, and nothing at all lifts all three."""
    if category is None:
        return {}
    names = ("primary", "secondary", "specialization")
    if not category:
        return dict.fromkeys(names, "")
    words = [word.strip().upper() for word in category.split("/")]
    if len(words) > len(names):
        raise click.UsageError("A category has three levels: PRIMARY/SECONDARY/SPECIALIZATION.")
    return {name: word for name, word in zip(names, words, strict=False) if word}


@click.command(cls=HubCommand)
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--all", "everything", is_flag=True, help="Every model.")
@click.option("--stale", is_flag=True, help="Models judged by other rules, or marked (the default).")
@click.option("--dry-run", is_flag=True, help="Count what would change.")
@click.pass_obj
def reclassify(session: Session, models: Sequence[str], everything: bool, stale: bool, dry_run: bool) -> int:
    """Judge models again by the rules in force. What was set by hand stays."""
    if sum((bool(models), everything, stale)) > 1:
        raise click.UsageError("Name models, or use --all, or --stale.")
    with open_hub(output.settings(session), create=False) as hub:
        chosen = [hub.models.resolve(name) for name in models] or None
        if everything:
            chosen = hub.models.find(ModelFilter())
        value, problems = output.follow(hub.models.reclassify(chosen, dry_run=dry_run), session, output.say_problem)
    if session.json:
        output.write_json(output.result_line(value))
    elif not session.quiet:
        would = "would change" if dry_run else "changed"
        judged = counted(value.models, "model")
        output.line(f"{judged} judged, {value.changed} {would}, {value.unreachable} could not be reached.")
    return output.WITH_PROBLEMS if problems else 0


@click.command(cls=HubCommand, name="hash")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--all", "everything", is_flag=True, help="Every model.")
@click.option("--dry-run", is_flag=True, help="Count what would be written.")
@click.pass_obj
def hash_files(session: Session, models: Sequence[str], everything: bool, dry_run: bool) -> int:
    """Write NAME.sha256 beside each file of MODELs, where scans found it; `sha256sum -c` proves the file by it."""
    if bool(models) == everything:
        raise click.UsageError("Name models, or use --all.")
    with open_hub(output.settings(session), create=False) as hub:
        chosen = hub.models.find(ModelFilter()) if everything else [hub.models.resolve(name) for name in models]
        done, problems = output.follow(hub.hash_files.write(chosen, dry_run=dry_run), session, output.say_problem)
    told = f"{counted(done.written, 'hash file')} {'would be ' if dry_run else ''}written, {done.there} there."
    if done.nowhere:
        told += f" {counted(done.nowhere, 'model')} with no file where scans found it."
    return output.finish(session, done, told, problems)


@click.command(cls=HubCommand)
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--all", "everything", is_flag=True, help="Ask about every model again.")
@click.option("--source", "sources", multiple=True, type=click.Choice(SOURCES), help="Only this site.")
@click.option("--offline", is_flag=True, help="Ask nobody: show what was answered before.")
@click.option("--dry-run", is_flag=True, help="Say how many models would be asked about.")
@click.pass_obj
def lookup(
    session: Session, models: Sequence[str], everything: bool, sources: Sequence[str], offline: bool, dry_run: bool
) -> int:
    """Ask model sites what they know of models, by hash; of all that were never asked about, if none is named."""
    with open_hub(output.settings(session), create=False) as hub:
        chosen = [hub.models.resolve(name) for name in models] or None
        if offline:
            return _say_known(session, hub.lookup.known(chosen))
        task = hub.lookup.run(chosen, sources=sources or SOURCES, again=everything, dry_run=dry_run)
        value, problems = output.follow(task, session, output.say_problem)
    if session.json:
        output.write_json(output.result_line(value))
    elif not session.quiet:
        asked = counted(value.models, "model")
        if dry_run:
            output.line(f"{asked} would be asked about.")
        else:
            output.line(f"{asked} asked about, {value.found} found, {value.changed} changed.")
    return output.WITH_PROBLEMS if problems else 0


def _say_known(session: Session, known: Sequence[Known]) -> int:
    if session.json:
        output.write_json({"known": known})
    elif not session.quiet:
        rows = [(str(one.model_id), one.source, one.says, one.fetched_at[:10], one.filename) for one in known]
        output.table(("id", "site", "says", "asked", "name"), rows, right=("id",))
    return 0


@click.command(cls=HubCommand)
@click.pass_obj
def types(session: Session) -> int:
    """List the model types, those of your own rules among them."""
    from modelhub.core.places import HubPlaces  # noqa: PLC0415

    settings = output.settings(session)
    if HubPlaces(settings.hub).library.exists():
        with open_hub(settings, create=False) as hub:
            known = hub.models.types()
    else:
        known = list(Judge(settings.confidence_threshold).book.types.items())
    if session.json:
        output.write_json({"types": [{"name": name, "display_name": shown} for name, shown in known]})
    elif not session.quiet:
        output.table(("type", "name"), known)
    return 0


@click.command(cls=HubCommand)
@click.pass_obj
def stats(session: Session) -> int:
    """Count models and bytes by type."""
    with open_hub(output.settings(session), create=False) as hub:
        counts = hub.models.statistics()
    models, total = sum(count.models for count in counts), sum(count.size for count in counts)
    if session.json:
        output.write_json({"models": models, "size": total, "types": counts})
    elif not session.quiet:
        rows = [
            (count.type, str(count.models), output.percent(count.share), output.size(count.size)) for count in counts
        ]
        output.table(("type", "models", "share", "size"), rows, right=("models", "share", "size"))
        output.told(f"{counted(models, 'model')}, {output.size(total)}.")
    return 0
