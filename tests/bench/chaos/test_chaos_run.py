"""A small run with real processes, and what the audit says once somebody has tampered with it.

Each plant is in the databases of the services behind their backs, and is taken away again. What is
tampered with are orders placed when the storm is over: how those of the storm end is up to chance.
"""

import itertools
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from bench.chaos.account import Account
from bench.chaos.audit import Rule, judge
from bench.chaos.callers import Callers
from bench.chaos.databases import LEDGER, connected
from bench.chaos.evidence import Process, gather_evidence
from bench.chaos.fleet import Fleet
from bench.chaos.layout import ORCHESTRATOR, SERVICES
from bench.chaos.orders import Fate, draw
from bench.chaos.pace import Pace
from bench.chaos.product_audit import ask_product
from bench.chaos.report import again, table
from bench.chaos.run import SETTLED_SECONDS_MAX, Options, Result, settled, storm
from bench.chaos.weather import SHARES, Fault

OPTIONS = Options(orders=120, seed=20, kills=8, pauses=2, concurrency=32)

# The run is short; the machine may be slow.
pytestmark = pytest.mark.timeout(300)

Statement = tuple[str, Mapping[str, object]]


@pytest.fixture(scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    it = Fleet(tmp_path_factory.mktemp("chaos"), seed=OPTIONS.seed, shares=SHARES)
    try:
        await it.start()
        yield it
    finally:
        await it.close()


@pytest.fixture(scope="module")
async def result(fleet: Fleet) -> Result:
    return await storm(fleet, OPTIONS, print)


@contextmanager
def planted(url: str, plant: Sequence[Statement], undo: Sequence[Statement]) -> Iterator[None]:
    """Writes to a service's database, and undoes that."""

    def write(statements: Sequence[Statement]) -> None:
        with connected(url) as connection:
            for sql, parameters in statements:
                assert connection.execute(sa.text(sql), parameters).rowcount > 0, sql

    write(plant)
    try:
        yield
    finally:
        write(undo)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calm:
    """Orders of the time after the storm, and the accounts of all callers."""

    by_fate: dict[Fate, Process]
    accounts: tuple[Account, ...]

    async def broken(self, fleet: Fleet) -> set[tuple[Rule, str]]:
        findings = judge(await gather_evidence(fleet), self.accounts)
        return {(it.rule, it.subject) for it in findings}


@pytest.fixture(scope="module")
async def calm(fleet: Fleet, result: Result) -> Calm:
    """One order of each fate that a plant needs, each ended as its fate has it."""
    later = (draw(OPTIONS.seed, number) for number in itertools.count(OPTIONS.orders))
    fates = (Fate.GOOD, Fate.RETURNED, Fate.CONFIRM_DECLINED)
    first: dict[Fate, str] = {}
    orders = []
    for order in later:
        if order.fate in fates and order.fate not in first:
            first[order.fate] = order.request.request_id
            order.request.return_immediately = False
            orders.append(order)
        if len(first) == len(fates):
            break
    callers = Callers(fleet, Pace([], ahead=1), seed=OPTIONS.seed)
    await callers.run(orders, concurrency=len(orders))
    assert await settled(fleet, SETTLED_SECONDS_MAX)
    by_request = {it.request_id: it for it in (await gather_evidence(fleet)).processes}
    return Calm(
        by_fate={fate: by_request[request_id] for fate, request_id in first.items()},
        accounts=(*result.accounts, *callers.accounts),
    )


async def test_no_order_is_lost_or_half_done(result: Result) -> None:
    assert () == result.findings
    assert OPTIONS.orders == sum(len(it.process_ids) for it in result.accounts)
    assert OPTIONS.orders == result.in_state("COMPLETED") + result.in_state("CANCELLED")
    assert result.in_state("COMPLETED") > 0


async def test_all_is_settled_within_a_minute_of_the_last_blow(result: Result) -> None:
    assert result.settled_seconds is not None
    assert result.settled_seconds < SETTLED_SECONDS_MAX


async def test_everybody_was_killed_and_every_fault_struck(result: Result) -> None:
    assert dict.fromkeys(SERVICES, OPTIONS.kills // len(SERVICES) + 1) == result.kills
    assert OPTIONS.pauses == sum(result.pauses.values())
    assert set(Fault) == set(result.faults)


async def test_the_table_tells_what_was_done_and_what_came_of_it(result: Result) -> None:
    lines = [line.split() for line in table(result)]
    assert ["offered", "120"] in lines
    assert ["completed", str(result.in_state("COMPLETED"))] in lines
    assert ["kill", "-9", "of", "orchestrator", "3"] in lines
    assert ["violations", "0"] in lines


async def test_the_seed_and_the_command_to_run_it_again_are_told(result: Result) -> None:
    told = again(result, Path("folder"))
    assert "--orders 120 --seed 20 --kills 8 --pauses 2 --concurrency 32" in told
    assert "folder" in told


async def test_a_capture_in_the_ledger_behind_the_back_is_found(fleet: Fleet, calm: Calm) -> None:
    victim = calm.by_fate[Fate.CONFIRM_DECLINED]
    change = """
        UPDATE ledger_entries SET decline_reason = :reason
        WHERE kind = 'CAPTURE' AND payment_id = :id
    """
    with planted(
        fleet.databases.url(LEDGER),
        [(change, {"reason": None, "id": victim.payment_id})],
        [(change, {"reason": "PAYMENT_DECLINED", "id": victim.payment_id})],
    ):
        assert {(Rule.MONEY, victim.process_id)} == await calm.broken(fleet)


async def test_a_delivery_left_assigned_is_found(fleet: Fleet, calm: Calm) -> None:
    victim = calm.by_fate[Fate.RETURNED]
    deliveries = {it.delivery_id: it for it in (await gather_evidence(fleet)).deliveries}
    change = "UPDATE deliveries SET state = :state WHERE delivery_id = :id"
    with planted(
        fleet.databases.url("delivery"),
        [(change, {"state": "ASSIGNED", "id": victim.delivery_id})],
        [(change, {"state": "CANCELLED", "id": victim.delivery_id})],
    ):
        assert {
            (Rule.EFFECTS, victim.process_id),
            (Rule.LOADS, deliveries[victim.delivery_id].courier_id),
        } == await calm.broken(fleet)


async def test_a_lost_process_is_found_and_what_it_left_behind(fleet: Fleet, calm: Calm) -> None:
    victim = calm.by_fate[Fate.GOOD]
    url, id_ = fleet.databases.url(ORCHESTRATOR), {"id": victim.process_id}
    with connected(url) as connection:
        keep = "CREATE TABLE kept AS SELECT * FROM processes WHERE process_id = :id"
        connection.execute(sa.text(keep), id_)
    with planted(
        url,
        [("DELETE FROM processes WHERE process_id = :id", id_)],
        [("INSERT INTO processes SELECT * FROM kept", {})],
    ):
        found = await calm.broken(fleet)
    with connected(url) as connection:
        connection.execute(sa.text("DROP TABLE kept"))
    assert {
        (Rule.ONE_PROCESS, victim.request_id),
        *(
            (Rule.NO_ORPHANS, id_)
            for id_ in (victim.order_id, victim.payment_id, victim.delivery_id)
        ),
    } == found


async def test_a_changed_amount_is_found(fleet: Fleet, calm: Calm) -> None:
    victim = calm.by_fate[Fate.GOOD]
    change = "UPDATE payments SET minor_units = minor_units + :more WHERE payment_id = :id"
    with planted(
        fleet.databases.url("payment"),
        [(change, {"more": 1, "id": victim.payment_id})],
        [(change, {"more": -1, "id": victim.payment_id})],
    ):
        assert {(Rule.AMOUNT, victim.process_id)} == await calm.broken(fleet)
        assert [Rule.PRODUCT_AUDIT] == [it.rule for it in await ask_product(fleet)]


async def test_once_nothing_is_planted_any_more_nothing_is_found(fleet: Fleet, calm: Calm) -> None:
    assert set() == await calm.broken(fleet)
    assert [] == await ask_product(fleet)
