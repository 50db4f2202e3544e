"""The five calls as steps of a DBOS workflow: `python -m bench.speed.dbos_orchestrator`.

Invariant: it is set up as its documentation recommends for a service on an event loop: coroutines
for workflow and steps, run in the server's own loop, the request id as the workflow's id, its own
pool of connections (20) and of threads. Its documentation says nothing of SQLite's journal; it gets
a file in WAL mode, as ours is, which suits it better than what it would make itself.
Must never: be imported where DBOS is not installed (`make setup-bench`).
"""

import base64
import os
import sqlite3
import sys
from typing import Any

import grpc.aio
from dbos import DBOS, DBOSConfig, SetWorkflowID

from bench.speed.five_calls import FiveCalls, completed
from bench.speed.plain_server import run, serve_plainly
from chassis.clock import Clock, SystemClock
from chassis.ids import IdSource
from oms.common.v1.money_pb2 import Money
from oms.orchestrator.v1 import order_process_service_pb2 as pb
from oms.orchestrator.v1 import order_process_service_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[pb.StartOrderProcessRequest, pb.StartOrderProcessResponse]

SQLITE = "sqlite:///"


class Steps:
    """The workflow and its steps, as DBOS is told of them."""

    def __init__(self, calls: FiveCalls, clock: Clock) -> None:
        now_us = clock.now_us

        async def create_order(process_id: str, request: str) -> list[Any]:
            total = await calls.create_order(process_id, _request(request))
            return [total.currency_code, total.minor_units, now_us()]

        async def process_payment(process_id: str, request: str, total: list[Any]) -> int:
            await calls.process_payment(process_id, _request(request), _money(total))
            return now_us()

        async def process_delivery(process_id: str, request: str) -> int:
            await calls.process_delivery(process_id, _request(request))
            return now_us()

        async def confirm_payment(process_id: str) -> int:
            await calls.confirm_payment(process_id)
            return now_us()

        async def confirm_order(process_id: str) -> int:
            await calls.confirm_order(process_id)
            return now_us()

        step = DBOS.step()
        create, pay, take, confirm, deliver = (
            step(it)
            for it in (
                create_order,
                process_payment,
                confirm_payment,
                confirm_order,
                process_delivery,
            )
        )

        async def order_process(process_id: str, request: str) -> list[Any]:
            *total, ordered = await create(process_id, request)
            return [
                *total,
                ordered,
                await pay(process_id, request, total),
                await take(process_id),
                await confirm(process_id),
                await deliver(process_id, request),
            ]

        self.order_process = DBOS.workflow()(order_process)


def _request(text: str) -> pb.StartOrderProcessRequest:
    return pb.StartOrderProcessRequest.FromString(base64.b64decode(text))


def _money(total: list[Any]) -> Money:
    return Money(currency_code=total[0], minor_units=total[1])


class DbosServicer(pb_grpc.OrderProcessServiceServicer):
    """Answers StartOrderProcess when the workflow has ended."""

    def __init__(self, steps: Steps, ids: IdSource, clock: Clock) -> None:
        self._steps = steps
        self._ids = ids
        self._clock = clock

    async def StartOrderProcess(  # noqa: N802 - the contract names it
        self, request: pb.StartOrderProcessRequest, context: Context
    ) -> pb.StartOrderProcessResponse:
        """One workflow."""
        del context
        process_id = self._ids.draw("prc")
        content = base64.b64encode(request.SerializeToString()).decode()
        began_us = self._clock.now_us()
        with SetWorkflowID(request.request_id):
            *total, ordered, paid, taken, confirmed, delivered = await self._steps.order_process(
                process_id, content
            )
        moments_us = (began_us, ordered, paid, taken, confirmed, delivered)
        process = completed(process_id, request, _money(total), moments_us)
        return pb.StartOrderProcessResponse(process=process)


async def main() -> None:
    """Serves at OMS_ORCHESTRATOR_LISTEN, on OMS_ORCHESTRATOR_DATABASE_URL."""
    url = os.environ["OMS_ORCHESTRATOR_DATABASE_URL"]
    if url.startswith(SQLITE):
        database = sqlite3.connect(url.removeprefix(SQLITE))
        database.execute("PRAGMA journal_mode=WAL")
        database.close()
    config: DBOSConfig = {
        "name": "order-process",
        "system_database_url": url,
        "log_level": "WARNING",
    }
    async with FiveCalls.open() as calls:
        DBOS(config=config)
        clock = SystemClock()
        steps = Steps(calls, clock)
        DBOS.launch()
        # What is not overridden answers UNIMPLEMENTED.
        servicer = DbosServicer(steps, IdSource(clock), clock)  # type: ignore[abstract]
        await serve_plainly(
            os.environ["OMS_ORCHESTRATOR_LISTEN"],
            lambda it: pb_grpc.add_OrderProcessServiceServicer_to_server(servicer, it),
        )
    # Its threads are its own business; what is measured has been measured.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    run(main)
