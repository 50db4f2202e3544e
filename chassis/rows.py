"""Rows: an entity table over one SQL table.

Invariant: what `to_row` writes `from_row` reads back equal. It must never write a row over another
version than the one it was decided on.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from chassis.entities import Versioned
from chassis.guarded_update import GuardedUpdate
from chassis.key_select import KeySelect
from chassis.statements import Insertion, Row, Statement

__all__ = ["Row", "RowTable", "Statement"]

E = TypeVar("E", bound=Versioned)


class _Statements:
    def __init__(
        self, table: sa.Table, dialect: sa.Dialect, *, key: str, mutable: Sequence[str]
    ) -> None:
        at_key = table.c[key] == sa.bindparam("at_key")
        columns = table.c.keys()
        self.insert = Insertion(table, dialect)
        changes: dict[str, sa.ColumnElement[Any]] = {
            name: sa.bindparam(f"new_{name}") for name in (*mutable, "version")
        }
        # The row as it is to be, then the version that it goes over.
        places = {
            f"new_{name}" if name != key else "at_key": table.c[name].type for name in columns
        }
        self.update = GuardedUpdate(
            table,
            guards=(at_key, table.c.version == sa.bindparam("at_version")),
            changes=changes,
            places={**places, "at_version": table.c.version.type},
            dialect=dialect,
        )
        at_version = (
            table.delete().where(at_key).where(table.c.version == sa.bindparam("at_version"))
        )
        self.delete = Statement(at_version, dialect, ["at_key", "at_version"])
        self.select = KeySelect(sa.select(*table.c), table.c[key])


class RowTable(Generic[E]):
    """An EntityTable over `table`, whose column `version` is the guard.

    Args:
        table: Every column of it is a value of the entity's row.
        key: The column of the entity's id.
        mutable: The columns that a change may alter, besides `version`.
        to_row: An entity's row.
        from_row: A row's entity. A row is the values of the table's columns, in their order.
    """

    def __init__(
        self,
        table: sa.Table,
        *,
        key: str,
        mutable: Sequence[str],
        to_row: Callable[[E], Row],
        from_row: Callable[[Row], E],
    ) -> None:
        self._table = table
        self._key = key
        self._mutable = tuple(mutable)
        self._to_row = to_row
        self._from_row = from_row
        columns = table.c.keys()
        self._key_place = columns.index(key)
        self._version_place = columns.index("version")
        self._of_dialect: dict[str, _Statements] = {}

    def load(self, connection: sa.Connection, ids: Sequence[str]) -> dict[str, E]:
        """The entities that are there, of those asked for, by id."""
        rows = self._statements(connection).select.rows(connection, ids)
        return {row[self._key_place]: self._from_row(row) for row in rows}

    def insert(self, connection: sa.Connection, entities: Sequence[E]) -> None:
        """Adds rows. Raises IntegrityError where one is there already."""
        insert = self._statements(connection).insert
        insert.run(connection, self._in_order(map(self._to_row, entities)))

    def update(self, connection: sa.Connection, entities: Sequence[E]) -> int:
        """Writes each over version `entity.version - 1`; returns how many rows were hit."""
        update = self._statements(connection).update
        rows = ((*self._to_row(entity), entity.version - 1) for entity in entities)
        return update.count(connection, self._in_order(rows))

    def delete(self, connection: sa.Connection, entities: Sequence[E]) -> int:
        """Deletes each at its version; returns how many rows were hit."""
        delete = self._statements(connection).delete
        rows = (self._to_row(entity) for entity in entities)
        at = ((row[self._key_place], row[self._version_place]) for row in rows)
        return delete.run_many(connection, sorted(at))

    def _in_order(self, rows: Iterable[Row]) -> list[Row]:
        """By key: who locks rows in the same order as others never waits for them in a circle."""
        return sorted(rows, key=itemgetter(self._key_place))

    def _statements(self, connection: sa.Connection) -> _Statements:
        dialect = connection.dialect
        if (found := self._of_dialect.get(dialect.name)) is None:
            found = self._of_dialect[dialect.name] = _Statements(
                self._table, dialect, key=self._key, mutable=self._mutable
            )
        return found
