"""The delivery service as a process: `python -m delivery_svc`."""

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
from delivery_svc.couriers import SqlCourierBook
from delivery_svc.servicer import SERVICE, build
from delivery_svc.settings import DeliverySettings
from oms.delivery.v1 import delivery_service_pb2_grpc

PROGRAM: Final = "delivery_svc"


async def main(settings: DeliverySettings) -> None:
    """Serves until it is told to stop, or can write no more."""
    database = Database.open(
        settings.delivery_database_url, name="delivery", migrations="delivery_svc.migrations"
    )
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        clock = SystemClock()
        couriers = SqlCourierBook()
        database.set_up(
            lambda connection: couriers.fill(
                connection, capacity=settings.delivery_courier_capacity, now_us=clock.now_us()
            )
        )
        servicer = build(database, clock, IdSource(clock), couriers)
        await servicer.start()
        stack.push_async_callback(servicer.close)
        server = Server(
            listen=settings.delivery_listen,
            hosted=[
                Hosted(
                    name=SERVICE,
                    add=lambda it: delivery_service_pb2_grpc.add_DeliveryServiceServicer_to_server(
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
        DeliverySettings,
        sys.argv[1:],
        program=PROGRAM,
        description="Assigns couriers to orders, over gRPC.",
    )
    configure(service=PROGRAM, level=settings.log_level, format=settings.log_format)
    run(lambda: main(settings))
