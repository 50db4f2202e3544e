"""Histories of different length: made, looked at, compared.

Invariant: all are on one server, made by one program at one time; they differ in length alone. What
is looked at is a copy, so that one look does not change what the next one sees.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy.engine import make_url

from bench.history.allowance import Line, compare, depths
from bench.history.deeds import PAGE, Where, look_at_all
from bench.history.fill import fill
from bench.history.touches import Explainer, Plans, Touches
from bench.postgres import PostgresServer
from chassis.clock import SystemClock
from orchestrator.saga_log.sql import SqlSagaLog


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A log that was filled, in a database of its own."""

    where: Where
    depths: Mapping[str, int]
    """Of its indexes, in pages."""


async def make(
    server: PostgresServer,
    *,
    settled: int,
    analyze: bool = True,
    name: str = "",
    say: Callable[[str], None] = lambda _: None,
) -> History:
    """A log with that many settled processes. Without `analyze` the server knows nothing of it."""
    where = Where(
        url=server.create_database(name or f"history_{settled}"),
        schema="oms",
        now_us=SystemClock().now_us(),
    )
    log = await SqlSagaLog.open(where.log_url)
    await log.close()
    with where.connect() as connection:
        fill(connection, settled=settled, now_us=where.now_us, say=say)
        if analyze:
            connection.execute("VACUUM ANALYZE")
        return History(where=where, depths=depths(connection))


async def look(
    server: PostgresServer,
    history: History,
    plans: Plans,
    *,
    page_size: int = PAGE,
    without: str = "",
) -> Mapping[str, Touches]:
    """What each deed touches, on a copy that is gone afterwards; there, `without` an index."""
    database = make_url(history.where.url).database
    assert database is not None, "it has one of its own"
    copied = f"{database}_{plans}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(
            SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                Identifier(copied), Identifier(database)
            )
        )
        try:
            where = replace(history.where, url=server.url(copied))
            if without:
                with where.connect() as altered:
                    altered.execute(SQL("DROP INDEX {}").format(Identifier(without)))
            return await look_at_all(where, Explainer(plans), page_size=page_size)
        finally:
            connection.execute(SQL("DROP DATABASE {}").format(Identifier(copied)))


async def look_at_both(
    server: PostgresServer, short: History, long: History, plans: Plans, *, page_size: int = PAGE
) -> list[Line]:
    """Each deed on both histories."""
    return compare(
        await look(server, short, plans, page_size=page_size),
        await look(server, long, plans, page_size=page_size),
        depths_short=short.depths,
        depths_long=long.depths,
    )
