"""A payment service with its sandbox, one per test module and kind of database."""

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from chassis.clock import SystemClock
from chassis.database import Database
from chassis.ids import IdSource
from oms.payment.v1 import payment_service_pb2_grpc
from payment_svc.sandbox.gateway import SandboxGateway
from payment_svc.sandbox.store import LedgerView, open_ledger_view
from payment_svc.servicer import PaymentServicer, build
from payment_svc.store import MIGRATIONS

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def ledger_url(new_database_url: Callable[[], str]) -> str:
    return new_database_url()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grpc_servicer(
    new_database_url: Callable[[], str], ledger_url: str
) -> AsyncIterator[PaymentServicer]:
    clock = SystemClock()
    database = Database.open(new_database_url(), name="payment", migrations=MIGRATIONS)
    gateway = await SandboxGateway.open(ledger_url, clock, slow_seconds=90.0)
    servicer = build(
        database,
        clock,
        IdSource(clock),
        gateway,
        random=lambda: 0.5,
        gateway_timeout_seconds=30.0,
        settle_interval_seconds=1.0,
    )
    await servicer.start()
    yield servicer
    await servicer.close()
    await gateway.close()
    await database.close()


@pytest.fixture(scope="module")
def grpc_add_to_server() -> Any:
    return payment_service_pb2_grpc.add_PaymentServiceServicer_to_server


@pytest.fixture(scope="module")
def grpc_stub_cls() -> Any:
    return payment_service_pb2_grpc.PaymentServiceStub


@pytest.fixture(scope="module")
def ledger(ledger_url: str) -> Iterator[LedgerView]:
    with open_ledger_view(ledger_url) as view:
        yield view


@pytest.fixture
def payment_id() -> str:
    return f"pay_{next(_numbers)}"
