"""What scans found: every place of every file, so that the next scan needs one stat for each."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select, text, update
from sqlalchemy.dialects.sqlite import insert as upsert

from modelhub.core.events import Outcome
from modelhub.core.names import storable
from modelhub.core.types import Classified, Digests, Stamp
from modelhub.store import library, schema
from modelhub.store.engine import Database, now

_F = schema.found_files.c
_M = schema.models.c
_LINKS_INTO_STORE = ("symlink", "move")
_BRIEF = (
    _M.primary_type, _M.base, _M.sub_type, _M.confidence, _M.state, _M.state_code, _M.state_message, _M.deleted,
)  # fmt: skip


class Seen(NamedTuple):
    """One recorded place, as the last scan left it."""

    id: int
    sha256: str | None
    outcome: str
    code: str
    message: str
    adopted: str
    present: bool
    dev: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    sample: str


class Place(NamedTuple):
    """As much of a recorded place as tells whether it is unchanged."""

    sha256: str | None
    adopted: str
    present: bool
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class Kind(NamedTuple):
    """As much of a model as is said of an unchanged file; the names are those of its columns."""

    primary_type: str
    base: str
    sub_type: str
    confidence: float
    state: str
    deleted: bool
    file_size: int


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


@dataclass(frozen=True, slots=True)
class Rejected:
    """One file that is no model, remembered so that it is not opened again."""

    path: str
    stamp: Stamp
    code: str
    message: str


class FoundFiles:
    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> dict[str, tuple[Any, ...]]:
        """Every recorded place by its path, as the fields of `Place`: plain rows, since there may be a million."""
        fields = ", ".join(Place._fields)
        escaped = "instr(path, '\\x')"  # only such a shown name can stand for one that is not UTF-8
        with self._database.read() as connection:
            plain = _plain_rows(connection, f"SELECT {fields}, path FROM found_files WHERE NOT {escaped}")
            exact = _plain_rows(connection, f"SELECT {fields}, path_bytes FROM found_files WHERE {escaped}")
        return {row[-1]: row for row in plain} | {os.fsdecode(row[-1]): row for row in exact}

    def at(self, path: str) -> Seen | None:
        """The whole record of one place."""
        query = select(*(_F[name] for name in Seen._fields)).where(_F.path_bytes == os.fsencode(path))
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else Seen(*row)

    def kinds(self) -> dict[str, tuple[Any, ...]]:
        """What every model is, also deleted ones, by its hash, as the fields of `Kind`."""
        with self._database.read() as connection:
            rows = _plain_rows(connection, f"SELECT {', '.join(Kind._fields)}, file_hash FROM models")
            return {row[-1]: row for row in rows}

    def brief(self, sha256: str) -> Brief | None:
        """The model of this content, if there is one."""
        with self._database.read() as connection:
            row = connection.execute(select(*_BRIEF).where(_M.file_hash == sha256)).first()
        return None if row is None else Brief(*row)

    def sources(self, digests: Iterable[str] | None = None) -> dict[str, str]:
        """For contents that are not in the store: a place where each was last seen."""
        c = schema.found_files.c
        own = c.present == 1, c.adopted.not_in(_LINKS_INTO_STORE)
        query = select(c.sha256, c.path_bytes).where(c.sha256.is_not(None), *own).order_by(c.id.desc())
        if digests is not None:
            query = query.where(c.sha256.in_(list(digests)))
        with self._database.read() as connection:
            return {row[0]: os.fsdecode(row[1]) for row in connection.execute(query)}

    def record(self, entries: Sequence[Entry], rules_digest: str) -> list[tuple[Outcome, Brief]]:
        """Commit models, contents and places in one transaction; what became of each file, and its model."""
        with self._database.write() as connection:
            new: list[tuple[int, Classified]] = []
            recorded = [_record_one(connection, entry, rules_digest, new) for entry in entries]
            library.store_evidence(connection, new)
            library.store_metadata(connection, new)
        return recorded

    def settle(self, places: Sequence[tuple[str, Stamp]]) -> None:
        """Note what stands at places after a link took a file's place there."""
        if not places:
            return
        with self._database.write() as connection:
            for path, stamp in places:
                connection.execute(
                    update(schema.found_files).where(_F.path_bytes == os.fsencode(path)).values(_stamp_values(stamp))
                )

    def note(self, rejected: Sequence[Rejected], links: Sequence[tuple[str, Stamp, str]]) -> None:
        """Remember files that are no models, and links into the store that an earlier scan or version left."""
        if not rejected and not links:
            return
        with self._database.write() as connection:
            for one in rejected:
                _put_place(
                    connection,
                    one.path,
                    one.stamp,
                    sha256=None,
                    outcome="skipped",
                    code=one.code,
                    message=one.message,
                )
            for path, stamp, sha256 in links:
                _put_place(connection, path, stamp, sha256=sha256, outcome="known", adopted="symlink")

    def moved(self, seen: Seen, path: str, stamp: Stamp) -> None:
        """The same file under another name: its record follows it."""
        with self._database.write() as connection:
            taken = schema.found_files.delete().where(_F.path_bytes == os.fsencode(path), _F.id != seen.id)
            connection.execute(taken)
            values = {
                "path": storable(path),
                "path_bytes": os.fsencode(path),
                "present": True,
            } | _stamp_values(stamp)
            connection.execute(update(schema.found_files).where(_F.id == seen.id).values(values))

    def stored(self) -> set[str]:
        """Contents that are in the store, by their rows."""
        with self._database.read() as connection:
            return {row[0] for row in _plain_rows(connection, "SELECT sha256 FROM blobs WHERE stored")}

    def known(self, digests: Iterable[str]) -> set[str]:
        """Those of these contents that have a row."""
        found: set[str] = set()
        with self._database.read() as connection:
            for chunk in _chunks(sorted(digests)):
                query = select(schema.blobs.c.sha256).where(schema.blobs.c.sha256.in_(chunk))
                found.update(connection.execute(query).scalars())
        return found

    def restore_truth(self, lost: Iterable[str], back: Mapping[str, str]) -> None:
        """Note contents that are not in the store any more, and those (with their names) that are there again."""
        blobs = schema.blobs
        with self._database.write() as connection:
            for chunk in _chunks(sorted(lost)):
                connection.execute(update(blobs).where(blobs.c.sha256.in_(chunk)).values(stored=False))
            for sha256, name in back.items():
                values = {"stored": True, "name": storable(name), "name_bytes": os.fsencode(name)}
                connection.execute(update(blobs).where(blobs.c.sha256 == sha256).values(values))
            mark_missing(connection)

    def close_scan(self, gone: Sequence[str], returned: Sequence[int], *, changed: bool) -> int:
        """What is gone is missing, never dropped; the number of models missing now. Writes only what changed."""
        if gone or returned or changed:
            with self._database.write() as connection:
                for chunk in _chunks(gone):
                    keys = [os.fsencode(path) for path in chunk]
                    connection.execute(update(schema.found_files).where(_F.path_bytes.in_(keys)).values(present=False))
                for ids in _chunks(returned):
                    connection.execute(update(schema.found_files).where(_F.id.in_(ids)).values(present=True))
                mark_missing(connection)
        with self._database.read() as connection:
            query = text("SELECT count(*) FROM models WHERE missing AND NOT deleted")
            return int(connection.execute(query).scalar_one())


