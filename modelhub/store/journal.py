"""What every deployment did, step by step, so that it can be undone. A step is noted before it is done."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, insert, select, update

from modelhub.core.deployment import JournalStep
from modelhub.core.errors import NotFound
from modelhub.store import schema
from modelhub.store.engine import Database, now

_R = schema.deploy_runs.c
_OF_MODELS = "('trashed', 'restored', 'set')"
"""Steps that change a model, not what is deployed."""


class Run(NamedTuple):
    """One applied plan. `state`: running, done, undone."""

    id: int
    what: str
    state: str
    started_at: str
    finished_at: str
    steps: int


class Journal:
    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, what: str) -> int:
        with self._database.write() as connection:
            row = {"what": what, "state": "running", "started_at": now()}
            return int(connection.execute(insert(schema.deploy_runs).values(row).returning(_R.id)).scalar_one())

    def note(self, run: int, steps: Sequence[JournalStep]) -> None:
        if steps:
            with self._database.write() as connection:
                put_steps(connection, run, steps)

    def close(self, run: int, state: str = "done") -> None:
        """A run that did nothing leaves no trace."""
        with self._database.write() as connection:
            empty = connection.exec_driver_sql("SELECT 1 FROM deploy_steps WHERE run_id = ? LIMIT 1", (run,)).first()
            if empty is None:
                connection.exec_driver_sql("DELETE FROM deploy_runs WHERE id = ?", (run,))
                return
            values = {"state": state, "finished_at": now()}
            connection.execute(update(schema.deploy_runs).where(_R.id == run).values(values))

    def runs(self, limit: int = 50) -> list[Run]:
        """The latest runs, newest first."""
        query = (
            "SELECT id, what, state, started_at, coalesce(finished_at, ''),"
            " (SELECT count(*) FROM deploy_steps WHERE run_id = r.id) FROM deploy_runs r ORDER BY id DESC LIMIT ?"
        )
        with self._database.read() as connection:
            return [Run(*row) for row in connection.exec_driver_sql(query, (limit,))]

    def to_undo(self, run: int | None, passed_over: Sequence[str] = ()) -> Run:
        """The run `run`, or the last one that was not undone, `passed_over` some kinds; raises NotFound."""
        for one in self.runs(limit=10_000):
            last = one.state != "undone" and one.what not in ("undo", *passed_over)
            if (run is None and last) or one.id == run:
                return one
        if run is None:
            raise NotFound("There is nothing to undo.", hint="`modelhub deploy history` lists what was done.")
        raise NotFound(f"There is no run {run}.", hint="`modelhub deploy history` lists them.")

    def later(self, run: int) -> list[int]:
        """Later runs, not undone, that changed a target or a model which this one changed."""
        query = (
            "SELECT DISTINCT r.id FROM deploy_runs r JOIN deploy_steps s ON s.run_id = r.id WHERE r.id > ?"
            " AND r.state <> 'undone' AND r.what <> 'undo'"
            " AND (s.target_id IN (SELECT target_id FROM deploy_steps WHERE run_id = ?) OR"
            f" s.action IN {_OF_MODELS} AND s.model_id IN"
            f" (SELECT model_id FROM deploy_steps WHERE run_id = ? AND action IN {_OF_MODELS}))"
            " ORDER BY r.id DESC"
        )
        with self._database.read() as connection:
            return [row[0] for row in connection.exec_driver_sql(query, (run, run, run))]

    def targets_of_last(self, action: str, model_ids: Sequence[int]) -> set[int]:
        """Targets from which links of these models were removed in the last run that did `action` to each."""
        found: set[int] = set()
        last = (
            "SELECT max(s.run_id) FROM deploy_steps s JOIN deploy_runs r ON r.id = s.run_id"
            " WHERE s.action = ? AND s.model_id = ? AND r.state <> 'undone'"
        )
        query = (
            "SELECT DISTINCT target_id FROM deploy_steps WHERE action = 'removed' AND model_id = ?"
            f" AND target_id IS NOT NULL AND run_id = ({last})"
        )
        with self._database.read() as connection:
            for one in model_ids:
                found.update(connection.exec_driver_sql(query, (one, action, one)).scalars())
        return found

    def steps(self, run: int) -> list[JournalStep]:
        c = schema.deploy_steps.c
        columns = (c.action, c.path_bytes, c.source_bytes, c.sha256, c.how, c.before, c.target_id, c.model_id)
        query = select(*columns).where(c.run_id == run).order_by(c.id)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [JournalStep(r[0], os.fsdecode(r[1]), os.fsdecode(r[2]), *r[3:]) for r in rows]

    def unfinished_folders(self) -> set[str]:
        """Folders in which runs that were interrupted worked; such runs count as done from now on."""
        query = (
            "SELECT DISTINCT s.path_bytes FROM deploy_steps s JOIN deploy_runs r ON r.id = s.run_id"
            " WHERE r.state = 'running'"
        )
        with self._database.read() as connection:
            return {os.path.dirname(os.fsdecode(row[0])) for row in connection.exec_driver_sql(query)}

    def settle(self) -> None:
        """No run is running: what was interrupted is done as far as it came."""
        with self._database.write() as connection:
            connection.exec_driver_sql("UPDATE deploy_runs SET state = 'done' WHERE state = 'running'")


def put_steps(connection: Connection, run: int, steps: Sequence[JournalStep]) -> None:
    if steps:
        connection.exec_driver_sql(
            "INSERT INTO deploy_steps"
            " (run_id, action, path_bytes, source_bytes, sha256, how, before, target_id, model_id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (run, one.action, os.fsencode(one.path), os.fsencode(one.source), one.sha256, one.how, one.before,
                 one.target_id, one.model_id)
                for one in steps
            ],
        )  # fmt: skip
