"""Requests that are wrong, over real gRPC:

each is refused with all that is wrong with it named, and nothing is stored.
"""

from collections.abc import Callable

import pytest
from grpc import StatusCode

from oms.common.v1.address_pb2 import Address
from oms.common.v1.money_pb2 import Money
from oms.delivery.v1.delivery_service_pb2 import CreateDeliveryRequest, ListDeliveriesRequest
from oms.orchestrator.v1.order_process_service_pb2 import (
    CancelOrderProcessRequest,
    GetOrderProcessRequest,
    ListOrderProcessesRequest,
    StartOrderProcessRequest,
    WatchOrderProcessRequest,
)
from oms.order.v1.order_pb2 import OrderItem
from oms.order.v1.order_service_pb2 import CreateOrderRequest, ListOrdersRequest
from oms.payment.v1.payment_service_pb2 import CreatePaymentRequest, ListPaymentsRequest
from tests.system.harness.refusal import Refusal, refusal
from tests.system.harness.requests import fresh, order, usd
from tests.system.harness.system import System

INT64_MAX = 2**63 - 1
Change = Callable[[StartOrderProcessRequest], object]


def all_of_it(request: StartOrderProcessRequest) -> None:
    """Everything that can be wrong at once."""
    request.request_id = ""
    request.customer_id = "\x00"
    request.items[0].quantity = 0
    request.items[0].unit_price.minor_units = -1
    request.items.append(OrderItem(sku="", quantity=-1, unit_price=Money(currency_code="usd")))
    request.payment_method = ""
    request.delivery_address.Clear()
    request.delivery_address.country_code = "XX"


def too_large(request: StartOrderProcessRequest) -> None:
    request.items[0].unit_price.minor_units = INT64_MAX
    request.items[0].quantity = 2


def too_large_together(request: StartOrderProcessRequest) -> None:
    request.items[0].unit_price.minor_units = INT64_MAX // 2
    request.items.append(request.items[0])


def add_item(request: StartOrderProcessRequest, price: Money) -> None:
    request.items.append(OrderItem(sku="PEN", quantity=1, unit_price=price))


# What is changed of a request that is right, and the fields that must be named.
WRONG: dict[str, tuple[Change, list[str]]] = {
    "no items": (lambda it: it.ClearField("items"), ["items"]),
    "1,001 items": (lambda it: it.items.extend([it.items[0]] * 1_000), ["items"]),
    "a quantity of zero": (
        lambda it: setattr(it.items[0], "quantity", 0),
        ["items[0].quantity"],
    ),
    "a negative quantity": (
        lambda it: setattr(it.items[0], "quantity", -2),
        ["items[0].quantity"],
    ),
    "a quantity beyond a million": (
        lambda it: setattr(it.items[0], "quantity", 1_000_001),
        ["items[0].quantity"],
    ),
    "a negative price": (
        lambda it: setattr(it.items[0].unit_price, "minor_units", -1),
        ["items[0].unit_price.minor_units"],
    ),
    "no price": (lambda it: it.items[0].ClearField("unit_price"), ["items[0].unit_price"]),
    "an unknown currency": (
        lambda it: setattr(it.items[0].unit_price, "currency_code", "XYZ"),
        ["items[0].unit_price.currency_code"],
    ),
    "a currency in small letters": (
        lambda it: setattr(it.items[0].unit_price, "currency_code", "usd"),
        ["items[0].unit_price.currency_code"],
    ),
    "two currencies": (
        lambda it: add_item(it, Money(currency_code="EUR", minor_units=1)),
        ["items[1].unit_price.currency_code"],
    ),
    "one item's total beyond int64": (too_large, ["items"]),
    "all items' total beyond int64": (too_large_together, ["items"]),
    "no sku": (lambda it: setattr(it.items[0], "sku", ""), ["items[0].sku"]),
    "no address": (lambda it: it.ClearField("delivery_address"), ["delivery_address"]),
    "an empty address": (
        lambda it: it.delivery_address.CopyFrom(Address()),
        [
            "delivery_address.recipient",
            "delivery_address.lines",
            "delivery_address.locality",
            "delivery_address.country_code",
        ],
    ),
    "a country that does not exist": (
        lambda it: setattr(it.delivery_address, "country_code", "XX"),
        ["delivery_address.country_code"],
    ),
    "a country of three letters": (
        lambda it: setattr(it.delivery_address, "country_code", "USA"),
        ["delivery_address.country_code"],
    ),
    "a control character in the request id": (
        lambda it: setattr(it, "request_id", "req\x07"),
        ["request_id"],
    ),
    "a line break in the customer id": (
        lambda it: setattr(it, "customer_id", "cust\n1"),
        ["customer_id"],
    ),
    "an escape character in a sku": (
        lambda it: setattr(it.items[0], "sku", "\x1b[31mBOOK"),
        ["items[0].sku"],
    ),
    "no request id": (lambda it: setattr(it, "request_id", ""), ["request_id"]),
    "a request id of blanks": (lambda it: setattr(it, "request_id", "  "), ["request_id"]),
    "a request id of 129 characters": (
        lambda it: setattr(it, "request_id", "r" * 129),
        ["request_id"],
    ),
    "no customer": (lambda it: setattr(it, "customer_id", ""), ["customer_id"]),
    "no payment method": (lambda it: setattr(it, "payment_method", ""), ["payment_method"]),
    "all of it": (
        all_of_it,
        [
            "request_id",
            "customer_id",
            "items[0].quantity",
            "items[0].unit_price.minor_units",
            "items[1].sku",
            "items[1].quantity",
            "items[1].unit_price.currency_code",
            "payment_method",
            "delivery_address.recipient",
            "delivery_address.lines",
            "delivery_address.locality",
            "delivery_address.country_code",
        ],
    ),
}


