"""The limit: makes the five calls and keeps nothing. `python -m bench.speed.bare`.

Invariant: whatever it costs, a durable one costs too. Must never: be taken for an orchestrator; if
it crashes, what it was about is lost.
"""

import os

import grpc.aio

from bench.speed.five_calls import FiveCalls, completed
from bench.speed.plain_server import run, serve_plainly
from chassis.clock import SystemClock
from chassis.ids import IdSource
from oms.orchestrator.v1 import order_process_service_pb2 as pb
from oms.orchestrator.v1 import order_process_service_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[pb.StartOrderProcessRequest, pb.StartOrderProcessResponse]


class BareServicer(pb_grpc.OrderProcessServiceServicer):
    """Answers StartOrderProcess, and nothing else."""

    def __init__(self, calls: FiveCalls, ids: IdSource) -> None:
        self._calls = calls
        self._ids = ids

    async def StartOrderProcess(  # noqa: N802 - the contract names it
        self, request: pb.StartOrderProcessRequest, context: Context
    ) -> pb.StartOrderProcessResponse:
        """One call after the other."""
        del context
        process_id = self._ids.draw("prc")
        total = await self._calls.create_order(process_id, request)
        await self._calls.process_payment(process_id, request, total)
        await self._calls.confirm_payment(process_id)
        await self._calls.confirm_order(process_id)
        await self._calls.process_delivery(process_id, request)
        return pb.StartOrderProcessResponse(process=completed(process_id, request, total))


async def main() -> None:
    """Serves at OMS_ORCHESTRATOR_LISTEN."""
    async with FiveCalls.open() as calls:
        # What is not overridden answers UNIMPLEMENTED.
        servicer = BareServicer(calls, IdSource(SystemClock()))  # type: ignore[abstract]
        await serve_plainly(
            os.environ["OMS_ORCHESTRATOR_LISTEN"],
            lambda it: pb_grpc.add_OrderProcessServiceServicer_to_server(servicer, it),
        )


if __name__ == "__main__":
    run(main)
