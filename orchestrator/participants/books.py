"""The participants' books, as an audit reads them: List and Get of each, and nothing that writes.

Invariant: every call has a deadline, waits for a participant that is just restarting no longer than
that, and is made at most twice; a participant that does not answer is named. What is outstanding at
one is bounded. This module must never judge what it reads.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import grpc
import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from chassis import faults
from chassis.timestamps import to_timestamp
from oms.common.v1 import money_pb2
from oms.delivery.v1 import delivery_pb2, delivery_service_pb2, delivery_service_pb2_grpc
from oms.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from oms.payment.v1 import payment_pb2, payment_service_pb2, payment_service_pb2_grpc
from orchestrator.audit.accounts import UNREADABLE, Entity, EntityKind
from orchestrator.audit.books import Books, Listed
from orchestrator.placed_order import Money

CALL_SECONDS: Final = 5.0
TRIES_MAX: Final = 2
OUTSTANDING_MAX: Final = 16
PAGE_SIZE_MAX: Final = 1_000

# What a server of whatever make answers where it fails over what it keeps.
_DAMAGED: Final = frozenset(
    {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS}
)
_EPOCH: Final = Timestamp()

AnswerT = TypeVar("AnswerT")


def open_books(
    order: grpc.aio.Channel, payment: grpc.aio.Channel, delivery: grpc.aio.Channel
) -> Books:
    """The books of the three participants."""
    return Books(
        orders=OrderBook(order), payments=PaymentBook(payment), deliveries=DeliveryBook(delivery)
    )


class ParticipantBook(ABC):
    """What the three have in common."""

    kind: EntityKind

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(OUTSTANDING_MAX)

    async def list(self, *, from_us: int, before_us: int, limit: int | None) -> Listed:
        """The newest of what was created from then on and before then; None: all of it."""
        try:
            return await self._list(from_us, before_us, limit)
        except _Damaged as damaged:
            try:
                # Can it list anything? Nothing is as old as that.
                await self._page(_EPOCH, _EPOCH, page_size=1, page_token="")
            except _Damaged:
                raise self._away(damaged.code) from None
            return Listed(entities=(), damaged=True)

    async def _list(self, from_us: int, before_us: int, limit: int | None) -> Listed:
        found: list[Entity] = []
        token = ""
        while True:
            room = PAGE_SIZE_MAX if limit is None else min(limit - len(found), PAGE_SIZE_MAX)
            page, token = await self._page(
                to_timestamp(from_us), to_timestamp(before_us), page_size=room, page_token=token
            )
            found.extend(page)
            if not token or len(found) == limit:
                return Listed(entities=found, more=bool(token))

    async def get(self, entity_id: str) -> Entity | None:
        """One of them; UNREADABLE, if the participant cannot read it. None: there is no such."""
        try:
            return await self._one(entity_id)
        except _NotThere:
            return None
        except _Damaged:
            return Entity(
                kind=self.kind,
                entity_id=entity_id,
                state=UNREADABLE,
                amount=None,
                create_time_us=0,
                update_time_us=0,
            )

    @abstractmethod
    async def _page(
        self, after: Timestamp, before: Timestamp, *, page_size: int, page_token: str
    ) -> tuple[Sequence[Entity], str]:
        """One page, and the token of the next."""

    @abstractmethod
    async def _one(self, entity_id: str) -> Entity:
        """One of them."""

    async def _ask(self, call: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        """Makes a call.

        Raises:
            _NotThere: There is no such.
            _Damaged: The participant fails over what it keeps.
            faults.Unavailable: The participant does not answer.
        """
        async with self._room:
            for tries_left in reversed(range(TRIES_MAX)):
                try:
                    return await call()
                except grpc.aio.AioRpcError as error:
                    if error.code() is grpc.StatusCode.NOT_FOUND:
                        raise _NotThere from None
                    if error.code() in _DAMAGED:
                        raise _Damaged(error.code()) from None
                    if not tries_left or error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise self._away(error.code()) from None
        raise AssertionError("the last try returns or raises")

    def _away(self, code: grpc.StatusCode) -> faults.Unavailable:
        return faults.Unavailable(
            "PARTICIPANT_UNAVAILABLE",
            f"the {self.kind} service does not answer as it should ({code.name}); "
            f"resume the audit once it does",
            metadata={"participant": self.kind.value},
        )


class OrderBook(ParticipantBook):
    """What the order service keeps."""

    kind = EntityKind.ORDER

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__()
        self._stub = order_service_pb2_grpc.OrderServiceStub(channel)

    async def _page(
        self, after: Timestamp, before: Timestamp, *, page_size: int, page_token: str
    ) -> tuple[Sequence[Entity], str]:
        request = order_service_pb2.ListOrdersRequest(
            page_size=page_size,
            page_token=page_token,
            create_time_after=after,
            create_time_before=before,
        )
        answer = await self._ask(
            lambda: self._stub.ListOrders(request, timeout=CALL_SECONDS, wait_for_ready=True)
        )
        return [_order(it) for it in answer.orders], answer.next_page_token

    async def _one(self, entity_id: str) -> Entity:
        request = order_service_pb2.GetOrderRequest(order_id=entity_id)
        answer = await self._ask(
            lambda: self._stub.GetOrder(request, timeout=CALL_SECONDS, wait_for_ready=True)
        )
        return _order(answer.order)


class PaymentBook(ParticipantBook):
    """What the payment service keeps."""

    kind = EntityKind.PAYMENT

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__()
        self._stub = payment_service_pb2_grpc.PaymentServiceStub(channel)

    async def _page(
        self, after: Timestamp, before: Timestamp, *, page_size: int, page_token: str
    ) -> tuple[Sequence[Entity], str]:
        request = payment_service_pb2.ListPaymentsRequest(
            page_size=page_size,
            page_token=page_token,
            create_time_after=after,
            create_time_before=before,
        )
        answer = await self._ask(
            lambda: self._stub.ListPayments(request, timeout=CALL_SECONDS, wait_for_ready=True)
        )
        return [_payment(it) for it in answer.payments], answer.next_page_token

    async def _one(self, entity_id: str) -> Entity:
        request = payment_service_pb2.GetPaymentRequest(payment_id=entity_id)
        answer = await self._ask(
            lambda: self._stub.GetPayment(request, timeout=CALL_SECONDS, wait_for_ready=True)
        )
        return _payment(answer.payment)


class DeliveryBook(ParticipantBook):
    """What the delivery service keeps."""

    kind = EntityKind.DELIVERY

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__()
        self._stub = delivery_service_pb2_grpc.DeliveryServiceStub(channel)

    async def _page(
        self, after: Timestamp, before: Timestamp, *, page_size: int, page_token: str
    ) -> tuple[Sequence[Entity], str]:
        request = delivery_service_pb2.ListDeliveriesRequest(
            page_size=page_size,
            page_token=page_token,
            create_time_after=after,
            create_time_before=before,
        )
        answer = await self._ask(
            lambda: self._stub.ListDeliveries(request, timeout=CALL_SECONDS, wait_for_ready=True)
        )
        return [_delivery(it) for it in answer.deliveries], answer.next_page_token

    async def _one(self, entity_id: str) -> Entity:
        request = delivery_service_pb2.GetDeliveryRequest(delivery_id=entity_id)
        answer = await self._ask(
            lambda: self._stub.GetDelivery(request, timeout=CALL_SECONDS, wait_for_ready=True)
        )
        return _delivery(answer.delivery)


class _NotThere(Exception):  # noqa: N818 - says what is
    """There is no such entity."""


class _Damaged(Exception):  # noqa: N818 - says what is
    """The participant fails over what it keeps."""

    def __init__(self, code: grpc.StatusCode) -> None:
        super().__init__(code.name)
        self.code = code


def _order(order: order_pb2.Order) -> Entity:
    known = order.state in order_pb2.OrderState.values()
    name = order_pb2.OrderState.Name(order.state) if known else f"STATE {order.state}"
    return Entity(
        kind=EntityKind.ORDER,
        entity_id=order.order_id,
        state=name.removeprefix("ORDER_STATE_"),
        amount=_money(order.total) if order.HasField("total") else None,
        create_time_us=order.create_time.ToMicroseconds(),
        update_time_us=order.update_time.ToMicroseconds(),
    )


def _payment(payment: payment_pb2.Payment) -> Entity:
    known = payment.state in payment_pb2.PaymentState.values()
    name = payment_pb2.PaymentState.Name(payment.state) if known else f"STATE {payment.state}"
    return Entity(
        kind=EntityKind.PAYMENT,
        entity_id=payment.payment_id,
        state=name.removeprefix("PAYMENT_STATE_"),
        amount=_money(payment.amount) if payment.HasField("amount") else None,
        create_time_us=payment.create_time.ToMicroseconds(),
        update_time_us=payment.update_time.ToMicroseconds(),
    )


def _delivery(delivery: delivery_pb2.Delivery) -> Entity:
    known = delivery.state in delivery_pb2.DeliveryState.values()
    name = delivery_pb2.DeliveryState.Name(delivery.state) if known else f"STATE {delivery.state}"
    return Entity(
        kind=EntityKind.DELIVERY,
        entity_id=delivery.delivery_id,
        state=name.removeprefix("DELIVERY_STATE_"),
        amount=None,
        create_time_us=delivery.create_time.ToMicroseconds(),
        update_time_us=delivery.update_time.ToMicroseconds(),
    )


def _money(money: money_pb2.Money) -> Money:
    return Money(currency_code=money.currency_code, minor_units=money.minor_units)
