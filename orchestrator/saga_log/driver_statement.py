"""Statements of the saga log that run on the driver's own cursor.

Invariant: values are bound by name, never written into SQL. It must never return rows.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import ClauseElement


class DriverStatement:
    """A statement compiled once and run on the driver's own cursor: nothing is done row by row."""

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self._sql = str(compiled)
        self._names: Sequence[str] | None = getattr(compiled, "positiontup", None)

    def run(self, connection: Connection, parameters: Sequence[Mapping[str, object]]) -> int:
        """Runs it for each set of parameters; answers how many rows it hit in all."""
        if self._names is None:
            return connection.exec_driver_sql(self._sql, [dict(p) for p in parameters]).rowcount
        rows = [tuple(p[name] for name in self._names) for p in parameters]
        return connection.exec_driver_sql(self._sql, rows).rowcount
