"""Rows by their keys, many at once.

Invariant: what is found is what the statement finds for each key alone. This module must never
write, nor ask for more keys at once than every database takes.

Compiled once for each of a few sizes, and run on the driver's own cursor: this is what a batch
looks up before it writes, and what every load reads.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Column, Connection, Select, bindparam

from chassis.statements import Row, Statement

KEYS_MAX: Final = 512
"""How many keys one SELECT asks for at the most: well below any limit on parameters."""


class KeySelect:
    """A selection, narrowed to rows with one of some keys in a column."""

    def __init__(self, selection: Select[Any], key: Column[str]) -> None:
        self._selection = selection
        self._key = key
        self._statements: dict[tuple[str, int], Statement] = {}

    def rows(self, connection: Connection, keys: Sequence[str]) -> list[Row]:
        """What is there of these keys; a row is the values of the selection's columns."""
        found: list[Row] = []
        for begin in range(0, len(keys), KEYS_MAX):
            wanted = keys[begin : begin + KEYS_MAX]
            # Few sizes, so few statements: padded to a power of two with a key that is asked for.
            size = max(2, 1 << (len(wanted) - 1).bit_length())
            padded = [*wanted, *[wanted[-1]] * (size - len(wanted))]
            found.extend(self._statement(connection, size).select(connection, padded))
        return found

    def _statement(self, connection: Connection, size: int) -> Statement:
        dialect = connection.dialect
        found = self._statements.get((dialect.name, size))
        if found is None:
            names = [f"key_{place}" for place in range(size)]
            narrowed = self._selection.where(self._key.in_([bindparam(it) for it in names]))
            found = self._statements[dialect.name, size] = Statement(narrowed, dialect, names)
        return found
