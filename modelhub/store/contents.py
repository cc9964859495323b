"""Contents: when they were read, where copies of them lie, and which have the same tensors."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from modelhub.core.types import Sha256
from modelhub.store.engine import Database, chunks, now


class Standing(NamedTuple):
    """A file of a model at a place where a scan found it, and what it was then: `size` in bytes."""

    path: str
    sha256: Sha256
    size: int
    mtime_ns: int


class Contents:
    def __init__(self, database: Database) -> None:
        self._database = database

    def verified(self, digests: Sequence[str]) -> None:
        """Note that these contents were read whole and found right."""
        if digests:
            moment = now()
            with self._database.write() as connection:
                connection.exec_driver_sql(
                    "UPDATE blobs SET verified_at = ?, quarantined_at = '' WHERE sha256 = ?",
                    [(moment, sha256) for sha256 in digests],
                )

    def verified_at(self) -> dict[str, str]:
        """When each content was last read whole and found right."""
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.exec_driver_sql("SELECT sha256, verified_at FROM blobs")}

    def first_added(self) -> str:
        """When the oldest content came; empty if there is none."""
        with self._database.read() as connection:
            return connection.exec_driver_sql("SELECT coalesce(min(created_at), '') FROM blobs").scalar_one() or ""

    def copies(self) -> list[tuple[str, str]]:
        """Places where a scan left a file of its own: SHA-256 and path."""
        query = (
            "SELECT sha256, path_bytes FROM found_files WHERE present AND adopted IN ('copy', 'reference', 'reflink')"
        )
        with self._database.read() as connection:
            return [(row[0], os.fsdecode(row[1])) for row in connection.exec_driver_sql(query) if row[0]]

    def places(self, model_ids: Sequence[int]) -> dict[int, list[Standing]]:
        """Where each model's files stand, as far as scans found them at places of the user's; companions left out."""
        found: dict[int, list[Standing]] = {}
        with self._database.read() as connection:
            for some in chunks(model_ids):
                query = (
                    "SELECT f.model_id, p.path_bytes, p.sha256, p.size, p.mtime_ns"
                    " FROM model_files f JOIN found_files p"
                    f" ON p.sha256 = f.sha256 WHERE f.model_id IN ({', '.join('?' * len(some))}) AND p.present"
                    " AND f.role <> 'companion' ORDER BY p.path_bytes"
                )
                for model_id, path, *stood in connection.exec_driver_sql(query, tuple(some)):
                    found.setdefault(model_id, []).append(Standing(os.fsdecode(path), *stood))
        return found

    def tensor_hashes(self) -> dict[str, str]:
        """The SHA-256 of the tensors alone, by content, as far as it is known."""
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.exec_driver_sql("SELECT sha256, autov3 FROM blobs")}

    def note_tensor_hash(self, sha256: str, hashed: str) -> None:
        with self._database.write() as connection:
            connection.exec_driver_sql("UPDATE blobs SET autov3 = ? WHERE sha256 = ?", (hashed, sha256))

    def same_tensors(self) -> dict[str, list[int]]:
        """Models whose leading files have the same tensors, by the hash of those."""
        query = (
            "SELECT b.autov3, f.model_id FROM blobs b JOIN model_files f ON f.sha256 = b.sha256 JOIN models m"
            " ON m.id = f.model_id WHERE b.autov3 <> '' AND f.role = 'main' AND NOT m.deleted ORDER BY f.model_id"
        )
        found: dict[str, list[int]] = {}
        with self._database.read() as connection:
            for hashed, model_id in connection.exec_driver_sql(query):
                found.setdefault(hashed, []).append(model_id)
        return {hashed: ids for hashed, ids in found.items() if len(ids) > 1}
