"""An UPDATE of many rows, each guarded by what it was decided on, that tells which it hit.

Invariant: a row is written only where its guards hold, in the statement itself; of two in a batch
that are about the same row and the same guards, one hits. Nothing of a batch is written by those
that missed. Must never: run a row twice.

A server is sent the whole batch as one value, and says which it hit; it locks rows in the order in
which they are given, for whoever writes goes by keys (see postgres_engine). SQLite is in this
process: one after the other is quickest there, and its own count of what was changed, looked at
after each, tells which it were.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.sql import visitors

from chassis.statements import ROWS, Row, Statement, sent_rows, to_json

E = TypeVar("E", bound=sa.ColumnElement[Any])

_AT: Final = "at"


class GuardedUpdate:
    """Updates rows of a table."""

    def __init__(
        self,
        table: sa.Table,
        *,
        guards: Sequence[sa.ColumnElement[bool]],
        changes: Mapping[str, sa.ColumnElement[Any]],
        places: Mapping[str, sa.types.TypeEngine[Any]],
        dialect: sa.Dialect,
    ) -> None:
        """`guards` and `changes` name parameters; `places` has their types and their order."""
        update = table.update().where(*guards).values(dict(changes))
        self._one_by_one = Statement(update, dialect, list(places))
        self._at_once: Statement | None = None
        if dialect.name == "postgresql":
            # Each with its place in front.
            sent = sent_rows({_AT: sa.BigInteger(), **places}).subquery("sent")
            at_once = (
                table.update()
                .where(*(_bound_to(sent, it) for it in guards))
                .values({name: _bound_to(sent, it) for name, it in changes.items()})
                .returning(sent.c[_AT])
            )
            self._at_once = Statement(at_once, dialect, [ROWS])

    def count(self, connection: sa.Connection, rows: Sequence[Row]) -> int:
        """Runs it for each of `rows`, values as `places` has them; how many hit."""
        if self._at_once is not None:
            return len(self._hit_at_once(connection, rows))
        return self._one_by_one.run_many(connection, rows)

    def hits(self, connection: sa.Connection, rows: Sequence[Row]) -> Sequence[bool]:
        """Runs it for each of `rows`, values as `places` has them; for each, whether it hit."""
        if not rows:
            return []
        if self._at_once is not None:
            hit_at = self._hit_at_once(connection, rows)
            return [at in hit_at for at in range(len(rows))]
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection), "asked of a file"
        counts = [driver.total_changes]

        def counted() -> Iterator[Row]:
            # The next one is asked for when the one before has run.
            for row in rows:
                yield row
                counts.append(driver.total_changes)

        self._one_by_one.run_many(connection, counted())
        return [after > before for before, after in pairwise(counts)]

    def _hit_at_once(self, connection: sa.Connection, rows: Sequence[Row]) -> set[int]:
        """The places of those that hit."""
        assert self._at_once is not None, "asked of a server"
        text = to_json([(at, *row) for at, row in enumerate(rows)])
        return {at for (at,) in self._at_once.select(connection, (text,))}


def _bound_to(sent: sa.Subquery, clause: E) -> E:
    """The clause with columns of what was sent in the place of parameters."""

    def column(element: object, **_: object) -> sa.ColumnElement[Any] | None:
        if isinstance(element, sa.BindParameter) and element.key in sent.c:
            return sent.c[element.key]
        return None

    bound: E = visitors.replacement_traverse(clause, {}, column)
    return bound
