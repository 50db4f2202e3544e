"""The limit: makes the five calls and keeps nothing. `python -m bench.speed.bare`.

Invariant: whatever it costs, a durable one costs too. Must never: be taken for an orchestrator; if
it crashes, what it was about is lost.
"""

import os

import grpc.aio

from bench.speed.five_calls import FiveCalls, completed
from bench.speed.plain_server import run, serve_plainly
from chassis.clock import Clock, SystemClock
from chassis.ids import IdSource
from oms.orchestrator.v1 import order_process_service_pb2 as pb
from oms.orchestrator.v1 import order_process_service_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[pb.StartOrderProcessRequest, pb.StartOrderProcessResponse]


class BareServicer(pb_grpc.OrderProcessServiceServicer):
    """Answers StartOrderProcess, and nothing else."""

    def __init__(self, calls: FiveCalls, ids: IdSource, clock: Clock) -> None:
        self._calls = calls
        self._ids = ids
        self._clock = clock

    async def StartOrderProcess(  # noqa: N802 - the contract names it
        self, request: pb.StartOrderProcessRequest, context: Context
    ) -> pb.StartOrderProcessResponse:
        """One call after the other."""
        del context
        process_id = self._ids.draw("prc")
        calls, now_us = self._calls, self._clock.now_us
        moments_us = [now_us()]
        total = await calls.create_order(process_id, request)
        moments_us.append(now_us())
        await calls.process_payment(process_id, request, total)
        moments_us.append(now_us())
        await calls.confirm_payment(process_id)
        moments_us.append(now_us())
        await calls.confirm_order(process_id)
        moments_us.append(now_us())
        await calls.process_delivery(process_id, request)
        moments_us.append(now_us())
        process = completed(process_id, request, total, moments_us)
        return pb.StartOrderProcessResponse(process=process)


async def main() -> None:
    """Serves at OMS_ORCHESTRATOR_LISTEN."""
    async with FiveCalls.open() as calls:
        clock = SystemClock()
        # What is not overridden answers UNIMPLEMENTED.
        servicer = BareServicer(calls, IdSource(clock), clock)  # type: ignore[abstract]
        await serve_plainly(
            os.environ["OMS_ORCHESTRATOR_LISTEN"],
            lambda it: pb_grpc.add_OrderProcessServiceServicer_to_server(servicer, it),
        )


if __name__ == "__main__":
    run(main)
