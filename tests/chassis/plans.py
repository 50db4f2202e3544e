"""How a database goes about a query: what it sorts, what it reads through, by which indexes.

A server chooses by what a table holds, so a table is filled before anything is asked of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest
import sqlalchemy as sa

from chassis.listings import Listing

ROWS: Final = 10_000

PAGE: Final = Listing(
    listed="rows",
    limit=50,
    after=(9_000, "id_09000"),
    states=frozenset(),
    subject="",
    created_from_us=None,
    created_before_us=None,
)
_ONE: Final = frozenset({"A_STATE"})
_TWO: Final = frozenset({"A_STATE", "B_STATE"})

# A list's filters, and by which of its indexes (by_time, by_state, by_subject) the page is found.
PAGES: Final = [
    pytest.param(PAGE, "by_time", id="all"),
    pytest.param(replace(PAGE, after=None), "by_time", id="first"),
    pytest.param(replace(PAGE, subject="s1"), "by_subject", id="subject"),
    pytest.param(replace(PAGE, subject="s1", after=None), "by_subject", id="first-of-subject"),
    pytest.param(replace(PAGE, states=_ONE), "by_state", id="state"),
    pytest.param(replace(PAGE, states=_ONE, after=None), "by_state", id="first-of-state"),
    pytest.param(
        replace(PAGE, created_from_us=1_000, created_before_us=9_500), "by_time", id="between"
    ),
    pytest.param(
        replace(PAGE, subject="s1", created_before_us=9_500), "by_subject", id="subject-before"
    ),
    pytest.param(replace(PAGE, subject="s1", states=_ONE), None, id="subject-state"),
    pytest.param(replace(PAGE, subject="s1", states=_TWO), None, id="subject-states"),
]
SEVERAL_STATES: Final = [
    pytest.param(replace(PAGE, states=_TWO), id="next"),
    pytest.param(replace(PAGE, states=_TWO, after=None), id="first"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is said of one query: its `sql`, and the steps that are taken."""

    sql: str
    indexes: Sequence[str]
    """Each that is gone by, as often as it is."""
    sorted_rows: Sequence[int | None]
    """For each sort how many rows it is about; None where that is not said."""
    reads_through: bool

    def sorts_at_most(self, rows: int) -> bool:
        """Whether no sort is about more than so many rows."""
        return all(it is not None and it <= rows for it in self.sorted_rows)


class _Told(Exception):  # noqa: N818 - not an error
    """The statement and its parameters."""


def fill(connection: sa.Connection, table: str, *, key: str, subject: str, **more: str) -> None:
    """Puts ROWS rows into a table that a List goes through. `more`: SQL for further columns."""
    columns = {
        key: "'id_' || substr('0000' || n, length('0000' || n) - 4)",
        "version": "1",
        # Two states that few rows are in, and one of all the others.
        "state": "CASE n % 50 WHEN 0 THEN 'A_STATE' WHEN 1 THEN 'B_STATE' ELSE 'C_STATE' END",
        subject: "'s' || n % 49",
        "create_time_us": "n",
        "update_time_us": "n",
        **more,
    }
    statement = (
        f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers "  # noqa: S608 - names of ours
        f"WHERE n < {ROWS}) INSERT INTO {table} ({', '.join(columns)}) "
        f"SELECT {', '.join(columns.values())} FROM numbers"
    )
    connection.execute(sa.text(statement))
    if connection.dialect.name != "sqlite":
        # A server does so by itself, by and by; nobody does for a file.
        connection.exec_driver_sql(f"ANALYZE {table}")


def plan_of(connection: sa.Connection, query: Callable[[sa.Connection], object]) -> Plan:
    """The plan of the statement that `query` would run; it is not run, only explained."""

    def tell(_conn: Any, _cursor: Any, text: str, parameters: Any, *_: Any) -> None:
        raise _Told(text, parameters)

    sa.event.listen(connection, "before_cursor_execute", tell)
    try:
        with pytest.raises(_Told) as told:
            query(connection)
    finally:
        sa.event.remove(connection, "before_cursor_execute", tell)
    sql, parameters = told.value.args
    if connection.dialect.name == "sqlite":
        return _of_sqlite(connection, sql, parameters)
    (explained,) = connection.exec_driver_sql(
        f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", parameters
    ).scalar_one()
    steps = _flat(explained["Plan"])
    return Plan(
        sql=sql,
        indexes=[it["Index Name"] for it in steps if "Index Name" in it],
        sorted_rows=[
            sum(part["Actual Rows"] for part in it["Plans"])
            for it in steps
            if it["Node Type"] == "Sort"
        ],
        reads_through=any(it["Node Type"] == "Seq Scan" for it in steps),
    )


def _of_sqlite(connection: sa.Connection, sql: str, parameters: Any) -> Plan:
    rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters).all()
    details = [str(row.detail) for row in rows]
    searched_in = {row.parent for row in rows if " INDEX " in row.detail}
    scans = {f"SCAN {table}" for table in sa.inspect(connection).get_table_names()}
    # What is sorted where an index is gone by is all that the index finds.
    sorts = [row.parent in searched_in for row in rows if "TEMP B-TREE" in row.detail]
    return Plan(
        sql=sql,
        indexes=[it.split(" INDEX ")[1].split()[0] for it in details if " INDEX " in it],
        sorted_rows=[None if of_index else 0 for of_index in sorts],
        reads_through=any(it in scans for it in details),
    )


def _flat(step: dict[str, Any]) -> list[dict[str, Any]]:
    return [step, *(it for part in step.get("Plans", ()) for it in _flat(part))]
