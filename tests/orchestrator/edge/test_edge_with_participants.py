"""The orchestrator in front of the three real participants."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from oms.common.v1.money_pb2 import Money
from oms.delivery.v1 import delivery_pb2
from oms.delivery.v1 import delivery_service_pb2 as delivery_api
from oms.orchestrator.v1 import order_process_pb2 as process_pb
from oms.order.v1 import order_pb2
from oms.order.v1 import order_service_pb2 as order_api
from oms.payment.v1 import payment_pb2
from oms.payment.v1 import payment_service_pb2 as payment_api
from tests.orchestrator.edge.harness.office import PATIENCE_SECONDS, Office, address
from tests.orchestrator.edge.harness.town import Town


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with Town(tmp_path_factory.mktemp("town")) as town:
        yield town


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(town: Town, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    async with Office(tmp_path_factory.mktemp("office"), town.targets) as office:
        yield office


async def states(town: Town, process: process_pb.OrderProcess) -> tuple[str, str, str]:
    order = await town.order.GetOrder(
        order_api.GetOrderRequest(order_id=process.order_id), timeout=PATIENCE_SECONDS
    )
    payment = await town.payment.GetPayment(
        payment_api.GetPaymentRequest(payment_id=process.payment_id), timeout=PATIENCE_SECONDS
    )
    delivery = await town.delivery.GetDelivery(
        delivery_api.GetDeliveryRequest(delivery_id=process.delivery_id), timeout=PATIENCE_SECONDS
    )
    return (
        order_pb2.OrderState.Name(order.order.state),
        payment_pb2.PaymentState.Name(payment.payment.state),
        delivery_pb2.DeliveryState.Name(delivery.delivery.state),
    )


async def test_an_order_that_goes_through_ends_completed_and_delivered(
    town: Town, office: Office
) -> None:
    process = await office.start("delivered")

    assert process_pb.ORDER_PROCESS_STATE_COMPLETED == process.state
    assert ("USD", 2_500) == (process.total.currency_code, process.total.minor_units)
    assert (
        "ORDER_STATE_CONFIRMED",
        "PAYMENT_STATE_CONFIRMED",
        "DELIVERY_STATE_ASSIGNED",
    ) == await states(town, process)


async def test_the_ids_of_a_process_share_what_follows_their_prefix(office: Office) -> None:
    process = await office.start("siblings")

    suffix = process.process_id.removeprefix("prc_")
    assert [f"ord_{suffix}", f"pay_{suffix}", f"dlv_{suffix}"] == [
        process.order_id,
        process.payment_id,
        process.delivery_id,
    ]


async def test_a_declined_payment_cancels_the_order_and_nothing_else(office: Office) -> None:
    process = await office.start("declined", payment_method="pm_card_chargeDeclined")

    assert process_pb.ORDER_PROCESS_STATE_CANCELLED == process.state
    assert ("process_payment", "FAILED_PRECONDITION", "PAYMENT_DECLINED") == (
        process.failure.step,
        process.failure.code,
        process.failure.reason,
    )
    assert ["create_order", "process_payment", "cancel_order"] == [
        step.name for step in process.steps
    ]


async def test_a_payment_declined_at_confirmation_is_cancelled_before_its_order(
    office: Office,
) -> None:
    process = await office.start("confirm-declined", payment_method="pm_sandbox_confirmDeclined")

    assert process_pb.ORDER_PROCESS_STATE_CANCELLED == process.state
    assert [
        "create_order",
        "process_payment",
        "confirm_payment",
        "cancel_payment",
        "cancel_order",
    ] == [step.name for step in process.steps]


async def test_where_nobody_delivers_the_payment_is_given_back_before_the_order_is_cancelled(
    town: Town, office: Office
) -> None:
    process = await office.start("undeliverable", delivery_address=address("AQ"))

    assert process_pb.ORDER_PROCESS_STATE_CANCELLED == process.state
    assert ["cancel_payment", "cancel_order"] == [step.name for step in process.steps if step.undo]
    assert (
        "ORDER_STATE_CANCELLED",
        "PAYMENT_STATE_CANCELLED",
        "DELIVERY_STATE_REJECTED",
    ) == await states(town, process)
    payment = await town.payment.GetPayment(
        payment_api.GetPaymentRequest(payment_id=process.payment_id), timeout=PATIENCE_SECONDS
    )
    assert payment_pb2.PAYMENT_RELEASE_REFUNDED == payment.payment.release


async def test_an_unknown_payment_method_is_for_the_payment_service_to_judge(
    office: Office,
) -> None:
    process = await office.start("unknown-method", payment_method="pm_of_nobody")

    assert process_pb.ORDER_PROCESS_STATE_CANCELLED == process.state
    assert ("process_payment", "INVALID_ARGUMENT") == (
        process.failure.step,
        process.failure.code,
    )


async def test_an_order_for_nothing_is_paid_with_nothing(office: Office) -> None:
    price = Money(currency_code="USD", minor_units=0)
    gift = order_pb2.OrderItem(sku="GIFT", quantity=1, unit_price=price)

    process = await office.start("free", items=[gift])

    assert process_pb.ORDER_PROCESS_STATE_COMPLETED == process.state
    assert process.total == price


async def test_a_completed_order_is_returned_delivery_first(town: Town, office: Office) -> None:
    completed = await office.start("returned")

    await office.cancel(completed.process_id, "does not fit")
    process = await office.reaches(completed.process_id, process_pb.ORDER_PROCESS_STATE_CANCELLED)

    assert ["cancel_delivery", "cancel_payment", "cancel_order"] == [
        step.name for step in process.steps if step.undo
    ]
    assert ("CANCELLED", "CANCEL_REQUESTED", "does not fit") == (
        process.failure.code,
        process.failure.reason,
        process.failure.message,
    )
    assert (
        "ORDER_STATE_CANCELLED",
        "PAYMENT_STATE_CANCELLED",
        "DELIVERY_STATE_CANCELLED",
    ) == await states(town, process)
