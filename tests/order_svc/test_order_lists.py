"""ListOrders: every order once, newest first, through whatever filters."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TypeAlias

import grpc
import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp

from chassis.database import Database
from chassis.timestamps import to_timestamp
from oms.order.v1 import order_pb2 as m
from oms.order.v1 import order_service_pb2 as pb
from oms.order.v1 import order_service_pb2_grpc
from order_svc import store
from order_svc.domain import Order, State, cancel, confirm, create
from order_svc.requests import read_create
from tests.chassis.refusal import fields, refusal
from tests.order_svc.harness.orders import create_request

# Only checkers know this class.
Stub: TypeAlias = "order_service_pb2_grpc.OrderServiceAsyncStub"

FIRST_US = 1_700_000_000_000_000


def orders() -> list[Order]:
    """Orders of three customers in all states, and tombstones, three to a microsecond."""
    made = []
    _, content = read_create(create_request("ord_0"))
    for number in range(100):
        order_id, time_us = f"ord_{number * 7919 % 1000:03}", FIRST_US + number // 3
        if number % 10 == 9:
            made.append(cancel(None, order_id, time_us))
            continue
        order = create(None, order_id, replace(content, customer_id=f"c{number % 3}"), time_us)
        if number % 4 == 1:
            order = replace(confirm(order, order_id, time_us), version=1)
        if number % 4 == 2:
            order = replace(cancel(order, order_id, time_us), version=1)
        made.append(order)
    return sorted(made, key=lambda it: (it.create_time_us, it.order_id), reverse=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def stored(database: Database) -> AsyncIterator[list[Order]]:
    made = orders()
    with database.engine.begin() as connection:
        store.table().insert(connection, made)
    yield made


async def pages(stub: Stub, request: pb.ListOrdersRequest) -> list[list[m.Order]]:
    """Every page, to the last."""
    request = pb.ListOrdersRequest.FromString(request.SerializeToString())
    found = []
    while True:
        answer = await stub.ListOrders(request)
        found.append(list(answer.orders))
        request.page_token = answer.next_page_token
        if not answer.next_page_token:
            return found


async def ids(stub: Stub, request: pb.ListOrdersRequest) -> list[str]:
    return [order.order_id for page in await pages(stub, request) for order in page]


@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 99, 100, 101, 0, 5_000])
async def test_every_order_is_listed_once_newest_first(
    grpc_stub: Stub, stored: list[Order], page_size: int
) -> None:
    found = await pages(grpc_stub, pb.ListOrdersRequest(page_size=page_size))
    assert [it.order_id for it in stored] == [it.order_id for page in found for it in page]
    size = {0: 100, 5_000: 100}.get(page_size, page_size)
    assert all(size == len(page) for page in found[:-1])
    assert found[-1]


async def test_a_list_leaves_out_items_and_nothing_else(
    grpc_stub: Stub, stored: list[Order]
) -> None:
    (page,) = await pages(grpc_stub, pb.ListOrdersRequest())
    for shown, order in zip(page, stored, strict=True):
        assert not shown.items
        assert (order.content is not None) == shown.HasField("delivery_address")
        assert (order.content is not None) == shown.HasField("total")
        assert to_timestamp(order.create_time_us) == shown.create_time
        assert m.OrderState.Value(f"ORDER_STATE_{order.state}") == shown.state
        if order.content is not None:
            assert order.content.customer_id == shown.customer_id
            assert order.content.delivery_address.recipient == shown.delivery_address.recipient
            assert list(order.content.delivery_address.lines) == list(shown.delivery_address.lines)
            assert order.content.total.minor_units == shown.total.minor_units


async def test_filters_are_all_held_at_once(grpc_stub: Stub, stored: list[Order]) -> None:
    numbers = {State(name.removeprefix("ORDER_STATE_")): number for name, number in STATES.items()}
    for states in ([], [State.PENDING], [State.PENDING, State.CANCELLED], list(State)):
        for customer_id in ("", "c1", "nobody"):
            for after_us, before_us in ((None, None), (5, None), (None, 20), (5, 20), (7, 7)):
                request = pb.ListOrdersRequest(
                    page_size=4,
                    states=[numbers[it] for it in states],
                    customer_id=customer_id,
                    create_time_after=time(after_us),
                    create_time_before=time(before_us),
                )
                expected = [
                    it.order_id
                    for it in stored
                    if (not states or it.state in states)
                    and (not customer_id or customer_of(it) == customer_id)
                    and (after_us is None or it.create_time_us >= FIRST_US + after_us)
                    and (before_us is None or it.create_time_us < FIRST_US + before_us)
                ]
                assert expected == await ids(grpc_stub, request)


STATES = {name: number for name, number in m.OrderState.items() if number}


def customer_of(order: Order) -> str:
    return "" if order.content is None else order.content.customer_id


def time(offset_us: int | None) -> Timestamp | None:
    return None if offset_us is None else to_timestamp(FIRST_US + offset_us)


async def test_a_time_between_two_microseconds_lets_through_what_it_should(
    grpc_stub: Stub, stored: list[Order]
) -> None:
    between = to_timestamp(FIRST_US + 5)
    between.nanos += 1
    later = {it.order_id for it in stored if it.create_time_us >= FIRST_US + 6}
    assert later == set(await ids(grpc_stub, pb.ListOrdersRequest(create_time_after=between)))
    earlier = {it.order_id for it in stored} - later
    assert earlier == set(await ids(grpc_stub, pb.ListOrdersRequest(create_time_before=between)))


async def test_an_order_that_comes_between_two_pages_moves_nothing(
    grpc_stub: Stub, stored: list[Order], database: Database
) -> None:
    first = await grpc_stub.ListOrders(pb.ListOrdersRequest(page_size=50))
    newest = cancel(None, "ord_newest", FIRST_US + 1_000)
    words = store.table()
    with database.engine.begin() as connection:
        words.insert(connection, [newest])
    rest = await ids(
        grpc_stub, pb.ListOrdersRequest(page_size=50, page_token=first.next_page_token)
    )
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM orders WHERE order_id = 'ord_newest'")
    assert [it.order_id for it in stored[50:]] == rest


async def test_a_page_token_goes_with_its_filters_alone(grpc_stub: Stub) -> None:
    first = await grpc_stub.ListOrders(pb.ListOrdersRequest(page_size=5, customer_id="c1"))
    for request in (
        pb.ListOrdersRequest(page_token=first.next_page_token),
        pb.ListOrdersRequest(page_token=first.next_page_token, customer_id="c2"),
        pb.ListOrdersRequest(page_token="nonsense", customer_id="c1"),
        pb.ListOrdersRequest(page_token=first.next_page_token[:-2], customer_id="c1"),
    ):
        error = await refusal(grpc_stub.ListOrders(request))
        assert (grpc.StatusCode.INVALID_ARGUMENT, ["page_token"]) == (error.code, fields(error))
    other_size = pb.ListOrdersRequest(
        page_size=1, page_token=first.next_page_token, customer_id="c1"
    )
    assert 1 == len((await grpc_stub.ListOrders(other_size)).orders)


async def test_every_malformed_filter_is_named(grpc_stub: Stub) -> None:
    request = pb.ListOrdersRequest(
        page_size=-1,
        page_token="?",
        states=[m.ORDER_STATE_PENDING, m.ORDER_STATE_UNSPECIFIED, 99],  # type: ignore[list-item]
        customer_id="\t",
        create_time_after=Timestamp(seconds=2**60),
        create_time_before=Timestamp(nanos=-1),
    )
    error = await refusal(grpc_stub.ListOrders(request))
    assert [
        "customer_id",
        "page_size",
        "states[1]",
        "states[2]",
        "create_time_after",
        "create_time_before",
        "page_token",
    ] == fields(error)
