"""What a hub remembers of itself: the `meta` table of modelhub.db, words by key."""

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert as upsert

from modelhub.store import schema
from modelhub.store.engine import Database

MOVED_TO = "moved_to"
"""The key under which a hub that was moved says where it is now."""

_KEY = schema.meta.c.key
_VALUE = schema.meta.c.value


class Meta:
    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> str:
        """Empty if it was never set."""
        with self._database.read() as connection:
            return connection.execute(select(_VALUE).where(_KEY.is_(key))).scalar() or ""

    def set(self, key: str, value: str) -> None:
        with self._database.write() as connection:
            row = upsert(schema.meta).values(key=key, value=value)
            connection.execute(row.on_conflict_do_update(index_elements=["key"], set_={"value": value}))

    def pair(self, key: str) -> tuple[int, str]:
        """A number and a word; 0 and empty if they were never set."""
        number, _, word = self.get(key).partition(" ")
        return (int(number), word) if number.isdecimal() else (0, "")

    def raise_to(self, key: str, number: int, word: str) -> None:
        """Set a pair, unless another process has set one with a higher number meanwhile."""
        with self._database.write() as connection:
            higher = "CAST(substr(value, 1, instr(value, ' ')) AS INTEGER)"
            connection.exec_driver_sql(
                "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
                f" WHERE {higher} < ?",
                (key, f"{number} {word}", number),
            )
