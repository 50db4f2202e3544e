"""Two releases beside each other, on one PostgreSQL: forward, back again, and forward for good."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench.postgres import PostgresServer
from oms.orchestrator.v1.order_process_pb2 import ORDER_PROCESS_STATE_COMPLETED, OrderProcess
from tests.system.harness.releases import Load, Releases
from tests.system.harness.requests import order
from tests.system.harness.system import Orchestrator

COUNT = 4
OLD_STEPS = [
    "create_order",
    "process_payment",
    "confirm_payment",
    "confirm_order",
    "process_delivery",
]
# The next release confirms the order before it takes the money.
NEW_STEPS = [
    "create_order",
    "process_payment",
    "confirm_order",
    "confirm_payment",
    "process_delivery",
]
UNSETTLED = "SELECT count(*) FROM processes WHERE due_time_us IS NOT NULL"


@pytest.fixture
async def releases(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Releases]:
    releases = Releases(postgres, tmp_path)
    try:
        yield releases
    finally:
        await releases.close()


async def under_load(*orchestrators: Orchestrator) -> None:
    """Orders go through, whoever is asked."""
    load = Load(lambda: orchestrators)
    try:
        await load.goes_on()
        await load.stop()
    finally:
        load.cut_off()
    assert {ORDER_PROCESS_STATE_COMPLETED} == {process.state for _, process in load.placed}


async def held(at: Orchestrator) -> list[OrderProcess]:
    """Processes that are under way, and stay so while nobody delivers."""
    accepted = [await at.accept(order()) for _ in range(COUNT)]
    for process in accepted:
        await at.until_event(process, lambda event: event.step == "process_delivery")
    return accepted


def steps_of(process: OrderProcess) -> list[str]:
    return [step.name for step in process.steps]


def of_version(version: int, condition: str) -> str:
    return f"{UNSETTLED} AND definition_version = {version} AND ({condition})"


@pytest.mark.timeout(600)
async def test_a_release_takes_the_place_of_another_one_and_gives_it_back(
    releases: Releases,
) -> None:
    old, new = releases.old, releases.new
    old_one = releases.orchestrator(old)
    await asyncio.gather(old.start(), old_one.start())
    await under_load(old_one)

    # The next release comes beside it, and expands every schema under the old one's feet.
    new_one, new_two = releases.orchestrator(new), releases.orchestrator(new)
    await asyncio.gather(new.start(), new_one.start(), new_two.start())
    await under_load(old_one, new_one, new_two)

    # What either has begun is under way when it is killed; the new ones go on with all of it.
    for release in (old, new):
        assert 0 == await release.participants["delivery"].stop()
    began_old, began_new = await held(old_one), await held(new_one)
    await old_one.kill()
    await releases.until(of_version(1, "epoch > 1"), COUNT)
    await new_one.kill()
    await releases.until(of_version(2, "epoch > 1"), COUNT)
    assert [(2 * COUNT,)] == await releases.ask(UNSETTLED)

    # The old one starts again, though the schemas are newer than it is.
    await old_one.restart()
    assert "schema_is_newer" in old_one.log.read_text()

    # And then it is alone: the new one is drained. It takes what it knows, and leaves the rest.
    await new.drain()
    await releases.until(of_version(1, "owner IS NOT NULL AND epoch > 2"), COUNT)
    await old.participants["delivery"].restart()
    for process in began_old:
        settled = await old_one.until_settled(process)
        assert ORDER_PROCESS_STATE_COMPLETED == settled.state
        assert OLD_STEPS == steps_of(settled)
    await under_load(old_one)
    await releases.until_overdue(old_one, {process.process_id for process in began_new})
    assert [(COUNT,)] == await releases.ask(of_version(2, "owner IS NULL"))
    assert [(COUNT,)] == await releases.ask(UNSETTLED)

    # Until the next release is there again.
    new_three = releases.orchestrator(new)
    await asyncio.gather(new.start(), new_three.start())
    for process in began_new:
        settled = await old_one.until_settled(process)
        assert ORDER_PROCESS_STATE_COMPLETED == settled.state
        assert NEW_STEPS == steps_of(settled)

    # For good: the old one goes while orders come in.
    serving = [old_one, new_three]
    load = Load(lambda: serving)
    try:
        await load.goes_on()
        serving.remove(old_one)
        await old.drain()
        await load.goes_on()
        await load.stop()
    finally:
        load.cut_off()
    for request_id, process in load.placed:
        assert ORDER_PROCESS_STATE_COMPLETED == process.state, request_id
    await releases.until(UNSETTLED, 0)
    audited = await releases.audit(new_three)
    assert 0 == audited.exit_code, audited.out
