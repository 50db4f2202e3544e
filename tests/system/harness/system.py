"""The four servers together, each a process with a database of its own in one folder.

Invariant: what was started is closed, in whatever state the test left it.
Must never: reach into a server; everything is asked over gRPC, and of the gateway's ledger, which
stands for the outside.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Self

import grpc
import grpc.aio

from oms.delivery.v1.delivery_pb2 import DeliveryState
from oms.delivery.v1.delivery_service_pb2 import GetDeliveryRequest
from oms.delivery.v1.delivery_service_pb2_grpc import DeliveryServiceStub
from oms.orchestrator.v1 import order_process_pb2
from oms.orchestrator.v1 import order_process_service_pb2 as process_service_pb2
from oms.orchestrator.v1.order_process_admin_service_pb2_grpc import OrderProcessAdminServiceStub
from oms.orchestrator.v1.order_process_pb2 import OrderProcess, OrderProcessEvent, OrderProcessState
from oms.orchestrator.v1.order_process_service_pb2 import WatchOrderProcessResponse
from oms.orchestrator.v1.order_process_service_pb2_grpc import OrderProcessServiceStub
from oms.order.v1.order_pb2 import OrderState
from oms.order.v1.order_service_pb2 import GetOrderRequest
from oms.order.v1.order_service_pb2_grpc import OrderServiceStub
from oms.payment.v1.payment_pb2 import PaymentState
from oms.payment.v1.payment_service_pb2 import GetPaymentRequest
from oms.payment.v1.payment_service_pb2_grpc import PaymentServiceStub
from payment_svc.sandbox.ledger import Balance
from payment_svc.sandbox.store import open_ledger_view
from tests.system.harness.process import PATIENCE_SECONDS
from tests.system.harness.roads import Roads
from tests.system.harness.service import Service

PARTICIPANTS = ("order", "payment", "delivery")


class Orchestrator(Service):
    """The orchestrator, and calls to it. `targets` says where it finds each participant."""

    def __init__(
        self, *, folder: Path, targets: Mapping[str, str], settings: Mapping[str, str]
    ) -> None:
        dialled = {f"OMS_{name.upper()}_TARGET": address for name, address in targets.items()}
        super().__init__("orchestrator", folder=folder, settings=dialled | dict(settings))
        self.processes = OrderProcessServiceStub(self.channel)
        self.admin = OrderProcessAdminServiceStub(self.channel)

    async def accept(self, request: process_service_pb2.StartOrderProcessRequest) -> OrderProcess:
        """Starts a process and does not wait for what becomes of it."""
        sent = process_service_pb2.StartOrderProcessRequest()
        sent.CopyFrom(request)
        sent.return_immediately = True
        return await self.place(sent)

    async def place(self, request: process_service_pb2.StartOrderProcessRequest) -> OrderProcess:
        """Starts a process and waits until it is settled or parked."""
        answer = await self.processes.StartOrderProcess(
            request, timeout=PATIENCE_SECONDS, wait_for_ready=True
        )
        return answer.process

    async def get(self, process_id: str) -> OrderProcess:
        """Reads a process."""
        answer = await self.processes.GetOrderProcess(
            process_service_pb2.GetOrderProcessRequest(process_id=process_id),
            timeout=PATIENCE_SECONDS,
            wait_for_ready=True,
        )
        return answer.process

    async def cancel(self, process_id: str, reason: str) -> OrderProcess:
        """Asks for a process to be undone."""
        answer = await self.processes.CancelOrderProcess(
            process_service_pb2.CancelOrderProcessRequest(process_id=process_id, reason=reason),
            timeout=PATIENCE_SECONDS,
            wait_for_ready=True,
        )
        return answer.process

    async def follow(
        self, process_id: str, *, after_revision: int = 0
    ) -> AsyncGenerator[WatchOrderProcessResponse, None]:
        """What happened to a process after that revision, and what goes on happening to it."""
        watch = self.processes.WatchOrderProcess(
            process_service_pb2.WatchOrderProcessRequest(
                process_id=process_id, after_revision=after_revision
            ),
            timeout=PATIENCE_SECONDS,
            wait_for_ready=True,
        )
        try:
            async for seen in watch:
                yield seen
        finally:
            watch.cancel()

    async def until(
        self, process: OrderProcess, *states: OrderProcessState.ValueType
    ) -> OrderProcess:
        """Follows a process, from where it was seen last, until it is in one of those states."""
        if process.state in states:
            return process
        followed = self.follow(process.process_id, after_revision=process.revision)
        async with contextlib.aclosing(followed):
            async for seen in followed:
                if seen.process.state in states:
                    return seen.process
        raise AssertionError(f"the watch of {process.process_id} ended before it was so")

    async def until_settled(self, process: OrderProcess) -> OrderProcess:
        """Follows a process until it is COMPLETED or CANCELLED."""
        return await self.until(
            process,
            order_process_pb2.ORDER_PROCESS_STATE_COMPLETED,
            order_process_pb2.ORDER_PROCESS_STATE_CANCELLED,
        )

    async def until_event(
        self,
        process: OrderProcess,
        where: Callable[[OrderProcessEvent], bool],
        *,
        times: int = 1,
    ) -> WatchOrderProcessResponse:
        """Follows a process, from its beginning, until so many such events have happened."""
        followed = self.follow(process.process_id)
        async with contextlib.aclosing(followed):
            async for seen in followed:
                if where(seen.event):
                    times -= 1
                    if times == 0:
                        return seen
        raise AssertionError(f"the watch of {process.process_id} ended before it was so")


class System:
    """The four services, and the roads between them.

    `by_road`: which participants the orchestrator reaches through a proxy; the others it dials.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, str] | None = None,
        by_road: Collection[str] = PARTICIPANTS,
    ) -> None:
        self.folder = folder
        self.ledger_url = f"sqlite:///{folder / 'gateway.db'}"
        self.settings = {
            "OMS_PAYMENT_GATEWAY_DATABASE_URL": self.ledger_url,
            **(settings or {}),
        }
        self.participants = {
            name: Service(name, folder=folder, settings=self.settings) for name in PARTICIPANTS
        }
        addresses = {name: service.address for name, service in self.participants.items()}
        self.roads = Roads(addresses)
        self.orchestrator = Orchestrator(
            folder=folder,
            targets={
                name: self.roads.routes[name] if name in by_road else address
                for name, address in addresses.items()
            },
            settings=self.settings,
        )
        self.orders = OrderServiceStub(self.order.channel)
        self.payments = PaymentServiceStub(self.payment.channel)
        self.deliveries = DeliveryServiceStub(self.delivery.channel)

    @property
    def order(self) -> Service:
        """OrderService's process."""
        return self.participants["order"]

    @property
    def payment(self) -> Service:
        """PaymentService's process."""
        return self.participants["payment"]

    @property
    def delivery(self) -> Service:
        """DeliveryService's process."""
        return self.participants["delivery"]

    @property
    def services(self) -> tuple[Service, ...]:
        """All four."""
        return (*self.participants.values(), self.orchestrator)

    async def start(self) -> Self:
        """Starts all four at once and waits until all are serving."""
        await self.roads.start()
        await asyncio.gather(*(service.start() for service in self.services))
        return self

    def balance(self, payment_id: str) -> Balance:
        """What the gateway's own ledger says of a payment."""
        with open_ledger_view(self.ledger_url) as ledger:
            return ledger.balance(payment_id)

    async def states(self, process: OrderProcess) -> dict[str, str]:
        """The states of a process's order, payment and delivery; "" of one that is not known."""
        order, payment, delivery = await asyncio.gather(
            _if_known(self._state_of_order(process.order_id)),
            _if_known(self._state_of_payment(process.payment_id)),
            _if_known(self._state_of_delivery(process.delivery_id)),
        )
        return {"order": order, "payment": payment, "delivery": delivery}

    async def _state_of_order(self, order_id: str) -> str:
        answer = await self.orders.GetOrder(GetOrderRequest(order_id=order_id))
        return OrderState.Name(answer.order.state).removeprefix("ORDER_STATE_")

    async def _state_of_payment(self, payment_id: str) -> str:
        answer = await self.payments.GetPayment(GetPaymentRequest(payment_id=payment_id))
        return PaymentState.Name(answer.payment.state).removeprefix("PAYMENT_STATE_")

    async def _state_of_delivery(self, delivery_id: str) -> str:
        answer = await self.deliveries.GetDelivery(GetDeliveryRequest(delivery_id=delivery_id))
        return DeliveryState.Name(answer.delivery.state).removeprefix("DELIVERY_STATE_")

    async def close(self) -> None:
        """Ends all of it."""
        await asyncio.gather(*(service.close() for service in self.services))
        await self.roads.close()


async def _if_known(state: Awaitable[str]) -> str:
    try:
        return await state
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return ""
        raise
