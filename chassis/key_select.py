"""Rows by their keys, many at once.

Invariant: what is found is what the statement finds for each key alone. This module must never
write, nor ask for more keys at once than every database takes.

Compiled once for each of a few sizes, and run on the driver's own cursor: this is what a batch
looks up before it writes, and what every load reads.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    Column,
    Connection,
    Dialect,
    Select,
    bindparam,
    column,
    literal_column,
    select,
    true,
    values,
)

from chassis.statements import Row, Statement

KEYS_MAX: Final = 512
"""How many keys one SELECT asks for at the most: well below any limit on parameters."""


class KeySelect:
    """A selection, narrowed to rows with one of some keys in a column."""

    def __init__(
        self, selection: Select[Any], key: Column[str], *, order_by: Sequence[str] = ()
    ) -> None:
        """`order_by` names columns of the selection. It is given where a key may have many rows."""
        self._selection = selection
        self._key = key
        self._order_by = order_by
        self._statements: dict[tuple[str, int], Statement] = {}

    def rows(self, connection: Connection, keys: Sequence[str]) -> list[Row]:
        """What is there of these keys; a row is the values of the selection's columns."""
        found: list[Row] = []
        for begin in range(0, len(keys), KEYS_MAX):
            wanted = keys[begin : begin + KEYS_MAX]
            # Few sizes, so few statements: padded to a power of two with what adds no row.
            size = max(2, 1 << (len(wanted) - 1).bit_length())
            pad = None if self._each_by_itself(connection.dialect) else wanted[-1]
            padded = [*wanted, *[pad] * (size - len(wanted))]
            found.extend(self._statement(connection, size).select(connection, padded))
        return found

    def _statement(self, connection: Connection, size: int) -> Statement:
        dialect = connection.dialect
        found = self._statements.get((dialect.name, size))
        if found is None:
            names = [f"key_{place}" for place in range(size)]
            keys = [bindparam(it, type_=self._key.type) for it in names]
            if self._each_by_itself(dialect):
                narrowed = self._one_after_the_other(keys)
            else:
                order = [self._selection.selected_columns[it] for it in self._order_by]
                narrowed = self._selection.where(self._key.in_(keys)).order_by(*order)
            found = self._statements[dialect.name, size] = Statement(narrowed, dialect, names)
        return found

    def _each_by_itself(self, dialect: Dialect) -> bool:
        """Whether a server might rather read a whole table than look for so many keys.

        So it does where it has no statistics, as after a restore, and a key may have many rows.
        """
        return bool(self._order_by) and dialect.name == "postgresql"

    def _one_after_the_other(self, keys: Sequence[BindParameter[str]]) -> Select[Any]:
        """A look along the index for each key: OFFSET 0 keeps a server from making it a join."""
        every = values(column("key", self._key.type), name="keys").data([(it,) for it in keys])
        of_one = (
            self._selection.where(self._key == every.c.key)
            .offset(literal_column("0"))
            .lateral("of_one")
        )
        found = select(*of_one.c).select_from(every).join(of_one, true())
        return found.order_by(*(of_one.c[it] for it in self._order_by))
