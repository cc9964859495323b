"""What was allowed against our own advice, and what others found in a model: scanners, signatures."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert as upsert

from modelhub.core.names import storable
from modelhub.store import schema
from modelhub.store.engine import Database, now


class Override(NamedTuple):
    """A model that was judged unsafe and is allowed all the same. It holds for that judgement only."""

    model_id: int
    code: str
    message: str
    reason: str
    made_by: str
    made_at: str


class Examination(NamedTuple):
    """What an examination of a model by others came to. `kind`: virus_scan, signature."""

    kind: str
    status: str
    who: str
    message: str
    examined_at: str


class Security:
    def __init__(self, database: Database) -> None:
        self._database = database

    def allow(self, override: Override) -> None:
        row = override._asdict() | {"reason": storable(override.reason), "made_at": now()}
        statement = upsert(schema.overrides).values(row)
        with self._database.write() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["model_id"], set_=row))

    def withdraw(self, model_id: int) -> bool:
        """False if nothing was allowed."""
        with self._database.write() as connection:
            gone = delete(schema.overrides).where(schema.overrides.c.model_id == model_id)
            return connection.execute(gone).rowcount > 0

    def overrides(self) -> dict[int, Override]:
        columns = [schema.overrides.c[name] for name in Override._fields]
        with self._database.read() as connection:
            return {row[0]: Override(*row) for row in connection.execute(select(*columns))}

    def note(self, model_id: int, examination: Examination) -> None:
        row = examination._asdict() | {"model_id": model_id, "message": storable(examination.message)}
        statement = upsert(schema.examinations).values(row | {"examined_at": now()})
        with self._database.write() as connection:
            new = statement.excluded
            changed = {name: getattr(new, name) for name in ("status", "who", "message", "examined_at")}
            connection.execute(statement.on_conflict_do_update(index_elements=["model_id", "kind"], set_=changed))

    def examinations(self, model_ids: Sequence[int]) -> dict[int, list[Examination]]:
        c = schema.examinations.c
        query = select(c.model_id, *(c[name] for name in Examination._fields)).order_by(c.kind)
        found: dict[int, list[Examination]] = {}
        wanted = set(model_ids)
        with self._database.read() as connection:
            for model_id, *told in connection.execute(query):
                if model_id in wanted:
                    found.setdefault(model_id, []).append(Examination(*told))
        return found
