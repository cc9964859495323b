"""The index of trigrams over models, for libraries too large to be looked through at every letter."""

from sqlalchemy import ColumnElement, literal_column, text

from modelhub.core.names import storable
from modelhub.store import schema
from modelhub.store.engine import Database

LARGE = 100_000
"""Models above which the index is worth its room; below, looking through all is as quick."""

_LETTERS = 3
_ON = "SELECT 1 FROM meta WHERE key = 'search_index'"


class SearchIndex:
    def __init__(self, database: Database) -> None:
        self._database = database

    def condition(self, wanted: str) -> ColumnElement[bool] | None:
        """That a model holds the text in a searched column; None where the index is of no use.

        Filled when a large library is first searched; from then on triggers keep it.
        """
        if len(wanted) < _LETTERS or not self._is_on():
            return None
        phrase = '"' + storable(wanted).replace('"', '""').replace("\0", "") + '"'
        hits = text("SELECT rowid FROM models_search WHERE models_search MATCH :phrase").bindparams(phrase=phrase)
        return schema.models.c.id.in_(hits.columns(literal_column("rowid")))

    def _is_on(self) -> bool:
        with self._database.read() as connection:
            if connection.exec_driver_sql(_ON).first() is not None:
                return True
            size = connection.exec_driver_sql("SELECT max(id) FROM models").scalar() or 0
            if size <= LARGE or connection.exec_driver_sql("SELECT count(*) FROM models").scalar_one() <= LARGE:
                return False
        with self._database.write() as connection:
            if connection.exec_driver_sql(_ON).first() is None:
                connection.exec_driver_sql("INSERT INTO models_search (models_search) VALUES ('rebuild')")
                connection.exec_driver_sql("INSERT INTO meta (key, value) VALUES ('search_index', 'on')")
        return True
