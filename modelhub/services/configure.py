"""An app's configuration as it is to be after a deployment."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from modelhub.apps import configs
from modelhub.apps.configs import Entry, Wanted
from modelhub.apps.layouts import config_path
from modelhub.core.deployment import Deployable, Link, LinkFile, MakeLink, Note, RemoveLink, Step, WriteConfig
from modelhub.core.errors import ModelHubError
from modelhub.core.places import expand
from modelhub.core.templates import fixed_part
from modelhub.files import placements
from modelhub.services.prepare import Prepared, method_of
from modelhub.services.selecting import Selection
from modelhub.services.standing import entry_parts
from modelhub.store.targets import Written


def has_config(prepared: Prepared, known: Mapping[str, Written]) -> bool:
    """Whether the target's app is told by a file where its models are, or was."""
    return prepared.app.config is not None and (_points(prepared) or bool(known))


def _points(prepared: Prepared) -> bool:
    by_itself = prepared.app.layout in ("entries", "view")
    return by_itself or method_of(prepared.target, prepared.app) == "config"


def config_steps(
    prepared: Prepared,
    records: Iterable[Link],
    steps: Sequence[Step],
    models: Mapping[int, Deployable],
    selection: Selection,
    known: Mapping[str, Written],
) -> Iterator[Step]:
    """The changes to the target's configuration that its plan brings; a note where it cannot be changed.

    `known` is what we wrote before. Where the app is no longer told by a file, our part of it goes.
    """
    config = prepared.app.config
    if config is None:
        return
    own_base = expand(prepared.target.base_path)
    path = config_path(prepared.target, prepared.app, own_base)
    records = list(records)
    after = _after(records, steps) if _points(prepared) else {}
    wanted = _wanted(prepared, after, models, selection, own_base, before=records)
    former = tuple({one.root for one in known.values() if one.root and one.root != wanted.root})
    wanted = replace(wanted, former=former)
    try:
        before = None if config.kind == "local_tree" else placements.read_config(path)[0]
        files = configs.merged(config.kind, path, before, wanted)
        yield from _writes(prepared, files, known, gone=not after, root=wanted.root)
    except (ModelHubError, OSError) as error:
        told = f"{error.message} {error.hint}" if isinstance(error, ModelHubError) else f"{path}: {error.strerror}"
        yield Note(prepared.target.name, "config", told.strip())


def _after(records: Iterable[Link], steps: Sequence[Step]) -> dict[int, tuple[LinkFile, ...]]:
    """The files of every model that is deployed once the plan is done."""
    after = {link.model_id: link.files for link in records if link.deployed}
    for step in steps:
        if isinstance(step, RemoveLink):
            after.pop(step.model_id, None)
        elif isinstance(step, MakeLink):
            after[step.model_id] = step.files
    return after


def _wanted(
    prepared: Prepared,
    after: Mapping[int, tuple[LinkFile, ...]],
    models: Mapping[int, Deployable],
    selection: Selection,
    own_base: str,
    *,
    before: Iterable[Link],
) -> Wanted:
    entries: dict[str, Entry] = {}
    for files in after.values():
        if files[0].how == "entry":
            name = entry_parts(files[0])[1]
            entries[name] = Entry(files[0].source, next((file.source for file in files[1:]), ""))
    standing = prepared.standing
    ours = {
        entry_parts(file)[1]
        for link in before
        for file in link.files
        if file.how == "entry"
        and (standing.of(file) or file.path in {one.path for one in after.get(link.model_id, ())})
    }
    inventory: list[dict[str, Any]] = []
    if prepared.app.layout == "view":
        inventory = [
            {"path": os.path.relpath(files[0].path, prepared.base)} | selection.described(models[model_id])
            for model_id, files in sorted(after.items(), key=lambda item: item[1][0].path)
            if model_id in models
        ]
    block = "modelhub" if prepared.target.name == prepared.app.name else f"modelhub_{prepared.target.name}"
    return Wanted(
        root=prepared.base,
        block=block,
        folders={} if prepared.app.layout == "entries" else _folders(prepared, after),
        own=own_base,
        entries=entries,
        ours=frozenset(ours),
        models=inventory,
    )


def _folders(prepared: Prepared, after: Mapping[int, tuple[LinkFile, ...]]) -> dict[str, list[str]]:
    """The folders in use below our root, by what the app calls them."""
    target, app = prepared.target, prepared.app
    names = {folder: app.folders.get(kind, folder) for kind, folder in sorted(target.folders.items())}
    names |= {rule.folder: rule.folder for rule in (*target.options.rules, *app.rules) if rule.folder}
    roots = {fixed_part(folder): name for folder, name in names.items()}
    used: dict[str, list[str]] = {}
    for files in after.values():
        inside = os.path.relpath(files[0].path, prepared.base)
        fitting = [root for root in roots if root and inside.startswith(f"{root}/")]
        if fitting:
            root = max(fitting, key=len)
            listed = used.setdefault(roots[root], [])
            if root not in listed:
                listed.append(root)
    return {name: sorted(folders) for name, folders in sorted(used.items())}


def _writes(
    prepared: Prepared, files: Mapping[str, bytes | None], known: Mapping[str, Written], *, gone: bool, root: str
) -> Iterator[Step]:
    name, kind = prepared.target.name, prepared.app.config.kind if prepared.app.config else ""
    for path, content in files.items():
        found, digest = placements.read_config(path)
        last = known.get(path, Written("", made=False, root=""))
        if kind == "local_tree" and digest and last.sha256 != digest:
            told = f"{path} is not as ModelHub wrote it, so it is left alone. Move it away for a new one."
            yield Note(name, "config", told)
            continue
        if content is None and found is not None and not (kind == "local_tree" or last.made):
            content = b"{}\n" if kind in ("fooocus", "wan2gp") else b""  # noqa: PLW2901  (the file was there before us)
        if content != found:
            because = "nothing is deployed there any more" if gone else "it names what is deployed"
            folders = _folders_named(content) if kind == "fooocus" else ()
            yield WriteConfig(name, path, digest, content, because, first=gone, folders=folders, root=root)


def _folders_named(content: bytes | None) -> tuple[str, ...]:
    """Folders of a list in Fooocus's configuration: one that is missing would discard the whole list."""
    document = json.loads(content) if content else {}
    lists = (value for value in document.values() if isinstance(value, list))
    return tuple(folder for folders in lists for folder in folders if isinstance(folder, str) and os.path.isabs(folder))
