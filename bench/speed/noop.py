"""Creates that create nothing. `python -m bench.speed.noop` (plain), `… noop ours`.

Invariant: what is answered is as large as what the real services answer. `plain` is a server with
nothing around it, `ours` the one that our services have. Must never: keep anything.
"""

import asyncio
import os
import sys
from typing import Any, Final

import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from bench.speed.plain_server import run, serve_plainly
from bench.speed.works import TOTAL
from chassis.sentinel import serve_guarded
from chassis.server import Hosted, Server
from oms.delivery.v1 import delivery_pb2, delivery_service_pb2, delivery_service_pb2_grpc
from oms.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from oms.payment.v1 import payment_pb2, payment_service_pb2, payment_service_pb2_grpc

_WHEN: Final = Timestamp(seconds=1_800_000_000, nanos=123_456_000)
_COURIER: Final = "courier-us-1"

Context = grpc.aio.ServicerContext[Any, Any]


class NoOrders(order_service_pb2_grpc.OrderServiceServicer):
    """Says that every order is there."""

    async def CreateOrder(  # noqa: N802 - the contract names it
        self, request: order_service_pb2.CreateOrderRequest, context: Context
    ) -> order_service_pb2.CreateOrderResponse:
        """What was asked for, PENDING."""
        del context
        order = order_pb2.Order(
            order_id=request.order_id,
            customer_id=request.customer_id,
            state=order_pb2.ORDER_STATE_PENDING,
            items=request.items,
            total=TOTAL,
            delivery_address=request.delivery_address,
            create_time=_WHEN,
            update_time=_WHEN,
        )
        return order_service_pb2.CreateOrderResponse(order=order)


class NoPayments(payment_service_pb2_grpc.PaymentServiceServicer):
    """Says that every payment is held."""

    async def CreatePayment(  # noqa: N802 - the contract names it
        self, request: payment_service_pb2.CreatePaymentRequest, context: Context
    ) -> payment_service_pb2.CreatePaymentResponse:
        """What was asked for, HELD."""
        del context
        payment = payment_pb2.Payment(
            payment_id=request.payment_id,
            order_id=request.order_id,
            amount=request.amount,
            payment_method=request.payment_method,
            state=payment_pb2.PAYMENT_STATE_HELD,
            create_time=_WHEN,
            update_time=_WHEN,
        )
        return payment_service_pb2.CreatePaymentResponse(payment=payment)


class NoDeliveries(delivery_service_pb2_grpc.DeliveryServiceServicer):
    """Says that every delivery has a courier."""

    async def CreateDelivery(  # noqa: N802 - the contract names it
        self, request: delivery_service_pb2.CreateDeliveryRequest, context: Context
    ) -> delivery_service_pb2.CreateDeliveryResponse:
        """What was asked for, ASSIGNED."""
        del context
        delivery = delivery_pb2.Delivery(
            delivery_id=request.delivery_id,
            order_id=request.order_id,
            address=request.address,
            state=delivery_pb2.DELIVERY_STATE_ASSIGNED,
            courier_id=_COURIER,
            create_time=_WHEN,
            update_time=_WHEN,
        )
        return delivery_service_pb2.CreateDeliveryResponse(delivery=delivery)


def add_all(server: grpc.aio.Server) -> None:
    """Has a server host the three; what they do not override answers UNIMPLEMENTED."""
    orders = NoOrders()  # type: ignore[abstract]
    payments = NoPayments()  # type: ignore[abstract]
    deliveries = NoDeliveries()  # type: ignore[abstract]
    order_service_pb2_grpc.add_OrderServiceServicer_to_server(orders, server)
    payment_service_pb2_grpc.add_PaymentServiceServicer_to_server(payments, server)
    delivery_service_pb2_grpc.add_DeliveryServiceServicer_to_server(deliveries, server)


async def main() -> None:
    """Serves at OMS_NOOP_LISTEN."""
    listen = os.environ["OMS_NOOP_LISTEN"]
    if sys.argv[1:] != ["ours"]:
        await serve_plainly(listen, add_all)
        return
    server = Server(
        listen=listen,
        hosted=[Hosted(name="oms.order.v1.OrderService", add=add_all)],
        drain_grace_seconds=1,
        message_bytes_max=4 * 1024 * 1024,
    )
    await serve_guarded(server, failed=asyncio.Event().wait)


if __name__ == "__main__":
    run(main)
