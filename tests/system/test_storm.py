"""Everybody is killed in turn while orders pour in: in the end everybody agrees.

OMS_TEST_STORM_ROUNDS says how often each of the four is killed.
"""

import asyncio
import itertools
import os
from collections.abc import Callable

import grpc.aio
import pytest

from oms.orchestrator.v1.order_process_service_pb2 import StartOrderProcessRequest
from tests.system.harness.audit import contradictions, everything
from tests.system.harness.requests import order
from tests.system.harness.system import System

ROUNDS = int(os.environ.get("OMS_TEST_STORM_ROUNDS", "1"))
ORDERS_A_KILL = 40
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


async def accepted(system: System, request: StartOrderProcessRequest) -> str:
    """Sends a request until it is known to be accepted."""
    told = None
    while told is None:
        try:
            told = await system.orchestrator.accept(request)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
    return told.process_id


@pytest.mark.timeout(120 + 60 * ROUNDS)
async def test_after_everybody_was_killed_in_turn_everybody_agrees(system: System) -> None:
    kinds, calls = itertools.cycle(KINDS), 0
    sent: list[asyncio.Task[str]] = []
    for victim in system.services * ROUNDS:
        sent += [asyncio.create_task(accepted(system, next(kinds)())) for _ in range(ORDERS_A_KILL)]
        # In the middle of the work, wherever that is: after so many more orders have been created.
        calls += ORDERS_A_KILL // 2
        await system.roads.passed("CreateOrder", calls)
        await victim.kill()
        await victim.restart()
    process_ids: list[str] = await asyncio.gather(*sent)
    assert len(process_ids) == len(set(process_ids))
    for process_id in process_ids:
        await system.orchestrator.until_settled(await system.orchestrator.get(process_id))
    found = await everything(system)
    assert set(process_ids) == {it.process_id for it in found.processes}
    assert [] == contradictions(found)
