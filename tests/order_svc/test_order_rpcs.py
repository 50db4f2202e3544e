"""The contract of oms.order.v1.OrderService, over gRPC."""

import asyncio
from typing import TypeAlias

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.ids import suffix_of
from chassis.validation import INT64_MAX
from oms.common.v1.money_pb2 import Money
from oms.order.v1 import order_pb2 as m
from oms.order.v1 import order_service_pb2 as pb
from oms.order.v1 import order_service_pb2_grpc
from tests.chassis.refusal import fields, refusal
from tests.order_svc.harness.orders import address, create_request, item, new_id

# Only checkers know this class.
Stub: TypeAlias = "order_service_pb2_grpc.OrderServiceAsyncStub"

Code = grpc.StatusCode


async def create(stub: Stub, request: pb.CreateOrderRequest) -> m.Order:
    return (await stub.CreateOrder(request)).order


async def confirm(stub: Stub, order_id: str) -> m.Order:
    return (await stub.ConfirmOrder(pb.ConfirmOrderRequest(order_id=order_id))).order


async def cancel(stub: Stub, order_id: str) -> m.Order:
    return (await stub.CancelOrder(pb.CancelOrderRequest(order_id=order_id))).order


async def get(stub: Stub, order_id: str) -> m.Order:
    return (await stub.GetOrder(pb.GetOrderRequest(order_id=order_id))).order


async def test_a_created_order_is_pending_and_added_up(grpc_stub: Stub) -> None:
    order_id = new_id()
    order = await create(grpc_stub, create_request(order_id))
    assert m.ORDER_STATE_PENDING == order.state
    assert Money(currency_code="USD", minor_units=2_950) == order.total
    assert (order_id, "c1") == (order.order_id, order.customer_id)
    assert [item(), item("PEN", 3, 150)] == list(order.items)
    assert address() == order.delivery_address
    assert order.create_time == order.update_time
    assert order == await get(grpc_stub, order_id)


async def test_an_order_without_an_id_is_given_one(grpc_stub: Stub) -> None:
    first = await create(grpc_stub, create_request())
    second = await create(grpc_stub, create_request())
    assert first.order_id.startswith("ord_")
    assert 26 == len(suffix_of(first.order_id))
    assert first.order_id < second.order_id


async def test_the_same_create_again_answers_with_the_order_as_it_is_now(grpc_stub: Stub) -> None:
    order_id = new_id()
    first = await create(grpc_stub, create_request(order_id))
    assert first == await create(grpc_stub, create_request(order_id))
    confirmed = await confirm(grpc_stub, order_id)
    assert confirmed == await create(grpc_stub, create_request(order_id))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda it: setattr(it, "customer_id", "c2"),
        lambda it: setattr(it.items[0], "quantity", 3),
        lambda it: setattr(it.items[0], "sku", "BOOK2"),
        lambda it: setattr(it.items[1].unit_price, "minor_units", 151),
        lambda it: it.items.add().CopyFrom(item("PIN", 1, 0)),
        lambda it: it.items.reverse(),
        lambda it: setattr(it.delivery_address, "recipient", "Bob"),
        lambda it: it.delivery_address.lines.pop(),
        lambda it: it.delivery_address.ClearField("region"),
    ],
)
async def test_the_same_id_with_other_content_is_refused(grpc_stub: Stub, spoil: object) -> None:
    assert callable(spoil)
    order_id = new_id()
    order = await create(grpc_stub, create_request(order_id))
    other = create_request(order_id)
    spoil(other)
    error = await refusal(grpc_stub.CreateOrder(other))
    assert (Code.ALREADY_EXISTS, "ORDER_ID_REUSED") == (error.code, error.reason)
    assert order == await get(grpc_stub, order_id)


async def test_confirming_again_changes_nothing(grpc_stub: Stub) -> None:
    order_id = new_id()
    await create(grpc_stub, create_request(order_id))
    confirmed = await confirm(grpc_stub, order_id)
    assert m.ORDER_STATE_CONFIRMED == confirmed.state
    assert confirmed == await confirm(grpc_stub, order_id)


async def test_confirming_what_never_was_is_not_found_and_leaves_nothing(grpc_stub: Stub) -> None:
    order_id = new_id()
    for call in (
        grpc_stub.ConfirmOrder(pb.ConfirmOrderRequest(order_id=order_id)),
        grpc_stub.GetOrder(pb.GetOrderRequest(order_id=order_id)),
    ):
        error = await refusal(call)
        assert (Code.NOT_FOUND, "ORDER_NOT_FOUND") == (error.code, error.reason)


@pytest.mark.parametrize("confirmed", [False, True])
async def test_cancelling_keeps_the_order_and_ends_it(grpc_stub: Stub, confirmed: bool) -> None:
    order_id = new_id()
    await create(grpc_stub, create_request(order_id))
    if confirmed:
        await confirm(grpc_stub, order_id)
    cancelled = await cancel(grpc_stub, order_id)
    assert m.ORDER_STATE_CANCELLED == cancelled.state
    assert [item(), item("PEN", 3, 150)] == list(cancelled.items)
    assert cancelled == await cancel(grpc_stub, order_id) == await get(grpc_stub, order_id)


