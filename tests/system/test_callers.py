"""Callers that leave: their process ends without them."""

import asyncio
import json

import grpc.aio
import pytest
from google.protobuf.json_format import MessageToDict

from bench.chaos.snags import HeldReply, Hold
from oms.orchestrator.v1.order_process_pb2 import ORDER_PROCESS_STATE_COMPLETED
from oms.orchestrator.v1.order_process_service_pb2 import (
    GetOrderProcessRequest,
    StartOrderProcessRequest,
)
from tests.system.harness.command import grpcurl_binary
from tests.system.harness.process import Process
from tests.system.harness.requests import order
from tests.system.harness.system import System


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """A call that a test holds is not given up and made again."""
    return {"OMS_ATTEMPT_TIMEOUT_SECONDS": "60"}


async def ends_completed(system: System, request: StartOrderProcessRequest, hold: Hold) -> None:
    """Lets go of the call that kept the process, whose caller has left, and sees it end."""
    found = await system.orchestrator.processes.GetOrderProcess(
        GetOrderProcessRequest(request_id=request.request_id)
    )
    hold.release()
    settled = await system.orchestrator.until_settled(found.process)
    assert ORDER_PROCESS_STATE_COMPLETED == settled.state
    assert {"order": "CONFIRMED", "payment": "CONFIRMED", "delivery": "ASSIGNED"} == (
        await system.states(settled)
    )


async def test_a_caller_with_a_deadline_of_50_ms_does_not_stop_its_process(system: System) -> None:
    request = order()
    hold = system.roads.hold(HeldReply, request.customer_id, "CreateOrder")
    reached = asyncio.create_task(hold.reached())
    # On a slow machine a call of 50 ms may end before it was accepted: it is sent again then.
    while not reached.done():
        call = system.orchestrator.processes.StartOrderProcess(
            request, timeout=0.05, wait_for_ready=True
        )
        code = await call.code()
        assert code in {grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED}
        if code is grpc.StatusCode.OK:
            assert ORDER_PROCESS_STATE_COMPLETED != (await call).process.state
    await reached
    await ends_completed(system, request, hold)


async def test_a_caller_is_answered_with_the_process_as_it_is_before_its_deadline(
    system: System,
) -> None:
    request = order()
    hold = system.roads.hold(HeldReply, request.customer_id, "CreatePayment")
    # So long that no machine is too slow to answer in the little time that is kept back for it.
    call = system.orchestrator.processes.StartOrderProcess(request, timeout=5)
    await hold.reached()
    answer = await call
    assert ["create_order", "process_payment"] == [it.name for it in answer.process.steps]
    await ends_completed(system, request, hold)


async def test_a_caller_that_is_killed_does_not_stop_its_process(system: System) -> None:
    request = order()
    hold = system.roads.hold(HeldReply, request.customer_id, "CreateOrder")
    caller = await Process.start(
        "caller",
        [
            grpcurl_binary(),
            "-plaintext",
            "-d",
            json.dumps(MessageToDict(request)),
            system.orchestrator.address,
            "oms.orchestrator.v1.OrderProcessService/StartOrderProcess",
        ],
        folder=system.folder,
        environment={},
    )
    await hold.reached()
    await caller.kill()
    await ends_completed(system, request, hold)
