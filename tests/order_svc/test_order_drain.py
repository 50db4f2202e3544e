"""An order service that is told to stop while calls are under way."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from chassis.channels import open_channel
from chassis.clock import SystemClock
from chassis.database import Database
from chassis.ids import IdSource
from chassis.server import Hosted, Server
from oms.order.v1 import order_service_pb2_grpc
from order_svc.servicer import SERVICE, build
from tests.order_svc.harness.orders import create_request

TIMEOUT_SECONDS = 20


class CountingClock(SystemClock):
    """Every call asks it for the time once: so it knows how many are under way."""

    def __init__(self, awaited: int) -> None:
        super().__init__()
        self.awaited = awaited
        self.asked = 0
        self.reached = asyncio.Event()

    def now_us(self) -> int:
        self.asked += 1
        if self.asked == self.awaited:
            self.reached.set()
        return super().now_us()


async def test_calls_under_way_are_finished_and_then_nothing_writes_any_more(
    tmp_path: Path,
) -> None:
    path = tmp_path / "order.db"
    database = Database.open(f"sqlite:///{path}", name="order", migrations="order_svc.migrations")
    clock = CountingClock(50)
    servicer = build(database, clock, IdSource(clock))
    await servicer.start()
    server = Server(
        listen="127.0.0.1:0",
        hosted=[
            Hosted(
                name=SERVICE,
                add=lambda it: order_service_pb2_grpc.add_OrderServiceServicer_to_server(
                    servicer, it
                ),
            )
        ],
        drain_grace_seconds=TIMEOUT_SECONDS,
        message_bytes_max=4 * 1024 * 1024,
    )
    await server.start()
    channel = open_channel(server.address)
    stub = order_service_pb2_grpc.OrderServiceStub(channel)
    draining = asyncio.Event()

    async def on_drain() -> None:
        draining.set()

    ids = [f"ord_{number}" for number in range(clock.awaited)]
    async with asyncio.timeout(TIMEOUT_SECONDS):
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            # While somebody else writes nothing can be committed: the calls stay under way.
            other.execute("BEGIN IMMEDIATE")
            calls = [stub.CreateOrder(create_request(order_id)) for order_id in ids]
            await clock.reached.wait()
            drain = asyncio.create_task(server.drain(before_stop=on_drain))
            await draining.wait()
            other.execute("ROLLBACK")
        created = [(await call).order.order_id for call in calls]
        await drain
        await servicer.close()
        await database.close()
    await channel.close()
    assert ids == created
    with closing(sqlite3.connect(path)) as rest:
        assert {(it,) for it in ids} == set(rest.execute("SELECT order_id FROM orders"))
