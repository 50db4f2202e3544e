"""What callers may not ask: each a clear INVALID_ARGUMENT, and nothing stored."""

import re
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.faults import Invalid
from oms.common.v1.address_pb2 import Address
from oms.common.v1.money_pb2 import Money
from oms.orchestrator.v1 import order_process_admin_service_pb2 as admin_pb
from oms.orchestrator.v1 import order_process_service_pb2 as pb
from oms.order.v1.order_pb2 import OrderItem
from orchestrator import requests
from tests.orchestrator.edge.harness.office import PATIENCE_SECONDS, Office, address
from tests.orchestrator.edge.harness.refusal import refusal, told
from tests.orchestrator.edge.harness.scripted import ScriptedParticipants

INT64_MAX = 2**63 - 1


def item(
    *, sku: str = "BOOK", quantity: int = 1, currency_code: str = "USD", minor_units: int = 1
) -> OrderItem:
    price = Money(currency_code=currency_code, minor_units=minor_units)
    return OrderItem(sku=sku, quantity=quantity, unit_price=price)


def address_with(**changes: Any) -> Address:
    changed = address()
    for field, value in changes.items():
        changed.ClearField(field)  # type: ignore[arg-type]  # fields by name
        changed.MergeFrom(Address(**{field: value}))
    return changed


