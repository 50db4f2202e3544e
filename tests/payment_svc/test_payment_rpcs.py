"""The contract of oms.payment.v1.PaymentService, over gRPC, with the sandbox behind it."""

from typing import Any

import grpc
import pytest

from chassis.ids import suffix_of
from oms.common.v1.money_pb2 import Money
from oms.payment.v1 import payment_pb2 as m
from oms.payment.v1 import payment_service_pb2 as pb
from payment_svc.sandbox.store import LedgerView
from tests.payment_svc.harness.calls import Stub, creation, told
from tests.payment_svc.harness.desk import refusal

CANCELLED = (grpc.StatusCode.FAILED_PRECONDITION, "ALREADY_CANCELLED")
DECLINED = (grpc.StatusCode.FAILED_PRECONDITION, "PAYMENT_DECLINED")


async def test_a_created_payment_is_held(
    grpc_stub: Stub, payment_id: str, ledger: LedgerView
) -> None:
    payment = (await grpc_stub.CreatePayment(creation(payment_id))).payment
    assert (payment_id, "ord_1", "pm_card_visa") == (
        payment.payment_id,
        payment.order_id,
        payment.payment_method,
    )
    assert Money(currency_code="USD", minor_units=2_500) == payment.amount
    assert m.PAYMENT_STATE_HELD == payment.state
    assert m.PAYMENT_GATEWAY_REQUEST_UNSPECIFIED == payment.pending_gateway_request
    assert ("", m.PAYMENT_RELEASE_UNSPECIFIED) == (payment.decline_reason, payment.release)
    assert 0 < payment.create_time.ToNanoseconds() <= payment.update_time.ToNanoseconds()
    assert 2_500 == ledger.balance(payment_id).on_hold


async def test_a_payment_without_an_id_is_given_one(grpc_stub: Stub) -> None:
    one = (await grpc_stub.CreatePayment(creation())).payment.payment_id
    other = (await grpc_stub.CreatePayment(creation())).payment.payment_id
    assert one.startswith("pay_")
    assert 26 == len(suffix_of(one))
    assert one < other


async def test_a_repeated_create_answers_with_the_payment_as_it_is(
    grpc_stub: Stub, payment_id: str, ledger: LedgerView
) -> None:
    first = await grpc_stub.CreatePayment(creation(payment_id))
    assert first == await grpc_stub.CreatePayment(creation(payment_id))
    confirmed = await grpc_stub.ConfirmPayment(pb.ConfirmPaymentRequest(payment_id=payment_id))
    again = await grpc_stub.CreatePayment(creation(payment_id))
    assert confirmed.payment == again.payment
    assert 2 == len(ledger.entries(payment_id))


@pytest.mark.parametrize(
    "other",
    [
        {"order_id": "ord_2"},
        {"amount": Money(currency_code="USD", minor_units=2_501)},
        {"amount": Money(currency_code="EUR", minor_units=2_500)},
        {"payment_method": "pm_sandbox_confirmDeclined"},
    ],
)
async def test_a_create_with_other_content_is_told_that_the_id_is_taken(
    grpc_stub: Stub, payment_id: str, other: dict[str, Any]
) -> None:
    await grpc_stub.CreatePayment(creation(payment_id))
    error = await refusal(grpc_stub.CreatePayment(creation(payment_id, **other)))
    assert (grpc.StatusCode.ALREADY_EXISTS, "PAYMENT_ID_REUSED") == told(error)


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("pm_card_chargeDeclined", "PAYMENT_DECLINED"),
        ("pm_card_chargeDeclinedInsufficientFunds", "INSUFFICIENT_FUNDS"),
    ],
)
async def test_a_declined_create_gets_the_same_refusal_whatever_is_asked_of_it_later(
    grpc_stub: Stub, payment_id: str, method: str, reason: str
) -> None:
    wanted = (grpc.StatusCode.FAILED_PRECONDITION, reason)
    for _ in range(2):
        assert wanted == told(await refusal(grpc_stub.CreatePayment(creation(payment_id, method))))
    confirm = pb.ConfirmPaymentRequest(payment_id=payment_id)
    assert wanted == told(await refusal(grpc_stub.ConfirmPayment(confirm)))
    cancelled = await grpc_stub.CancelPayment(pb.CancelPaymentRequest(payment_id=payment_id))
    assert (m.PAYMENT_STATE_DECLINED, reason) == (
        cancelled.payment.state,
        cancelled.payment.decline_reason,
    )
    assert wanted == told(await refusal(grpc_stub.CreatePayment(creation(payment_id, method))))


async def test_a_confirmed_payment_is_taken_once(
    grpc_stub: Stub, payment_id: str, ledger: LedgerView
) -> None:
    await grpc_stub.CreatePayment(creation(payment_id))
    confirm = pb.ConfirmPaymentRequest(payment_id=payment_id)
    first = await grpc_stub.ConfirmPayment(confirm)
    assert m.PAYMENT_STATE_CONFIRMED == first.payment.state
    assert first == await grpc_stub.ConfirmPayment(confirm)
    assert 2_500 == ledger.balance(payment_id).taken


