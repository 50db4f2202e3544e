"""Deliveries that are over are deleted and their couriers freed, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeAlias

import pytest
import pytest_asyncio
import sqlalchemy as sa

from chassis.database import Database
from delivery_svc.couriers import SqlCourierBook
from oms.delivery.v1 import delivery_pb2 as m
from oms.delivery.v1 import delivery_service_pb2 as pb
from oms.delivery.v1 import delivery_service_pb2_grpc
from tests.chassis.refusal import fields, refusal
from tests.delivery_svc.harness.book import loads
from tests.delivery_svc.harness.deliveries import create_request, new_id

# Only checkers know this class.
Stub: TypeAlias = "delivery_service_pb2_grpc.DeliveryServiceAsyncStub"


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgres"])
async def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path_factory.mktemp('delivery')}/delivery.db"
    if request.param == "postgres":
        url = f"{request.getfixturevalue('postgres').url()}?schema=delivery_purge"
    database = Database.open(url, name="delivery", migrations="delivery_svc.migrations")
    with database.engine.begin() as connection:
        SqlCourierBook().fill(connection, capacity=1_000, now_us=1)
    yield database
    await database.close()


async def assigned(stub: Stub, country_code: str = "US") -> str:
    delivery_id = new_id()
    await stub.CreateDelivery(create_request(delivery_id, country_code=country_code))
    return delivery_id


async def purge(stub: Stub, *delivery_ids: str) -> list[tuple[str, int, str]]:
    answer = await stub.PurgeDeliveries(pb.PurgeDeliveriesRequest(delivery_ids=delivery_ids))
    return [(it.delivery_id, it.state, it.reason) for it in answer.kept]


async def are_there(stub: Stub, *delivery_ids: str) -> list[str]:
    listed = await stub.ListDeliveries(pb.ListDeliveriesRequest(page_size=1_000))
    return sorted({it.delivery_id for it in listed.deliveries} & set(delivery_ids))


async def test_an_assigned_delivery_goes_and_its_courier_is_free(
    grpc_stub: Stub, database: Database
) -> None:
    before = await loads(database, "FR")
    ids = [await assigned(grpc_stub, "FR") for _ in range(5)]
    assert sum(before.values()) + 5 == sum((await loads(database, "FR")).values())
    assert [] == await purge(grpc_stub, *ids)
    assert before == await loads(database, "FR")
    assert [] == await are_there(grpc_stub, *ids)


async def test_a_courier_is_freed_once_however_often_a_delivery_is_purged(
    grpc_stub: Stub, database: Database
) -> None:
    await assigned(grpc_stub, "DE")
    delivery_id = await assigned(grpc_stub, "DE")
    await asyncio.gather(*(purge(grpc_stub, delivery_id, delivery_id) for _ in range(5)))
    assert 1 == sum((await loads(database, "DE")).values())


async def test_refusals_and_tombstones_go_and_free_nobody(
    grpc_stub: Stub, database: Database
) -> None:
    rejected, tombstone = new_id(), new_id()
    await refusal(grpc_stub.CreateDelivery(create_request(rejected, country_code="AQ")))
    await grpc_stub.CancelDelivery(pb.CancelDeliveryRequest(delivery_id=tombstone))
    cancelled = await assigned(grpc_stub, "IT")
    await grpc_stub.CancelDelivery(pb.CancelDeliveryRequest(delivery_id=cancelled))
    assert 3 == len(await are_there(grpc_stub, rejected, tombstone, cancelled))
    assert [] == await purge(grpc_stub, rejected, tombstone, cancelled, new_id())
    assert [] == await are_there(grpc_stub, rejected, tombstone, cancelled)
    assert 0 == sum((await loads(database, "IT")).values())


async def test_a_damaged_row_is_kept_and_keeps_no_other(
    grpc_stub: Stub, database: Database
) -> None:
    damaged, sound = await assigned(grpc_stub, "ES"), await assigned(grpc_stub, "ES")
    statement = sa.text("UPDATE deliveries SET address = 'no' WHERE delivery_id = :id")
    with database.engine.begin() as connection:
        connection.execute(statement, {"id": damaged})
    kept = await purge(grpc_stub, damaged, sound)
    assert [(damaged, m.DELIVERY_STATE_UNSPECIFIED, "UNREADABLE")] == kept
    assert 1 == sum((await loads(database, "ES")).values())
    with database.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM deliveries WHERE address = 'no'"))
    assert [] == await are_there(grpc_stub, sound)


async def test_what_is_wrong_is_named(grpc_stub: Stub) -> None:
    for delivery_ids, expected in (([], "delivery_ids"), (["dlv_1", ""], "delivery_ids[1]")):
        request = pb.PurgeDeliveriesRequest(delivery_ids=delivery_ids)
        assert [expected] == fields(await refusal(grpc_stub.PurgeDeliveries(request)))
