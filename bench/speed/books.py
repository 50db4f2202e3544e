"""What became of all orders: asked of the orchestrator, and audited.

Invariant: `oms audit` is run as its users run it, judged by its exit code. Must never: take a
process for settled that was not said to be.
"""

import asyncio
import sys
import time
from typing import Final

import grpc

from bench.chaos.service import WillNotRun
from bench.speed.child import Child, told
from bench.speed.stage import Stage
from oms.orchestrator.v1.order_process_pb2 import (
    ORDER_PROCESS_STATE_COMPENSATING,
    ORDER_PROCESS_STATE_COMPLETED,
    ORDER_PROCESS_STATE_RUNNING,
)
from oms.orchestrator.v1.order_process_service_pb2 import ListOrderProcessesRequest
from oms.orchestrator.v1.order_process_service_pb2_grpc import OrderProcessServiceStub

_LOOK_SECONDS: Final = 0.2
_CALL_SECONDS: Final = 20.0
_PAGE: Final = 1_000


async def until_settled(orchestrator: Child, seconds_max: float) -> float | None:
    """How long until nothing is under way any more; None: longer than that."""
    stub = OrderProcessServiceStub(orchestrator.channel)
    request = ListOrderProcessesRequest(
        page_size=1, states=[ORDER_PROCESS_STATE_RUNNING, ORDER_PROCESS_STATE_COMPENSATING]
    )
    began = time.monotonic()
    while time.monotonic() - began < seconds_max:
        call = stub.ListOrderProcesses(request, timeout=_CALL_SECONDS, wait_for_ready=True)
        if await call.code() is grpc.StatusCode.OK and not (await call).processes:
            return time.monotonic() - began
        await asyncio.sleep(_LOOK_SECONDS)
    return None


async def completed(orchestrator: Child) -> int:
    """How many processes are COMPLETED."""
    stub = OrderProcessServiceStub(orchestrator.channel)
    count, token = 0, ""
    while True:
        page = await stub.ListOrderProcesses(
            ListOrderProcessesRequest(
                page_size=_PAGE, page_token=token, states=[ORDER_PROCESS_STATE_COMPLETED]
            ),
            timeout=_CALL_SECONDS,
            wait_for_ready=True,
        )
        count += len(page.processes)
        token = page.next_page_token
        if not token:
            return count


async def audited(stage: Stage, orchestrator: Child) -> str:
    """What `oms audit` has to say against it; empty: nothing."""
    command = (sys.executable, "-m", "console", "--target", orchestrator.address, "audit")
    try:
        await told(command, "", folder=stage.folder)
    except WillNotRun as found:
        return str(found)
    return ""
