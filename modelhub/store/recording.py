"""One found file written down: its content, its model, its place."""

import os
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from modelhub.core.events import Outcome
from modelhub.core.names import storable
from modelhub.core.types import Classified, Digests, Role, Sha256, Stamp
from modelhub.store import schema, verdicts
from modelhub.store.engine import now

_F = schema.found_files.c
_M = schema.models.c
_MISSING = "missing_part"
"""Code of a model of which a part is not at its place."""

_DESCRIBING = (".json", ".txt", ".model", ".yaml", ".yml", ".jinja", ".tiktoken")
BRIEF = (
    _M.primary_type, _M.base, _M.sub_type, _M.confidence, _M.state, _M.state_code, _M.state_message, _M.deleted,
)  # fmt: skip


class Brief(NamedTuple):
    """As much of a model as a scan says about a known file."""

    type: str
    base: str
    sub_type: str
    confidence: float
    state: str
    code: str
    message: str
    deleted: bool


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file whose content is known, at the place where it was found. `name`: relative to its model.

    `stored`: its content is in the store, under `stored_name`. `recorded`: its content has a row already.
    """

    path: str
    name: str
    role: Role
    stamp: Stamp
    adopted: str
    stored: bool
    stored_name: str
    digests: Digests
    sample: str
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One model to be recorded: its address and bytes in `digests`, and its files, the leading one first."""

    name: str
    digests: Digests
    classified: Classified
    files: tuple[FileEntry, ...]
    same_file: bool = False


class Recorded(NamedTuple):
    """What became of one entry: its outcome, its model, and the model's address."""

    outcome: Outcome
    brief: Brief
    sha256: Sha256


def record_one(connection: Connection, entry: Entry, rules_digest: str, new: list[tuple[int, Classified]]) -> Recorded:
    for file in entry.files:
        if not file.recorded:
            _put_blob(connection, file)
    row, less = _existing(connection, entry)
    model_id = _insert_model(connection, entry, rules_digest) if row is None else row.id
    same = less or (row is not None and row.file_hash == entry.digests.sha256)
    if row is None:
        new.append((model_id, entry.classified))
    elif not same:
        _follow(connection, entry, row, rules_digest)
    elif row.deleted:
        connection.execute(update(schema.models).where(_M.id == row.id).values(deleted=False, updated_at=now()))
    _put_files(connection, entry, model_id)
    outcome = "known" if less else _outcome(connection, entry, row)
    for file in entry.files:
        put_place(
            connection, file.path, file.stamp, sha256=file.digests.sha256, outcome=outcome, adopted=file.adopted,
            sample=file.sample,
        )  # fmt: skip
    if row is None or not same:
        return Recorded(outcome, brief_of(entry.classified), entry.digests.sha256)
    return Recorded(outcome, Brief(*row[: len(BRIEF)]), Sha256(row.file_hash))


def _existing(connection: Connection, entry: Entry) -> tuple[Any, bool]:
    """The row of this model, or of what it was before; and whether these files are but some of its own.

    A model whose weights are all here is the same model with another configuration or with a part that was
    missed. One of which files are gone from this place is still the whole model that was recorded.
    """
    query = select(*BRIEF, _M.id, _M.file_hash)
    row = connection.execute(query.where(_M.file_hash == entry.digests.sha256)).first()
    if row is not None or entry.files[0].digests.sha256 == entry.digests.sha256:
        return row, False
    here = {(storable(file.name), file.digests.sha256) for file in entry.files if file.role != "companion"}
    for row in connection.execute(query.where(verdicts.called(entry.name), _M.deleted == 0)).all():
        held = needed_files(connection, row.id)
        if row.file_hash in {sha256 for _, sha256 in held}:
            continue  # a model of one file that has the same name
        if here <= held and entry.classified.inspection.code == _MISSING:
            return row, True
        if _stands_elsewhere(connection, row.id, entry):
            continue
        weights = {(name, sha256) for name, sha256 in held if not name.lower().endswith(_DESCRIBING)}
        if weights and weights <= here:
            return row, False
    alone = connection.execute(query.where(_M.file_hash == entry.files[0].digests.sha256, _M.deleted == 0)).first()
    if alone is not None and not _stands_elsewhere(connection, alone.id, entry):
        return alone, False  # it was met before the files came that make it a part
    return None, False


def _stands_elsewhere(connection: Connection, model_id: int, entry: Entry) -> bool:
    """Whether the file that stands for a model is also at a place that is not one of these."""
    files = schema.model_files.c
    lead = select(files.sha256).where(files.model_id == model_id, files.role == "main")
    here = [os.fsencode(file.path) for file in entry.files]
    other = select(_F.id).where(_F.sha256.in_(lead), _F.present == 1, _F.path_bytes.not_in(here))
    return connection.execute(other.limit(1)).first() is not None


def needed_files(connection: Connection, model_id: int) -> set[tuple[str, str]]:
    """Name and SHA-256 of every file that a model cannot do without."""
    files = schema.model_files.c
    query = select(files.relative_path, files.sha256).where(files.model_id == model_id, files.role != "companion")
    return {(row[0], row[1]) for row in connection.execute(query)}


