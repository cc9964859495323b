"""What scans found: every place of every file, so that the next scan needs one stat for each."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, select, text, update

from modelhub.core.names import storable
from modelhub.core.types import Classified, Stamp
from modelhub.store import schema, verdicts
from modelhub.store.engine import Database, chunks, now
from modelhub.store.recording import (
    BRIEF,
    Brief,
    Entry,
    Recorded,
    needed_files,
    put_place,
    record_one,
    signed,
    stamp_values,
)

_F = schema.found_files.c
_M = schema.models.c
_LINKS_INTO_STORE = ("symlink", "move")


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
    """As much of a place where a file was last seen as tells whether it is unchanged."""

    sha256: str | None
    adopted: str
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class Kind(NamedTuple):
    """As much of a sound model as is said of an unchanged file; the names are those of its columns."""

    primary_type: str
    base: str
    sub_type: str
    confidence: float


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

    def present(self) -> dict[str, tuple[Any, ...]]:
        """Places where a file was last seen, as the fields of `Place`: plain rows, since there may be a million."""
        fields = ", ".join((*Place._fields, "path"))
        with self._database.read() as connection:
            rows = _plain_rows(connection, f"SELECT {fields} FROM found_files WHERE present")
            places = {row[-1]: row for row in rows}
            # a shown name like this may stand for one that is not UTF-8, even for two
            query = f"SELECT {fields}, path_bytes FROM found_files WHERE present AND instr(path, '\\x')"
            shown = _plain_rows(connection, query)
        for row in shown:
            places.pop(row[-2], None)
        places.update((os.fsdecode(row[-1]), row[:-1]) for row in shown)
        return places

    def absent(self) -> set[str]:
        """Recorded places where no file was at the last look."""
        with self._database.read() as connection:
            rows = _plain_rows(connection, "SELECT path_bytes FROM found_files WHERE NOT present")
            return {os.fsdecode(row[0]) for row in rows}

    def sizes(self) -> set[int]:
        """Sizes of all known contents, in bytes."""
        with self._database.read() as connection:
            query = "SELECT DISTINCT size FROM found_files WHERE sha256 IS NOT NULL"
            return {row[0] for row in _plain_rows(connection, query)}

    def by_inode(self) -> dict[tuple[int, int], list[str]]:
        """Recorded places by inode (as `signed`) and size in bytes, also those that are gone."""
        found: dict[tuple[int, int], list[str]] = {}
        with self._database.read() as connection:
            for inode, size, path in _plain_rows(connection, "SELECT inode, size, path_bytes FROM found_files"):
                found.setdefault((inode, size), []).append(os.fsdecode(path))
        return found

    def at(self, path: str) -> Seen | None:
        """The whole record of one place."""
        query = select(*(_F[name] for name in Seen._fields)).where(_F.path_bytes == os.fsencode(path))
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else Seen(*row)

    def kinds(self) -> dict[str, tuple[Any, ...]]:
        """What every sound model is, by the hash of the file that stands for it: the fields of `Kind`, its address.

        The other files of models of many are given as an empty tuple. Deleted models are left out.
        """
        fields = ", ".join(Kind._fields)
        sound = "m.state = 'ok' AND NOT m.deleted"
        files = "FROM model_files f JOIN models m ON m.id = f.model_id WHERE"
        with self._database.read() as connection:
            query = f"SELECT {fields}, file_hash FROM models m WHERE {sound}"
            kinds = {row[-1]: row for row in _plain_rows(connection, query)}
            leads = f"SELECT {fields}, m.file_hash, f.sha256 {files} {sound} AND f.role = 'main'"
            for *kind, lead in _plain_rows(connection, f"{leads} AND f.sha256 != m.file_hash"):
                kinds.setdefault(lead, tuple(kind))
            for (part,) in _plain_rows(connection, f"SELECT f.sha256 {files} {sound} AND f.role != 'main'"):
                kinds.setdefault(part, ())
        return kinds

    def brief(self, sha256: str) -> Brief | None:
        """The model of this content, if there is one."""
        with self._database.read() as connection:
            row = connection.execute(select(*BRIEF).where(_M.file_hash == sha256)).first()
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

    def copies(self, digests: Iterable[str]) -> list[tuple[str, str]]:
        """Every place where one of these contents was last seen as a file of its own: SHA-256 and path."""
        c = schema.found_files.c
        own = c.present == 1, c.adopted.not_in(_LINKS_INTO_STORE)
        found: list[tuple[str, str]] = []
        with self._database.read() as connection:
            for some in chunks(sorted(digests)):
                query = select(c.sha256, c.path_bytes).where(c.sha256.in_(some), *own).order_by(c.id.desc())
                found += [(row[0], os.fsdecode(row[1])) for row in connection.execute(query)]
        return found

    def links(self) -> list[tuple[str, str]]:
        """Every place where a scan left a link into the store: path and SHA-256."""
        query = (
            "SELECT path_bytes, sha256 FROM found_files WHERE present AND adopted = 'symlink' AND sha256 IS NOT NULL"
        )
        with self._database.read() as connection:
            return [(os.fsdecode(row[0]), row[1]) for row in _plain_rows(connection, query)]

    def holding(self, name: str, files: Iterable[tuple[str, str]]) -> str:
        """The address of a model of this name that these files (name, SHA-256) are a part of; empty if none is."""
        here = {(storable(relative), sha256) for relative, sha256 in files}
        query = select(_M.id, _M.file_hash).where(verdicts.called(name), _M.deleted == 0, _M.state == "ok")
        with self._database.read() as connection:
            for row in connection.execute(query).all():
                if here and here <= needed_files(connection, row.id):
                    return str(row.file_hash)
        return ""

    def record(self, entries: Sequence[Entry], rules_digest: str) -> list[Recorded]:
        """Commit models, contents and places in one transaction; what became of each file, and its model."""
        with self._database.write() as connection:
            new: list[tuple[int, Classified]] = []
            recorded = [record_one(connection, entry, rules_digest, new) for entry in entries]
            verdicts.store_evidence(connection, new)
            verdicts.store_metadata(connection, new)
        return recorded

    def settle(self, places: Sequence[tuple[str, Stamp]]) -> None:
        """Note what stands at places after a link took a file's place there."""
        if not places:
            return
        with self._database.write() as connection:
            for path, stamp in places:
                connection.execute(
                    update(schema.found_files).where(_F.path_bytes == os.fsencode(path)).values(stamp_values(stamp))
                )

    def note(self, rejected: Sequence[Rejected], links: Sequence[tuple[str, Stamp, str]]) -> None:
        """Remember files that are no models, and links into the store that an earlier scan or version left."""
        if not rejected and not links:
            return
        with self._database.write() as connection:
            for one in rejected:
                put_place(
                    connection,
                    one.path,
                    one.stamp,
                    sha256=None,
                    outcome="skipped",
                    code=one.code,
                    message=one.message,
                )
            for path, stamp, sha256 in links:
                put_place(connection, path, stamp, sha256=sha256, outcome="known", adopted="symlink")

    def moved(self, seen: Seen, path: str, stamp: Stamp) -> None:
        """The same file under another name: its record follows it."""
        with self._database.write() as connection:
            taken = schema.found_files.delete().where(_F.path_bytes == os.fsencode(path), _F.id != seen.id)
            connection.execute(taken)
            values = {
                "path": storable(path),
                "path_bytes": os.fsencode(path),
                "present": True,
            } | stamp_values(stamp)
            connection.execute(update(schema.found_files).where(_F.id == seen.id).values(values))

    def stored(self) -> set[str]:
        """Contents that are in the store, by their rows."""
        with self._database.read() as connection:
            return {row[0] for row in _plain_rows(connection, "SELECT sha256 FROM blobs WHERE stored")}

    def known(self, digests: Iterable[str]) -> set[str]:
        """Those of these contents that have a row."""
        found: set[str] = set()
        with self._database.read() as connection:
            for chunk in chunks(sorted(digests)):
                query = select(schema.blobs.c.sha256).where(schema.blobs.c.sha256.in_(chunk))
                found.update(connection.execute(query).scalars())
        return found

    def set_aside(self, sha256: str) -> None:
        """Note that a damaged content was moved out of the store."""
        with self._database.write() as connection:
            connection.exec_driver_sql(
                "UPDATE blobs SET stored = 0, quarantined_at = ? WHERE sha256 = ?", (now(), sha256)
            )
            mark_missing(connection)

    def restore_truth(self, lost: Iterable[str], back: Mapping[str, str]) -> None:
        """Note contents that are not in the store any more, and those (with their names) that are there again."""
        blobs = schema.blobs
        with self._database.write() as connection:
            for chunk in chunks(sorted(lost)):
                connection.execute(update(blobs).where(blobs.c.sha256.in_(chunk)).values(stored=False))
            for sha256, name in back.items():
                values = {"stored": True, "name": storable(name), "name_bytes": os.fsencode(name), "quarantined_at": ""}
                connection.execute(update(blobs).where(blobs.c.sha256 == sha256).values(values))
            mark_missing(connection)

    def close_scan(self, gone: Sequence[str], returned: Sequence[int], *, changed: bool) -> int:
        """What is gone is missing, never dropped; the number of models missing now. Writes only what changed."""
        if gone or returned or changed:
            with self._database.write() as connection:
                for chunk in chunks(gone):
                    keys = [os.fsencode(path) for path in chunk]
                    connection.execute(update(schema.found_files).where(_F.path_bytes.in_(keys)).values(present=False))
                for ids in chunks(returned):
                    connection.execute(update(schema.found_files).where(_F.id.in_(ids)).values(present=True))
                mark_missing(connection)
        with self._database.read() as connection:
            query = text("SELECT count(*) FROM models WHERE missing AND NOT deleted")
            return int(connection.execute(query).scalar_one())


def mark_missing(connection: Connection) -> None:
    """A model is missing while a content of it is neither stored nor at any place it was found."""
    reachable = (
        "EXISTS (SELECT 1 FROM model_files f JOIN blobs b ON b.sha256 = f.sha256 WHERE f.model_id = models.id"
        " AND f.role != 'companion' AND NOT b.stored AND NOT EXISTS"
        " (SELECT 1 FROM found_files p WHERE p.sha256 = b.sha256 AND p.present"
        " AND p.adopted NOT IN ('symlink', 'move')))"
    )
    connection.execute(text(f"UPDATE models SET missing = 1 WHERE NOT missing AND {reachable}"))
    connection.execute(text(f"UPDATE models SET missing = 0 WHERE missing AND NOT {reachable}"))


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
