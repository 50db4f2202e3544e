"""A cancel of what was never seen, and the Create and Confirm that come after it."""

import pytest
from grpc import StatusCode

from oms.delivery.v1.delivery_service_pb2 import CancelDeliveryRequest, CreateDeliveryRequest
from oms.order.v1.order_service_pb2 import (
    CancelOrderRequest,
    ConfirmOrderRequest,
    CreateOrderRequest,
)
from oms.payment.v1.payment_service_pb2 import (
    CancelPaymentRequest,
    ConfirmPaymentRequest,
    CreatePaymentRequest,
)
from tests.system.harness.refusal import refusal
from tests.system.harness.requests import address, fresh, order, usd
from tests.system.harness.system import System

ALREADY_CANCELLED = (StatusCode.FAILED_PRECONDITION, "ALREADY_CANCELLED")


async def test_after_the_cancel_of_an_unknown_payment_its_create_and_confirm_are_refused(
    system: System,
) -> None:
    payment_id = fresh("pay")
    await system.payments.CancelPayment(CancelPaymentRequest(payment_id=payment_id))
    late = CreatePaymentRequest(
        payment_id=payment_id,
        order_id=fresh("ord"),
        amount=usd(100),
        payment_method="pm_card_visa",
    )
    created = await refusal(system.payments.CreatePayment(late))
    confirmed = await refusal(
        system.payments.ConfirmPayment(ConfirmPaymentRequest(payment_id=payment_id))
    )
    assert [ALREADY_CANCELLED, ALREADY_CANCELLED] == [created.told, confirmed.told]
    assert 0 == system.balance(payment_id).held


async def test_after_the_cancel_of_an_unknown_order_its_create_and_confirm_are_refused(
    system: System,
) -> None:
    order_id, content = fresh("ord"), order()
    await system.orders.CancelOrder(CancelOrderRequest(order_id=order_id))
    late = CreateOrderRequest(
        order_id=order_id,
        customer_id=content.customer_id,
        items=content.items,
        delivery_address=content.delivery_address,
    )
    created = await refusal(system.orders.CreateOrder(late))
    confirmed = await refusal(system.orders.ConfirmOrder(ConfirmOrderRequest(order_id=order_id)))
    assert [ALREADY_CANCELLED, ALREADY_CANCELLED] == [created.told, confirmed.told]


async def test_after_the_cancel_of_an_unknown_delivery_its_create_is_refused(
    system: System,
) -> None:
    delivery_id = fresh("dlv")
    await system.deliveries.CancelDelivery(CancelDeliveryRequest(delivery_id=delivery_id))
    late = CreateDeliveryRequest(delivery_id=delivery_id, order_id=fresh("ord"), address=address())
    assert ALREADY_CANCELLED == (await refusal(system.deliveries.CreateDelivery(late))).told


@pytest.mark.parametrize("times", [1, 2])
async def test_a_cancel_may_be_sent_again(system: System, times: int) -> None:
    request = CancelPaymentRequest(payment_id=fresh("pay"))
    answers = [await system.payments.CancelPayment(request) for _ in range(times + 1)]
    assert answers[0] == answers[times]
