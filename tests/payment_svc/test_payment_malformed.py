"""Requests that are wrong: every field is named, nothing is stored, the server serves on."""

import grpc
import grpc.aio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.validation import is_identifier
from oms.common.v1.money_pb2 import Money
from oms.payment.v1 import payment_service_pb2 as pb
from payment_svc.sandbox.store import LedgerView
from tests.chassis.malformed import with_nul
from tests.payment_svc.harness.calls import Stub, creation, fields, told
from tests.payment_svc.harness.desk import refusal


async def test_every_field_that_is_wrong_is_named_and_nothing_is_stored(
    grpc_stub: Stub, payment_id: str, ledger: LedgerView
) -> None:
    wrong = pb.CreatePaymentRequest(
        payment_id=f"{payment_id}\x00",
        order_id="",
        amount=Money(currency_code="XXQ", minor_units=-1),
        payment_method="pm_nobody",
    )
    error = await refusal(grpc_stub.CreatePayment(wrong))
    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST") == told(error)
    assert [
        "payment_id",
        "order_id",
        "amount.currency_code",
        "amount.minor_units",
        "payment_method",
    ] == fields(error)
    empty = await refusal(grpc_stub.CreatePayment(pb.CreatePaymentRequest(payment_id=payment_id)))
    assert ["order_id", "amount", "payment_method"] == fields(empty)
    method = await refusal(grpc_stub.CreatePayment(creation(payment_id, "pm_nobody")))
    assert ["payment_method"] == fields(method)
    get = pb.GetPaymentRequest(payment_id=payment_id)
    assert grpc.StatusCode.NOT_FOUND is (await refusal(grpc_stub.GetPayment(get))).code
    assert [] == ledger.entries(payment_id)


@pytest.mark.parametrize("wrong", ["", "pay 1", "pay_\n", "_pay", "p" * 129, "päy"])
async def test_a_malformed_id_is_refused_by_every_rpc(grpc_stub: Stub, wrong: str) -> None:
    for call in (
        grpc_stub.ConfirmPayment(pb.ConfirmPaymentRequest(payment_id=wrong)),
        grpc_stub.CancelPayment(pb.CancelPaymentRequest(payment_id=wrong)),
        grpc_stub.GetPayment(pb.GetPaymentRequest(payment_id=wrong)),
    ):
        error = await refusal(call)
        assert grpc.StatusCode.INVALID_ARGUMENT is error.code
        assert ["payment_id"] == fields(error)


_texts = st.text(max_size=140) | st.sampled_from(["ord_1", "pm_card_visa", "USD"])
_requests = st.builds(
    pb.CreatePaymentRequest,
    payment_id=_texts,
    order_id=_texts,
    amount=st.none()
    | st.builds(Money, currency_code=_texts, minor_units=st.integers(-(2**63), 2**63 - 1)),
    payment_method=_texts,
)


# The fixtures are meant to be shared: each example brings ids of its own.
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=_requests)
async def test_whatever_is_sent_is_held_or_refused_with_the_fields_that_are_wrong(
    grpc_stub: Stub, request: pb.CreatePaymentRequest
) -> None:
    try:
        held = (await grpc_stub.CreatePayment(request)).payment
    except grpc.aio.AioRpcError:
        error = await refusal(grpc_stub.CreatePayment(request))
        # An id of hypothesis may well come up again, with other content.
        assert told(error) in {
            (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
            (grpc.StatusCode.ALREADY_EXISTS, "PAYMENT_ID_REUSED"),
        }
        wrong = set(fields(error))
        assert wrong <= {
            "payment_id",
            "order_id",
            "amount",
            "amount.currency_code",
            "amount.minor_units",
            "payment_method",
        }
        assert ("order_id" in wrong) == (
            error.reason == "INVALID_REQUEST" and not is_identifier(request.order_id)
        )
    else:
        assert is_identifier(held.payment_id)
        assert request.amount == held.amount


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=st.binary(max_size=200))
async def test_bytes_that_are_no_request_are_refused_and_the_server_serves_on(
    grpc_channel: grpc.aio.Channel, sent: bytes
) -> None:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = grpc_channel.unary_unary(
        "/oms.payment.v1.PaymentService/GetPayment"
    )
    error = await refusal(call(sent))
    assert error.code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}


async def test_a_nul_in_any_text_is_named(grpc_stub: Stub) -> None:
    """PostgreSQL has no text that holds one."""
    found = []
    for path, request in with_nul(creation("pay_nul")):
        assert [path] == fields(await refusal(grpc_stub.CreatePayment(request)))
        found.append(path)
    assert {"payment_id", "order_id", "payment_method", "amount.currency_code"} <= set(found)
    for path, listing in with_nul(pb.ListPaymentsRequest(order_id="x")):
        assert path in fields(await refusal(grpc_stub.ListPayments(listing)))
