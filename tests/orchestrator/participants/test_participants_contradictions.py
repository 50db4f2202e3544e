"""What the clients make of an OK."""

from typing import Any

import grpc
import grpc.aio
import pytest

from oms.common.v1.money_pb2 import Money
from oms.delivery.v1 import delivery_pb2, delivery_service_pb2
from oms.order.v1 import order_pb2, order_service_pb2
from oms.payment.v1 import payment_pb2, payment_service_pb2
from orchestrator.saga.code import Code
from tests.orchestrator.edge.harness.scripted import (
    ScriptedParticipants,
    replies,
)
from tests.orchestrator.participants.harness.attempts import (
    METHOD_OF,
    act,
)

ANOTHER_ORDER = order_pb2.Order(
    order_id="ord_2",
    state=order_pb2.ORDER_STATE_CONFIRMED,
    total=Money(currency_code="USD", minor_units=1),
)
CONTRADICTIONS = {
    "another order created": (
        "create_order",
        order_service_pb2.CreateOrderResponse(order=ANOTHER_ORDER),
    ),
    "no order created": ("create_order", order_service_pb2.CreateOrderResponse()),
    "an order without a total": (
        "create_order",
        order_service_pb2.CreateOrderResponse(
            order=order_pb2.Order(order_id="ord_1", state=order_pb2.ORDER_STATE_PENDING)
        ),
    ),
    "an order created as cancelled": (
        "create_order",
        order_service_pb2.CreateOrderResponse(
            order=order_pb2.Order(
                order_id="ord_1",
                state=order_pb2.ORDER_STATE_CANCELLED,
                total=Money(currency_code="USD", minor_units=1),
            )
        ),
    ),
    "an order confirmed as pending": (
        "confirm_order",
        order_service_pb2.ConfirmOrderResponse(
            order=order_pb2.Order(order_id="ord_1", state=order_pb2.ORDER_STATE_PENDING)
        ),
    ),
    "an order cancelled as confirmed": (
        "cancel_order",
        order_service_pb2.CancelOrderResponse(
            order=order_pb2.Order(order_id="ord_1", state=order_pb2.ORDER_STATE_CONFIRMED)
        ),
    ),
    "another payment": (
        "process_payment",
        payment_service_pb2.CreatePaymentResponse(
            payment=payment_pb2.Payment(
                payment_id="pay_2",
                amount=Money(currency_code="USD", minor_units=2_400),
                state=payment_pb2.PAYMENT_STATE_HELD,
            )
        ),
    ),
    "a payment of another amount": (
        "process_payment",
        payment_service_pb2.CreatePaymentResponse(
            payment=payment_pb2.Payment(
                payment_id="pay_1",
                amount=Money(currency_code="EUR", minor_units=2_400),
                state=payment_pb2.PAYMENT_STATE_HELD,
            )
        ),
    ),
    "a payment that is not held yet": (
        "process_payment",
        payment_service_pb2.CreatePaymentResponse(
            payment=payment_pb2.Payment(
                payment_id="pay_1",
                amount=Money(currency_code="USD", minor_units=2_400),
                state=payment_pb2.PAYMENT_STATE_PENDING,
            )
        ),
    ),
    "a payment confirmed as held": (
        "confirm_payment",
        payment_service_pb2.ConfirmPaymentResponse(
            payment=payment_pb2.Payment(payment_id="pay_1", state=payment_pb2.PAYMENT_STATE_HELD)
        ),
    ),
    "a payment cancelled as confirmed": (
        "cancel_payment",
        payment_service_pb2.CancelPaymentResponse(
            payment=payment_pb2.Payment(
                payment_id="pay_1", state=payment_pb2.PAYMENT_STATE_CONFIRMED
            )
        ),
    ),
    "another delivery": (
        "process_delivery",
        delivery_service_pb2.CreateDeliveryResponse(
            delivery=delivery_pb2.Delivery(
                delivery_id="dlv_2", state=delivery_pb2.DELIVERY_STATE_ASSIGNED
            )
        ),
    ),
    "a delivery assigned as rejected": (
        "process_delivery",
        delivery_service_pb2.CreateDeliveryResponse(
            delivery=delivery_pb2.Delivery(
                delivery_id="dlv_1", state=delivery_pb2.DELIVERY_STATE_REJECTED
            )
        ),
    ),
    "a delivery cancelled as assigned": (
        "cancel_delivery",
        delivery_service_pb2.CancelDeliveryResponse(
            delivery=delivery_pb2.Delivery(
                delivery_id="dlv_1", state=delivery_pb2.DELIVERY_STATE_ASSIGNED
            )
        ),
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
async def test_an_ok_to_something_else_than_was_asked_counts_as_unknown(
    participants: ScriptedParticipants, channel: grpc.aio.Channel, name: str
) -> None:
    action, message = CONTRADICTIONS[name]
    participants.answers[METHOD_OF[action]] = replies(message)

    reply = await act(channel, action)

    assert (Code.INTERNAL, "REPLY_CONTRADICTS") == (reply.code, reply.reason)
    assert reply.result is None


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (
            "cancel_payment",
            payment_service_pb2.CancelPaymentResponse(
                payment=payment_pb2.Payment(
                    payment_id="pay_1", state=payment_pb2.PAYMENT_STATE_DECLINED
                )
            ),
        ),
        (
            "cancel_delivery",
            delivery_service_pb2.CancelDeliveryResponse(
                delivery=delivery_pb2.Delivery(
                    delivery_id="dlv_1", state=delivery_pb2.DELIVERY_STATE_REJECTED
                )
            ),
        ),
    ],
)
async def test_what_was_refused_once_is_as_good_as_cancelled(
    participants: ScriptedParticipants, channel: grpc.aio.Channel, action: str, message: Any
) -> None:
    participants.answers[METHOD_OF[action]] = replies(message)

    assert Code.OK is (await act(channel, action)).code