@pytest.mark.parametrize("created", [False, True])
async def test_nothing_brings_a_cancelled_id_back(grpc_stub: Stub, created: bool) -> None:
    order_id = new_id()
    if created:
        await create(grpc_stub, create_request(order_id))
    cancelled = await cancel(grpc_stub, order_id)
    for call in (
        grpc_stub.CreateOrder(create_request(order_id)),
        grpc_stub.CreateOrder(create_request(order_id, item(quantity=9))),
        grpc_stub.ConfirmOrder(pb.ConfirmOrderRequest(order_id=order_id)),
    ):
        error = await refusal(call)
        assert (Code.FAILED_PRECONDITION, "ALREADY_CANCELLED") == (error.code, error.reason)
    assert cancelled == await get(grpc_stub, order_id)


async def test_a_cancel_of_an_unknown_order_leaves_a_tombstone(grpc_stub: Stub) -> None:
    order_id = new_id()
    order = await cancel(grpc_stub, order_id)
    assert (order_id, m.ORDER_STATE_CANCELLED) == (order.order_id, order.state)
    assert not order.items
    assert not order.HasField("total")
    assert not order.HasField("delivery_address")
    assert order.HasField("create_time")
    assert "" == order.customer_id


async def test_a_race_of_a_create_and_its_cancel_always_ends_cancelled(grpc_stub: Stub) -> None:
    ids = [new_id() for _ in range(60)]
    await asyncio.gather(
        *(grpc_stub.CreateOrder(create_request(order_id)) for order_id in ids),
        *(cancel(grpc_stub, order_id) for order_id in ids),
        *(grpc_stub.ConfirmOrder(pb.ConfirmOrderRequest(order_id=it)) for it in ids),
        return_exceptions=True,
    )
    states = [(await get(grpc_stub, order_id)).state for order_id in ids]
    assert [m.ORDER_STATE_CANCELLED] * 60 == states


async def test_many_creates_of_one_id_make_one_order(grpc_stub: Stub) -> None:
    order_id = new_id()
    orders = await asyncio.gather(*(create(grpc_stub, create_request(order_id)) for _ in range(40)))
    assert all(orders[0] == order for order in orders)


async def test_a_total_of_int64_is_kept(grpc_stub: Stub) -> None:
    order = await create(grpc_stub, create_request("", item(quantity=1, minor_units=INT64_MAX)))
    assert (
        INT64_MAX
        == order.total.minor_units
        == (await get(grpc_stub, order.order_id)).items[0].unit_price.minor_units
    )


async def test_an_order_that_costs_nothing_is_an_order(grpc_stub: Stub) -> None:
    order = await create(grpc_stub, create_request("", item(minor_units=0, currency_code="JPY")))
    assert Money(currency_code="JPY", minor_units=0) == order.total


async def test_a_thousand_items_are_taken(grpc_stub: Stub) -> None:
    items = [item(f"SKU {number}", 1_000_000, 7) for number in range(1_000)]
    order = await create(grpc_stub, create_request("", *items))
    assert 7_000_000_000 == order.total.minor_units
    assert items == list((await get(grpc_stub, order.order_id)).items)


async def test_every_offending_field_is_named(grpc_stub: Stub) -> None:
    request = pb.CreateOrderRequest(
        order_id="-no",
        customer_id="a\nb",
        items=[
            item(),
            item("", 0, -1, "usd"),
            m.OrderItem(sku="X" * 129, quantity=1_000_001),
            item(currency_code="EUR"),
            item(quantity=1_000_000, minor_units=INT64_MAX),
        ],
        delivery_address=address(),
    )
    request.delivery_address.country_code = "XX"
    request.delivery_address.lines.append("")
    error = await refusal(grpc_stub.CreateOrder(request))
    assert (Code.INVALID_ARGUMENT, "INVALID_REQUEST") == (error.code, error.reason)
    assert [
        "order_id",
        "customer_id",
        "items[1].sku",
        "items[1].quantity",
        "items[1].unit_price.currency_code",
        "items[1].unit_price.minor_units",
        "items[2].sku",
        "items[2].quantity",
        "items[2].unit_price",
        "items[3].unit_price.currency_code",
        "items[4]",
        "delivery_address.lines[2]",
        "delivery_address.country_code",
    ] == fields(error)


async def test_an_empty_request_is_told_all_it_lacks(grpc_stub: Stub) -> None:
    error = await refusal(grpc_stub.CreateOrder(pb.CreateOrderRequest()))
    assert ["customer_id", "items", "delivery_address"] == fields(error)


async def test_a_thousand_and_one_items_are_too_many(grpc_stub: Stub) -> None:
    request = create_request("", *[item()] * 1_001)
    assert ["items"] == fields(await refusal(grpc_stub.CreateOrder(request)))


@pytest.mark.parametrize("order_id", ["", "a b", "é", "x" * 129, ".", "a\0"])
async def test_an_order_is_asked_for_by_an_id(grpc_stub: Stub, order_id: str) -> None:
    for call in (
        grpc_stub.ConfirmOrder(pb.ConfirmOrderRequest(order_id=order_id)),
        grpc_stub.CancelOrder(pb.CancelOrderRequest(order_id=order_id)),
        grpc_stub.GetOrder(pb.GetOrderRequest(order_id=order_id)),
    ):
        error = await refusal(call)
        assert (Code.INVALID_ARGUMENT, ["order_id"]) == (error.code, fields(error))


async def test_times_are_those_of_the_call(grpc_stub: Stub) -> None:
    before = Timestamp()
    before.GetCurrentTime()
    order = await create(grpc_stub, create_request())
    confirmed = await confirm(grpc_stub, order.order_id)
    assert abs(before.ToMicroseconds() - order.create_time.ToMicroseconds()) < 60_000_000
    assert order.create_time == confirmed.create_time
    assert order.update_time.ToMicroseconds() < confirmed.update_time.ToMicroseconds()
