"""A small run of replicas on one PostgreSQL: a storm, then a rolling restart of what is left.

What is planted is in the databases behind the services' backs, and is taken away again.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from bench.chaos.audit import Rule, judge
from bench.chaos.blows import DATABASE, draw_blows
from bench.chaos.databases import connected
from bench.chaos.evidence import gather_evidence
from bench.chaos.fleet import Fleet
from bench.chaos.hands import unanswered
from bench.chaos.layout import ORCHESTRATOR, SERVICES, Layout
from bench.chaos.report import again, table
from bench.chaos.rolling import lost_attempts, rolling
from bench.chaos.run import Options, Result, storm
from bench.chaos.service import How
from bench.chaos.weather import SHARES

STORM = Options(
    orders=150,
    seed=20,
    kills=10,
    pauses=2,
    restarts=1,
    concurrency=32,
    layout=Layout(orchestrators=3, participants=2),
)
ROLLING = Options(orders=60, seed=20, rounds=1, concurrency=8, layout=STORM.layout)
ROLLED = ("orchestrator-1", "order-1", "payment-2", "orchestrator-2")

# The run is short; the machine may be slow.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    it = Fleet(
        tmp_path_factory.mktemp("chaos"), seed=STORM.seed, shares=SHARES, layout=STORM.layout
    )
    try:
        await it.start()
        yield it
    finally:
        await it.close()


@pytest.fixture(scope="module")
async def stormed(fleet: Fleet) -> Result:
    return await storm(fleet, STORM, print)


@pytest.fixture(scope="module")
async def rolled(fleet: Fleet, stormed: Result) -> Result:
    return await rolling(
        fleet, ROLLING, print, names=ROLLED, first=STORM.orders, known=stormed.accounts
    )


async def test_no_order_is_lost_or_half_done(stormed: Result) -> None:
    assert () == stormed.findings
    assert STORM.orders == sum(len(it.process_ids) for it in stormed.accounts)
    assert STORM.orders == stormed.in_state("COMPLETED") + stormed.in_state("CANCELLED")


async def test_replicas_were_killed_and_the_database_restarted(stormed: Result) -> None:
    blows = draw_blows(20, STORM.layout, orders=150, kills=10, pauses=2, restarts=1)
    assert 1 == sum(it.victim == DATABASE for it in blows)
    assert 1 == len(stormed.outages_seconds)
    # The last blow kills each once more.
    assert STORM.kills + len(STORM.layout.names) == sum(stormed.kills.values())
    assert all(stormed.kills[it] > 0 for it in SERVICES)


async def test_each_orchestrator_that_was_killed_had_said_who_it_is(
    fleet: Fleet, stormed: Result
) -> None:
    owners = [it.owner for it in fleet.ends() if it.how is How.KILLED]
    assert stormed.kills[ORCHESTRATOR] <= len(owners)
    assert len(owners) == len(set(owners) - {""})


async def test_the_table_tells_of_replicas_and_of_who_took_over(stormed: Result) -> None:
    assert stormed.takeovers is not None
    lines = [line.split() for line in table(stormed)]
    assert ["orchestrator", "3"] in lines
    assert ["PostgreSQL", "restarted", "(immediate)", "1"] in lines
    assert f"processes that changed their owner {stormed.takeovers.total}".split() in lines
    assert ["violations", "0"] in lines
    assert "--restarts 1 --concurrency 32 --orchestrators 3 --participants 2" in again(
        stormed, Path("folder")
    )


async def test_while_replicas_are_restarted_one_by_one_each_order_is_placed_once(
    rolled: Result,
) -> None:
    assert () == rolled.findings
    assert ROLLING.orders == sum(len(it.process_ids) for it in rolled.accounts)
    assert {"orchestrator": 2, "order": 1, "payment": 1, "delivery": 0} == rolled.drains
    assert ["drain", "and", "restart", "of", "order", "1"] in [it.split() for it in table(rolled)]
    assert "--rolling 1" in again(rolled, Path("folder"))


async def test_an_attempt_that_was_lost_is_found(fleet: Fleet, rolled: Result) -> None:
    url = fleet.databases.url(ORCHESTRATOR)
    victim = next(iter(rolled.accounts[0].process_ids))
    before = unanswered(url)
    with connected(url) as log:
        log.execute(
            sa.text(
                "INSERT INTO events SELECT process_id, 9999, kind, time_us, body FROM events "
                "WHERE process_id = :id AND kind = 'attempt_began' ORDER BY sequence LIMIT 1"
            ),
            {"id": victim},
        )
    try:
        found = lost_attempts(before, unanswered(url))
    finally:
        with connected(url) as log:
            log.execute(sa.text("DELETE FROM events WHERE sequence = 9999"))
    assert [(Rule.ANSWERED_ATTEMPTS, victim)] == [(it.rule, it.subject) for it in found]


async def test_a_courier_with_a_load_that_nobody_gave_it_is_found(
    fleet: Fleet, stormed: Result, rolled: Result
) -> None:
    change = sa.text("UPDATE couriers SET load = load + :more WHERE courier_id = :id")
    url = fleet.databases.url("delivery")
    courier_id = min((await gather_evidence(fleet)).loads)
    accounts = (*stormed.accounts, *rolled.accounts)
    with connected(url) as couriers:
        couriers.execute(change, {"more": 1, "id": courier_id})
    try:
        found = judge(await gather_evidence(fleet), accounts)
    finally:
        with connected(url) as couriers:
            couriers.execute(change, {"more": -1, "id": courier_id})
    assert [(Rule.LOADS, courier_id)] == [(it.rule, it.subject) for it in found]
    assert [] == judge(await gather_evidence(fleet), accounts)
