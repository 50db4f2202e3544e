"""The payment service dies while the gateway is being asked: no money stays anywhere."""

from collections.abc import AsyncIterator

import pytest

from oms.orchestrator.v1.order_process_pb2 import (
    ORDER_PROCESS_STATE_CANCELLED,
    ORDER_PROCESS_STATE_COMPLETED,
    OrderProcess,
)
from oms.payment.v1.payment_pb2 import PAYMENT_GATEWAY_REQUEST_HOLD
from oms.payment.v1.payment_service_pb2 import GetPaymentRequest
from tests.system.harness.events import attempt_ended
from tests.system.harness.requests import order
from tests.system.harness.system import System

NEVER, AT_ONCE = "86400", "0"
SLOWNESS = "OMS_PAYMENT_SANDBOX_SLOW_SECONDS"


@pytest.fixture
async def impatient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """A system of its own for each test, whose gateway does not answer before it is told to."""
    whole = System(
        tmp_path_factory.mktemp("gateway"),
        settings={
            SLOWNESS: NEVER,
            "OMS_ATTEMPT_TIMEOUT_SECONDS": "1",
            "OMS_PROCESS_DEADLINE_SECONDS": "600",
            "OMS_UNDO_BACKOFF_SECONDS_MAX": "1",
            "OMS_STEP_BACKOFF_SECONDS_MAX": "1",
        },
    )
    try:
        yield await whole.start()
    finally:
        await whole.close()


async def killed_while_the_gateway_is_asked(system: System) -> OrderProcess:
    """A process whose payment is being held by a gateway that is silent, and nobody left to ask."""
    process = await system.orchestrator.accept(order(payment_method="pm_sandbox_slow"))
    attempts = 0
    while True:
        attempts += 1
        seen = await system.orchestrator.until_event(
            process, attempt_ended("process_payment", outcome="unknown"), times=attempts
        )
        payment = await system.payments.GetPayment(GetPaymentRequest(payment_id=process.payment_id))
        if payment.payment.pending_gateway_request == PAYMENT_GATEWAY_REQUEST_HOLD:
            break
    assert 2_500 == system.balance(process.payment_id).held
    await system.payment.kill()
    return seen.process


async def test_a_process_cancelled_meanwhile_leaves_nothing_at_the_gateway(
    impatient: System,
) -> None:
    process = await killed_while_the_gateway_is_asked(impatient)
    orchestrator = impatient.orchestrator
    await orchestrator.cancel(process.process_id, "takes too long")
    await orchestrator.until_event(process, attempt_ended("cancel_payment", code="UNAVAILABLE"))

    # Back, but the gateway is as silent as before: the wish is stored, and cannot be carried out
    # yet.
    await impatient.payment.restart()
    refused = attempt_ended("cancel_payment", code="ABORTED", outcome="refused")
    seen = await orchestrator.until_event(process, refused)
    assert "IN_PROGRESS" == seen.event.reason

    # Killed once more, and this time the gateway answers.
    await impatient.payment.kill()
    impatient.payment.settings[SLOWNESS] = AT_ONCE
    await impatient.payment.restart()
    settled = await orchestrator.until_settled(seen.process)

    assert ORDER_PROCESS_STATE_CANCELLED == settled.state
    assert {"order": "CANCELLED", "payment": "CANCELLED", "delivery": ""} == (
        await impatient.states(settled)
    )
    balance = impatient.balance(process.payment_id)
    assert (2_500, 0, 2_500) == (balance.held, balance.captured, balance.released)


async def test_a_process_left_alone_is_completed_and_charged_once(impatient: System) -> None:
    process = await killed_while_the_gateway_is_asked(impatient)
    impatient.payment.settings[SLOWNESS] = AT_ONCE
    await impatient.payment.restart()
    settled = await impatient.orchestrator.until_settled(process)

    assert ORDER_PROCESS_STATE_COMPLETED == settled.state
    balance = impatient.balance(process.payment_id)
    assert (2_500, 2_500, 0) == (balance.held, balance.captured, balance.released)
