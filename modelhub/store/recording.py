"""One found file written down: its content, its model, its place."""

import os
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from modelhub.core.events import Outcome
from modelhub.core.names import storable
from modelhub.core.types import Classified, Digests, Stamp
from modelhub.store import library, schema
from modelhub.store.engine import now

_F = schema.found_files.c
_M = schema.models.c
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
class Entry:
    """One file whose content is known, to be recorded. `stored`: its content is in the store, under `name`."""

    path: str
    name: str
    stamp: Stamp
    adopted: str
    stored: bool
    digests: Digests
    sample: str
    classified: Classified
    same_file: bool = False


def record_one(
    connection: Connection, entry: Entry, rules_digest: str, new: list[tuple[int, Classified]]
) -> tuple[Outcome, Brief]:
    _put_blob(connection, entry)
    models = schema.models
    sha256 = entry.digests.sha256
    query = select(*BRIEF, models.c.id).where(models.c.file_hash == sha256)
    row = connection.execute(query).first()
    if row is None:
        model_id = _insert_model(connection, entry, rules_digest)
        new.append((model_id, entry.classified))
    elif row.deleted:
        connection.execute(update(models).where(models.c.id == row.id).values(deleted=False, updated_at=now()))
    outcome = _outcome(connection, entry, row)
    put_place(
        connection, entry.path, entry.stamp, sha256=sha256, outcome=outcome, adopted=entry.adopted, sample=entry.sample
    )
    return outcome, brief_of(entry.classified) if row is None else Brief(*row[:-1])


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
    here = select(_F.sha256).where(_F.path_bytes == os.fsencode(entry.path))
    again = entry.same_file or connection.execute(here).scalar() == entry.digests.sha256
    return "known" if again else "duplicate"


def _put_blob(connection: Connection, entry: Entry) -> None:
    statement = upsert(schema.blobs).values(
        sha256=entry.digests.sha256,
        name=storable(entry.name),
        name_bytes=os.fsencode(entry.name),
        size=entry.digests.size,
        blake3=entry.digests.blake3,
        autov1=entry.digests.autov1,
        autov3="",
        crc32="",
        stored=entry.stored,
        verified_at=now(),
        created_at=now(),
    )
    new = statement.excluded
    known = {"blake3": new.blake3, "autov1": new.autov1}
    if entry.stored:
        known |= {"stored": new.stored, "name": new.name, "name_bytes": new.name_bytes}
    connection.execute(statement.on_conflict_do_update(index_elements=["sha256"], set_=known))


def _insert_model(connection: Connection, entry: Entry, rules_digest: str) -> int:
    name = storable(os.path.basename(entry.path))
    values = library.classified_values(entry.classified, rules_digest) | {
        "file_hash": entry.digests.sha256,
        "reclassify": "",
        "deleted": False,
        "filename": name,
        "file_size": entry.digests.size,
        "file_extension": storable(PurePath(name).suffix.lower()),
        "created_at": now(),
        "updated_at": now(),
        "external_score": 0.0,
        "missing": False,
        "notes": "",
    }
    model_id = connection.execute(insert(schema.models).values(values)).inserted_primary_key
    if model_id is None:
        raise AssertionError
    file = {"model_id": model_id[0], "sha256": entry.digests.sha256, "relative_path": name}
    connection.execute(insert(schema.model_files).values(file))
    return int(model_id[0])


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
