"""The clients of the participants, against a real gRPC server that does what the test says."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio

from chassis.channels import open_channel
from oms.common.v1.money_pb2 import Money
from oms.delivery.v1 import delivery_pb2, delivery_service_pb2
from oms.order.v1 import order_pb2, order_service_pb2
from oms.payment.v1 import payment_pb2, payment_service_pb2
from orchestrator.action import Action, ActionCall, ActionReply
from orchestrator.participants.delivery import DeliveryParticipant
from orchestrator.participants.order import OrderParticipant
from orchestrator.participants.participant import Participant
from orchestrator.participants.payment import PaymentParticipant
from orchestrator.placed_order import Address, Item, PlacedOrder
from orchestrator.placed_order import Money as PlacedMoney
from orchestrator.saga.code import Code
from tests.orchestrator.edge.harness.scripted import (
    METHODS,
    Gate,
    ScriptedParticipants,
    fails,
    replies,
)

PATIENCE_SECONDS = 30.0

PLACED = PlacedOrder(
    customer_id="ada",
    items=(
        Item(
            sku="BOOK", quantity=2, unit_price=PlacedMoney(currency_code="USD", minor_units=1_250)
        ),
    ),
    payment_method="pm_card_visa",
    delivery_address=Address(
        recipient="Ada",
        lines=("1 Market St", "Floor 2"),
        locality="San Francisco",
        region="CA",
        postal_code="94105",
        country_code="US",
    ),
)
CALL = ActionCall(
    process_id="prc_1",
    action="",
    attempt=1,
    timeout_seconds=PATIENCE_SECONDS,
    input=PLACED.content(),
    # The order service added up another sum than the orchestrator would: its word counts.
    results={"create_order": {"total": {"currency_code": "USD", "minor_units": 2_400}}},
)

METHOD_OF = {
    "create_order": "CreateOrder",
    "confirm_order": "ConfirmOrder",
    "cancel_order": "CancelOrder",
    "process_payment": "CreatePayment",
    "confirm_payment": "ConfirmPayment",
    "cancel_payment": "CancelPayment",
    "process_delivery": "CreateDelivery",
    "cancel_delivery": "CancelDelivery",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[ScriptedParticipants]:
    async with ScriptedParticipants() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def channel(server: ScriptedParticipants) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(server.address) as channel:
        yield channel


@pytest.fixture
def participants(server: ScriptedParticipants) -> ScriptedParticipants:
    """The server, with nothing asked of it yet and nothing to say but OK."""
    server.forget()
    return server


def actions_on(channel: grpc.aio.Channel, *, outstanding_max: int = 10) -> Mapping[str, Action]:
    return {
        **OrderParticipant(channel, outstanding_max=outstanding_max).actions(),
        **PaymentParticipant(channel, outstanding_max=outstanding_max).actions(),
        **DeliveryParticipant(channel, outstanding_max=outstanding_max).actions(),
    }


async def act(channel: grpc.aio.Channel, action: str, **changes: Any) -> ActionReply:
    call = replace(CALL, action=action, **changes)
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await actions_on(channel)[action](call)


@pytest.mark.parametrize("action", METHOD_OF)
@pytest.mark.parametrize(
    "code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
)
async def test_every_status_reaches_the_runner_with_its_details(
    participants: ScriptedParticipants,
    channel: grpc.aio.Channel,
    action: str,
    code: grpc.StatusCode,
) -> None:
    participants.answers[METHOD_OF[action]] = fails(
        code, reason="A_REASON", message="in words", retry_after_seconds=1.5
    )

    reply = await act(channel, action)

    assert reply == ActionReply(
        code=Code[code.name], reason="A_REASON", message="in words", retry_after_seconds=1.5
    )
    assert [METHOD_OF[action]] == participants.calls


@pytest.mark.parametrize("action", METHOD_OF)
async def test_an_ok_with_what_was_asked_for_is_an_ok(
    participants: ScriptedParticipants, channel: grpc.aio.Channel, action: str
) -> None:
    reply = await act(channel, action)

    assert Code.OK is reply.code
    assert [METHOD_OF[action]] == participants.calls


@pytest.mark.parametrize("action", METHOD_OF)
async def test_every_call_carries_the_process_id_and_a_deadline(
    participants: ScriptedParticipants, channel: grpc.aio.Channel, action: str
) -> None:
    await act(channel, action, timeout_seconds=17.0)

    assert "prc_1" == participants.metadata[0]["oms-process-id"]
    # What goes over the wire is rounded up.
    assert 10.0 < participants.deadlines[0] < 18.0


async def test_the_order_is_created_as_it_was_placed(
    participants: ScriptedParticipants, channel: grpc.aio.Channel
) -> None:
    await act(channel, "create_order")

    (_, request) = participants.requests[0]
    assert (
        order_service_pb2.CreateOrderRequest(
            order_id="ord_1",
            customer_id="ada",
            items=[
                order_pb2.OrderItem(
                    sku="BOOK",
                    quantity=2,
                    unit_price=Money(currency_code="USD", minor_units=1_250),
                )
            ],
            delivery_address=request.delivery_address,
        )
        == request
    )
    assert ["1 Market St", "Floor 2"] == list(request.delivery_address.lines)
    assert ("Ada", "San Francisco", "CA", "94105", "US") == (
        request.delivery_address.recipient,
        request.delivery_address.locality,
        request.delivery_address.region,
        request.delivery_address.postal_code,
        request.delivery_address.country_code,
    )


async def test_the_payment_is_about_the_total_that_the_order_service_added_up(
    participants: ScriptedParticipants, channel: grpc.aio.Channel
) -> None:
    created = await act(channel, "create_order")
    await act(channel, "process_payment")

    assert created.result == {"total": {"currency_code": "USD", "minor_units": 2_500}}
    (_, request) = participants.requests[1]
    assert (
        payment_service_pb2.CreatePaymentRequest(
            payment_id="pay_1",
            order_id="ord_1",
            amount=Money(currency_code="USD", minor_units=2_400),
            payment_method="pm_card_visa",
        )
        == request
    )


async def test_the_delivery_goes_where_the_order_says(
    participants: ScriptedParticipants, channel: grpc.aio.Channel
) -> None:
    reply = await act(channel, "process_delivery")

    (_, request) = participants.requests[0]
    assert ("dlv_1", "ord_1", "94105") == (
        request.delivery_id,
        request.order_id,
        request.address.postal_code,
    )
    assert reply.result == {"courier_id": "courier-1"}


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


async def test_an_input_that_cannot_be_read_counts_as_unknown_and_nothing_is_sent(
    participants: ScriptedParticipants, channel: grpc.aio.Channel
) -> None:
    reply = await act(channel, "create_order", input={"customer_id": 3})

    assert (Code.INTERNAL, "ATTEMPT_FAILED_HERE") == (reply.code, reply.reason)
    assert [] == participants.calls


async def test_a_participant_that_does_not_answer_ends_the_attempt_at_its_deadline(
    participants: ScriptedParticipants, channel: grpc.aio.Channel
) -> None:
    gate = Gate()
    participants.answers["ConfirmOrder"] = gate.before(METHODS["ConfirmOrder"][2])

    reply = await act(channel, "confirm_order", timeout_seconds=0.05)

    assert Code.DEADLINE_EXCEEDED is reply.code


async def test_where_nobody_listens_the_attempt_ends_at_once() -> None:
    # Bound but not listening: the port is nobody's, and stays so for as long as the test lasts.
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        async with open_channel(f"127.0.0.1:{nobody.getsockname()[1]}") as channel:
            reply = await act(channel, "confirm_order")

    assert Code.UNAVAILABLE is reply.code


async def test_a_channel_that_is_closed_under_a_call_ends_it_as_unknown(
    participants: ScriptedParticipants,
) -> None:
    gate = Gate()
    participants.answers["ConfirmOrder"] = gate.before(METHODS["ConfirmOrder"][2])
    channel = open_channel(participants.address)
    attempt = asyncio.ensure_future(act(channel, "confirm_order"))
    await gate.arrived.wait()

    await channel.close()

    assert Code.CANCELLED is (await attempt).code


async def test_a_call_on_a_channel_that_is_closed_already_ends_as_unknown(
    participants: ScriptedParticipants,
) -> None:
    channel = open_channel(participants.address)
    await channel.close()

    reply = await act(channel, "confirm_order")

    assert reply.code in {Code.INTERNAL, Code.CANCELLED}
    assert [] == participants.calls


async def test_the_cancellation_of_the_task_itself_goes_through(
    participants: ScriptedParticipants, channel: grpc.aio.Channel
) -> None:
    gate = Gate()
    participants.answers["ConfirmOrder"] = gate.before(METHODS["ConfirmOrder"][2])
    attempt = asyncio.ensure_future(act(channel, "confirm_order"))
    await gate.arrived.wait()

    attempt.cancel()

    with pytest.raises(asyncio.CancelledError):
        await attempt


async def test_no_more_calls_are_outstanding_than_may_be(
    participants: ScriptedParticipants, channel: grpc.aio.Channel
) -> None:
    gate = Gate()
    participants.answers["ConfirmOrder"] = gate.before(METHODS["ConfirmOrder"][2])
    confirm = actions_on(channel, outstanding_max=2)["confirm_order"]
    attempts = [asyncio.ensure_future(confirm(CALL)) for _ in range(5)]
    await participants.called("ConfirmOrder", times=2)

    # A call of another client goes by the same road behind them, and is through.
    await act(channel, "cancel_order")
    under_way = participants.calls.count("ConfirmOrder")
    gate.opened.set()
    codes = {reply.code for reply in await asyncio.gather(*attempts)}

    assert 2 == under_way
    assert {Code.OK} == codes
    assert 5 == participants.calls.count("ConfirmOrder")


async def test_an_attempt_that_finds_no_room_in_time_is_refused_and_was_never_sent(
    participants: ScriptedParticipants, channel: grpc.aio.Channel
) -> None:
    gate = Gate()
    participants.answers["ConfirmOrder"] = gate.before(METHODS["ConfirmOrder"][2])
    confirm = actions_on(channel, outstanding_max=1)["confirm_order"]
    first = asyncio.ensure_future(confirm(CALL))
    await gate.arrived.wait()

    second = await confirm(replace(CALL, timeout_seconds=0.02))
    gate.opened.set()
    await first

    assert (Code.RESOURCE_EXHAUSTED, "TARGET_SATURATED") == (second.code, second.reason)
    assert 1 == participants.calls.count("ConfirmOrder")


async def test_an_attempt_that_waited_for_room_still_has_all_of_its_time() -> None:
    participant = Participant("order", outstanding_max=1)
    may_end = asyncio.Event()
    timeouts: list[float | None] = []

    async def rpc(
        _request: order_pb2.Order,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as a stub takes it
        metadata: Sequence[tuple[str, str]] | None = None,
    ) -> order_pb2.Order:
        assert metadata is not None
        timeouts.append(timeout)
        await may_end.wait()
        return order_pb2.Order()

    async def attempt() -> ActionReply:
        return await participant.attempt(
            replace(CALL, timeout_seconds=20.0),
            rpc,
            lambda _call: order_pb2.Order(),
            lambda _call, _reply: None,
        )

    attempts = [asyncio.ensure_future(attempt()) for _ in range(2)]
    may_end.set()
    await asyncio.gather(*attempts)

    assert [20.0, 20.0] == timeouts


async def test_room_is_given_back_by_attempts_that_fail_or_are_cancelled(
    participants: ScriptedParticipants, channel: grpc.aio.Channel
) -> None:
    gate = Gate()
    order = actions_on(channel, outstanding_max=1)
    participants.answers["ConfirmOrder"] = fails(grpc.StatusCode.UNAVAILABLE)
    await order["confirm_order"](CALL)
    participants.answers["ConfirmOrder"] = gate.before(METHODS["ConfirmOrder"][2])
    cancelled = asyncio.ensure_future(_as_coroutine(order["confirm_order"], CALL))
    await gate.arrived.wait()
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    await order["create_order"](replace(CALL, input={}))

    reply = await order["cancel_order"](replace(CALL, timeout_seconds=PATIENCE_SECONDS))

    assert Code.OK is reply.code


async def _as_coroutine(
    action: Callable[[ActionCall], Awaitable[ActionReply]], call: ActionCall
) -> ActionReply:
    return await action(call)
