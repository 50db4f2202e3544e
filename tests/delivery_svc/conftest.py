"""A delivery service on a database of its own, one per test module and kind of database."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from chassis.clock import SystemClock
from chassis.database import Database
from chassis.ids import IdSource
from delivery_svc.couriers import SqlCourierBook
from delivery_svc.servicer import DeliveryServicer, build
from oms.delivery.v1 import delivery_service_pb2_grpc


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(new_database_url: Callable[[], str]) -> AsyncIterator[Database]:
    database = Database.open(
        new_database_url(), name="delivery", migrations="delivery_svc.migrations"
    )
    with database.engine.begin() as connection:
        SqlCourierBook().fill(connection, capacity=1_000_000, now_us=1)
    yield database
    await database.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grpc_servicer(database: Database) -> AsyncIterator[DeliveryServicer]:
    clock = SystemClock()
    servicer = build(database, clock, IdSource(clock), SqlCourierBook())
    await servicer.start()
    yield servicer
    await servicer.close()


@pytest.fixture(scope="module")
def grpc_add_to_server() -> Any:
    return delivery_service_pb2_grpc.add_DeliveryServiceServicer_to_server


@pytest.fixture(scope="module")
def grpc_stub_cls() -> Any:
    return delivery_service_pb2_grpc.DeliveryServiceStub
