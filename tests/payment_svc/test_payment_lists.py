"""ListPayments: pages, filters and the tokens between them."""

import itertools
from typing import Any, cast

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from oms.payment.v1 import payment_pb2 as m
from oms.payment.v1 import payment_service_pb2 as pb
from tests.payment_svc.harness.calls import Stub, creation, fields
from tests.payment_svc.harness.desk import refusal

_numbers = itertools.count(1)


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
