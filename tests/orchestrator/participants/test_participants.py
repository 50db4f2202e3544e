"""The clients of the participants, against a real gRPC server that does what the test says."""

import asyncio
import socket

import grpc
import grpc.aio
import pytest

from chassis.channels import open_channel
from oms.common.v1.money_pb2 import Money
from oms.order.v1 import order_pb2, order_service_pb2
from oms.payment.v1 import payment_service_pb2
from orchestrator.action import ActionReply
from orchestrator.saga.code import Code
from tests.orchestrator.edge.harness.scripted import (
    METHODS,
    Gate,
    ScriptedParticipants,
    fails,
)
from tests.orchestrator.participants.harness.attempts import (
    METHOD_OF,
    act,
)


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
    assert "no answer within 0.05 s" == reply.message


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
