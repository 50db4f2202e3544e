"""The contract of oms.payment.v1.PaymentService, over gRPC, with the sandbox behind it."""

import itertools
from collections.abc import AsyncIterator
from typing import Any, TypeAlias, cast

import grpc
import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.clock import SystemClock
from chassis.database import Database
from chassis.ids import IdSource, suffix_of
from chassis.statuses import WireError
from chassis.validation import is_identifier
from oms.common.v1.money_pb2 import Money
from oms.payment.v1 import payment_pb2 as m
from oms.payment.v1 import payment_service_pb2 as pb
from oms.payment.v1 import payment_service_pb2_grpc
from payment_svc.sandbox.gateway import SandboxGateway
from payment_svc.sandbox.store import LedgerView, open_ledger_view
from payment_svc.servicer import PaymentServicer, build
from payment_svc.store import MIGRATIONS
from tests.payment_svc.harness.desk import refusal

# Only checkers know this class.
Stub: TypeAlias = "payment_service_pb2_grpc.PaymentServiceAsyncStub"

_numbers = itertools.count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grpc_servicer(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[PaymentServicer]:
    folder = tmp_path_factory.mktemp("payment")
    clock = SystemClock()
    database = Database.open(
        f"sqlite:///{folder}/payment.db", name="payment", migrations=MIGRATIONS
    )
    gateway = await SandboxGateway.open(f"sqlite:///{folder}/gateway.db", clock, slow_seconds=90.0)
    servicer = build(
        database,
        clock,
        IdSource(clock),
        gateway,
        random=lambda: 0.5,
        gateway_timeout_seconds=30.0,
        settle_interval_seconds=1.0,
    )
    await servicer.start()
    yield servicer
    await servicer.close()
    await gateway.close()
    await database.close()


@pytest.fixture(scope="module")
def grpc_add_to_server() -> Any:
    return payment_service_pb2_grpc.add_PaymentServiceServicer_to_server


@pytest.fixture(scope="module")
def grpc_stub_cls() -> Any:
    return payment_service_pb2_grpc.PaymentServiceStub


@pytest.fixture(scope="module")
def ledger(grpc_servicer: PaymentServicer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    assert grpc_servicer is not None
    folder = next(tmp_path_factory.getbasetemp().glob("payment*"))
    with open_ledger_view(f"sqlite:///{folder}/gateway.db") as view:
        yield view


@pytest.fixture
def payment_id() -> str:
    return f"pay_{next(_numbers)}"


def creation(payment_id: str = "", method: str = "pm_card_visa", **other: Any) -> Any:
    content: dict[str, Any] = {
        "order_id": "ord_1",
        "amount": Money(currency_code="USD", minor_units=2_500),
        "payment_method": method,
    }
    return pb.CreatePaymentRequest(payment_id=payment_id, **(content | other))


def fields(error: WireError) -> list[str]:
    return [violation.field for violation in error.violations]


def told(error: WireError) -> tuple[grpc.StatusCode, str]:
    return error.code, error.reason


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


async def test_payments_are_listed_newest_first_in_pages(grpc_stub: Stub) -> None:
    order_id = f"ord_list_{next(_numbers)}"
    made = [
        (await grpc_stub.CreatePayment(creation(order_id=order_id))).payment.payment_id
        for _ in range(5)
    ]
    seen: list[str] = []
    token = ""
    while True:
        page = await grpc_stub.ListPayments(
            pb.ListPaymentsRequest(page_size=2, page_token=token, order_id=order_id)
        )
        seen += [payment.payment_id for payment in page.payments]
        token = page.next_page_token
        if not token:
            break
    assert made[::-1] == seen


async def test_the_last_page_has_no_token_also_when_it_is_full(grpc_stub: Stub) -> None:
    order_id = f"ord_list_{next(_numbers)}"
    for _ in range(2):
        await grpc_stub.CreatePayment(creation(order_id=order_id))
    page = await grpc_stub.ListPayments(pb.ListPaymentsRequest(page_size=2, order_id=order_id))
    assert (2, "") == (len(page.payments), page.next_page_token)


async def test_a_list_is_filtered_by_state_order_and_time(grpc_stub: Stub) -> None:
    order_id = f"ord_list_{next(_numbers)}"
    first = (await grpc_stub.CreatePayment(creation(order_id=order_id))).payment
    second = (await grpc_stub.CreatePayment(creation(order_id=order_id))).payment
    await grpc_stub.ConfirmPayment(pb.ConfirmPaymentRequest(payment_id=second.payment_id))

    async def listed(**filters: Any) -> list[str]:
        request = pb.ListPaymentsRequest(order_id=order_id, **filters)
        return [it.payment_id for it in (await grpc_stub.ListPayments(request)).payments]

    assert [first.payment_id] == await listed(states=[m.PAYMENT_STATE_HELD])
    assert [second.payment_id] == await listed(states=[m.PAYMENT_STATE_CONFIRMED])
    both = [second.payment_id, first.payment_id]
    assert both == await listed(states=[m.PAYMENT_STATE_HELD, m.PAYMENT_STATE_CONFIRMED])
    assert [] == await listed(states=[m.PAYMENT_STATE_DECLINED])
    assert [second.payment_id] == await listed(create_time_after=second.create_time)
    assert [first.payment_id] == await listed(create_time_before=second.create_time)


async def test_every_filter_that_is_wrong_is_named(grpc_stub: Stub) -> None:
    request = pb.ListPaymentsRequest(
        page_size=-1,
        page_token="?",
        states=[
            m.PAYMENT_STATE_UNSPECIFIED,
            m.PAYMENT_STATE_HELD,
            cast("m.PaymentState.ValueType", 99),
        ],
        order_id="\x07",
        create_time_after=Timestamp(seconds=2**60),
        create_time_before=Timestamp(nanos=-1),
    )
    error = await refusal(grpc_stub.ListPayments(request))
    assert grpc.StatusCode.INVALID_ARGUMENT is error.code
    assert {
        "page_size",
        "page_token",
        "states[0]",
        "states[2]",
        "order_id",
        "create_time_after",
        "create_time_before",
    } == set(fields(error))


async def test_a_page_token_is_bound_to_its_filters(grpc_stub: Stub) -> None:
    order_id = f"ord_list_{next(_numbers)}"
    for _ in range(2):
        await grpc_stub.CreatePayment(creation(order_id=order_id))
    page = await grpc_stub.ListPayments(pb.ListPaymentsRequest(page_size=1, order_id=order_id))
    other = pb.ListPaymentsRequest(page_token=page.next_page_token, order_id="ord_other")
    assert ["page_token"] == fields(await refusal(grpc_stub.ListPayments(other)))


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
