"""Cancel from outside, at any moment of a process."""

import asyncio
from dataclasses import dataclass

import pytest
from grpc import StatusCode

from bench.chaos.snags import HeldReply, HeldRequest
from oms.orchestrator.v1.order_process_pb2 import (
    ORDER_PROCESS_STATE_CANCELLED,
    ORDER_PROCESS_STATE_COMPENSATING,
    ORDER_PROCESS_STATE_COMPLETED,
    OrderProcess,
)
from oms.orchestrator.v1.order_process_service_pb2 import CancelOrderProcessRequest
from tests.system.harness.audit import contradictions, everything
from tests.system.harness.refusal import refusal
from tests.system.harness.requests import order
from tests.system.harness.system import System

FORWARD = ["CreateOrder", "CreatePayment", "ConfirmPayment", "ConfirmOrder", "CreateDelivery"]
# The undos that follow a cancel while the call is under way, once it has been answered with OK.
UNDONE = {
    "CreateOrder": ["CancelOrder"],
    "CreatePayment": ["CancelPayment", "CancelOrder"],
    "ConfirmPayment": ["CancelPayment", "CancelOrder"],
    "ConfirmOrder": ["CancelPayment", "CancelOrder"],
    "CreateDelivery": ["CancelDelivery", "CancelPayment", "CancelOrder"],
}
CASES = [(method, kind) for method in FORWARD for kind in (HeldRequest, HeldReply)]


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """A call that a test holds is not given up and made again."""
    return {"OMS_ATTEMPT_TIMEOUT_SECONDS": "60"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """A process that was cancelled while a call was under way."""

    at_once: OrderProcess
    process: OrderProcess
    calls: list[str]


@pytest.fixture(scope="module")
async def cancelled(system: System) -> list[Cancelled]:
    """All cases side by side."""

    async def cancel(method: str, kind: type[HeldRequest] | type[HeldReply]) -> Cancelled:
        request = order()
        hold = system.roads.hold(kind, request.customer_id, method)
        process = await system.orchestrator.accept(request)
        await hold.reached()
        at_once = await system.orchestrator.cancel(process.process_id, "changed my mind")
        hold.release()
        settled = await system.orchestrator.until_settled(at_once)
        return Cancelled(
            at_once=at_once, process=settled, calls=system.roads.calls(request.customer_id)
        )

    return await asyncio.gather(*(cancel(method, kind) for method, kind in CASES))


@pytest.mark.parametrize(
    "number", range(len(CASES)), ids=[f"{kind.__name__} of {method}" for method, kind in CASES]
)
def test_a_process_cancelled_while_a_call_is_under_way_goes_back_from_there(
    number: int, cancelled: list[Cancelled]
) -> None:
    (method, _), seen = CASES[number], cancelled[number]
    assert ORDER_PROCESS_STATE_CANCELLED == seen.process.state
    assert [*FORWARD[: FORWARD.index(method) + 1], *UNDONE[method]] == seen.calls
    assert "CANCEL_REQUESTED" == seen.process.failure.reason


async def test_what_was_cancelled_left_nothing_anywhere(
    system: System, cancelled: list[Cancelled]
) -> None:
    assert cancelled
    assert [] == contradictions(await everything(system))


async def test_a_completed_process_is_returned_and_a_second_cancel_changes_nothing(
    system: System,
) -> None:
    placed = await system.orchestrator.place(order())
    first = await system.orchestrator.cancel(placed.process_id, "sent back")
    again = await system.orchestrator.cancel(placed.process_id, "sent back, really")
    assert ORDER_PROCESS_STATE_COMPENSATING == first.state
    assert again.state in {ORDER_PROCESS_STATE_COMPENSATING, ORDER_PROCESS_STATE_CANCELLED}
    settled = await system.orchestrator.until_settled(again)
    once_more = await system.orchestrator.cancel(placed.process_id, "and again")
    assert settled == once_more
    assert {"order": "CANCELLED", "payment": "CANCELLED", "delivery": "CANCELLED"} == (
        await system.states(settled)
    )


async def test_of_many_cancels_at_once_all_are_answered_and_the_process_is_undone_once(
    system: System,
) -> None:
    request = order()
    placed = await system.orchestrator.place(request)
    answers = await asyncio.gather(
        *(system.orchestrator.cancel(placed.process_id, f"by {number}") for number in range(30))
    )
    assert {placed.process_id} == {it.process_id for it in answers}
    await system.orchestrator.until_settled(answers[0])
    undos = ["CancelDelivery", "CancelPayment", "CancelOrder"]
    assert FORWARD + undos == system.roads.calls(request.customer_id)


async def test_after_the_return_window_a_completed_process_stays_completed(
    system: System,
) -> None:
    placed = await system.orchestrator.place(order())
    await system.orchestrator.stop()
    system.orchestrator.settings["OMS_RETURN_WINDOW_SECONDS"] = "0"
    await system.orchestrator.restart()
    told = await refusal(
        system.orchestrator.processes.CancelOrderProcess(
            CancelOrderProcessRequest(process_id=placed.process_id, reason="too late")
        )
    )
    assert (StatusCode.FAILED_PRECONDITION, "RETURN_WINDOW_CLOSED") == told.told
    assert ORDER_PROCESS_STATE_COMPLETED == (await system.orchestrator.get(placed.process_id)).state
