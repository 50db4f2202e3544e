"""An UPDATE of many rows, each guarded by what it was decided on, that tells which it hit.

Invariant: a row is written only where its guards hold, in the statement itself; of two in a batch
that are about the same row and the same guards, one hits. Nothing of a batch is written by those
that missed. Must never: run a row twice.

A server is sent the whole batch as one value, and says which it hit; it locks rows in the order in
which they are given, for whoever writes goes by keys (see postgres_engine). SQLite is in this
process: one after the other is quickest there, and its own count of what was changed, looked at
after each, tells which it were.

Rows of another table can go along, each with one that hits: a server takes them in the same
message, for each message is a wait.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy.sql import visitors

from chassis.flight import Landed, Passenger, fly
from chassis.statements import ROWS, Insertion, Row, Statement, sent_rows, to_json

E = TypeVar("E", bound=sa.ColumnElement[Any])

_AT: Final = "at"
_ALONG: Final = "along"

ANYWAY: Final = -1
"""The place of what is added whatever is hit."""
Along: TypeAlias = Sequence[tuple[int, Sequence[Row]]]
"""Rows of the other table, each some with the place of the row that they go along with."""


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
        along: sa.Table | None = None,
    ) -> None:
        """`guards` and `changes` name parameters; `places` has their types and their order.

        `along` is the table whose rows may go along.
        """
        update = table.update().where(*guards).values(dict(changes))
        self._one_by_one = Statement(update, dialect, list(places))
        self._at_once: Statement | None = None
        self._at_once_along: Passenger | None = None
        self._along = None if along is None else Insertion(along, dialect)
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
            if along is not None:
                self._at_once_along = Passenger(_with_rows(at_once, along), [ROWS, _ALONG])

    def passenger(self, rows: Sequence[Row], along: Along) -> tuple[Passenger, Sequence[str]]:
        """What updates `rows`, to be sent to a server with other statements; see `hits_of`."""
        assert self._at_once_along is not None, "asked of a server, and made for what goes along"
        sent = to_json([(at, *row) for at, row in enumerate(rows)])
        sent_along = to_json([(at, *row) for at, more in along for row in more])
        return self._at_once_along, (sent, sent_along)

    def count(self, connection: sa.Connection, rows: Sequence[Row]) -> int:
        """Runs it for each of `rows`, values as `places` has them; how many hit."""
        if self._at_once is not None:
            return len(self._hit_at_once(self._at_once, connection, rows))
        return self._one_by_one.run_many(connection, rows)

    def hits(
        self, connection: sa.Connection, rows: Sequence[Row], along: Along = ()
    ) -> Sequence[bool]:
        """Runs it for each of `rows`, values as `places` has them; for each, whether it hit.

        Raises:
            sqlalchemy.exc.IntegrityError: One of what goes along is there already.
        """
        if self._at_once is not None and along:
            [landed] = fly(connection, [self.passenger(rows, along)])
            return hits_of(landed, len(rows))
        if self._at_once is not None:
            hit_at = self._hit_at_once(self._at_once, connection, rows) if rows else ()
            return [at in hit_at for at in range(len(rows))]
        hits = self._hit_one_by_one(connection, rows) if rows else ()
        go = [row for at, more in along if at == ANYWAY or hits[at] for row in more]
        if go:
            assert self._along is not None, "it was made for what goes along"
            self._along.run(connection, go)
        return hits

    def _hit_one_by_one(self, connection: sa.Connection, rows: Sequence[Row]) -> Sequence[bool]:
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

    def _hit_at_once(
        self, statement: Statement, connection: sa.Connection, rows: Sequence[Row]
    ) -> set[int]:
        """The places of those that hit."""
        sent = to_json([(at, *row) for at, row in enumerate(rows)])
        return {at for (at,) in statement.select(connection, [sent])}


def hits_of(landed: Landed, size: int) -> Sequence[bool]:
    """For each of so many rows, whether it hit, from what the passenger came to."""
    hit_at = {int(at) for (at,) in landed if at is not None}
    return [at in hit_at for at in range(size)]


def _with_rows(update: sa.Update, along: sa.Table) -> sa.Select[Any]:
    """The update, and the rows that go along with what it hits, in one statement."""
    hit = update.cte("hit")
    columns = {it.name: it.type for it in along.c}
    sent = sent_rows({_AT: sa.BigInteger(), **columns}, parameter=_ALONG).subquery("sent_along")
    goes = sa.or_(
        sent.c[_AT] == sa.literal_column(str(ANYWAY)), sent.c[_AT].in_(sa.select(hit.c[_AT]))
    )
    go = sa.select(*(sent.c[name] for name in columns)).where(goes)
    return sa.select(hit.c[_AT]).add_cte(along.insert().from_select(list(columns), go).cte("went"))


def _bound_to(sent: sa.Subquery, clause: E) -> E:
    """The clause with columns of what was sent in the place of parameters."""

    def column(element: object, **_: object) -> sa.ColumnElement[Any] | None:
        if isinstance(element, sa.BindParameter) and element.key in sent.c:
            return sent.c[element.key]
        return None

    bound: E = visitors.replacement_traverse(clause, {}, column)
    return bound
