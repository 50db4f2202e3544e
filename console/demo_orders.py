"""The three orders of the demonstration, and how each must end.

Invariant: the end is read from the three participants themselves, not from what the orchestrator
says about them. This module must never accept an end because it is near enough: every difference
is named.
"""

import itertools
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from console.channels import open_channel
from console.rendering import state_name
from console.wire import CallFailed, call
from oms.common.v1.address_pb2 import Address
from oms.common.v1.money_pb2 import Money
from oms.delivery.v1.delivery_pb2 import DeliveryState
from oms.delivery.v1.delivery_service_pb2 import GetDeliveryRequest
from oms.delivery.v1.delivery_service_pb2_grpc import DeliveryServiceStub
from oms.orchestrator.v1.order_process_pb2 import OrderProcess
from oms.orchestrator.v1.order_process_service_pb2 import StartOrderProcessRequest
from oms.order.v1.order_pb2 import OrderItem, OrderState
from oms.order.v1.order_service_pb2 import GetOrderRequest
from oms.order.v1.order_service_pb2_grpc import OrderServiceStub
from oms.payment.v1.payment_pb2 import PaymentRelease, PaymentState
from oms.payment.v1.payment_service_pb2 import GetPaymentRequest
from oms.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

NONE: Final = "none"
"""There is no such entity: the participant was never asked for one."""

RequestT = TypeVar("RequestT", bound=Message)
ReplyT = TypeVar("ReplyT", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the three entities of a process ended."""

    order: str
    payment: str
    delivery: str

    def states(self) -> dict[str, str]:
        """By participant."""
        return {"order": self.order, "payment": self.payment, "delivery": self.delivery}


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOrder:
    """An order, and what must become of it."""

    title: str
    payment_method: str
    address: Address
    state: str
    ended: Ended
    undos: tuple[str, ...]

    def request(self) -> StartOrderProcessRequest:
        """The order, as it is sent."""
        price = Money(currency_code="USD", minor_units=1250)
        return StartOrderProcessRequest(
            request_id=f"demo-{uuid.uuid4()}",
            customer_id="ada",
            items=[OrderItem(sku="BOOK", quantity=2, unit_price=price)],
            payment_method=self.payment_method,
            delivery_address=self.address,
            return_immediately=True,
        )


_SAN_FRANCISCO: Final = Address(
    recipient="Ada",
    lines=["1 Market St"],
    locality="San Francisco",
    region="CA",
    postal_code="94105",
    country_code="US",
)
_MCMURDO: Final = Address(
    recipient="Ada", lines=["McMurdo Station"], locality="Ross Island", country_code="AQ"
)

DEMO_ORDERS: Final = (
    DemoOrder(
        title="Delivered: two books to San Francisco",
        payment_method="pm_card_visa",
        address=_SAN_FRANCISCO,
        state="COMPLETED",
        ended=Ended(order="CONFIRMED", payment="CONFIRMED", delivery="ASSIGNED"),
        undos=(),
    ),
    DemoOrder(
        title="Declined: the card is refused, and the order is cancelled",
        payment_method="pm_card_chargeDeclined",
        address=_SAN_FRANCISCO,
        state="CANCELLED",
        ended=Ended(order="CANCELLED", payment="DECLINED", delivery=NONE),
        undos=("cancel_order",),
    ),
    DemoOrder(
        title="Undeliverable: nobody delivers to Antarctica; the payment is refunded, then the "
        "order cancelled",
        payment_method="pm_card_visa",
        address=_MCMURDO,
        state="CANCELLED",
        ended=Ended(order="CANCELLED", payment="CANCELLED, refunded", delivery="REJECTED"),
        undos=("cancel_payment", "cancel_order"),
    ),
)


async def ended(addresses: Mapping[str, str], process: OrderProcess) -> Ended:
    """How the participants say that it ended."""
    return Ended(
        order=await _order(addresses["order"], process.order_id),
        payment=await _payment(addresses["payment"], process.payment_id),
        delivery=await _delivery(addresses["delivery"], process.delivery_id),
    )


def differences(order: DemoOrder, process: OrderProcess, ends: Ended) -> tuple[str, ...]:
    """What is not as it must be, each in a sentence."""
    found: list[str] = []
    name = order.title.split(":", 1)[0]
    if state_name(process.state) != order.state:
        found.append(f"{name}: the process is {state_name(process.state)}, not {order.state}")
    for participant, expected in order.ended.states().items():
        actual = ends.states()[participant]
        if actual != expected:
            found.append(f"{name}: the {participant} is {actual}, not {expected}")
    # One whose first answer was lost is cancelled as well; on a busy machine that is as it
    # should be.
    undos = [it for it in process.steps if it.undo and it.name != "cancel_delivery"]
    names = tuple(it.name for it in undos)
    if names != order.undos:
        found.append(f"{name}: undone by {', '.join(names) or NONE}, not {', '.join(order.undos)}")
    for former, latter in itertools.pairwise(undos):
        if former.end_time.ToMicroseconds() > latter.start_time.ToMicroseconds():
            found.append(f"{name}: {latter.name} began before {former.name} was over")
    return tuple(found)


async def _order(target: str, order_id: str) -> str:
    async with open_channel(target) as channel:
        method = OrderServiceStub(channel).GetOrder
        reply = await _found(method, GetOrderRequest(order_id=order_id), target)
    if reply is None:
        return NONE
    return OrderState.Name(reply.order.state).removeprefix("ORDER_STATE_")


async def _payment(target: str, payment_id: str) -> str:
    async with open_channel(target) as channel:
        method = PaymentServiceStub(channel).GetPayment
        reply = await _found(method, GetPaymentRequest(payment_id=payment_id), target)
    if reply is None:
        return NONE
    state = PaymentState.Name(reply.payment.state).removeprefix("PAYMENT_STATE_")
    release = PaymentRelease.Name(reply.payment.release).removeprefix("PAYMENT_RELEASE_").lower()
    return state if release == "unspecified" else f"{state}, {release}"


async def _delivery(target: str, delivery_id: str) -> str:
    async with open_channel(target) as channel:
        method = DeliveryServiceStub(channel).GetDelivery
        reply = await _found(method, GetDeliveryRequest(delivery_id=delivery_id), target)
    if reply is None:
        return NONE
    return DeliveryState.Name(reply.delivery.state).removeprefix("DELIVERY_STATE_")


async def _found(
    method: grpc.aio.UnaryUnaryMultiCallable[RequestT, ReplyT], request: RequestT, target: str
) -> ReplyT | None:
    try:
        return await call(method, request, target=target)
    except CallFailed as failed:
        if failed.code is grpc.StatusCode.NOT_FOUND:
            return None
        raise