@pytest.fixture(scope="module")
async def refusals(system: System) -> dict[str, Refusal]:
    """What each wrong request was told. Nothing else is ever asked to be stored in this module."""

    async def told(change: Change) -> Refusal:
        request = order()
        change(request)
        return await refusal(system.orchestrator.processes.StartOrderProcess(request))

    return {name: await told(change) for name, (change, _) in WRONG.items()}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_order_is_refused_and_every_offending_field_named(
    name: str, refusals: dict[str, Refusal]
) -> None:
    told, fields = refusals[name], WRONG[name][1]
    assert (StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST") == told.told
    assert sorted(fields) == sorted(set(told.fields))
    assert all(told.descriptions)


async def test_a_message_of_5_mib_is_refused(system: System) -> None:
    request = order()
    request.items[0].sku = "B" * (5 * 1024 * 1024)
    told = await refusal(system.orchestrator.processes.StartOrderProcess(request))
    assert StatusCode.RESOURCE_EXHAUSTED == told.code


async def test_participants_refuse_what_is_wrong_themselves(system: System) -> None:
    created_order = await refusal(system.orders.CreateOrder(CreateOrderRequest(order_id="a b")))
    created_payment = await refusal(
        system.payments.CreatePayment(
            CreatePaymentRequest(
                payment_id=fresh("pay"), order_id=fresh("ord"), amount=usd(1), payment_method="gold"
            )
        )
    )
    created_delivery = await refusal(
        system.deliveries.CreateDelivery(CreateDeliveryRequest(delivery_id="-"))
    )
    assert [
        ("order_id", "customer_id", "items", "delivery_address"),
        ("payment_method",),
        ("delivery_id", "order_id", "address"),
    ] == [created_order.fields, created_payment.fields, created_delivery.fields]


async def test_questions_about_nothing_in_particular_are_refused(system: System) -> None:
    processes = system.orchestrator.processes
    missing = await refusal(processes.GetOrderProcess(GetOrderProcessRequest()))
    unknown = await refusal(processes.GetOrderProcess(GetOrderProcessRequest(process_id="prc_1")))
    page = await refusal(
        processes.ListOrderProcesses(ListOrderProcessesRequest(page_token="made-up"))
    )
    cancelled = await refusal(processes.CancelOrderProcess(CancelOrderProcessRequest()))
    assert [
        (StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
        (StatusCode.NOT_FOUND, "PROCESS_NOT_FOUND"),
        (StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
        (StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
    ] == [missing.told, unknown.told, page.told, cancelled.told]
    assert ("page_token",) == page.fields


async def test_a_watch_of_a_process_nobody_knows_is_refused(system: System) -> None:
    watch = system.orchestrator.processes.WatchOrderProcess(
        WatchOrderProcessRequest(process_id="prc_0")
    )
    told = await refusal(anext(aiter(watch)))
    assert (StatusCode.NOT_FOUND, "PROCESS_NOT_FOUND") == told.told


async def test_of_all_that_was_refused_nothing_is_stored(
    system: System, refusals: dict[str, Refusal]
) -> None:
    assert refusals
    processes = await system.orchestrator.processes.ListOrderProcesses(ListOrderProcessesRequest())
    orders = await system.orders.ListOrders(ListOrdersRequest())
    payments = await system.payments.ListPayments(ListPaymentsRequest())
    deliveries = await system.deliveries.ListDeliveries(ListDeliveriesRequest())
    assert [0, 0, 0, 0] == [
        len(processes.processes),
        len(orders.orders),
        len(payments.payments),
        len(deliveries.deliveries),
    ]
