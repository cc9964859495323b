"""Deploy targets, their mappings and every link made: the deploy_* tables of modelhub.db."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from modelhub.core.deployment import Link, LinkFile, MakeLink, Target
from modelhub.core.errors import Conflict, NotFound
from modelhub.core.names import printable, storable
from modelhub.core.types import Sha256
from modelhub.store import schema
from modelhub.store.engine import Database, now

_T = schema.deploy_targets.c
_L = schema.deploy_links.c


class Targets:
    def __init__(self, database: Database) -> None:
        self._database = database

    def require_writable(self) -> None:
        """Raises Unreadable before anything is touched if what is done could not be recorded."""
        with self._database.write():
            pass

    def all(self) -> list[Target]:
        query = select(_T.id, _T.name, _T.display_name, _T.base_path, _T.enabled, _T.app).order_by(_T.id)
        mappings = schema.deploy_mappings.c
        with self._database.read() as connection:
            folders: dict[int, dict[str, str]] = {}
            for row in connection.execute(select(mappings.target_id, mappings.model_type, mappings.folder_path)):
                folders.setdefault(row[0], {})[row[1]] = row[2]
            rows = connection.execute(query).all()
        return [Target(r[0], r[1], r[2], r[3], bool(r[4]), r[5], folders.get(r[0], {})) for r in rows]

    def get(self, name: str) -> Target:
        targets = self.all()
        for target in targets:
            if target.name == name:
                return target
        names = ", ".join(target.name for target in targets) or "none"
        raise NotFound(f"There is no target {printable(name)!r}.", hint=f"Targets: {names}.")

    def add(self, target: Target) -> None:
        """A new target with its mappings; its id is given here. Raises Conflict if the name is taken."""
        with self._database.write() as connection:
            taken = select(_T.id).where(_T.name == target.name)
            if connection.execute(taken).first() is not None:
                raise Conflict(
                    f"There is a target {target.name!r} already.",
                    hint=f"`modelhub targets edit {target.name}` changes it.",
                )
            _add(connection, target)

    def have_defaults(self) -> bool:
        with self._database.read() as connection:
            return connection.execute(_DEFAULTS_MADE).first() is not None

    def add_defaults(self, targets: Sequence[Target]) -> None:
        """Give a hub without any target these; whichever program comes first does it, and it is done once."""
        with self._database.write() as connection:
            if connection.execute(_DEFAULTS_MADE).first() is not None:
                return
            if connection.execute(select(_T.id)).first() is None:
                for target in targets:
                    _add(connection, target)
            connection.execute(insert(schema.meta).values(key="default_targets", value="made"))

    def change(self, target_id: int, **values: Any) -> None:
        with self._database.write() as connection:
            changed = values | {"updated_at": now()}
            connection.execute(update(schema.deploy_targets).where(_T.id == target_id).values(changed))

    def remove(self, target_id: int) -> None:
        with self._database.write() as connection:
            connection.execute(delete(schema.deploy_targets).where(_T.id == target_id))

    def map(self, target_id: int, model_type: str, folder: str | None) -> None:
        """Set the folder of a type, or remove the mapping with None."""
        c = schema.deploy_mappings.c
        with self._database.write() as connection:
            if folder is None:
                mine = (c.target_id == target_id) & (c.model_type == model_type)
                connection.execute(delete(schema.deploy_mappings).where(mine))
            else:
                row = {"target_id": target_id, "model_type": model_type, "folder_path": folder}
                statement = upsert(schema.deploy_mappings).values(row)
                connection.execute(
                    statement.on_conflict_do_update(index_elements=["target_id", "model_type"], set_=row)
                )

    def links(self, target_ids: Iterable[int] | None = None) -> list[Link]:
        """Every recorded link, also those that are not deployed at present."""
        query = (
            select(
                _L.model_id, _L.target_id, _L.deploy_path, _L.source_path, _L.is_deployed, schema.models.c.file_hash,
                schema.deploy_link_files.c.path_bytes, schema.deploy_link_files.c.source_bytes,
                schema.deploy_link_files.c.sha256,
            )
            .join(schema.models, schema.models.c.id == _L.model_id)
            .outerjoin(schema.deploy_link_files, schema.deploy_link_files.c.link_id == _L.id)
            .order_by(_L.id, schema.deploy_link_files.c.id)
        )  # fmt: skip
        if target_ids is not None:
            query = query.where(_L.target_id.in_(list(target_ids)))
        found: dict[tuple[int, int], Link] = {}
        with self._database.read() as connection:
            for row in connection.execute(query):
                path = os.fsdecode(row[6]) if row[6] else row[2]
                source = os.fsdecode(row[7]) if row[7] else row[3]
                sha256 = Sha256(row[8] or row[5])
                first = found.get((row[0], row[1]))
                if first is None:
                    found[row[0], row[1]] = Link(row[0], row[1], path, source, bool(row[4]), sha256)
                else:
                    more = (*first.more, LinkFile(path, source, sha256))
                    found[row[0], row[1]] = replace(first, more=more)
        return list(found.values())

    def intend(self, steps: Sequence[MakeLink], target_ids: Mapping[str, int]) -> None:
        """Record links before they are made, so that none is ever made untracked."""
        with self._database.write() as connection:
            for step in steps:
                _put(connection, step, target_ids[step.target], deployed=False)

    def made(self, steps: Sequence[MakeLink], target_ids: Mapping[str, int]) -> None:
        self._mark([(step.model_id, target_ids[step.target]) for step in steps], deployed=True)

    def unmade(self, links: Sequence[tuple[int, int]]) -> None:
        """Note that the links of these (model id, target id) are gone."""
        self._mark(links, deployed=False)

    def _mark(self, links: Sequence[tuple[int, int]], *, deployed: bool) -> None:
        if not links:
            return
        with self._database.write() as connection:
            for model_id, target_id in links:
                values = {"is_deployed": deployed, "deployed_at": now() if deployed else None}
                mine = (_L.model_id == model_id) & (_L.target_id == target_id)
                connection.execute(update(schema.deploy_links).where(mine).values(values))


_DEFAULTS_MADE = select(schema.meta.c.value).where(schema.meta.c.key == "default_targets")


def _add(connection: Connection, target: Target) -> None:
    values = {
        "name": target.name,
        "display_name": storable(target.display_name),
        "base_path": storable(target.base_path),
        "enabled": target.enabled,
        "app": target.app,
        "created_at": now(),
        "updated_at": now(),
    }
    target_id = connection.execute(insert(schema.deploy_targets).values(values).returning(_T.id)).scalar_one()
    rows = [
        {"target_id": target_id, "model_type": kind, "folder_path": folder} for kind, folder in target.folders.items()
    ]
    if rows:
        connection.execute(upsert(schema.deploy_mappings).on_conflict_do_nothing(), rows)


def _put(connection: Connection, step: MakeLink, target_id: int, *, deployed: bool) -> None:
    row = {
        "model_id": step.model_id,
        "target_id": target_id,
        "source_path": storable(step.source),
        "deploy_path": storable(step.path),
        "is_deployed": deployed,
        "created_at": now(),
    }
    statement = upsert(schema.deploy_links).values(row)
    changed = {name: row[name] for name in ("source_path", "deploy_path", "is_deployed")}
    link_id = connection.execute(
        statement.on_conflict_do_update(index_elements=["model_id", "target_id"], set_=changed).returning(_L.id)
    ).scalar_one()
    files = schema.deploy_link_files
    connection.execute(delete(files).where(files.c.link_id == link_id))
    rows = [
        {
            "link_id": link_id,
            "sha256": file.sha256,
            "path_bytes": os.fsencode(file.path),
            "source_bytes": os.fsencode(file.source),
        }
        for file in step.files
    ]
    connection.execute(insert(files), rows)
