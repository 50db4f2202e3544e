"""What the load generator calls.

Invariant: the n-th call of a job is always the same one, but for its ids, which are used once. Only
the end that is wanted is good. Must never: try again.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import grpc.aio

from bench.speed.five_calls import (
    create_delivery_request,
    create_order_request,
    create_payment_request,
)
from bench.speed.job import Job
from oms.common.v1.address_pb2 import Address
from oms.common.v1.money_pb2 import Money
from oms.delivery.v1.delivery_pb2 import DELIVERY_STATE_ASSIGNED
from oms.delivery.v1.delivery_service_pb2_grpc import DeliveryServiceStub
from oms.orchestrator.v1.order_process_pb2 import (
    ORDER_PROCESS_STATE_COMPLETED,
    ORDER_PROCESS_STATE_RUNNING,
    OrderProcessState,
)
from oms.orchestrator.v1.order_process_service_pb2 import (
    DESCRIPTOR,
    StartOrderProcessRequest,
    StartOrderProcessResponse,
)
from oms.orchestrator.v1.order_process_service_pb2_grpc import OrderProcessServiceStub
from oms.order.v1.order_pb2 import ORDER_STATE_PENDING, OrderItem
from oms.order.v1.order_service_pb2_grpc import OrderServiceStub
from oms.payment.v1.payment_pb2 import PAYMENT_STATE_HELD
from oms.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

_SERVICE: Final = DESCRIPTOR.services_by_name["OrderProcessService"]

Channels = Sequence[grpc.aio.Channel]

_START: Final = f"/{_SERVICE.full_name}/StartOrderProcess"

TOTAL: Final = Money(currency_code="USD", minor_units=3_700)


def order(request_id: str, number: int) -> StartOrderProcessRequest:
    """An order of two items that everybody can carry out."""
    return StartOrderProcessRequest(
        request_id=request_id,
        customer_id=f"customer-{number % 1_000}",
        items=[
            OrderItem(
                sku="BOOK", quantity=2, unit_price=Money(currency_code="USD", minor_units=1_250)
            ),
            OrderItem(
                sku="PEN", quantity=4, unit_price=Money(currency_code="USD", minor_units=300)
            ),
        ],
        payment_method="pm_card_visa",
        delivery_address=Address(
            recipient="Ada",
            lines=["1 Market St"],
            locality="San Francisco",
            postal_code="94105",
            country_code="US",
        ),
    )


_ONE: Final = order("", 0)
_ONE.ClearField("customer_id")
_SAME_IN_ALL: Final = _ONE.SerializeToString()


def written_order(request_id: str, number: int) -> bytes:
    """The same order as it is sent. Two messages one after the other are read as one of both."""
    own = StartOrderProcessRequest(request_id=request_id, customer_id=f"customer-{number % 1_000}")
    return own.SerializeToString() + _SAME_IN_ALL


def told(code: grpc.StatusCode, details: str | None) -> str:
    """What a call ended in."""
    return f"{code.name}: {details}"[:200]


class Work(ABC):
    """One kind of call."""

    @abstractmethod
    def __init__(self, channels: Channels, job: Job) -> None:
        """Calls go over each channel in turn."""

    async def once(self, number: int) -> str:
        """Makes the n-th call. What was wrong; empty: nothing was."""
        try:
            return await self._ask(number)
        except grpc.aio.AioRpcError as error:
            return told(error.code(), error.details())

    @abstractmethod
    async def _ask(self, number: int) -> str:
        """Makes the n-th call."""


class StartProcess(Work):
    """StartOrderProcess, to its end.

    The load has the same processors as those that are measured, and at twice the peak most of its
    calls are turned away. So what is the same in every order is written once, and a call that
    failed is asked for its status in place of an exception.
    """

    def __init__(self, channels: Channels, job: Job) -> None:
        self._starts: list[grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]] = [
            it.unary_unary(_START) for it in channels
        ]
        self._job = job

    async def _ask(self, number: int) -> str:
        start = self._starts[number % len(self._starts)]
        call = start(
            written_order(f"{self._job.prefix}-{number}", number),
            timeout=self._job.deadline_seconds,
            wait_for_ready=True,
        )
        code = await call.code()
        if code is not grpc.StatusCode.OK:
            return told(code, await call.details())
        state = StartOrderProcessResponse.FromString(await call).process.state
        return "" if state == ORDER_PROCESS_STATE_COMPLETED else OrderProcessState.Name(state)


class AcceptProcess(Work):
    """StartOrderProcess, which answers as soon as the process is accepted."""

    def __init__(self, channels: Channels, job: Job) -> None:
        self._stubs = [OrderProcessServiceStub(it) for it in channels]
        self._job = job

    async def _ask(self, number: int) -> str:
        asked = order(f"{self._job.prefix}-{number}", number)
        asked.return_immediately = True
        stub = self._stubs[number % len(self._stubs)]
        reply = await stub.StartOrderProcess(
            asked, timeout=self._job.deadline_seconds, wait_for_ready=True
        )
        state = reply.process.state
        good = (ORDER_PROCESS_STATE_RUNNING, ORDER_PROCESS_STATE_COMPLETED)
        return "" if state in good else OrderProcessState.Name(state)


class CreateOrder(Work):
    """OrderService.CreateOrder."""

    def __init__(self, channels: Channels, job: Job) -> None:
        self._stubs = [OrderServiceStub(it) for it in channels]
        self._job = job

    async def _ask(self, number: int) -> str:
        asked = create_order_request(f"prc_{self._job.prefix}-{number}", order("", number))
        reply = await self._stubs[number % len(self._stubs)].CreateOrder(
            asked, timeout=self._job.deadline_seconds, wait_for_ready=True
        )
        return "" if reply.order.state == ORDER_STATE_PENDING else "not PENDING"


class CreatePayment(Work):
    """PaymentService.CreatePayment, with its question to the gateway."""

    def __init__(self, channels: Channels, job: Job) -> None:
        self._stubs = [PaymentServiceStub(it) for it in channels]
        self._job = job

    async def _ask(self, number: int) -> str:
        asked = create_payment_request(f"prc_{self._job.prefix}-{number}", order("", number), TOTAL)
        reply = await self._stubs[number % len(self._stubs)].CreatePayment(
            asked, timeout=self._job.deadline_seconds, wait_for_ready=True
        )
        return "" if reply.payment.state == PAYMENT_STATE_HELD else "not HELD"


class CreateDelivery(Work):
    """DeliveryService.CreateDelivery."""

    def __init__(self, channels: Channels, job: Job) -> None:
        self._stubs = [DeliveryServiceStub(it) for it in channels]
        self._job = job

    async def _ask(self, number: int) -> str:
        asked = create_delivery_request(f"prc_{self._job.prefix}-{number}", order("", number))
        reply = await self._stubs[number % len(self._stubs)].CreateDelivery(
            asked, timeout=self._job.deadline_seconds, wait_for_ready=True
        )
        return "" if reply.delivery.state == DELIVERY_STATE_ASSIGNED else "not ASSIGNED"


WORKS: Final[Mapping[str, Callable[[Channels, Job], Work]]] = MappingProxyType(
    {
        "process": StartProcess,
        "accept": AcceptProcess,
        "create_order": CreateOrder,
        "create_payment": CreatePayment,
        "create_delivery": CreateDelivery,
    }
)
