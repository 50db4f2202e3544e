"""The order service as a process: `python -m order_svc`."""

import contextlib
import sys
from typing import Final

from chassis.clock import SystemClock
from chassis.database import Database
from chassis.ids import IdSource
from chassis.sentinel import serve_guarded
from chassis.server import Hosted, Server, run
from chassis.settings import load
from chassis.telemetry import configure
from oms.order.v1 import order_service_pb2_grpc
from order_svc.servicer import SERVICE, build
from order_svc.settings import OrderSettings

PROGRAM: Final = "order_svc"


async def main(settings: OrderSettings) -> None:
    """Serves until it is told to stop, or can write no more."""
    database = Database.open(
        settings.order_database_url, name="order", migrations="order_svc.migrations"
    )
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        clock = SystemClock()
        servicer = build(database, clock, IdSource(clock))
        await servicer.start()
        stack.push_async_callback(servicer.close)
        server = Server(
            listen=settings.order_listen,
            hosted=[
                Hosted(
                    name=SERVICE,
                    add=lambda it: order_service_pb2_grpc.add_OrderServiceServicer_to_server(
                        servicer, it
                    ),
                )
            ],
            drain_grace_seconds=settings.drain_grace_seconds,
            message_bytes_max=settings.message_bytes_max,
            connection_age_seconds_max=settings.connection_age_seconds_max,
        )
        await serve_guarded(server, failed=servicer.failed, stores=(database,))


if __name__ == "__main__":
    settings = load(
        OrderSettings, sys.argv[1:], program=PROGRAM, description="Keeps orders, over gRPC."
    )
    configure(service=PROGRAM, level=settings.log_level, format=settings.log_format)
    run(lambda: main(settings))
