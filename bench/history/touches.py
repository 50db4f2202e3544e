"""How many pages the statements of a deed touch, by the server's own count.

Invariant: every statement that reads or writes rows is explained just before it runs, on its own
connection, in its own transaction and with its own values, and what that did is undone; so the
counts are those of the very statements that the product sends, whichever way it does: through
SQLAlchemy, on the driver's cursor, or several in one message. Must never: change what the product
is answered.

A page is touched when the server reads it, be it from its own memory or not. Checks of foreign keys
are not counted: one look along a primary key for each event.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import psycopg
import sqlalchemy
from psycopg import sql

from chassis import flight, statements

_EXPLAIN: Final = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "
_EXPLAINED: Final = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)
_NAMED: Final = re.compile(r"%\((\w+)\)s")


class Plans(StrEnum):
    """How the server plans what it is sent again and again."""

    CUSTOM = "custom"
    """For the values given."""
    GENERIC = "generic"
    """Once, for any values: so it may, from the sixth time on."""


@dataclass(slots=True, kw_only=True)
class Touches:
    """What the statements of one deed touched."""

    pages: int = 0
    searches: dict[str, int] = field(default_factory=dict)
    """How often each index was gone down to find rows."""
    written: dict[str, int] = field(default_factory=dict)
    """How many rows of each table were written, each of which may go down all its indexes."""
    whole: set[str] = field(default_factory=set)
    """Tables that were read from end to end."""

    def take(self, plan: Mapping[str, Any]) -> None:
        """Counts the plan of one statement."""
        self.pages += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        for node in _nodes(plan):
            loops = node["Actual Loops"]
            if index := node.get("Index Name"):
                searches = node.get("Index Searches", loops)
                self.searches[index] = self.searches.get(index, 0) + searches
            elif node["Node Type"] == "Seq Scan":
                self.whole.add(node["Relation Name"])
            elif node["Node Type"] == "ModifyTable":
                table = node["Relation Name"]
                below = node["Plans"][0]
                rows = round(below["Actual Rows"] * below["Actual Loops"])
                self.written[table] = self.written.get(table, 0) + rows


class Explainer:
    """Listens to every engine; `touches` says during what."""

    def __init__(self, plans: Plans = Plans.CUSTOM) -> None:
        self._plans = plans
        self._touches: Touches | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """For as long as the block lasts."""
        hook = ("before_cursor_execute", self._before)
        with contextlib.ExitStack() as stack:
            sqlalchemy.event.listen(sqlalchemy.Engine, *hook)
            stack.callback(sqlalchemy.event.remove, sqlalchemy.Engine, *hook)
            # Of what goes straight to the driver SQLAlchemy does not tell.
            stack.enter_context(_in_place_of(statements, "_cursor", self._on_the_driver))
            stack.enter_context(_in_place_of(flight._Flight, "run", self._in_one_message))
            yield

    @contextlib.contextmanager
    def touches(self) -> Iterator[Touches]:
        """Counts what is sent during the block. One at a time."""
        assert self._touches is None, "deeds are looked at one after the other"
        self._touches = found = Touches()
        try:
            yield found
        finally:
            self._touches = None

    def _before(
        self,
        _connection: sqlalchemy.Connection,
        cursor: Any,  # noqa: ANN401 - the driver's own, which SQLAlchemy does not type
        statement: str,
        parameters: Any,  # noqa: ANN401 - as the driver is given them
        _context: object,
        executemany: bool,
    ) -> None:
        if self._touches is None or not _EXPLAINED.match(statement):
            return
        each: Sequence[Any] = parameters if executemany else [parameters]
        with _undone(cursor.connection) as beside:
            for values in each:
                for plan in self._explain(beside, statement, values):
                    self._touches.take(plan)

    def _on_the_driver(self, cursor_of: Callable[..., Any]) -> Callable[..., Any]:
        @contextlib.contextmanager
        def heard(connection: sqlalchemy.Connection, text: str) -> Iterator[Any]:
            with cursor_of(connection, text) as cursor:
                yield _Heard(cursor, self._before)

        return heard

    def _in_one_message(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def heard(flying: Any, passengers: flight.Boarding) -> Any:  # noqa: ANN401 - as it returns
            if self._touches is not None:
                with _undone(flying.driver) as beside:
                    for passenger, texts in passengers:
                        values = [it.decode() for it in passenger.bind(texts, "utf-8")]
                        for plan in self._explain_prepared(beside, passenger.text, values):
                            self._touches.take(plan)
            return run(flying, passengers)

        return heard

    def _explain(
        self,
        cursor: psycopg.Cursor[Any],
        statement: str,
        values: Mapping[str, object] | Sequence[object],
    ) -> Iterator[Mapping[str, Any]]:
        if self._plans is Plans.CUSTOM or not isinstance(values, Mapping) or not values:
            cursor.execute(_EXPLAIN + statement, values)
            yield from _plans(cursor)
        else:
            names = list(dict.fromkeys(_NAMED.findall(statement)))
            numbered = _NAMED.sub(lambda it: f"${names.index(it[1]) + 1}", statement)
            text = numbered.replace("%%", "%")
            yield from self._explain_prepared(cursor, text, [values[it] for it in names])

    def _explain_prepared(
        self, cursor: psycopg.Cursor[Any], text: str, values: Sequence[object]
    ) -> Iterator[Mapping[str, Any]]:
        """`text` has a number in each place."""
        cursor.execute(f"SET LOCAL plan_cache_mode = force_{self._plans}_plan".encode())
        cursor.execute(f"PREPARE explained AS {text}".encode())
        given = sql.SQL(", ").join(map(sql.Literal, values))
        cursor.execute(sql.SQL(_EXPLAIN) + sql.SQL("EXECUTE explained ({})").format(given))
        yield from _plans(cursor)
        cursor.execute("DEALLOCATE explained")


class _Heard:
    """A cursor of the driver that has somebody told of what it is about to run."""

    def __init__(self, cursor: Any, before: Callable[..., None]) -> None:  # noqa: ANN401 - the driver's own
        self._cursor = cursor
        self._before = before

    def execute(self, text: str, *values: Any) -> None:  # noqa: ANN401 - as the driver takes them
        self._before(None, self._cursor, text, *(values or ((),)), None, False)
        self._cursor.execute(text, *values)

    def executemany(self, text: str, rows: Iterable[Any]) -> None:
        every = list(rows)
        self._before(None, self._cursor, text, every, None, True)
        self._cursor.executemany(text, every)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the driver has
        return getattr(self._cursor, name)


@contextlib.contextmanager
def _undone(driver: psycopg.Connection[Any]) -> Iterator[psycopg.Cursor[Any]]:
    """A cursor within the transaction, or a new one; what is done with it is undone."""
    with driver.cursor() as beside:
        beside.execute("SAVEPOINT explained")
        yield beside
        beside.execute("ROLLBACK TO SAVEPOINT explained")
        beside.execute("RELEASE SAVEPOINT explained")


@contextlib.contextmanager
def _in_place_of(
    there: object, name: str, made: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Iterator[None]:
    """Has what is made of a function called where that is, for as long as the block lasts."""
    before = getattr(there, name)
    setattr(there, name, made(before))
    try:
        yield
    finally:
        setattr(there, name, before)


def _plans(cursor: psycopg.Cursor[Any]) -> Iterator[Mapping[str, Any]]:
    for (found,) in cursor.fetchall():
        yield from (it["Plan"] for it in found)


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)
