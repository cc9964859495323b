"""What sites said of models: every answer with its time, none ever overwritten."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import insert, select

from modelhub.core.names import storable
from modelhub.core.types import External
from modelhub.store import schema
from modelhub.store.engine import Database, now

_E = schema.external_records.c


class Answer(NamedTuple):
    """One answer to be written down; `data` empty: the site knows nothing."""

    model_id: int
    source: str
    asked: str
    data: Mapping[str, Any]


class ExternalRecords:
    """The answers of a library."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, answers: Sequence[Answer]) -> None:
        rows = [
            {
                "model_id": one.model_id,
                "source": one.source,
                "asked": one.asked,
                "found": bool(one.data),
                "data": storable(json.dumps(one.data, ensure_ascii=False)),
                "fetched_at": now(),
            }
            for one in answers
        ]
        if rows:
            with self._database.write() as connection:
                connection.execute(insert(schema.external_records), rows)

    def known(self, model_ids: Iterable[int]) -> dict[int, list[External]]:
        """What each site knows of each model: later answers over earlier ones, where they say anything."""
        wanted = set(model_ids)
        query = select(_E.model_id, _E.source, _E.asked, _E.found, _E.data, _E.fetched_at).order_by(_E.id)
        if len(wanted) <= 500:
            query = query.where(_E.model_id.in_(wanted))
        merged: dict[tuple[int, str], External] = {}
        with self._database.read() as connection:
            for model_id, source, asked, found, text, fetched_at in connection.execute(query):
                if model_id not in wanted:
                    continue
                old = merged.get((model_id, source))
                new = {name: value for name, value in json.loads(text).items() if value not in (None, "", [], {})}
                data = {**(old.data if old else {}), **new}
                gone = not found and bool(data)
                merged[model_id, source] = External(source, asked, fetched_at, data, gone)
        known: dict[int, list[External]] = {}
        for (model_id, _), record in merged.items():
            known.setdefault(model_id, []).append(record)
        return known

    def asked(self, source: str) -> set[int]:
        """Models that the site was asked about."""
        with self._database.read() as connection:
            return set(connection.execute(select(_E.model_id).where(_E.source == source)).scalars())
