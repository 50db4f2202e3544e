"""What there is to do in the SQL log: processes that nobody runs.

Invariant: all of it is found along the partial index of what is not at rest, owner by owner, so
that neither the millions that are settled nor the thousands that are well run by somebody alive
cost the search anything. This module must never write.

On a database that one orchestrator holds for itself, whoever else is named as an owner is dead. On
one that many share, an owner is dead when its heartbeat has lapsed, by the database's own clock, or
when it never had one. There a process whose definition this release does not know (yet) is left to
the replicas that do: they run beside this one while an upgrade is under way.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    cast,
    extract,
    func,
    or_,
    select,
    true,
)

from orchestrator.saga_log.protocol import ProcessRow
from orchestrator.saga_log.sql_reads import ROWS, select_rows
from orchestrator.saga_log.tables import PROCESSES, REPLICAS

UNSETTLED: Final = PROCESSES.c.due_time_us.is_not(None)
DATABASE_NOW_US: Final[ColumnElement[int]] = cast(
    extract("epoch", func.clock_timestamp()) * 1_000_000, BigInteger
)
"""The server's clock: what the heartbeats of all replicas are measured by."""


class Work:
    """Finds what nobody runs."""

    def __init__(self, *, shared: bool, newest: Mapping[str, int] | None = None) -> None:
        """`shared`: others may be alive. `newest`: by name, the newest definitions known here."""
        self._owners = _owners(bindparam("owner"), shared=shared)
        runnable = true() if newest is None or not shared else _known(newest)
        self._orphaned = (
            ROWS.where(UNSETTLED, PROCESSES.c.owner == bindparam("dead"), runnable)
            .order_by(PROCESSES.c.due_time_us)
            .limit(bindparam("limit", type_=BigInteger))
        )
        self._released = (
            ROWS.where(UNSETTLED, PROCESSES.c.owner.is_(None), runnable)
            .order_by(PROCESSES.c.due_time_us)
            .limit(bindparam("limit", type_=BigInteger))
        )
        self._released_due = self._released.where(
            PROCESSES.c.due_time_us <= bindparam("now_us", type_=BigInteger)
        )

    def orphaned(
        self, connection: Connection, *, owner: str, limit: int, lock: bool = False
    ) -> list[ProcessRow]:
        """Processes of owners who are dead. With `lock`, those that nobody else is at just now."""
        found: list[ProcessRow] = []
        if limit <= 0:
            return found
        statement = locking(self._orphaned) if lock else self._orphaned
        for dead in connection.scalars(self._owners, {"owner": owner}).all():
            rows = select_rows(connection, statement, dead=dead, limit=limit - len(found))
            found.extend(rows)
            if len(found) >= limit:
                break
        return found

    def released_due(
        self, connection: Connection, *, now_us: int, limit: int, lock: bool = False
    ) -> list[ProcessRow]:
        """Processes that nobody owns and that are due, the longest due first."""
        if limit <= 0:
            return []
        statement = locking(self._released_due) if lock else self._released_due
        return list(select_rows(connection, statement, now_us=now_us, limit=limit))

    def next_due_us(
        self, connection: Connection, *, owner: str, orphans: bool = True
    ) -> int | None:
        """When the first process that nobody runs falls due: long ago, if it is orphaned."""
        if orphans and self.orphaned(connection, owner=owner, limit=1):
            return 0
        first = next(select_rows(connection, self._released, limit=1), None)
        return None if first is None else first.due_time_us


def locking(statement: Select[Any]) -> Select[Any]:
    """Of several who look at the same time each gets others.

    SQLite has one writer at a time and no locks of rows: its dialect leaves this out.
    """
    return statement.with_for_update(skip_locked=True)


def _known(newest: Mapping[str, int]) -> ColumnElement[bool]:
    return or_(
        *(
            and_(PROCESSES.c.definition == name, PROCESSES.c.definition_version <= version)
            for name, version in newest.items()
        )
    )


def _owners(me: ColumnElement[str], *, shared: bool) -> Select[Any]:
    """All who own something and are dead, but for oneself.

    One step of the index for each owner, whatever they own: `SELECT DISTINCT` would walk past all
    of it.
    """
    later = PROCESSES.alias()
    first = (
        select(PROCESSES.c.owner)
        .where(UNSETTLED, PROCESSES.c.owner.is_not(None))
        .order_by(PROCESSES.c.owner)
        .limit(1)
    )
    owners = select(first.scalar_subquery().label("owner")).cte("owners", recursive=True)
    following = (
        select(later.c.owner)
        .where(later.c.due_time_us.is_not(None), later.c.owner > owners.c.owner)
        .order_by(later.c.owner)
        .limit(1)
    )
    owners = owners.union_all(
        select(following.scalar_subquery()).where(owners.c.owner.is_not(None))
    )
    found = select(owners.c.owner).where(owners.c.owner.is_not(None), owners.c.owner != me)
    if not shared:
        return found
    alive = select(REPLICAS.c.owner).where(
        REPLICAS.c.owner == owners.c.owner, REPLICAS.c.expire_time_us > DATABASE_NOW_US
    )
    return found.where(~alive.exists())
