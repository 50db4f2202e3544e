"""Everything that there is, once all is at rest: asked over gRPC, and read from the ledger.

Invariant: what is returned is what the services and the ledger say, unjudged. The couriers' loads
are told by no call and are read from their table. Must never: leave out a page.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from bench.chaos.databases import LEDGER, connected
from bench.chaos.fleet import Fleet
from bench.chaos.layout import ORCHESTRATOR
from oms.delivery.v1.delivery_pb2 import DeliveryState
from oms.delivery.v1.delivery_service_pb2 import ListDeliveriesRequest
from oms.delivery.v1.delivery_service_pb2_grpc import DeliveryServiceStub
from oms.orchestrator.v1.order_process_pb2 import OrderProcessState
from oms.orchestrator.v1.order_process_service_pb2 import ListOrderProcessesRequest
from oms.orchestrator.v1.order_process_service_pb2_grpc import OrderProcessServiceStub
from oms.order.v1.order_pb2 import OrderState
from oms.order.v1.order_service_pb2 import ListOrdersRequest
from oms.order.v1.order_service_pb2_grpc import OrderServiceStub
from oms.payment.v1.payment_pb2 import PaymentState
from oms.payment.v1.payment_service_pb2 import ListPaymentsRequest
from oms.payment.v1.payment_service_pb2_grpc import PaymentServiceStub
from payment_svc.sandbox.store import open_ledger_view

_PAGE: Final = 1_000
_PAGE_SECONDS: Final = 60.0
_LOADS: Final = sa.text("SELECT courier_id, load FROM couriers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process as the orchestrator lists it."""

    process_id: str
    request_id: str
    customer_id: str
    state: str
    order_id: str
    payment_id: str
    delivery_id: str
    minor_units: int
    revision: int
    failure: str = ""
    """The step and the reason for which it turned back; "" where it never did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An order as the order service lists it."""

    order_id: str
    customer_id: str
    state: str
    minor_units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment as the payment service lists it. `pending`: its gateway is being asked."""

    payment_id: str
    order_id: str
    state: str
    minor_units: int
    pending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A delivery as the delivery service lists it."""

    delivery_id: str
    order_id: str
    state: str
    courier_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the gateway's ledger. `release`: VOIDED, REFUNDED or NOTHING."""

    payment_id: str
    kind: str
    declined: bool
    minor_units: int
    release: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All of it."""

    processes: tuple[Process, ...]
    orders: tuple[Placed, ...]
    payments: tuple[Payment, ...]
    deliveries: tuple[Delivery, ...]
    ledger: tuple[Entry, ...]
    loads: Mapping[str, int]
    """How many deliveries each courier believes to have."""


async def gather_evidence(fleet: Fleet) -> Evidence:
    """Reads it all."""
    orchestrator = OrderProcessServiceStub(fleet.channel(ORCHESTRATOR))
    orders = OrderServiceStub(fleet.channel("order"))
    payments = PaymentServiceStub(fleet.channel("payment"))
    deliveries = DeliveryServiceStub(fleet.channel("delivery"))
    listed = await asyncio.gather(
        _pages(orchestrator.ListOrderProcesses, ListOrderProcessesRequest, "processes"),
        _pages(orders.ListOrders, ListOrdersRequest, "orders"),
        _pages(payments.ListPayments, ListPaymentsRequest, "payments"),
        _pages(deliveries.ListDeliveries, ListDeliveriesRequest, "deliveries"),
    )
    return Evidence(
        processes=tuple(_process(it) for it in listed[0]),
        orders=tuple(_placed(it) for it in listed[1]),
        payments=tuple(_payment(it) for it in listed[2]),
        deliveries=tuple(_delivery(it) for it in listed[3]),
        ledger=_ledger(fleet),
        loads=_loads(fleet),
    )


async def _pages(
    ask: Callable[..., Awaitable[Any]], request: Callable[..., object], field: str
) -> list[Any]:
    """All that a List RPC has."""
    found: list[Any] = []
    token = ""
    while True:
        answer = await ask(
            request(page_size=_PAGE, page_token=token), timeout=_PAGE_SECONDS, wait_for_ready=True
        )
        found.extend(getattr(answer, field))
        if not (token := answer.next_page_token):
            return found


def _process(it: Any) -> Process:  # noqa: ANN401 - a message, of which only this function knows
    return Process(
        process_id=it.process_id,
        request_id=it.request_id,
        customer_id=it.customer_id,
        state=OrderProcessState.Name(it.state).removeprefix("ORDER_PROCESS_STATE_"),
        order_id=it.order_id,
        payment_id=it.payment_id,
        delivery_id=it.delivery_id,
        minor_units=it.total.minor_units,
        revision=it.revision,
        failure=f"{it.failure.step or 'between steps'}: {it.failure.reason or it.failure.code}"
        if it.HasField("failure")
        else "",
    )


def _placed(it: Any) -> Placed:  # noqa: ANN401 - as above
    return Placed(
        order_id=it.order_id,
        customer_id=it.customer_id,
        state=OrderState.Name(it.state).removeprefix("ORDER_STATE_"),
        minor_units=it.total.minor_units,
    )


def _payment(it: Any) -> Payment:  # noqa: ANN401 - as above
    return Payment(
        payment_id=it.payment_id,
        order_id=it.order_id,
        state=PaymentState.Name(it.state).removeprefix("PAYMENT_STATE_"),
        minor_units=it.amount.minor_units,
        pending=it.pending_gateway_request != 0,
    )


def _delivery(it: Any) -> Delivery:  # noqa: ANN401 - as above
    return Delivery(
        delivery_id=it.delivery_id,
        order_id=it.order_id,
        state=DeliveryState.Name(it.state).removeprefix("DELIVERY_STATE_"),
        courier_id=it.courier_id,
    )


def _ledger(fleet: Fleet) -> tuple[Entry, ...]:
    with open_ledger_view(fleet.databases.url(LEDGER)) as ledger:
        return tuple(
            Entry(
                payment_id=it.payment_id,
                kind=it.kind.value,
                declined=it.decline is not None,
                minor_units=0 if it.amount is None else it.amount.minor_units,
                release=it.release.value,
            )
            for it in ledger.entries()
        )


def _loads(fleet: Fleet) -> dict[str, int]:
    with connected(fleet.databases.url("delivery")) as couriers:
        return {it.courier_id: it.load for it in couriers.execute(_LOADS)}
