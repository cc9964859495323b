"""scan, classify, explain."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from modelhub.cli import output
from modelhub.cli.app import HubCommand, Session
from modelhub.core.config import Settings
from modelhub.core.errors import ModelHubError, NotFound
from modelhub.core.events import Event, FileSeen
from modelhub.core.names import counted
from modelhub.core.places import HubPlaces, user_rules
from modelhub.core.plain import plain
from modelhub.core.types import ADOPT_MODES, Adopt, Classified, Evidence, Model, ModelFilter
from modelhub.services.hub import Hub, open_hub, preview_hub
from modelhub.services.judge import Judge, model_files, require_exists
from modelhub.services.tally import ScanSummary

_WORDS = {
    "symlink": "move in, leaving a link",
    "move": "move in",
    "copy": "copy in",
    "reference": "index in place",
    "hardlink": "become hard links in the hub",
    "reflink": "be shared copy-on-write",
}


@click.command(cls=HubCommand)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--adopt",
    type=click.Choice(ADOPT_MODES),
    help="How files enter the store (default: the setting scan.adopt).",
)
@click.option("--dry-run", is_flag=True, help="Show what would happen; change nothing.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask before the first scan of a hub.")
@click.pass_obj
def scan(session: Session, paths: Sequence[str], adopt: Adopt | None, dry_run: bool, yes: bool) -> int:
    """Find the models under PATHs, store each content once, and say what each is."""
    settings = output.settings(session)
    roots = [require_exists(path) for path in paths]
    mode = adopt or settings.adopt
    if dry_run:
        with preview_hub(settings) as hub:
            return _run_scan(session, hub, roots, mode, dry_run=True)
    if not yes and _should_ask(settings, mode) and not _agreed(session, settings, roots, mode):
        output.told("Nothing was changed.")
        return 0
    with open_hub(settings) as hub:
        _say_upgraded(session, hub)
        return _run_scan(session, hub, roots, mode, dry_run=False)


def _should_ask(settings: Settings, mode: Adopt) -> bool:
    """The first scan of a hub moves files about; on a terminal we ask first, scripts are not held up."""
    if mode not in ("symlink", "move") or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    if not HubPlaces(settings.hub).library.exists():
        return True
    with open_hub(settings) as hub:
        return hub.models.count(ModelFilter()) == 0


def _agreed(session: Session, settings: Settings, roots: Sequence[str], mode: Adopt) -> bool:
    with preview_hub(settings) as hub:
        quiet = Session(quiet=session.quiet)
        summary, _ = output.follow(hub.scan(roots, adopt=mode, dry_run=True), quiet, lambda _: None)
    models = summary.outcomes.get("added", 0) + summary.outcomes.get("duplicate", 0)
    told = f"{counted(models, 'model')}, {output.size(summary.bytes_stored)}"
    output.told(f"{told}, would {_WORDS[mode]}: {settings.hub}/models.")
    return click.confirm("Go on?", default=False, err=True)


def _say_upgraded(session: Session, hub: Hub) -> None:
    if hub.upgraded_from and not session.quiet:
        output.told(f"The hub was upgraded; backups: {', '.join(str(path) for path in hub.upgraded_from)}.")


def _run_scan(session: Session, hub: Hub, roots: Sequence[str], mode: Adopt, *, dry_run: bool) -> int:
    summary, problems = output.follow(hub.scan(roots, adopt=mode, dry_run=dry_run), session, _say_file(session))
    if session.json:
        output.write_json(output.result_line(summary))
    elif not session.quiet:
        output.line(_summary(summary))
    return output.WITH_PROBLEMS if problems else 0


def _say_file(session: Session) -> Any:
    def say(event: Event) -> None:
        if isinstance(event, FileSeen) and event.outcome in ("added", "restored", "duplicate") and not session.quiet:
            what = " ".join(dict.fromkeys(word for word in (event.base, event.sub_type, event.type) if word))
            sure = f" {event.confidence:.0%}" if event.confidence else ""
            output.line(f"{event.outcome:9}  {what}{sure}  {os.path.basename(event.path)}")
        elif (
            isinstance(event, FileSeen)
            and event.outcome == "skipped"
            and event.code not in ("extension", "not_a_model")
        ):
            if not session.quiet:
                output.line(f"skipped    {event.code}  {event.path}: {event.message}")
        else:
            output.say_problem(event)

    return say


def _summary(summary: ScanSummary) -> str:
    parts = [
        f"{counted(count, 'model')} {outcome}" if outcome in ("added", "known") else f"{count} {outcome}"
        for outcome, count in sorted(summary.outcomes.items())
    ]
    would = "would be " if summary.dry_run else ""
    text = f"{counted(summary.files, 'file')}: {', '.join(parts) or 'none'}"
    text += f"; {output.size(summary.bytes_stored)} {would}new"
    if summary.bytes_duplicate:
        text += f", {output.size(summary.bytes_duplicate)} {would}saved as duplicates"
    if summary.missing:
        text += f"; {counted(summary.missing, 'model')} missing"
    return f"{text} ({summary.seconds:.1f} s)."


@click.command(cls=HubCommand)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.pass_obj
def classify(session: Session, paths: Sequence[str]) -> int:
    """Say what each file is, or each model in a folder. Uses a hub's own rules if there is a hub."""
    settings = output.settings(session)
    troubles = 0
    rows = []
    roots = [require_exists(path) for path in paths]
    with judging(settings) as judge:
        for path in _models_or_roots(roots, settings):
            try:
                classified = judge.at(path)
            except ModelHubError as error:
                output.told(f"! {error.message} {error.hint}")
                troubles += 1
                continue
            state = classified.inspection.state
            if state in ("broken", "unsafe"):
                troubles += 1
                output.told(f"! {state}: {path}: {classified.inspection.message}")
            if session.json:
                output.write_json(classified_fields(path, classified))
            else:
                rows.append(_classified_row(path, classified))
    if rows:
        output.table(("type", "base", "sub-type", "sure", "format", "precision", "name"), rows, right=("sure",))
    return output.WITH_PROBLEMS if troubles else 0


