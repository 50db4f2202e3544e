"""Everybody is killed in turn while orders pour in: in the end everybody agrees.

OMS_TEST_STORM_ROUNDS says how often each of the four is killed.
"""

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable

import grpc.aio
import pytest

from oms.orchestrator.v1.order_process_pb2 import ORDER_PROCESS_STATE_CANCELLED, OrderProcess
from oms.orchestrator.v1.order_process_service_pb2 import StartOrderProcessRequest
from tests.system.harness.audit import contradictions, everything
from tests.system.harness.requests import order
from tests.system.harness.system import System

ROUNDS = int(os.environ.get("OMS_TEST_STORM_ROUNDS", "1"))
ORDERS_A_KILL = 20
KINDS: list[Callable[[], StartOrderProcessRequest]] = [
    order,
    lambda: order(country_code="AQ"),
    lambda: order(payment_method="pm_card_chargeDeclined"),
    lambda: order(payment_method="pm_sandbox_confirmDeclined"),
]


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """No process runs out of time, and nobody waits long for a server that is back."""
    return {
        "OMS_PROCESS_DEADLINE_SECONDS": "600",
        "OMS_STEP_BACKOFF_SECONDS_MAX": "1",
        "OMS_UNDO_BACKOFF_SECONDS_MAX": "1",
    }


async def known(ask: Callable[[], Awaitable[OrderProcess]]) -> OrderProcess:
    """Asks until there is an answer, however often the orchestrator dies over it."""
    while True:
        try:
            return await ask()
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise


async def ordered(system: System, request: StartOrderProcessRequest, *, unwanted: bool) -> str:
    """Has an order accepted, and cancels it at once where it is unwanted. Returns the process."""
    process = await known(lambda: system.orchestrator.accept(request))
    if unwanted:
        await known(lambda: system.orchestrator.cancel(process.process_id, "changed my mind"))
    return process.process_id


@pytest.mark.timeout(120 + 60 * ROUNDS)
async def test_after_everybody_was_killed_in_turn_everybody_agrees(system: System) -> None:
    kinds, calls = itertools.cycle(KINDS), 0
    wanted: list[asyncio.Task[str]] = []
    unwanted: list[asyncio.Task[str]] = []
    for victim in system.services * ROUNDS:
        for kind in itertools.islice(kinds, ORDERS_A_KILL):
            wanted.append(asyncio.create_task(ordered(system, kind(), unwanted=False)))
            unwanted.append(asyncio.create_task(ordered(system, kind(), unwanted=True)))
        # In the middle of the work, wherever that is: after so many more orders have been created.
        calls += ORDERS_A_KILL
        await system.roads.passed("CreateOrder", calls)
        await victim.kill()
        await victim.restart()
    process_ids = await asyncio.gather(*wanted, *unwanted)
    settled = {
        process_id: await system.orchestrator.until_settled(
            await system.orchestrator.get(process_id)
        )
        for process_id in process_ids
    }
    assert len(process_ids) == len(settled)
    assert {ORDER_PROCESS_STATE_CANCELLED} == {settled[it.result()].state for it in unwanted}
    found = await everything(system)
    assert settled.keys() == {it.process_id for it in found.processes}
    assert [] == contradictions(found)
