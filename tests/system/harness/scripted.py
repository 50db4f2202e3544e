"""Participants that answer what a script says: all three services on one real gRPC server.

Invariant: every call is recorded before it is answered, in the order of arrival.
Must never: judge a call; whatever no script speaks of is answered with OK and the entity in the
state that the call should have led to.

A script belongs to the customer of an order, who is named by CreateOrder alone. The ids of a
process share what follows their prefix, so every later call finds its way back to that customer.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import grpc
import grpc.aio
from google.protobuf.message import Message

from oms.common.v1.money_pb2 import Money
from oms.delivery.v1 import delivery_pb2, delivery_service_pb2
from oms.order.v1 import order_pb2, order_service_pb2
from oms.payment.v1 import payment_pb2, payment_service_pb2

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeds:
    """OK, once `gate` is open, where there is one."""

    gate: asyncio.Event | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fails:
    """An error status."""

    code: grpc.StatusCode
    message: str = "as the script says"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hangs:
    """No answer at all, for as long as the caller waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """OK, after `hook` has run: a crash of somebody, for example."""

    hook: Callable[[], Awaitable[None]]


Answer = Succeeds | Fails | Hangs | Runs
# The answers to one method, in order; afterwards it succeeds.
Script = Mapping[str, Iterable[Answer]]


def telling(event: asyncio.Event) -> Answer:
    """OK, and tells that the call has arrived."""

    async def tell() -> None:
        event.set()

    return Runs(hook=tell)


def answered(code: grpc.StatusCode) -> Answer:
    """An answer with that status, of which OK is one."""
    return Succeeds() if code is grpc.StatusCode.OK else Fails(code=code)


class Scripted:
    """The server, its scripts, and what was asked of it.

    Methods go by their bare names: "CreateOrder".
    """

    def __init__(self) -> None:
        self._scripts: dict[str, dict[str, Iterator[Answer]]] = {}
        self._customers: dict[str, str] = {}
        self._calls: dict[str, list[str]] = defaultdict(list)
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
                ("grpc.keepalive_permit_without_calls", 1),
            ]
        )
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    service, {name: _handler(self, name, method) for name, method in table.items()}
                )
                for service, table in _SERVICES.items()
            ]
        )
        self._port = self._server.add_insecure_port("127.0.0.1:0")

    @property
    def address(self) -> str:
        """What the orchestrator dials, for any of the three."""
        return f"127.0.0.1:{self._port}"

    @property
    def targets(self) -> dict[str, str]:
        """The address under each participant's name."""
        return dict.fromkeys(("order", "payment", "delivery"), self.address)

    async def start(self) -> Self:
        """Begins to answer."""
        await self._server.start()
        return self

    async def close(self) -> None:
        """Breaks what is being answered."""
        await self._server.stop(None)

    def script(self, customer_id: str, script: Script) -> None:
        """Says what the calls of this customer's process are answered."""
        self._scripts[customer_id] = {method: iter(answers) for method, answers in script.items()}

    def calls(self, customer_id: str) -> list[str]:
        """The methods that were called for this customer's process, in order."""
        return list(self._calls[customer_id])

    def meet(self, order_id: str, customer_id: str) -> None:
        """Learns whose the ids with this suffix are."""
        self._customers[_suffix(order_id)] = customer_id

    async def perform(self, method: str, entity_id: str, context: Context) -> None:
        """Records a call, then does what its script says. Returns where the call succeeds."""
        customer_id = self._customers.get(_suffix(entity_id), "")
        self._calls[customer_id].append(method)
        answers = self._scripts.get(customer_id, {}).get(method, iter(()))
        match next(answers, Succeeds()):
            case Succeeds(gate=gate):
                if gate is not None:
                    await gate.wait()
            case Fails(code=code, message=message):
                await context.abort(code, message)
            case Hangs():
                await asyncio.get_running_loop().create_future()
            case Runs(hook=hook):
                await hook()


def _suffix(entity_id: str) -> str:
    return entity_id.partition("_")[2]


def _created_order(request: order_service_pb2.CreateOrderRequest) -> Message:
    total = Money(
        currency_code=request.items[0].unit_price.currency_code,
        minor_units=sum(item.quantity * item.unit_price.minor_units for item in request.items),
    )
    order = order_pb2.Order(
        order_id=request.order_id,
        customer_id=request.customer_id,
        state=order_pb2.ORDER_STATE_PENDING,
        items=request.items,
        total=total,
        delivery_address=request.delivery_address,
    )
    return order_service_pb2.CreateOrderResponse(order=order)


