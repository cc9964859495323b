"""Deploy targets, their mappings and every link made: the deploy_* tables of modelhub.db."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from modelhub.core.apps import Target
from modelhub.core.deployment import How, JournalStep, Link, LinkFile, MakeLink
from modelhub.core.errors import Conflict, NotFound
from modelhub.core.names import printable, storable
from modelhub.store import schema
from modelhub.store.engine import Database, now
from modelhub.store.journal import put_steps
from modelhub.store.options import read_options, write_options

_T = schema.deploy_targets.c
_L = schema.deploy_links.c


class Written(NamedTuple):
    """A configuration as we wrote it. `made`: there was no such file before; `root`: the folder it points at."""

    sha256: str
    made: bool
    root: str


class Targets:
    def __init__(self, database: Database) -> None:
        self._database = database

    def require_writable(self) -> None:
        """Raises Unreadable before anything is touched if what is done could not be recorded."""
        with self._database.write():
            pass

    def all(self) -> list[Target]:
        columns = (_T.id, _T.name, _T.display_name, _T.base_path, _T.enabled, _T.app, _T.method, _T.options)
        mappings = schema.deploy_mappings.c
        with self._database.read() as connection:
            folders: dict[int, dict[str, str]] = {}
            for row in connection.execute(select(mappings.target_id, mappings.model_type, mappings.folder_path)):
                folders.setdefault(row[0], {})[row[1]] = row[2]
            rows = connection.execute(select(*columns).order_by(_T.id)).all()
        return [
            Target(r[0], r[1], r[2], r[3], bool(r[4]), r[5], folders.get(r[0], {}), r[6], read_options(r[7]))
            for r in rows
        ]

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
        """Every recorded link: those that are deployed, and those that a run was about to make."""
        where, values = "", tuple[int, ...]()
        if target_ids is not None:
            values = tuple(target_ids)
            where = f"AND l.target_id IN ({', '.join('?' * len(values))})"
        found: list[Link] = []
        with self._database.read() as connection:
            cursor = connection.exec_driver_sql(_LINKS.format(where=where), values).cursor
            files: list[LinkFile] = []
            last = None
            for row in cursor.fetchall() if cursor is not None else ():
                if row[0] != last:
                    files = []
                    last = row[0]
                    found.append(Link(row[1], row[2], bool(row[3]), ()))
                path = os.fsdecode(row[7]) if row[7] else row[4]
                source = os.fsdecode(row[8]) if row[7] else row[5]
                how: How = row[10] or "symlink"
                files.append(LinkFile(path, source, row[9] or row[6], how, b"", "", bool(row[11]), row[12] or ""))
                found[-1] = (
                    found[-1]._replace(files=tuple(files))
                    if len(files) > 1
                    else Link(row[1], row[2], bool(row[3]), (files[0],))
                )
        return found

    def intend(
        self, steps: Sequence[MakeLink], target_ids: Mapping[str, int], run: int, folders: Sequence[str]
    ) -> None:
        """Record links before they are made, so that none is ever made untracked, and journal them for `run`."""
        rows = [
            (step.model_id, target_ids[step.target], storable(step.source), storable(step.path), now())
            for step in steps
        ]
        pairs = [(target_ids[step.target], step.model_id, step) for step in steps]
        with self._database.write() as connection:
            connection.exec_driver_sql(_PUT_LINK, rows)
            ids = _link_ids(connection, pairs)
            links = [(ids[target, model], step) for target, model, step in pairs]
            connection.exec_driver_sql("DELETE FROM deploy_link_files WHERE link_id = ?", [(one,) for one, _ in links])
            connection.exec_driver_sql(
                "INSERT INTO deploy_link_files (link_id, sha256, path_bytes, source_bytes, how, shared)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (one, file.sha256, os.fsencode(file.path), os.fsencode(file.source), file.how, file.shared)
                    for one, step in links
                    for file in step.files
                ],
            )
            put_steps(connection, run, [JournalStep("folder", folder) for folder in folders])
            put_steps(connection, run, [
                JournalStep(
                    "replaced" if file.was else "made", file.path, file.source, file.sha256, file.how,
                    os.fsencode(file.was) if file.was else None, target, model,
                )
                for target, model, step in pairs
                for file in step.files
            ])  # fmt: skip

    def made(self, steps: Sequence[MakeLink], target_ids: Mapping[str, int]) -> None:
        """Note that links were made, with the stamps of those that are no symlinks."""
        stamped = [
            (file.stamp, file.how, step.model_id, target_ids[step.target], os.fsencode(file.path))
            for step in steps
            for file in step.files
            if file.stamp or file.how == "hardlink"
        ]
        with self._database.write() as connection:
            if stamped:
                connection.exec_driver_sql(_STAMP, stamped)
            if steps:
                _mark(connection, [(step.model_id, target_ids[step.target]) for step in steps], deployed=True)

    def unmade(self, links: Sequence[tuple[int, int]]) -> None:
        """Note that the links of these (model id, target id) are gone."""
        if links:
            with self._database.write() as connection:
                _mark(connection, links, deployed=False)
                connection.exec_driver_sql(
                    "DELETE FROM deploy_link_files WHERE link_id ="
                    " (SELECT id FROM deploy_links WHERE model_id = ? AND target_id = ?)",
                    list(links),
                )

    def made_folders(self) -> frozenset[str]:
        """Every folder that a deployment ever made."""
        query = "SELECT DISTINCT path_bytes FROM deploy_steps WHERE action = 'folder'"  # as its index has it
        with self._database.read() as connection:
            return frozenset(os.fsdecode(row[0]) for row in connection.exec_driver_sql(query))

    def saved(self) -> int:
        """Bytes that copies would take where links of ours stand."""
        query = (
            "SELECT coalesce(sum(b.size), 0) FROM deploy_link_files f JOIN deploy_links l ON l.id = f.link_id"
            " JOIN blobs b ON b.sha256 = f.sha256 WHERE l.is_deployed AND f.how NOT IN ('copy', 'write')"
        )
        with self._database.read() as connection:
            return int(connection.exec_driver_sql(query).scalar_one())

    def configs(self, target_id: int) -> dict[str, Written]:
        """The files of a target that we wrote, by path."""
        c = schema.deploy_configs.c
        with self._database.read() as connection:
            rows = connection.execute(select(c.path_bytes, c.sha256, c.made, c.root).where(c.target_id == target_id))
            return {os.fsdecode(row[0]): Written(row[1], bool(row[2]), os.fsdecode(row[3])) for row in rows}

    def wrote(self, target_id: int, path: str, sha256: str, *, made: bool, root: str) -> None:
        """Note what a configuration of ours holds; empty if it is gone. See `Written`."""
        c = schema.deploy_configs.c
        mine = (c.target_id == target_id) & (c.path_bytes == os.fsencode(path))
        with self._database.write() as connection:
            before = connection.execute(select(c.made, c.root).where(mine)).first()
            connection.execute(delete(schema.deploy_configs).where(mine))
            if sha256:
                row = {"target_id": target_id, "path_bytes": os.fsencode(path), "sha256": sha256}
                row |= {"made": made if before is None else before.made, "written_at": now()}
                row["root"] = os.fsencode(root) if root or before is None else before.root
                connection.execute(insert(schema.deploy_configs).values(row))


_LINKS = (
    "SELECT l.id, l.model_id, l.target_id, l.is_deployed, l.deploy_path, l.source_path, m.file_hash, f.path_bytes,"
    " f.source_bytes, f.sha256, f.how, f.shared, f.stamp FROM deploy_links l JOIN models m ON m.id = l.model_id"
    " LEFT JOIN deploy_link_files f ON f.link_id = l.id WHERE (l.is_deployed OR f.id IS NOT NULL) {where}"
    " ORDER BY l.id, f.id"
)
_PUT_LINK = (
    "INSERT INTO deploy_links (model_id, target_id, source_path, deploy_path, is_deployed, created_at)"
    " VALUES (?, ?, ?, ?, 0, ?) ON CONFLICT (model_id, target_id) DO UPDATE SET source_path = excluded.source_path,"
    " deploy_path = excluded.deploy_path, is_deployed = 0"
)
_STAMP = (
    "UPDATE deploy_link_files SET stamp = ?, how = ? WHERE link_id = (SELECT id FROM deploy_links WHERE model_id = ?"
    " AND target_id = ?) AND path_bytes = ?"
)


def _link_ids(connection: Connection, links: Sequence[tuple[int, int, MakeLink]]) -> dict[tuple[int, int], int]:
    targets, models = {target for target, _, _ in links}, {model for _, model, _ in links}
    query = select(_L.target_id, _L.model_id, _L.id).where(_L.target_id.in_(targets), _L.model_id.in_(models))
    return {(row[0], row[1]): row[2] for row in connection.execute(query)}


def _mark(connection: Connection, links: Sequence[tuple[int, int]], *, deployed: bool) -> None:
    when = now() if deployed else None
    connection.exec_driver_sql(
        "UPDATE deploy_links SET is_deployed = ?, deployed_at = ? WHERE model_id = ? AND target_id = ?",
        [(deployed, when, model_id, target_id) for model_id, target_id in links],
    )


_DEFAULTS_MADE = select(schema.meta.c.value).where(schema.meta.c.key == "default_targets")


def _add(connection: Connection, target: Target) -> None:
    values = {
        "name": target.name,
        "display_name": storable(target.display_name),
        "base_path": storable(target.base_path),
        "enabled": target.enabled,
        "app": target.app,
        "method": target.method,
        "options": write_options(target.options),
        "created_at": now(),
        "updated_at": now(),
    }
    target_id = connection.execute(insert(schema.deploy_targets).values(values).returning(_T.id)).scalar_one()
    rows = [
        {"target_id": target_id, "model_type": kind, "folder_path": folder} for kind, folder in target.folders.items()
    ]
    if rows:
        connection.execute(upsert(schema.deploy_mappings).on_conflict_do_nothing(), rows)