async def test_a_declined_capture_stays_held_until_it_is_cancelled(
    grpc_stub: Stub, payment_id: str, ledger: LedgerView
) -> None:
    await grpc_stub.CreatePayment(creation(payment_id, "pm_sandbox_confirmDeclined"))
    confirm = pb.ConfirmPaymentRequest(payment_id=payment_id)
    for _ in range(2):
        assert DECLINED == told(await refusal(grpc_stub.ConfirmPayment(confirm)))
    held = (await grpc_stub.GetPayment(pb.GetPaymentRequest(payment_id=payment_id))).payment
    assert (m.PAYMENT_STATE_HELD, "PAYMENT_DECLINED") == (held.state, held.decline_reason)
    assert 2_500 == ledger.balance(payment_id).on_hold
    cancel = pb.CancelPaymentRequest(payment_id=payment_id)
    assert m.PAYMENT_RELEASE_VOIDED == (await grpc_stub.CancelPayment(cancel)).payment.release
    assert 0 == ledger.balance(payment_id).on_hold


@pytest.mark.parametrize(
    ("confirmed", "release"),
    [(False, m.PAYMENT_RELEASE_VOIDED), (True, m.PAYMENT_RELEASE_REFUNDED)],
)
async def test_a_cancelled_payment_says_what_became_of_the_money(
    grpc_stub: Stub, payment_id: str, ledger: LedgerView, confirmed: bool, release: int
) -> None:
    await grpc_stub.CreatePayment(creation(payment_id))
    if confirmed:
        await grpc_stub.ConfirmPayment(pb.ConfirmPaymentRequest(payment_id=payment_id))
    cancel = pb.CancelPaymentRequest(payment_id=payment_id)
    first = await grpc_stub.CancelPayment(cancel)
    assert (m.PAYMENT_STATE_CANCELLED, release) == (first.payment.state, first.payment.release)
    assert first == await grpc_stub.CancelPayment(cancel)
    moved = ledger.balance(payment_id)
    assert (0, 0, 2_500) == (moved.on_hold, moved.taken, moved.released)
    assert CANCELLED == told(await refusal(grpc_stub.CreatePayment(creation(payment_id))))
    confirm = pb.ConfirmPaymentRequest(payment_id=payment_id)
    assert CANCELLED == told(await refusal(grpc_stub.ConfirmPayment(confirm)))


async def test_a_cancel_of_an_unknown_payment_leaves_a_tombstone(
    grpc_stub: Stub, payment_id: str, ledger: LedgerView
) -> None:
    cancel = pb.CancelPaymentRequest(payment_id=payment_id)
    tombstone = (await grpc_stub.CancelPayment(cancel)).payment
    assert (m.PAYMENT_STATE_CANCELLED, m.PAYMENT_RELEASE_UNSPECIFIED, "") == (
        tombstone.state,
        tombstone.release,
        tombstone.order_id,
    )
    assert not tombstone.HasField("amount")
    assert CANCELLED == told(await refusal(grpc_stub.CreatePayment(creation(payment_id))))
    confirm = pb.ConfirmPaymentRequest(payment_id=payment_id)
    assert CANCELLED == told(await refusal(grpc_stub.ConfirmPayment(confirm)))
    assert [] == ledger.entries(payment_id)


@pytest.mark.parametrize("confirmed", [False, True])
async def test_an_amount_of_zero_asks_no_gateway(
    grpc_stub: Stub, payment_id: str, ledger: LedgerView, confirmed: bool
) -> None:
    free = creation(payment_id, amount=Money(currency_code="USD", minor_units=0))
    assert m.PAYMENT_STATE_HELD == (await grpc_stub.CreatePayment(free)).payment.state
    if confirmed:
        confirm = pb.ConfirmPaymentRequest(payment_id=payment_id)
        done = (await grpc_stub.ConfirmPayment(confirm)).payment
        assert m.PAYMENT_STATE_CONFIRMED == done.state
    cancel = pb.CancelPaymentRequest(payment_id=payment_id)
    cancelled = (await grpc_stub.CancelPayment(cancel)).payment
    assert (m.PAYMENT_STATE_CANCELLED, m.PAYMENT_RELEASE_UNSPECIFIED) == (
        cancelled.state,
        cancelled.release,
    )
    assert [] == ledger.entries(payment_id)


async def test_what_is_not_there_is_not_found(grpc_stub: Stub, payment_id: str) -> None:
    wanted = (grpc.StatusCode.NOT_FOUND, "PAYMENT_NOT_FOUND")
    get = pb.GetPaymentRequest(payment_id=payment_id)
    confirm = pb.ConfirmPaymentRequest(payment_id=payment_id)
    assert wanted == told(await refusal(grpc_stub.GetPayment(get)))
    assert wanted == told(await refusal(grpc_stub.ConfirmPayment(confirm)))
