"""The five calls of an order process, as our orchestrator makes them, and nothing else.

Invariant: messages, metadata, deadline and what is outstanding at one participant at most are those
of `orchestrator/participants`, and the caller is told what ours tells; a test holds the messages
against each other. Must never: keep anything, or try again.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, Self

import grpc.aio

from chassis.channels import open_channel
from chassis.handlers import PROCESS_ID_METADATA
from chassis.ids import sibling
from chassis.timestamps import set_time
from oms.common.v1.money_pb2 import Money
from oms.delivery.v1 import delivery_service_pb2 as delivery_pb
from oms.delivery.v1.delivery_service_pb2_grpc import DeliveryServiceStub
from oms.orchestrator.v1.order_process_pb2 import (
    ORDER_PROCESS_STATE_COMPLETED,
    ORDER_PROCESS_STEP_STATE_SUCCEEDED,
    OrderProcess,
)
from oms.orchestrator.v1.order_process_service_pb2 import StartOrderProcessRequest
from oms.order.v1 import order_service_pb2 as order_pb
from oms.order.v1.order_service_pb2_grpc import OrderServiceStub
from oms.payment.v1 import payment_service_pb2 as payment_pb
from oms.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

# Our orchestrator's defaults: `--help` of `python -m orchestrator`.
TIMEOUT_SECONDS: Final = 2.0
OUTSTANDING_MAX: Final = 1_000
PATIENCE_US: Final = 60_000_000

STEPS: Final = (
    "create_order",
    "process_payment",
    "confirm_payment",
    "confirm_order",
    "process_delivery",
)
# It was started, each step began and ended, and it was completed.
REVISION: Final = 2 + 2 * len(STEPS)


class FiveCalls:
    """Makes them, one at a time."""

    def __init__(
        self, order: grpc.aio.Channel, payment: grpc.aio.Channel, delivery: grpc.aio.Channel
    ) -> None:
        self._orders = OrderServiceStub(order)
        self._payments = PaymentServiceStub(payment)
        self._deliveries = DeliveryServiceStub(delivery)
        self._order_room = asyncio.Semaphore(OUTSTANDING_MAX)
        self._payment_room = asyncio.Semaphore(OUTSTANDING_MAX)
        self._delivery_room = asyncio.Semaphore(OUTSTANDING_MAX)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, environment: Mapping[str, str] = os.environ) -> AsyncIterator[Self]:
        """Dials the participants that OMS_…_TARGET name."""
        async with contextlib.AsyncExitStack() as stack:
            order, payment, delivery = [
                await stack.enter_async_context(open_channel(environment[f"OMS_{name}_TARGET"]))
                for name in ("ORDER", "PAYMENT", "DELIVERY")
            ]
            yield cls(order, payment, delivery)

    async def create_order(self, process_id: str, request: StartOrderProcessRequest) -> Money:
        """The total, as the order service adds it up."""
        asked = create_order_request(process_id, request)
        async with self._order_room:
            reply = await self._orders.CreateOrder(
                asked, timeout=TIMEOUT_SECONDS, metadata=_named(process_id)
            )
        return reply.order.total

    async def process_payment(
        self, process_id: str, request: StartOrderProcessRequest, total: Money
    ) -> None:
        """Has the total held."""
        asked = create_payment_request(process_id, request, total)
        async with self._payment_room:
            await self._payments.CreatePayment(
                asked, timeout=TIMEOUT_SECONDS, metadata=_named(process_id)
            )

    async def confirm_payment(self, process_id: str) -> None:
        """Has it taken."""
        asked = payment_pb.ConfirmPaymentRequest(payment_id=payment_id_of(process_id))
        async with self._payment_room:
            await self._payments.ConfirmPayment(
                asked, timeout=TIMEOUT_SECONDS, metadata=_named(process_id)
            )

    async def confirm_order(self, process_id: str) -> None:
        """Has the order confirmed."""
        asked = order_pb.ConfirmOrderRequest(order_id=order_id_of(process_id))
        async with self._order_room:
            await self._orders.ConfirmOrder(
                asked, timeout=TIMEOUT_SECONDS, metadata=_named(process_id)
            )

    async def process_delivery(self, process_id: str, request: StartOrderProcessRequest) -> None:
        """Has a courier assigned."""
        asked = create_delivery_request(process_id, request)
        async with self._delivery_room:
            await self._deliveries.CreateDelivery(
                asked, timeout=TIMEOUT_SECONDS, metadata=_named(process_id)
            )


def create_order_request(
    process_id: str, request: StartOrderProcessRequest
) -> order_pb.CreateOrderRequest:
    return order_pb.CreateOrderRequest(
        order_id=order_id_of(process_id),
        customer_id=request.customer_id,
        items=request.items,
        delivery_address=request.delivery_address,
    )


def create_payment_request(
    process_id: str, request: StartOrderProcessRequest, total: Money
) -> payment_pb.CreatePaymentRequest:
    return payment_pb.CreatePaymentRequest(
        payment_id=payment_id_of(process_id),
        order_id=order_id_of(process_id),
        amount=total,
        payment_method=request.payment_method,
    )


def create_delivery_request(
    process_id: str, request: StartOrderProcessRequest
) -> delivery_pb.CreateDeliveryRequest:
    return delivery_pb.CreateDeliveryRequest(
        delivery_id=delivery_id_of(process_id),
        order_id=order_id_of(process_id),
        address=request.delivery_address,
    )


def completed(
    process_id: str,
    request: StartOrderProcessRequest,
    total: Money,
    moments_us: Sequence[int],
) -> OrderProcess:
    """What the caller is answered: all that our orchestrator tells of such a process.

    `moments_us` are when it began, and when each of its calls was answered.
    """
    process = OrderProcess(
        process_id=process_id,
        request_id=request.request_id,
        customer_id=request.customer_id,
        state=ORDER_PROCESS_STATE_COMPLETED,
        order_id=order_id_of(process_id),
        payment_id=payment_id_of(process_id),
        delivery_id=delivery_id_of(process_id),
        total=total,
        revision=REVISION,
    )
    began_us, ended_us = moments_us[0], moments_us[-1]
    set_time(process.create_time, began_us)
    set_time(process.update_time, ended_us)
    set_time(process.end_time, ended_us)
    set_time(process.deadline, began_us + PATIENCE_US)
    steps = process.steps
    for name, (start_us, end_us) in zip(STEPS, pairwise(moments_us), strict=True):
        step = steps.add()
        step.name = name
        step.state = ORDER_PROCESS_STEP_STATE_SUCCEEDED
        step.attempts = 1
        step.code = "OK"
        set_time(step.start_time, start_us)
        set_time(step.end_time, end_us)
    return process


def order_id_of(process_id: str) -> str:
    return sibling("ord", process_id)


def payment_id_of(process_id: str) -> str:
    return sibling("pay", process_id)


def delivery_id_of(process_id: str) -> str:
    return sibling("dlv", process_id)


def _named(process_id: str) -> tuple[tuple[str, str]]:
    return ((PROCESS_ID_METADATA, process_id),)
