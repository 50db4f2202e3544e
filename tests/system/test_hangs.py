"""A participant that stands still (SIGSTOP), and goes on with calls given up long ago."""

import asyncio
import signal

import pytest

from oms.orchestrator.v1.order_process_pb2 import (
    ORDER_PROCESS_STATE_CANCELLED,
    ORDER_PROCESS_STATE_COMPLETED,
)
from tests.system.harness.audit import contradictions, everything
from tests.system.harness.events import attempt_ended
from tests.system.harness.requests import order
from tests.system.harness.system import PARTICIPANTS, System

FIRST_STEP = {"order": "create_order", "payment": "process_payment", "delivery": "process_delivery"}
PROCESSES = 20


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Attempts are given up soon, processes never."""
    return {
        "OMS_ATTEMPT_TIMEOUT_SECONDS": "0.5",
        "OMS_PROCESS_DEADLINE_SECONDS": "600",
        "OMS_STEP_BACKOFF_SECONDS_MAX": "1",
        "OMS_UNDO_BACKOFF_SECONDS_MAX": "1",
    }


@pytest.mark.parametrize("name", PARTICIPANTS)
async def test_calls_that_arrive_after_they_were_given_up_have_no_effect_of_their_own(
    system: System, name: str
) -> None:
    system.participants[name].process.send(signal.SIGSTOP)
    accepted = [await system.orchestrator.accept(order()) for _ in range(PROCESSES)]
    given_up = attempt_ended(FIRST_STEP[name], code="DEADLINE_EXCEEDED")
    await asyncio.gather(*(system.orchestrator.until_event(it, given_up) for it in accepted))
    unwanted, wanted = accepted[: PROCESSES // 2], accepted[PROCESSES // 2 :]
    for process in unwanted:
        await system.orchestrator.cancel(process.process_id, "takes too long")
    system.participants[name].process.send(signal.SIGCONT)

    undone = await asyncio.gather(*map(system.orchestrator.until_settled, unwanted))
    done = await asyncio.gather(*map(system.orchestrator.until_settled, wanted))
    assert {ORDER_PROCESS_STATE_CANCELLED} == {it.state for it in undone}
    assert {ORDER_PROCESS_STATE_COMPLETED} == {it.state for it in done}
    assert [] == contradictions(await everything(system))
