"""The three real participants inside the test's process, each on a database of its own."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import grpc.aio

from chassis.channels import open_channel
from chassis.clock import SystemClock
from chassis.database import Database
from chassis.ids import IdSource
from chassis.server import Hosted, Server
from delivery_svc import servicer as delivery_servicer
from delivery_svc.couriers import SqlCourierBook
from oms.delivery.v1 import delivery_service_pb2_grpc
from oms.order.v1 import order_service_pb2_grpc
from oms.payment.v1 import payment_service_pb2_grpc
from order_svc import servicer as order_servicer
from payment_svc import servicer as payment_servicer
from payment_svc.sandbox.gateway import SandboxGateway
from payment_svc.store import MIGRATIONS


class Town:
    """Order, payment and delivery service, on files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._clock = SystemClock()
        self._open = AsyncExitStack()
        self.targets: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._open_order(stack)
            await self._open_payment(stack)
            await self._open_delivery(stack)
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def _open_order(self, stack: AsyncExitStack) -> None:
        database = self._database(stack, "order", "order_svc.migrations")
        servicer = order_servicer.build(database, self._clock, IdSource(self._clock))
        await servicer.start()
        stack.push_async_callback(servicer.close)
        self.order = order_service_pb2_grpc.OrderServiceStub(
            await self._serve(
                stack,
                "order",
                order_servicer.SERVICE,
                lambda it: order_service_pb2_grpc.add_OrderServiceServicer_to_server(servicer, it),
            )
        )

    async def _open_payment(self, stack: AsyncExitStack) -> None:
        database = self._database(stack, "payment", MIGRATIONS)
        gateway = await SandboxGateway.open(
            f"sqlite:///{self._folder}/gateway.db", self._clock, slow_seconds=90.0
        )
        stack.push_async_callback(gateway.close)
        servicer = payment_servicer.build(
            database,
            self._clock,
            IdSource(self._clock),
            gateway,
            random=lambda: 0.5,
            gateway_timeout_seconds=30.0,
            settle_interval_seconds=0.05,
        )
        await servicer.start()
        stack.push_async_callback(servicer.close)
        self.payment = payment_service_pb2_grpc.PaymentServiceStub(
            await self._serve(
                stack,
                "payment",
                payment_servicer.SERVICE,
                lambda it: payment_service_pb2_grpc.add_PaymentServiceServicer_to_server(
                    servicer, it
                ),
            )
        )

    async def _open_delivery(self, stack: AsyncExitStack) -> None:
        database = self._database(stack, "delivery", "delivery_svc.migrations")
        couriers = SqlCourierBook()
        with database.engine.begin() as connection:
            couriers.fill(connection, capacity=1_000, now_us=self._clock.now_us())
        servicer = delivery_servicer.build(database, self._clock, IdSource(self._clock), couriers)
        await servicer.start()
        stack.push_async_callback(servicer.close)
        self.delivery = delivery_service_pb2_grpc.DeliveryServiceStub(
            await self._serve(
                stack,
                "delivery",
                delivery_servicer.SERVICE,
                lambda it: delivery_service_pb2_grpc.add_DeliveryServiceServicer_to_server(
                    servicer, it
                ),
            )
        )

    def _database(self, stack: AsyncExitStack, name: str, migrations: str) -> Database:
        database = Database.open(
            f"sqlite:///{self._folder}/{name}.db", name=name, migrations=migrations
        )
        stack.push_async_callback(database.close)
        return database

    async def _serve(
        self,
        stack: AsyncExitStack,
        name: str,
        service: str,
        add: Callable[[grpc.aio.Server], None],
    ) -> grpc.aio.Channel:
        server = Server(
            listen="127.0.0.1:0",
            hosted=[Hosted(name=service, add=add)],
            drain_grace_seconds=0.0,
            message_bytes_max=4 * 1024 * 1024,
        )
        await server.start()
        self.targets[name] = server.address
        channel = open_channel(server.address)
        stack.push_async_callback(channel.close)
        stack.push_async_callback(server.stop)
        return channel
