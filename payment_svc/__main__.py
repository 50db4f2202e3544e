"""The payment service as a process: `python -m payment_svc`."""

import asyncio
import contextlib
import random
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from chassis.clock import SystemClock
from chassis.database import Database
from chassis.ids import IdSource
from chassis.sentinel import serve_guarded
from chassis.server import Hosted, Server, run
from chassis.settings import load
from chassis.telemetry import configure
from oms.payment.v1 import payment_service_pb2_grpc
from payment_svc.sandbox.gateway import SandboxGateway
from payment_svc.servicer import SERVICE, PaymentServicer, build
from payment_svc.settings import PaymentSettings
from payment_svc.store import MIGRATIONS

PROGRAM: Final = "payment_svc"


async def main(settings: PaymentSettings) -> None:
    """Serves until it is told to stop, or can write no more."""
    async with contextlib.AsyncExitStack() as stack:
        clock = SystemClock()
        database = Database.open(
            settings.payment_database_url, name="payment", migrations=MIGRATIONS
        )
        stack.push_async_callback(database.close)
        # A real gateway is plugged in here: see payment_svc/gateway.py for what is asked of it.
        gateway = await SandboxGateway.open(
            settings.payment_gateway_database_url,
            clock,
            slow_seconds=settings.payment_sandbox_slow_seconds,
        )
        stack.push_async_callback(gateway.close)
        servicer = build(
            database,
            clock,
            IdSource(clock),
            gateway,
            random=random.random,
            gateway_timeout_seconds=settings.payment_gateway_timeout_seconds,
            settle_interval_seconds=settings.payment_settle_interval_seconds,
        )
        await servicer.start()
        stack.push_async_callback(servicer.close)
        await _serve(servicer, settings, gateway, stores=(database, *gateway.stores))


async def _serve(
    servicer: PaymentServicer,
    settings: PaymentSettings,
    gateway: SandboxGateway,
    *,
    stores: Sequence[Database],
) -> None:
    server = Server(
        listen=settings.payment_listen,
        hosted=[
            Hosted(
                name=SERVICE,
                add=lambda it: payment_service_pb2_grpc.add_PaymentServiceServicer_to_server(
                    servicer, it
                ),
            )
        ],
        drain_grace_seconds=settings.drain_grace_seconds,
        message_bytes_max=settings.message_bytes_max,
        connection_age_seconds_max=settings.connection_age_seconds_max,
    )
    loop = asyncio.get_running_loop()
    grace_ends = loop.time()

    async def on_drain() -> None:
        nonlocal grace_ends
        grace_ends = loop.time() + settings.drain_grace_seconds
        await servicer.stop_settling()

    await serve_guarded(
        server,
        failed=_either(servicer.failed, gateway.failed),
        stores=stores,
        on_drain=on_drain,
    )
    # Asks whose callers have left get the same grace as calls, from the same moment on.
    await servicer.drain(max(0.0, grace_ends - loop.time()))


def _either(*causes: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """Returns when the first of them does."""

    async def first() -> None:
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(_to_coroutine(cause)) for cause in causes]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()

    return first


async def _to_coroutine(cause: Callable[[], Awaitable[None]]) -> None:
    await cause()


if __name__ == "__main__":
    settings = load(
        PaymentSettings,
        sys.argv[1:],
        program=PROGRAM,
        description="Holds, takes and gives back money, over gRPC.",
    )
    configure(service=PROGRAM, level=settings.log_level, format=settings.log_format)
    run(lambda: main(settings))