def _follow(connection: Connection, entry: Entry, row: Any, rules_digest: str) -> None:
    """The same model with other files: its id, tags, notes and corrections stay."""
    values = verdicts.classified_values(entry.classified, rules_digest) | verdicts.corrected(connection, row.id)
    if row.file_hash == entry.files[0].digests.sha256 and not verdicts.is_renamed(connection, row.id):
        values |= {"filename": storable(entry.name)}
    values |= {"file_hash": entry.digests.sha256, "file_size": entry.digests.size, "updated_at": now()}
    connection.execute(update(schema.models).where(_M.id == row.id).values(values))
    files, said = schema.model_files, schema.evidence
    connection.execute(files.delete().where(files.c.model_id == row.id))
    connection.execute(said.delete().where(said.c.model_id == row.id))
    verdicts.store_evidence(connection, [(row.id, entry.classified)])


def _put_files(connection: Connection, entry: Entry, model_id: int) -> None:
    for file in entry.files:
        values = {"sha256": file.digests.sha256, "role": file.role}
        row = values | {"model_id": model_id, "relative_path": storable(file.name)}
        if len(entry.files) == 1:
            held = select(schema.model_files.c.id).where(schema.model_files.c.model_id == model_id)
            if connection.execute(held).first() is not None:
                continue  # a second copy under another name
        statement = upsert(schema.model_files).values(row)
        statement = statement.on_conflict_do_update(index_elements=["model_id", "relative_path"], set_=values)
        connection.execute(statement)


def brief_of(classified: Classified) -> Brief:
    verdict, inspection = classified.verdict, classified.inspection
    return Brief(
        type=verdict.type,
        base=verdict.base,
        sub_type=verdict.sub_type,
        confidence=verdict.confidence,
        state=inspection.state,
        code=inspection.code,
        message=inspection.message,
        deleted=False,
    )


def _outcome(connection: Connection, entry: Entry, row: Any) -> Outcome:
    state = entry.classified.inspection.state
    if state == "broken":
        return "broken"
    if state == "unsafe":
        return "unsafe"
    if row is None:
        return "added"
    if row.deleted:
        return "restored"
    lead = entry.files[0]
    here = select(_F.sha256).where(_F.path_bytes == os.fsencode(lead.path))
    again = entry.same_file or connection.execute(here).scalar() == lead.digests.sha256
    return "known" if again else "duplicate"


def _put_blob(connection: Connection, file: FileEntry) -> None:
    statement = upsert(schema.blobs).values(
        sha256=file.digests.sha256,
        name=storable(file.stored_name),
        name_bytes=os.fsencode(file.stored_name),
        size=file.digests.size,
        blake3=file.digests.blake3,
        autov1=file.digests.autov1,
        autov3="",
        crc32="",
        stored=file.stored,
        verified_at=now(),
        created_at=now(),
        quarantined_at="",
    )
    new = statement.excluded
    known = {"blake3": new.blake3, "autov1": new.autov1}
    if file.stored:
        known |= {
            "quarantined_at": new.quarantined_at,
            "stored": new.stored,
            "name": new.name,
            "name_bytes": new.name_bytes,
        }
    connection.execute(statement.on_conflict_do_update(index_elements=["sha256"], set_=known))


def _insert_model(connection: Connection, entry: Entry, rules_digest: str) -> int:
    name = storable(entry.name)
    values = verdicts.classified_values(entry.classified, rules_digest) | {
        "file_hash": entry.digests.sha256,
        "reclassify": "",
        "deleted": False,
        "filename": name,
        "file_size": entry.digests.size,
        "file_extension": storable(PurePath(entry.files[0].name).suffix.lower()),
        "created_at": now(),
        "updated_at": now(),
        "external_score": 0.0,
        "missing": False,
        "notes": "",
    }
    return int(connection.execute(insert(schema.models).values(values).returning(_M.id)).scalar_one())


def put_place(
    connection: Connection,
    path: str,
    stamp: Stamp,
    *,
    sha256: str | None,
    outcome: str,
    code: str = "",
    message: str = "",
    adopted: str = "",
    sample: str = "",
) -> None:
    moment = now()
    values = {
        "path": storable(path),
        "path_bytes": os.fsencode(path),
        "sha256": sha256,
        "outcome": outcome,
        "code": code,
        "message": storable(message),
        "adopted": adopted,
        "present": True,
        "sample": sample,
        "recorded_at": moment,
    } | stamp_values(stamp)
    statement = upsert(schema.found_files).values(values | {"first_seen": moment})
    connection.execute(statement.on_conflict_do_update(index_elements=["path_bytes"], set_=values))


def stamp_values(stamp: Stamp) -> dict[str, Any]:
    return {
        "dev": signed(stamp.dev),
        "inode": signed(stamp.inode),
        "size": stamp.size,
        "mtime_ns": stamp.mtime_ns,
        "ctime_ns": stamp.ctime_ns,
    }


def signed(number: int) -> int:
    """Device and inode numbers have 64 bits without a sign; SQLite's integers have one."""
    return number - (1 << 64) if number >= 1 << 63 else number
