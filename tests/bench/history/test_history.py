"""A long history costs no more pages than a short one; counted, never timed."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest
import sqlalchemy as sa

from bench.history import traffic
from bench.history.allowance import Line, compare
from bench.history.run import History, look, look_at_both, make
from bench.history.touches import Explainer, Plans, Touches
from bench.postgres import PostgresServer
from orchestrator.saga.evolve import replay
from orchestrator.saga_log import sql_appends
from orchestrator.saga_log.protocol import ListQuery
from orchestrator.saga_log.sql import SqlSagaLog

SHORT, LONG = 2_000, 20_000
PAGE = 10
TRAFFIC = 600


class Histories(NamedTuple):
    server: PostgresServer
    short: History
    long: History
    short_unknown: History
    long_unknown: History
    """Of which nothing is known: no statistics."""


@pytest.fixture(scope="module")
def histories() -> Iterator[Histories]:
    server = PostgresServer(durable=False, settings=[("autovacuum", "off")])
    try:
        server.start()
        yield Histories(
            server,
            asyncio.run(make(server, settled=SHORT)),
            asyncio.run(make(server, settled=LONG)),
            asyncio.run(make(server, settled=SHORT, analyze=False, name="short_unknown")),
            asyncio.run(make(server, settled=LONG, analyze=False, name="long_unknown")),
        )
    finally:
        server.close()


@pytest.fixture(scope="module")
def short_touches(histories: Histories) -> Mapping[str, Touches]:
    return asyncio.run(look(histories.server, histories.short, Plans.CUSTOM, page_size=PAGE))


def growing(lines: list[Line]) -> list[str]:
    return [f"{it.name}: {it.short} -> {it.long}, {it.allowed}" for it in lines if not it.holds]


@pytest.mark.parametrize("plans", Plans)
async def test_nothing_touches_more_pages_where_ten_times_as_many_are_settled(
    histories: Histories, plans: Plans
) -> None:
    lines = await look_at_both(
        histories.server, histories.short, histories.long, plans, page_size=PAGE
    )
    assert [] == growing(lines)


async def test_nothing_touches_more_pages_where_there_are_no_statistics(
    histories: Histories,
) -> None:
    short, long = histories.short_unknown, histories.long_unknown
    lines = await look_at_both(histories.server, short, long, Plans.CUSTOM, page_size=PAGE)
    assert [] == growing(lines)


async def test_every_deed_is_heard_whichever_way_it_is_sent(
    short_touches: Mapping[str, Touches],
) -> None:
    assert [] == [name for name, it in short_touches.items() if not it.pages]
    assert {"processes": 1, "events": 2} == short_touches["a new order"].written


async def test_what_finds_work_goes_along_the_index_for_work(
    short_touches: Mapping[str, Touches],
) -> None:
    work = [it for name, it in short_touches.items() if "claim" in name or "is due" in name]
    assert len(work) >= 6
    assert all("processes_due" in it.searches for it in work)


@pytest.mark.parametrize(
    "index", ["processes_due", "processes_by_time", "processes_by_phase", "processes_by_subject"]
)
async def test_without_an_index_the_check_goes_red(
    histories: Histories, short_touches: Mapping[str, Touches], index: str
) -> None:
    found = await look(
        histories.server, histories.long, Plans.CUSTOM, page_size=PAGE, without=index
    )
    lines = compare(
        short_touches,
        found,
        depths_short=histories.short.depths,
        depths_long=histories.long.depths,
    )
    assert growing(lines)


async def test_what_was_made_is_what_the_product_would_have_written(histories: Histories) -> None:
    log = await SqlSagaLog.open(histories.short.where.log_url)
    try:
        newest = await log.list(ListQuery(limit=2_500))
    finally:
        await log.close()
    assert not any(it.unreadable for it in newest)
    states = [replay(it.events) for it in newest]
    assert [it.row.phase for it in newest] == [it.phase for it in states]
    assert [it.row.update_time_us for it in newest] == [it.update_time_us for it in states]
    assert [it.row.end_time_us for it in newest] == [it.end_time_us for it in states]
    assert {12, 14} <= {len(it.events) for it in newest if it.row.phase.settled}


async def under_traffic(
    server: PostgresServer, name: str, *, without: str = ""
) -> tuple[bool, float]:
    """Whether claims grew, and the share of changes that no index was told of."""
    made = await make(server, settled=SHORT, name=name)
    if without:
        with made.where.connect() as connection:
            connection.execute(without.encode())
    found = await traffic.claims_under_traffic(made.where, Explainer(), processes=TRAFFIC)
    return traffic.grew(found), traffic.in_place(made.where)


async def test_steps_change_no_index_and_claims_do_not_walk_past_what_is_over(
    histories: Histories,
) -> None:
    grew, in_place = await under_traffic(histories.server, "traffic")
    assert not grew
    assert in_place >= traffic.IN_PLACE_MIN


async def test_steps_that_find_no_room_on_their_page_are_seen(histories: Histories) -> None:
    _, in_place = await under_traffic(
        histories.server, "no_room", without="ALTER TABLE processes RESET (fillfactor)"
    )
    assert in_place < traffic.IN_PLACE_MIN


async def test_steps_that_change_an_index_are_seen(
    histories: Histories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_appends, "_IS_RUN_ON", (sa.false(),))
    _, in_place = await under_traffic(histories.server, "moved")
    assert in_place < traffic.IN_PLACE_MIN