BAD_ORDERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no request id": ({"request_id": ""}, ["request_id"]),
    "a request id with control characters": ({"request_id": "r\n1"}, ["request_id"]),
    "a request id that is too long": ({"request_id": "r" * 129}, ["request_id"]),
    "a blank request id": ({"request_id": "  "}, ["request_id"]),
    "no customer": ({"customer_id": ""}, ["customer_id"]),
    "a request id that turns the line around": ({"request_id": "r\u202e1"}, ["request_id"]),
    "a customer with something invisible": ({"customer_id": "c\u200b1"}, ["customer_id"]),
    "a customer with control characters": ({"customer_id": "a\x00b"}, ["customer_id"]),
    "no payment method": ({"payment_method": ""}, ["payment_method"]),
    "a payment method that is too long": ({"payment_method": "p" * 129}, ["payment_method"]),
    "no items": ({"items": []}, ["items"]),
    "too many items": ({"items": [item()] * 1_001}, ["items"]),
    "no sku": ({"items": [item(), item(sku="")]}, ["items[1].sku"]),
    "no quantity": ({"items": [item(quantity=0)]}, ["items[0].quantity"]),
    "a negative quantity": ({"items": [item(quantity=-1)]}, ["items[0].quantity"]),
    "a quantity that is too great": ({"items": [item(quantity=1_000_001)]}, ["items[0].quantity"]),
    "no price": ({"items": [OrderItem(sku="BOOK", quantity=1)]}, ["items[0].unit_price"]),
    "a negative price": ({"items": [item(minor_units=-1)]}, ["items[0].unit_price.minor_units"]),
    "an unknown currency": (
        {"items": [item(currency_code="ZZZ")]},
        ["items[0].unit_price.currency_code"],
    ),
    "a currency in small letters": (
        {"items": [item(currency_code="usd")]},
        ["items[0].unit_price.currency_code"],
    ),
    "no currency": ({"items": [item(currency_code="")]}, ["items[0].unit_price.currency_code"]),
    "mixed currencies": (
        {"items": [item(), item(currency_code="EUR"), item(), item(currency_code="JPY")]},
        ["items[1].unit_price.currency_code", "items[3].unit_price.currency_code"],
    ),
    "a total beyond int64": (
        {"items": [item(minor_units=INT64_MAX), item()]},
        ["items"],
    ),
    "one item beyond int64": (
        {"items": [item(quantity=1_000_000, minor_units=INT64_MAX // 1_000)]},
        ["items"],
    ),
    "no address": ({"delivery_address": None}, ["delivery_address"]),
    "an empty address": (
        {"delivery_address": Address()},
        [
            "delivery_address.recipient",
            "delivery_address.lines",
            "delivery_address.locality",
            "delivery_address.country_code",
        ],
    ),
    "a country that is none": (
        {"delivery_address": address_with(country_code="XX")},
        ["delivery_address.country_code"],
    ),
    "too many lines": (
        {"delivery_address": address_with(lines=["line"] * 6)},
        ["delivery_address.lines"],
    ),
    "a line with a line break": (
        {"delivery_address": address_with(lines=["one", "t\nwo"])},
        ["delivery_address.lines[1]"],
    ),
    "all at once": (
        {"request_id": "", "customer_id": "", "payment_method": "", "items": []},
        ["request_id", "customer_id", "items", "payment_method"],
    ),
}


@pytest.mark.parametrize("name", BAD_ORDERS)
async def test_every_field_of_an_order_that_is_wrong_is_named(
    office: Office, participants: ScriptedParticipants, name: str
) -> None:
    changes, fields = BAD_ORDERS[name]
    before = await office.service.ListOrderProcesses(pb.ListOrderProcessesRequest())

    error = await refusal(office.start("bad", **changes))
    after = await office.service.ListOrderProcesses(pb.ListOrderProcessesRequest())

    assert ("INVALID_ARGUMENT", "INVALID_REQUEST") == told(error)
    assert fields == [violation.field for violation in error.violations]
    assert all(violation.description for violation in error.violations)
    assert before == after
    assert [] == participants.calls


async def test_a_thousand_bad_items_are_still_answered_in_words(office: Office) -> None:
    bad = OrderItem(
        sku="\x00" * 10,
        quantity=-1,
        unit_price=Money(currency_code="dollars", minor_units=-1),
    )

    error = await refusal(office.start("bad", items=[bad] * 1_000))

    assert ("INVALID_ARGUMENT", "INVALID_REQUEST") == told(error)
    assert "items[0].sku" == error.violations[0].field
    assert len(error.violations) > 10


async def test_a_message_of_five_mebibytes_is_too_large(office: Office) -> None:
    error = await refusal(office.start("large", payment_method="p" * 5 * 1024 * 1024))

    assert "RESOURCE_EXHAUSTED" == error.code.name


async def test_the_largest_order_that_is_allowed_goes_through(
    office: Office, participants: ScriptedParticipants
) -> None:
    # Every text as long as it may be, and of characters that take the most bytes.
    widest = "\U0001f4d6"
    process = await office.start(
        "l" * 128,
        customer_id=widest * 128,
        payment_method=widest * 128,
        items=[
            item(sku=widest * 128, quantity=1_000_000, minor_units=9_223_372_036)
            for _ in range(1_000)
        ],
        delivery_address=Address(
            recipient=widest * 200,
            lines=[widest * 200] * 5,
            locality=widest * 100,
            region=widest * 100,
            postal_code=widest * 20,
            country_code="US",
        ),
    )

    assert 9_223_372_036 * 10**9 == process.total.minor_units
    assert 5 == len(participants.calls)


BAD_CALLS: dict[str, tuple[Callable[[Office], Any], list[str]]] = {
    "a get without a key": (
        lambda office: office.service.GetOrderProcess(pb.GetOrderProcessRequest()),
        ["key"],
    ),
    "a get by a malformed process id": (
        lambda office: office.service.GetOrderProcess(
            pb.GetOrderProcessRequest(process_id="prc 1")
        ),
        ["process_id"],
    ),
    "a get by an empty request id": (
        lambda office: office.service.GetOrderProcess(pb.GetOrderProcessRequest(request_id="")),
        ["request_id"],
    ),
    "a get by a malformed order id": (
        lambda office: office.service.GetOrderProcess(pb.GetOrderProcessRequest(order_id="/")),
        ["order_id"],
    ),
    "a list of everything wrong": (
        lambda office: office.service.ListOrderProcesses(
            pb.ListOrderProcessesRequest(
                page_size=-1,
                page_token="no token",
                states=[0, 1, 77],  # type: ignore[list-item]  # what is not a state
                customer_id="a\nb",
                create_time_after=Timestamp(seconds=10**15),
                create_time_before=Timestamp(nanos=-1),
            )
        ),
        [
            "customer_id",
            "page_size",
            "states[0]",
            "states[2]",
            "create_time_after",
            "create_time_before",
            "page_token",
        ],
    ),
    "a watch of nothing": (
        lambda office: office.service.WatchOrderProcess(
            pb.WatchOrderProcessRequest(after_revision=-1)
        ).read(),
        ["process_id", "after_revision"],
    ),
    "a cancel of nothing, at length": (
        lambda office: office.service.CancelOrderProcess(
            pb.CancelOrderProcessRequest(reason="r" * 1_001)
        ),
        ["process_id", "reason"],
    ),
    "a retry of nothing": (
        lambda office: office.admin.RetryOrderProcess(admin_pb.RetryOrderProcessRequest()),
        ["target", "reason", "requested_by"],
    ),
    "a retry of no process": (
        lambda office: office.admin.RetryOrderProcess(
            admin_pb.RetryOrderProcessRequest(
                process=admin_pb.OrderProcessRevision(), reason="r", requested_by="o"
            )
        ),
        ["process.process_id", "process.revision"],
    ),
    "a retry by a filter that is wrong": (
        lambda office: office.admin.RetryOrderProcess(
            admin_pb.RetryOrderProcessRequest(
                filter=admin_pb.ParkedOrderProcessFilter(
                    step="a\tb",
                    reason="a\tb",
                    parked_before=Timestamp(nanos=10**9),
                    limit=1_001,
                ),
                reason="r" * 1_001,
                requested_by="o" * 201,
            )
        ),
        [
            "filter.step",
            "filter.reason",
            "filter.parked_before",
            "filter.limit",
            "reason",
            "requested_by",
        ],
    ),
    "a resolve of nothing": (
        lambda office: office.admin.ResolveOrderProcess(admin_pb.ResolveOrderProcessRequest()),
        ["process", "reason", "requested_by"],
    ),
}


@pytest.mark.parametrize("name", BAD_CALLS)
async def test_every_field_of_a_request_that_is_wrong_is_named(
    office: Office, participants: ScriptedParticipants, name: str
) -> None:
    call, fields = BAD_CALLS[name]

    error = await refusal(call(office))

    assert ("INVALID_ARGUMENT", "INVALID_REQUEST") == told(error)
    assert fields == [violation.field for violation in error.violations]
    assert [] == participants.calls


# Protobuf's texts cannot hold halves of surrogate pairs; everything else they can.
TEXTS = st.one_of(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300),
    st.sampled_from(["", " ", "USD", "US", "\x00", "r1", "\u2028"]),
)
INT64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)
INT32 = st.integers(min_value=-(2**31), max_value=2**31 - 1)
MONEY = st.builds(Money, currency_code=TEXTS, minor_units=INT64)
ITEMS = st.builds(OrderItem, sku=TEXTS, quantity=INT32, unit_price=st.none() | MONEY)
ADDRESSES = st.builds(
    Address,
    recipient=TEXTS,
    lines=st.lists(TEXTS, max_size=7),
    locality=TEXTS,
    region=TEXTS,
    postal_code=TEXTS,
    country_code=TEXTS,
)
ORDERS = st.builds(
    pb.StartOrderProcessRequest,
    request_id=TEXTS,
    customer_id=TEXTS,
    items=st.lists(ITEMS, max_size=4),
    payment_method=TEXTS,
    delivery_address=st.none() | ADDRESSES,
    return_immediately=st.booleans(),
)
FIELD = re.compile(r"[a-z_]+(\[\d+\])?(\.[a-z_]+(\[\d+\])?)*")


@given(ORDERS)
@settings(max_examples=400, deadline=None)
def test_whatever_is_wrong_with_an_order_it_is_read_or_its_fields_are_named(
    request: pb.StartOrderProcessRequest,
) -> None:
    fields = []
    try:
        request_id, placed = requests.start(request)
    except Invalid as invalid:
        fields = [it.field for it in invalid.violations]
    else:
        assert request_id
        assert 0 <= placed.total.minor_units <= INT64_MAX
        assert placed == type(placed).of(placed.content())
    assert all(FIELD.fullmatch(field) for field in fields)


@given(st.data())
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_no_order_whatever_it_holds_is_answered_with_a_defect(
    office: Office, data: st.DataObject
) -> None:
    call = office.service.StartOrderProcess(data.draw(ORDERS), timeout=PATIENCE_SECONDS)

    assert await call.code() in {
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.ALREADY_EXISTS,
    }
