"""All three participants on one real gRPC server, doing what the test says.

Invariant: every call is recorded, in the order of arrival, before it is answered. What no test
speaks of is answered with OK and the entity in the state that the call should have led to.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self, TypeAlias

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import status_pb2
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc_status import rpc_status

from oms.common.v1 import money_pb2
from oms.delivery.v1 import delivery_pb2, delivery_service_pb2
from oms.order.v1 import order_pb2, order_service_pb2
from oms.payment.v1 import payment_pb2, payment_service_pb2

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Answer: TypeAlias = Callable[[Any, Context], Awaitable[Message]]


def create_order(request: Any) -> Message:
    total = sum(item.quantity * item.unit_price.minor_units for item in request.items)
    currency_code = request.items[0].unit_price.currency_code
    order = order_pb2.Order(
        order_id=request.order_id,
        state=order_pb2.ORDER_STATE_PENDING,
        total=money_pb2.Money(currency_code=currency_code, minor_units=total),
    )
    return order_service_pb2.CreateOrderResponse(order=order)


def confirm_order(request: Any) -> Message:
    order = order_pb2.Order(order_id=request.order_id, state=order_pb2.ORDER_STATE_CONFIRMED)
    return order_service_pb2.ConfirmOrderResponse(order=order)


def cancel_order(request: Any) -> Message:
    order = order_pb2.Order(order_id=request.order_id, state=order_pb2.ORDER_STATE_CANCELLED)
    return order_service_pb2.CancelOrderResponse(order=order)


def create_payment(request: Any) -> Message:
    payment = payment_pb2.Payment(
        payment_id=request.payment_id,
        order_id=request.order_id,
        amount=request.amount,
        state=payment_pb2.PAYMENT_STATE_HELD,
    )
    return payment_service_pb2.CreatePaymentResponse(payment=payment)


def confirm_payment(request: Any) -> Message:
    payment = payment_pb2.Payment(
        payment_id=request.payment_id, state=payment_pb2.PAYMENT_STATE_CONFIRMED
    )
    return payment_service_pb2.ConfirmPaymentResponse(payment=payment)


def cancel_payment(request: Any) -> Message:
    payment = payment_pb2.Payment(
        payment_id=request.payment_id, state=payment_pb2.PAYMENT_STATE_CANCELLED
    )
    return payment_service_pb2.CancelPaymentResponse(payment=payment)


def create_delivery(request: Any) -> Message:
    delivery = delivery_pb2.Delivery(
        delivery_id=request.delivery_id,
        state=delivery_pb2.DELIVERY_STATE_ASSIGNED,
        courier_id="courier-1",
    )
    return delivery_service_pb2.CreateDeliveryResponse(delivery=delivery)


def cancel_delivery(request: Any) -> Message:
    delivery = delivery_pb2.Delivery(
        delivery_id=request.delivery_id, state=delivery_pb2.DELIVERY_STATE_CANCELLED
    )
    return delivery_service_pb2.CancelDeliveryResponse(delivery=delivery)


METHODS: Mapping[str, tuple[str, Any, Callable[[Any], Message]]] = {
    "CreateOrder": (
        "oms.order.v1.OrderService",
        order_service_pb2.CreateOrderRequest,
        create_order,
    ),
    "ConfirmOrder": (
        "oms.order.v1.OrderService",
        order_service_pb2.ConfirmOrderRequest,
        confirm_order,
    ),
    "CancelOrder": (
        "oms.order.v1.OrderService",
        order_service_pb2.CancelOrderRequest,
        cancel_order,
    ),
    "CreatePayment": (
        "oms.payment.v1.PaymentService",
        payment_service_pb2.CreatePaymentRequest,
        create_payment,
    ),
    "ConfirmPayment": (
        "oms.payment.v1.PaymentService",
        payment_service_pb2.ConfirmPaymentRequest,
        confirm_payment,
    ),
    "CancelPayment": (
        "oms.payment.v1.PaymentService",
        payment_service_pb2.CancelPaymentRequest,
        cancel_payment,
    ),
    "CreateDelivery": (
        "oms.delivery.v1.DeliveryService",
        delivery_service_pb2.CreateDeliveryRequest,
        create_delivery,
    ),
    "CancelDelivery": (
        "oms.delivery.v1.DeliveryService",
        delivery_service_pb2.CancelDeliveryRequest,
        cancel_delivery,
    ),
}


def fails(
    code: grpc.StatusCode,
    *,
    reason: str = "",
    message: str = "as the test says",
    retry_after_seconds: float | None = None,
) -> Answer:
    """Refuses, with details."""

    async def answer(_request: Any, context: Context) -> Message:
        status = status_pb2.Status(code=code.value[0], message=message)
        if reason:
            status.details.add().Pack(ErrorInfo(reason=reason, domain="oms"))
        if retry_after_seconds is not None:
            delay = Duration()
            delay.FromMicroseconds(round(retry_after_seconds * 1_000_000))
            status.details.add().Pack(RetryInfo(retry_delay=delay))
        await context.abort_with_status(rpc_status.to_status(status))
        raise AssertionError("an abort does not return")

    return answer


def replies(message: Message) -> Answer:
    """Says OK, with this reply."""

    async def answer(_request: Any, _context: Context) -> Message:
        return message

    return answer


class Gate:
    """Holds a call until the test lets it pass."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.opened = asyncio.Event()

    def before(self, then: Callable[[Any], Message]) -> Answer:
        async def answer(request: Any, _context: Context) -> Message:
            self.arrived.set()
            await self.opened.wait()
            return then(request)

        return answer


class ScriptedParticipants:
    """The server, what it was told to answer, and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        """By the method's name: what it answers from now on."""
        self.calls: list[str] = []
        self.requests: list[tuple[str, Any]] = []
        self.metadata: list[Mapping[str, str | bytes]] = []
        self.deadlines: list[float] = []
        self._called = asyncio.Condition()
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        services: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
        for method, (service, request_type, _) in METHODS.items():
            services.setdefault(service, {})[method] = grpc.unary_unary_rpc_method_handler(
                self._handler(method),
                request_deserializer=request_type.FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(service, methods)
                for service, methods in services.items()
            ]
        )
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)

    @property
    def targets(self) -> Mapping[str, str]:
        """What to dial, under each participant's name."""
        return dict.fromkeys(("order", "payment", "delivery"), self.address)

    def forget(self) -> None:
        """Nothing was asked, and there is nothing to say but OK."""
        self.answers.clear()
        for record in (self.calls, self.requests, self.metadata, self.deadlines):
            record.clear()

    async def called(self, method: str, times: int = 1) -> None:
        """Returns once a method was called that often."""
        async with self._called:
            await self._called.wait_for(lambda: self.calls.count(method) >= times)

    def _handler(self, method: str) -> Any:
        async def handle(request: Any, context: Context) -> Message:
            self.calls.append(method)
            self.requests.append((method, request))
            self.metadata.append(dict(context.invocation_metadata() or ()))
            self.deadlines.append(context.time_remaining())
            async with self._called:
                self._called.notify_all()
            answer = self.answers.get(method)
            if answer is None:
                return METHODS[method][2](request)
            return await answer(request, context)

        return handle