def _confirmed_order(request: order_service_pb2.ConfirmOrderRequest) -> Message:
    order = order_pb2.Order(order_id=request.order_id, state=order_pb2.ORDER_STATE_CONFIRMED)
    return order_service_pb2.ConfirmOrderResponse(order=order)


def _cancelled_order(request: order_service_pb2.CancelOrderRequest) -> Message:
    order = order_pb2.Order(order_id=request.order_id, state=order_pb2.ORDER_STATE_CANCELLED)
    return order_service_pb2.CancelOrderResponse(order=order)


def _created_payment(request: payment_service_pb2.CreatePaymentRequest) -> Message:
    payment = payment_pb2.Payment(
        payment_id=request.payment_id,
        order_id=request.order_id,
        amount=request.amount,
        payment_method=request.payment_method,
        state=payment_pb2.PAYMENT_STATE_HELD,
    )
    return payment_service_pb2.CreatePaymentResponse(payment=payment)


def _confirmed_payment(request: payment_service_pb2.ConfirmPaymentRequest) -> Message:
    payment = payment_pb2.Payment(
        payment_id=request.payment_id, state=payment_pb2.PAYMENT_STATE_CONFIRMED
    )
    return payment_service_pb2.ConfirmPaymentResponse(payment=payment)


def _cancelled_payment(request: payment_service_pb2.CancelPaymentRequest) -> Message:
    payment = payment_pb2.Payment(
        payment_id=request.payment_id, state=payment_pb2.PAYMENT_STATE_CANCELLED
    )
    return payment_service_pb2.CancelPaymentResponse(payment=payment)


def _created_delivery(request: delivery_service_pb2.CreateDeliveryRequest) -> Message:
    delivery = delivery_pb2.Delivery(
        delivery_id=request.delivery_id,
        order_id=request.order_id,
        address=request.address,
        state=delivery_pb2.DELIVERY_STATE_ASSIGNED,
        courier_id="courier-1",
    )
    return delivery_service_pb2.CreateDeliveryResponse(delivery=delivery)


def _cancelled_delivery(request: delivery_service_pb2.CancelDeliveryRequest) -> Message:
    delivery = delivery_pb2.Delivery(
        delivery_id=request.delivery_id, state=delivery_pb2.DELIVERY_STATE_CANCELLED
    )
    return delivery_service_pb2.CancelDeliveryResponse(delivery=delivery)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Method:
    """What a method takes, which of its fields is the id, and what it answers when it succeeds."""

    request: type[Message]
    key: str
    answer: Callable[[Any], Message]


_SERVICES: Mapping[str, Mapping[str, _Method]] = {
    "oms.order.v1.OrderService": {
        "CreateOrder": _Method(
            request=order_service_pb2.CreateOrderRequest, key="order_id", answer=_created_order
        ),
        "ConfirmOrder": _Method(
            request=order_service_pb2.ConfirmOrderRequest, key="order_id", answer=_confirmed_order
        ),
        "CancelOrder": _Method(
            request=order_service_pb2.CancelOrderRequest, key="order_id", answer=_cancelled_order
        ),
    },
    "oms.payment.v1.PaymentService": {
        "CreatePayment": _Method(
            request=payment_service_pb2.CreatePaymentRequest,
            key="payment_id",
            answer=_created_payment,
        ),
        "ConfirmPayment": _Method(
            request=payment_service_pb2.ConfirmPaymentRequest,
            key="payment_id",
            answer=_confirmed_payment,
        ),
        "CancelPayment": _Method(
            request=payment_service_pb2.CancelPaymentRequest,
            key="payment_id",
            answer=_cancelled_payment,
        ),
    },
    "oms.delivery.v1.DeliveryService": {
        "CreateDelivery": _Method(
            request=delivery_service_pb2.CreateDeliveryRequest,
            key="delivery_id",
            answer=_created_delivery,
        ),
        "CancelDelivery": _Method(
            request=delivery_service_pb2.CancelDeliveryRequest,
            key="delivery_id",
            answer=_cancelled_delivery,
        ),
    },
}


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


def _handler(stage: Scripted, name: str, method: _Method) -> "grpc.RpcMethodHandler[Any, Any]":
    async def behave(request: Any, context: Context) -> Message:
        entity_id = str(getattr(request, method.key))
        if isinstance(request, order_service_pb2.CreateOrderRequest):
            stage.meet(entity_id, request.customer_id)
        await stage.perform(name, entity_id, context)
        return method.answer(request)

    return grpc.unary_unary_rpc_method_handler(
        behave,
        request_deserializer=method.request.FromString,
        response_serializer=_serialize,
    )
