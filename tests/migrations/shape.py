"""What a release relies on in a schema, and whether another schema keeps it.

Invariant: of a schema that keeps it, every statement of that release still runs, and does the same.
So tables and columns may be added that nobody has to fill; nothing is taken away, renamed or made
narrower. Must never: let a difference pass that it does not understand.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

NUMBER: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    type: str
    nullable: bool
    filled: bool
    """Whether the database fills it where nobody does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    columns: Mapping[str, Column]
    key: tuple[str, ...]
    unique: frozenset[frozenset[str]]
    """Columns that no two rows have in common."""
    checks: frozenset[str]
    foreign: frozenset[str]

    @property
    def own(self) -> set[str]:
        """The columns in which rows differ."""
        return {*self.key, *(name for names in self.unique for name in names)}


Shape = Mapping[str, Table]
"""By the name of the table; what others point at comes before them."""


def shape_of(connection: sa.Connection) -> Shape:
    inspector = sa.inspect(connection)
    return {
        name: _table(inspector, name, connection.dialect)
        for name, _ in inspector.get_sorted_table_and_fkc_names()
        if name is not None and not name.endswith(("_schema_version", "_schema_promise"))
    }


def _table(inspector: sa.Inspector, name: str, dialect: sa.Dialect) -> Table:
    unique = [it["column_names"] for it in inspector.get_unique_constraints(name)]
    unique += [
        [column for column in it["column_names"] if column is not None]
        for it in inspector.get_indexes(name)
        if it["unique"]
    ]
    return Table(
        columns={
            it["name"]: Column(
                type=str(it["type"].compile(dialect)),
                nullable=bool(it["nullable"]),
                filled=it.get("default") is not None,
            )
            for it in inspector.get_columns(name)
        },
        key=tuple(inspector.get_pk_constraint(name)["constrained_columns"]),
        unique=frozenset(frozenset(names) for names in unique),
        checks=frozenset(it["sqltext"] for it in inspector.get_check_constraints(name)),
        foreign=frozenset(
            f"{it['constrained_columns']} {it['referred_table']} {it['referred_columns']}"
            for it in inspector.get_foreign_keys(name)
        ),
    )


def broken(before: Shape, after: Shape) -> Iterator[str]:
    """What a release that was written for one schema would miss in the other."""
    for name, table in before.items():
        if name in after:
            yield from _broken(name, table, after[name])
        else:
            yield f"{name} is gone"


def _broken(name: str, before: Table, after: Table) -> Iterator[str]:
    for column, was in before.columns.items():
        yield from _narrower(f"{name}.{column}", was, after.columns.get(column))
    for column in after.columns.keys() - before.columns.keys():
        now = after.columns[column]
        if not now.nullable and not now.filled:
            yield f"{name}.{column} is new, and the release before does not fill it"
    if after.key != before.key:
        yield f"the key of {name} was {before.key} and is {after.key}"
    for names in after.unique - before.unique:
        if names <= before.columns.keys():
            yield f"{sorted(names)} of {name} have to be unique now"
    yield from (f"{name} is checked for {it} now" for it in after.checks - before.checks)
    yield from (f"{name} has to point at {it} now" for it in after.foreign - before.foreign)


def _narrower(column: str, was: Column, now: Column | None) -> Iterator[str]:
    if now is None:
        yield f"{column} is gone"
    elif now.type != was.type or (was.nullable and not now.nullable):
        yield f"{column} was {was} and is {now}"
    elif was.filled and not now.filled:
        yield f"{column} is not filled any more"


def refused(connection: sa.Connection, before: Shape) -> Iterator[str]:
    """Which statements of a release that was written for a schema fail on this one.

    Of each table: two rows as that release may write them, read, changed and deleted. Nothing is
    left of it.
    """
    tables = {
        name: sa.table(name, *(sa.column(it) for it in was.columns)) for name, was in before.items()
    }
    trial = connection.begin_nested()
    for name, was in before.items():
        rows = [_row(was, number) for number in (1, 2)]
        yield from _runs(connection, tables[name].insert(), rows)
    for name, was in before.items():
        yield from _runs(connection, sa.select(tables[name]))
        changed = {it: value for it, value in _row(was, 1).items() if it not in was.own}
        if changed:
            yield from _runs(connection, tables[name].update().values(changed))
    for table in reversed(tables.values()):
        yield from _runs(connection, table.delete())
    trial.rollback()


def _runs(
    connection: sa.Connection, statement: sa.Executable, rows: list[dict[str, Any]] | None = None
) -> Iterator[str]:
    try:
        with connection.begin_nested():
            connection.execute(statement, rows)
    except sa.exc.DBAPIError as error:
        yield f"{str(statement).splitlines()[0]}: {error.orig}"


def _row(table: Table, number: int) -> dict[str, Any]:
    """A row as it may be written. Two of them differ only where they have to."""
    row: dict[str, Any] = {}
    for name, column in table.columns.items():
        differs = number if name in table.own else 0
        if column.type.startswith(("BIGINT", "INTEGER")):
            row[name] = NUMBER + differs
        elif column.type.startswith("BOOLEAN"):
            row[name] = True
        else:
            row[name] = f"a text of a usual length, {differs}"
    return row
