"""Statements that are compiled once and run straight on the driver.

Invariant: values are always bound, never written into SQL; and what a driver raises leaves here as
what SQLAlchemy raises for it, so that whoever catches has one kind of exception to know. It must
never run rows outside of a transaction.

SQLAlchemy builds the statements, so that they fit every database. Building, compiling and running
them through it anew costs more than the database takes, which is why the hot path does without.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.sql.compiler import SQLCompiler

from chassis.json_text import json_encoder

Row: TypeAlias = Sequence[Any]
"""The values of one row, or of one run of a statement."""

ROWS: Final = "rows"
"""The parameter that many rows are sent as."""
# What JSON spells exactly.
_SPELT_EXACTLY: Final = (sa.Text, sa.Integer, sa.Boolean)
# How many rows a statement adds that adds several.
_SEVERAL: Final = 16
to_json: Final = json_encoder(ensure_ascii=False)


class Statement:
    """One statement as the driver takes it; its parameters come from places in a sequence."""

    def __init__(
        self, clause: sa.ClauseElement, dialect: sa.Dialect, places: Sequence[str]
    ) -> None:
        """`places` names the parameter that each place of the values is for."""
        compiled = clause.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        self.text = compiled.string
        self._names = tuple(compiled.positiontup or compiled.params)
        assert self._names, "a statement is bound by something"
        # What the compiler itself binds, such as an offset of zero, follows the caller's values.
        own = [name for name in self._names if name not in places]
        self._constants = tuple(compiled.params[name] for name in own)
        every = [*places, *own]
        picked = [every.index(name) for name in self._names]
        # Of one place alone itemgetter would make no tuple.
        self._pick: Callable[[Row], Row] = (
            itemgetter(*picked) if len(picked) > 1 else lambda row: (row[picked[0]],)
        )
        self._positional = compiled.positional
        self._as_given = self._positional and self._names == tuple(places)
        # In C, where the values are only put in another order.
        self._bind = self._pick if self._positional and not self._constants else self._bound

    def bind(self, values: Row) -> Any:  # noqa: ANN401 - a tuple or a dict, as the driver likes
        """The parameters for one run, as the driver takes them."""
        return values if self._as_given else self._bind(values)

    def _bound(self, values: Row) -> Any:  # noqa: ANN401 - as above
        picked = self._pick((*values, *self._constants) if self._constants else values)
        return picked if self._positional else dict(zip(self._names, picked, strict=True))

    def select(self, connection: sa.Connection, values: Row) -> Sequence[Row]:
        """Runs a SELECT; the rows it finds."""
        begin(connection)
        with _cursor(connection, self.text) as cursor:
            cursor.execute(self.text, self.bind(values))
            found: Sequence[Row] = cursor.fetchall()
            return found

    def run_many(self, connection: sa.Connection, rows: Iterable[Row]) -> int:
        """Runs an INSERT, UPDATE or DELETE once for each of `rows`; how many it hit in all."""
        begin(connection)
        with _cursor(connection, self.text) as cursor:
            # Bound one by one as the driver asks for them.
            bound: Any = rows if self._as_given else map(self._bind, rows)
            cursor.executemany(self.text, bound)
            return int(cursor.rowcount)


class Insertion:
    """Adds rows to a table, in the order they come.

    A server is sent all of them as one value, a list of lists in JSON, and takes it apart. Row by
    row the driver would put each into a message of its own, which costs more than all the rest.
    SQLite takes them by several: a run of a statement costs it about a tenth of adding a row.
    """

    def __init__(self, table: sa.Table, dialect: sa.Dialect) -> None:
        clause = table.insert()
        columns = table.c.keys()
        self._row_by_row = Statement(clause, dialect, columns)
        several = [{it: f"{it}_{at}" for it in columns} for at in range(_SEVERAL)]
        self._by_several = Statement(
            clause.values([{it: sa.bindparam(row[it]) for it in row} for row in several]),
            dialect,
            [name for row in several for name in row.values()],
        )
        self._at_once = ""
        if dialect.name == "postgresql":
            rows = sent_rows({it.name: it.type for it in table.c})
            self._at_once = clause.from_select(columns, rows).compile(dialect=dialect).string

    def run(self, connection: sa.Connection, rows: Sequence[Row]) -> int:
        """Adds `rows`, each the values of the table's columns in their order; how many it were.

        Raises:
            sqlalchemy.exc.IntegrityError: One is there already.
        """
        if not self._at_once:
            return self._run_by_several(connection, rows)
        begin(connection)
        with _cursor(connection, self._at_once) as cursor:
            cursor.execute(self._at_once, {ROWS: to_json(rows)})
            return int(cursor.rowcount)

    def _run_by_several(self, connection: sa.Connection, rows: Sequence[Row]) -> int:
        """As many as fit by several, and those that are over one by one."""
        over = len(rows) % _SEVERAL
        several = [
            tuple(chain.from_iterable(rows[at : at + _SEVERAL]))
            for at in range(over, len(rows), _SEVERAL)
        ]
        count = self._row_by_row.run_many(connection, rows[:over]) if over else 0
        return count + (self._by_several.run_many(connection, several) if several else 0)


def sent_rows(
    columns: Mapping[str, sa.types.TypeEngine[Any]], *, parameter: str = ROWS
) -> sa.Select[Any]:
    """The rows in a parameter, a list of lists in JSON: these columns, in this order."""
    assert all(isinstance(kind, _SPELT_EXACTLY) for kind in columns.values()), columns
    elements = sa.func.json_array_elements(sa.cast(sa.bindparam(parameter), sa.JSON))
    row = elements.table_valued("value").render_derived(name="elements").c.value
    return sa.select(
        *(
            sa.cast(row.op("->>")(sa.literal_column(str(place))), kind).label(name)
            for place, (name, kind) in enumerate(columns.items())
        )
    )


def primary_message(error: BaseException) -> str:
    """What a server says first of an error, which holds no values; "" where no server said it."""
    said = getattr(getattr(error, "diag", None), "message_primary", None)
    return said if isinstance(said, str) else ""


def run(connection: sa.Connection, text: str) -> None:
    """Runs one statement that has no parameters and no rows, even where no transaction is."""
    with _cursor(connection, text) as cursor:
        cursor.execute(text)


def begin(connection: sa.Connection) -> None:
    """Begins where nobody did, as SQLAlchemy does for statements that it runs itself."""
    if not connection.in_transaction():
        connection.begin()


@contextlib.contextmanager
def driver_errors(
    connection: sa.Connection, text: str, cursor: DBAPICursor | None = None
) -> Iterator[None]:
    """What a driver raises of a statement becomes what SQLAlchemy raises for it."""
    dialect = connection.dialect
    pooled = connection.connection
    try:
        yield
    except dialect.loaded_dbapi.Error as error:
        if said := primary_message(error):
            # A server goes on with the values of the row that it did not take.
            error.args = (said,)
        gone = dialect.is_disconnect(error, pooled, cursor)
        raised = sa.exc.DBAPIError.instance(
            text,
            None,
            error,
            dialect.loaded_dbapi.Error,
            hide_parameters=True,
            connection_invalidated=gone,
            dialect=dialect,
        )
        raise raised from error


class _cursor:  # noqa: N801 - a context manager, named as it is used
    """A cursor of the driver, whose exceptions become SQLAlchemy's.

    A class: made by contextlib, of generators, two of them cost as much as a row.
    """

    __slots__ = ("_connection", "_cursor", "_text")

    def __init__(self, connection: sa.Connection, text: str) -> None:
        self._connection = connection
        self._text = text

    def __enter__(self) -> DBAPICursor:
        self._cursor: DBAPICursor = self._connection.connection.cursor()
        return self._cursor

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        try:
            if error is not None:
                with driver_errors(self._connection, self._text, self._cursor):
                    raise error
        finally:
            self._cursor.close()
