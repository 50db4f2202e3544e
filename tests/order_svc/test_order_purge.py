"""Orders that are over are deleted, on both databases; the others are kept, and named."""

from collections.abc import AsyncIterator
from typing import TypeAlias

import grpc
import pytest
import pytest_asyncio
import sqlalchemy as sa

from chassis.database import Database
from oms.order.v1 import order_pb2 as m
from oms.order.v1 import order_service_pb2 as pb
from oms.order.v1 import order_service_pb2_grpc
from order_svc.domain import OVER, State
from tests.chassis.refusal import fields, refusal
from tests.order_svc.harness.orders import create_request, new_id

# Only checkers know this class.
Stub: TypeAlias = "order_service_pb2_grpc.OrderServiceAsyncStub"


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgres"])
async def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path_factory.mktemp('order')}/order.db"
    if request.param == "postgres":
        url = f"{request.getfixturevalue('postgres').url()}?schema=order_purge"
    database = Database.open(url, name="order", migrations="order_svc.migrations")
    yield database
    await database.close()


async def at(stub: Stub, state: State) -> str:
    """An order in that state."""
    order_id = new_id()
    if state is not State.CANCELLED:
        await stub.CreateOrder(create_request(order_id))
    if state is State.CONFIRMED:
        await stub.ConfirmOrder(pb.ConfirmOrderRequest(order_id=order_id))
    if state is State.CANCELLED:
        await stub.CancelOrder(pb.CancelOrderRequest(order_id=order_id))
    return order_id


async def purge(stub: Stub, *order_ids: str) -> list[tuple[str, int, str]]:
    answer = await stub.PurgeOrders(pb.PurgeOrdersRequest(order_ids=order_ids))
    return [(it.order_id, it.state, it.reason) for it in answer.kept]


async def is_there(stub: Stub, order_id: str) -> bool:
    listed = await stub.ListOrders(pb.ListOrdersRequest(page_size=1_000))
    return order_id in {it.order_id for it in listed.orders}


@pytest.mark.parametrize("state", sorted(OVER))
async def test_an_order_that_is_over_is_gone(grpc_stub: Stub, state: State) -> None:
    order_id = await at(grpc_stub, state)
    assert [] == await purge(grpc_stub, order_id)
    assert not await is_there(grpc_stub, order_id)
    # And again, and one that never was.
    assert [] == await purge(grpc_stub, order_id, new_id())


async def test_an_order_that_is_pending_is_kept_and_named(grpc_stub: Stub) -> None:
    pending, confirmed = await at(grpc_stub, State.PENDING), await at(grpc_stub, State.CONFIRMED)
    kept = await purge(grpc_stub, confirmed, pending)
    assert [(pending, m.ORDER_STATE_PENDING, "NOT_OVER")] == kept
    assert await is_there(grpc_stub, pending)
    assert not await is_there(grpc_stub, confirmed)


async def test_a_thousand_go_in_one_call(grpc_stub: Stub) -> None:
    order_ids = [new_id() for _ in range(997)] + [await at(grpc_stub, State.CONFIRMED)] * 3
    assert [] == await purge(grpc_stub, *order_ids)
    assert not await is_there(grpc_stub, order_ids[-1])


async def test_a_damaged_row_is_kept_and_keeps_no_other(
    grpc_stub: Stub, database: Database
) -> None:
    damaged, sound = await at(grpc_stub, State.CONFIRMED), await at(grpc_stub, State.CONFIRMED)
    with database.engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE orders SET items = 'no' WHERE order_id = :id"), {"id": damaged}
        )
    kept = await purge(grpc_stub, damaged, sound)
    assert [(damaged, m.ORDER_STATE_UNSPECIFIED, "UNREADABLE")] == kept
    assert not await is_there(grpc_stub, sound)


async def test_after_it_a_late_cancel_leaves_a_tombstone(grpc_stub: Stub) -> None:
    order_id = await at(grpc_stub, State.CONFIRMED)
    await purge(grpc_stub, order_id)
    late = await grpc_stub.CancelOrder(pb.CancelOrderRequest(order_id=order_id))
    assert m.ORDER_STATE_CANCELLED == late.order.state
    assert not late.order.customer_id
    refused = await refusal(grpc_stub.CreateOrder(create_request(order_id)))
    assert "ALREADY_CANCELLED" == refused.reason


@pytest.mark.parametrize(
    ("order_ids", "expected"),
    [
        ([], ["order_ids"]),
        (["ord_1"] * 1_001, ["order_ids"]),
        (["ord_1", "", "no good"], ["order_ids[1]", "order_ids[2]"]),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_deleted(
    grpc_stub: Stub, order_ids: list[str], expected: list[str]
) -> None:
    error = await refusal(grpc_stub.PurgeOrders(pb.PurgeOrdersRequest(order_ids=order_ids)))
    assert grpc.StatusCode.INVALID_ARGUMENT == error.code
    assert expected == fields(error)