def mark_missing(connection: Connection) -> None:
    """A model is missing while a content of it is neither stored nor at any place it was found."""
    reachable = (
        "EXISTS (SELECT 1 FROM model_files f JOIN blobs b ON b.sha256 = f.sha256 WHERE f.model_id = models.id"
        " AND NOT b.stored AND NOT EXISTS"
        " (SELECT 1 FROM found_files p WHERE p.sha256 = b.sha256 AND p.present"
        " AND p.adopted NOT IN ('symlink', 'move')))"
    )
    connection.execute(text(f"UPDATE models SET missing = 1 WHERE NOT missing AND {reachable}"))
    connection.execute(text(f"UPDATE models SET missing = 0 WHERE missing AND NOT {reachable}"))


def _record_one(
    connection: Connection, entry: Entry, rules_digest: str, new: list[tuple[int, Classified]]
) -> tuple[Outcome, Brief]:
    _put_blob(connection, entry)
    models = schema.models
    sha256 = entry.digests.sha256
    query = select(*_BRIEF, models.c.id).where(models.c.file_hash == sha256)
    row = connection.execute(query).first()
    if row is None:
        model_id = _insert_model(connection, entry, rules_digest)
        new.append((model_id, entry.classified))
    elif row.deleted:
        connection.execute(update(models).where(models.c.id == row.id).values(deleted=False, updated_at=now()))
    outcome = _outcome(connection, entry, row)
    _put_place(
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


def _put_place(
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
    } | _stamp_values(stamp)
    statement = upsert(schema.found_files).values(values | {"first_seen": moment})
    connection.execute(statement.on_conflict_do_update(index_elements=["path_bytes"], set_=values))


def _stamp_values(stamp: Stamp) -> dict[str, Any]:
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


def same_file(seen: Seen, status: os.stat_result) -> bool:
    """Unchanged since it was recorded. The device number is left out: it may differ after a restart."""
    return (
        seen.ctime_ns == status.st_ctime_ns
        and seen.mtime_ns == status.st_mtime_ns
        and seen.size == status.st_size
        and seen.inode == signed(status.st_ino)
    )


def perhaps_moved(seen: Seen, stamp: Stamp) -> bool:
    """The same inode, size and modification time: a rename changes only the ctime."""
    return seen.inode == signed(stamp.inode) and seen.size == stamp.size and seen.mtime_ns == stamp.mtime_ns


def _plain_rows(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    cursor = connection.exec_driver_sql(statement).cursor
    return [] if cursor is None else list(cursor.fetchall())


def _chunks(values: Sequence[Any], size: int = 500) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
