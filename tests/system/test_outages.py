"""Participants that are away for a while.

No process fails for it, each is tried again within its deadline; and while nobody is there only one
at a time tries.
"""

import asyncio
import time
from collections.abc import Callable, Collection

import pytest

from oms.orchestrator.v1.order_process_pb2 import (
    ORDER_PROCESS_STATE_COMPLETED,
    OrderProcess,
    OrderProcessEvent,
)
from tests.system.harness.events import attempt_ended
from tests.system.harness.requests import order
from tests.system.harness.system import PARTICIPANTS, System

# The first step that needs each participant.
FIRST_STEP = {
    "order": "create_order",
    "payment": "process_payment",
    "delivery": "process_delivery",
}
PROCESSES = 20


@pytest.fixture(scope="module")
def by_road() -> Collection[str]:
    """No proxy answers in the participants' place."""
    return ()


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """The process deadline is the default, a minute; pauses are short so that the tests are."""
    return {"OMS_STEP_BACKOFF_SECONDS_MAX": "1"}


async def until_one(
    system: System,
    processes: list[OrderProcess],
    where: Callable[[OrderProcessEvent], bool],
    *,
    times: int = 1,
) -> None:
    """Until so many such events have happened to one of them, whichever."""
    watches = [
        asyncio.create_task(system.orchestrator.until_event(it, where, times=times))
        for it in processes
    ]
    done, pending = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
    for watch in pending:
        watch.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for watch in done:
        await watch


async def all_completed(system: System, processes: list[OrderProcess]) -> list[OrderProcess]:
    settled = await asyncio.gather(*map(system.orchestrator.until_settled, processes))
    assert {ORDER_PROCESS_STATE_COMPLETED} == {it.state for it in settled}
    for process in settled:
        assert {"order": "CONFIRMED", "payment": "CONFIRMED", "delivery": "ASSIGNED"} == (
            await system.states(process)
        )
        balance = system.balance(process.payment_id)
        assert (2_500, 0) == (balance.taken, balance.on_hold)
    return settled


@pytest.mark.parametrize("name", PARTICIPANTS)
async def test_a_participant_killed_and_started_again_fails_no_process(
    system: System, name: str
) -> None:
    await system.participants[name].kill()
    accepted = [await system.orchestrator.accept(order()) for _ in range(PROCESSES)]
    failed = attempt_ended(FIRST_STEP[name], code="UNAVAILABLE")
    await until_one(system, accepted, failed, times=3)
    await system.participants[name].restart()
    await all_completed(system, accepted)


async def test_all_participants_down_for_20_seconds_fail_no_process(system: System) -> None:
    await asyncio.gather(*(it.kill() for it in system.participants.values()))
    back_at_ns = time.time_ns() + 20 * 10**9
    accepted = [await system.orchestrator.accept(order()) for _ in range(PROCESSES)]

    def failed_20_seconds_later(event: OrderProcessEvent) -> bool:
        failed = attempt_ended("create_order", code="UNAVAILABLE")
        return failed(event) and event.event_time.ToNanoseconds() >= back_at_ns

    await until_one(system, accepted, failed_20_seconds_later)
    await asyncio.gather(*(it.restart() for it in system.participants.values()))
    settled = await all_completed(system, accepted)
    attempts = sum(it.steps[0].attempts for it in settled)
    # One a second, and a few by each before it was clear that nobody is there. Each on its own
    # would have made some forty.
    assert attempts <= 10 * PROCESSES
