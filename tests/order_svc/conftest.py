"""An order service on a database of its own, one per test module and kind of database."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from chassis.clock import SystemClock
from chassis.database import Database
from chassis.ids import IdSource
from oms.order.v1 import order_service_pb2_grpc
from order_svc.servicer import OrderServicer, build


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(new_database_url: Callable[[], str]) -> AsyncIterator[Database]:
    database = Database.open(new_database_url(), name="order", migrations="order_svc.migrations")
    yield database
    await database.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grpc_servicer(database: Database) -> AsyncIterator[OrderServicer]:
    clock = SystemClock()
    servicer = build(database, clock, IdSource(clock))
    await servicer.start()
    yield servicer
    await servicer.close()


@pytest.fixture(scope="module")
def grpc_add_to_server() -> Any:
    return order_service_pb2_grpc.add_OrderServiceServicer_to_server


@pytest.fixture(scope="module")
def grpc_stub_cls() -> Any:
    return order_service_pb2_grpc.OrderServiceStub