def _models_or_roots(roots: Sequence[str], settings: Settings) -> Iterator[str]:
    """The models under each root, or the root itself where there is none, so that it is said what it is not."""
    for root in roots:
        found = False
        for path in model_files([root], settings):
            found = True
            yield path
        if not found:
            yield root


@contextmanager
def judging(settings: Settings) -> Iterator[Judge]:
    """A judge by the rules of the hub, if there is one, else by those that are shipped and the user's own."""
    if HubPlaces(settings.hub).library.exists():
        with open_hub(settings) as hub:
            yield hub.judge
    else:
        yield Judge(settings.confidence_threshold, folders=(user_rules(os.environ),))


def classified_fields(path: str, classified: Classified) -> dict[str, Any]:
    """What `classify --json` says about one file."""
    verdict, facts, inspection = classified.verdict, classified.facts, classified.inspection
    return {
        "path": path,
        "type": verdict.type,
        "base": verdict.base,
        "sub_type": verdict.sub_type,
        "variant": verdict.variant,
        "confidence": verdict.confidence,
        "format": facts.format,
        "precision": facts.precision,
        "quantization": facts.quantization,
        "architecture": facts.architecture,
        "parameters": facts.parameters,
        "tensor_count": facts.tensor_count,
        "context_length": facts.context_length,
        "vocabulary_size": facts.vocabulary_size,
        "chat_template": facts.chat_template,
        "license": facts.license,
        "license_name": facts.license_name,
        "languages": facts.languages,
        "modalities": facts.modalities,
        "capabilities": facts.capabilities,
        "category": facts.category,
        "tags": facts.tags,
        "triggers": facts.triggers,
        "description": facts.description,
        "base_models": facts.base_models,
        "datasets": facts.datasets,
        "adapter": facts.adapter,
        "state": inspection.state,
        "code": inspection.code,
        "message": inspection.message,
        "candidates": verdict.candidates,
        "evidence": verdict.evidence,
    }


def _classified_row(path: str, classified: Classified) -> tuple[str, ...]:
    verdict, facts, inspection = classified.verdict, classified.facts, classified.inspection
    kind = verdict.type if inspection.state == "ok" else inspection.state.replace("_", " ")
    quality = facts.quantization or facts.precision
    name = os.path.basename(path)
    return (
        kind,
        verdict.base,
        verdict.sub_type,
        output.percent(verdict.confidence),
        facts.format,
        quality,
        name,
    )


@click.command(cls=HubCommand)
@click.argument("model", metavar="MODEL|PATH")
@click.pass_obj
def explain(session: Session, model: str) -> int:
    """Show all the evidence for what MODEL is: a model of the hub, or a file or folder."""
    settings = output.settings(session)
    if os.path.exists(os.path.expanduser(model)):
        path = require_exists(model)
        with judging(settings) as judge:
            classified = judge.at(path)
        if session.json:
            output.write_json(classified_fields(path, classified))
        else:
            verdict = classified.verdict
            _explain(
                os.path.basename(path),
                verdict.type, verdict.base, verdict.sub_type, verdict.confidence, classified.inspection.message,
                [(one.type, one.confidence) for one in verdict.candidates], verdict.evidence, {},
            )  # fmt: skip
        return 0
    if not HubPlaces(settings.hub).library.exists():
        raise NotFound(f"{model!r} is no file, and there is no hub to look in.", hint="Check the path or --hub.")
    with open_hub(settings, create=False) as hub:
        details = hub.models.details(model)
    if session.json:
        output.write_json(
            model_fields(details.model) | {"evidence": details.evidence, "corrections": details.corrections}
        )
    else:
        found = details.model
        _explain(
            found.filename, found.type, found.base, found.sub_type, found.confidence, found.message,
            [(one.type, one.confidence) for one in found.candidates], details.evidence, details.corrections,
        )  # fmt: skip
    return 0


def model_fields(model: Model) -> dict[str, Any]:
    fields: dict[str, Any] = plain(model)
    return fields


def _explain(
    name: str,
    kind: str,
    base: str,
    sub_type: str,
    confidence: float,
    message: str,
    candidates: Sequence[tuple[str, float]],
    evidence: Sequence[Evidence],
    corrections: Any,
) -> None:
    told = " ".join(dict.fromkeys(word for word in (base, sub_type) if word))
    output.line(f"{name}: {kind}{f' ({told})' if told else ''}, {confidence:.0%} sure")
    if message:
        output.line(message)
    for field, value in dict(corrections).items():
        output.line(f"Set by hand: {field} = {value}")
    others = [f"{other} {sure:.0%}" for other, sure in candidates if other != kind]
    if others:
        output.line(f"Other candidates: {', '.join(others)}")
    rows = [
        (
            one.method,
            one.claim or one.sub_type or one.base or one.variant or "-",
            output.percent(one.confidence),
            f"{one.weight:g}",
            one.because,
        )
        for one in evidence
    ]
    if rows:
        output.line()
        output.table(("method", "says", "sure", "weight", "because"), rows, right=("sure", "weight"))
