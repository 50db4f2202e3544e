"""Whatever is sent, the answer is one of the contract's, and what is refused leaves nothing."""

from typing import Any, TypeAlias

import grpc
import grpc.aio
import pytest
import sqlalchemy as sa
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.database import Database
from chassis.statuses import read_error
from oms.order.v1 import order_pb2, order_service_pb2_grpc
from oms.order.v1 import order_service_pb2 as pb
from tests.chassis.malformed import messages, with_nul
from tests.chassis.refusal import fields, refusal
from tests.order_svc.harness.orders import create_request, new_id

# Only checkers know this class.
Stub: TypeAlias = "order_service_pb2_grpc.OrderServiceAsyncStub"

ANY = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
EXPECTED = {
    grpc.StatusCode.INVALID_ARGUMENT: {"INVALID_REQUEST"},
    grpc.StatusCode.NOT_FOUND: {"ORDER_NOT_FOUND"},
    grpc.StatusCode.ALREADY_EXISTS: {"ORDER_ID_REUSED"},
    grpc.StatusCode.FAILED_PRECONDITION: {"ALREADY_CANCELLED"},
}


def everything(connection: sa.Connection) -> list[Any]:
    return list(connection.exec_driver_sql("SELECT * FROM orders ORDER BY order_id").all())


async def check(database: Database, call: Any, request: Message) -> None:
    """Sends it, and looks at what is answered and what is stored."""
    before = await database.read(everything)
    try:
        await call(request)
    except grpc.aio.AioRpcError as raised:
        error = read_error(raised)
        assert error.reason in EXPECTED.get(error.code, set()), (error, request)
        if error.code is grpc.StatusCode.INVALID_ARGUMENT:
            assert error.violations
            assert all(it.field and it.description for it in error.violations)
        assert before == await database.read(everything)


async def test_more_mistakes_than_are_told_are_mistakes_all_the_same(grpc_stub: Stub) -> None:
    # Each has three; of a thousand items that are wrong none is taken for one that is right.
    request = pb.CreateOrderRequest(customer_id="c", items=[order_pb2.OrderItem()] * 400)
    error = await refusal(grpc_stub.CreateOrder(request))
    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST") == (error.code, error.reason)


async def test_of_very_many_lines_of_an_address_no_more_is_said_than_that(grpc_stub: Stub) -> None:
    request = create_request()
    request.delivery_address.lines.extend([""] * 100_000)
    assert ["delivery_address.lines"] == fields(await refusal(grpc_stub.CreateOrder(request)))


@ANY
@given(request_=messages(pb.CreateOrderRequest))
async def test_any_create(grpc_stub: Stub, database: Database, request_: Message) -> None:
    await check(database, grpc_stub.CreateOrder, request_)


@ANY
@given(request_=messages(pb.ListOrdersRequest))
async def test_any_list(grpc_stub: Stub, database: Database, request_: Message) -> None:
    await check(database, grpc_stub.ListOrders, request_)


@ANY
@given(
    kind=st.sampled_from(
        [
            ("ConfirmOrder", pb.ConfirmOrderRequest),
            ("CancelOrder", pb.CancelOrderRequest),
            ("GetOrder", pb.GetOrderRequest),
        ]
    ),
    data=st.data(),
)
async def test_any_request_by_id(
    grpc_stub: Stub, database: Database, kind: tuple[str, type[Message]], data: st.DataObject
) -> None:
    name, request = kind
    await check(database, getattr(grpc_stub, name), data.draw(messages(request)))


async def test_a_message_beyond_the_limit_is_turned_away(
    grpc_stub: Stub, database: Database
) -> None:
    before = await database.read(everything)
    with pytest.raises(grpc.aio.AioRpcError) as turned_away:
        await grpc_stub.CreateOrder(pb.CreateOrderRequest(customer_id="x" * (5 * 1024 * 1024)))
    assert grpc.StatusCode.RESOURCE_EXHAUSTED is turned_away.value.code()
    assert before == await database.read(everything)


async def test_a_nul_in_any_text_is_named(grpc_stub: Stub) -> None:
    """PostgreSQL has no text that holds one."""
    found = []
    for path, request in with_nul(create_request(new_id())):
        assert [path] == fields(await refusal(grpc_stub.CreateOrder(request)))
        found.append(path)
    assert {"order_id", "items[1].sku", "delivery_address.lines[1]"} <= set(found)
    for path, listing in with_nul(pb.ListOrdersRequest(customer_id="x")):
        assert path in fields(await refusal(grpc_stub.ListOrders(listing)))
