"""What a batch of calls costs a participant: one transaction of a few statements.

The last tests plant what the first would have to see.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from chassis.clock import SystemClock
from chassis.database import Database
from chassis.entities import EntityWriter
from chassis.ids import IdSource
from chassis.rows import RowTable
from delivery_svc import servicer as delivery_servicer
from delivery_svc.couriers import SqlCourierBook
from oms.order.v1.order_service_pb2 import ConfirmOrderRequest
from order_svc import servicer as order_servicer
from payment_svc.domain import Approved, Content, Money, Release
from payment_svc.gateway import PaymentGateway
from payment_svc.payments import Payments
from payment_svc.records import DatabaseRecords
from payment_svc.store import MIGRATIONS
from tests.counts.bounds import check, over
from tests.counts.harness.wire import Wire
from tests.delivery_svc.harness import deliveries
from tests.order_svc.harness import orders

Transactions: TypeAlias = Sequence[Sequence[str]]

CALLS = 16
CLOCK = SystemClock()
ANYBODY: Any = None
"""The context of a call: nobody looks at it."""


class YesGateway(PaymentGateway):
    """Says yes, at once."""

    def knows(self, *_: object) -> bool:
        return True

    async def hold(self, *_: object) -> Approved:
        return Approved()

    async def capture(self, *_: object) -> Approved:
        return Approved()

    async def release(self, *_: object) -> Release:
        return Release.VOIDED


async def of_orders(url: str, folder: Path) -> tuple[Transactions, Transactions]:
    """The transactions of 16 creations at once, and those of as many confirmations."""
    database = Database.open(url, name="order", migrations="order_svc.migrations")
    servicer = order_servicer.build(database, CLOCK, IdSource(CLOCK))
    await servicer.start()
    wire = Wire(database.engine, folder)
    requests = [orders.create_request(orders.new_id()) for _ in range(CALLS)]
    await servicer.CreateOrder(orders.create_request(), ANYBODY)
    wire.forget()
    await asyncio.gather(*(servicer.CreateOrder(it, ANYBODY) for it in requests))
    created = wire.transactions()
    wire.forget()
    confirmations = [ConfirmOrderRequest(order_id=it.order_id) for it in requests]
    await asyncio.gather(*(servicer.ConfirmOrder(it, ANYBODY) for it in confirmations))
    confirmed = wire.transactions()
    await servicer.close()
    await database.close()
    return created, confirmed


async def of_payments(url: str, folder: Path) -> Transactions:
    database = Database.open(url, name="payment", migrations=MIGRATIONS)
    payments = Payments(
        DatabaseRecords(database),
        CLOCK,
        YesGateway(),
        random=lambda: 0.5,
        gateway_timeout_seconds=86_400.0,
    )
    await payments.start()
    wire = Wire(database.engine, folder)
    content = Content(
        order_id="ord_1",
        amount=Money(currency_code="USD", minor_units=2_500),
        payment_method="pm_card_visa",
    )
    await payments.create("pay_first", content)
    wire.forget()
    await asyncio.gather(*(payments.create(f"pay_{it}", content) for it in range(CALLS)))
    created = wire.transactions()
    await payments.close()
    await database.close()
    return created


async def of_deliveries(url: str, folder: Path) -> Transactions:
    database = Database.open(url, name="delivery", migrations="delivery_svc.migrations")
    book = SqlCourierBook()
    with database.engine.begin() as connection:
        book.fill(connection, capacity=1_000, now_us=1)
    servicer = delivery_servicer.build(database, CLOCK, IdSource(CLOCK), book)
    await servicer.start()
    wire = Wire(database.engine, folder)
    requests = [deliveries.create_request(deliveries.new_id()) for _ in range(CALLS)]
    await servicer.CreateDelivery(deliveries.create_request(), ANYBODY)
    wire.forget()
    await asyncio.gather(*(servicer.CreateDelivery(it, ANYBODY) for it in requests))
    created = wire.transactions()
    await servicer.close()
    await database.close()
    return created


def statements(transactions: Transactions) -> int:
    return sum(map(len, transactions))


async def test_orders_that_come_at_once_are_one_transaction_of_a_few_statements(
    database_url: str, tmp_path: Path
) -> None:
    created, confirmed = await of_orders(database_url, tmp_path)
    kind = make_url(database_url).get_backend_name()
    check("commits for 16 CreateOrder", len(created), created)
    check("commits for 16 ConfirmOrder", len(confirmed), confirmed)
    check(f"statements for 16 CreateOrder, {kind}", statements(created), created)
    check(f"statements for 16 ConfirmOrder, {kind}", statements(confirmed), confirmed)


async def test_payments_that_come_at_once_are_two_transactions_of_a_few_statements(
    database_url: str, tmp_path: Path
) -> None:
    created = await of_payments(database_url, tmp_path)
    kind = make_url(database_url).get_backend_name()
    check("commits for 16 CreatePayment", len(created), created)
    check(f"statements for 16 CreatePayment, {kind}", statements(created), created)


async def test_deliveries_that_come_at_once_are_one_transaction_of_a_few_statements(
    database_url: str, tmp_path: Path
) -> None:
    created = await of_deliveries(database_url, tmp_path)
    kind = make_url(database_url).get_backend_name()
    check("commits for 16 CreateDelivery", len(created), created)
    check(f"statements for 16 CreateDelivery, {kind}", statements(created), created)


async def test_a_look_at_each_order_by_itself_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = RowTable.load

    def one_by_one(self: Any, connection: sa.Connection, ids: Sequence[str]) -> dict[str, Any]:
        return {key: it for each in ids for key, it in load(self, connection, [each]).items()}

    monkeypatch.setattr(RowTable, "load", one_by_one)
    created, confirmed = await of_orders(f"sqlite:///{tmp_path}/order.db", tmp_path)
    assert over("statements for 16 CreateOrder, sqlite", statements(created))
    assert over("statements for 16 ConfirmOrder, sqlite", statements(confirmed))


async def test_a_transaction_for_each_order_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("order_svc.servicer.EntityWriter", partial(EntityWriter, batch_max=1))
    created, confirmed = await of_orders(f"sqlite:///{tmp_path}/order.db", tmp_path)
    assert over("commits for 16 CreateOrder", len(created))
    assert over("commits for 16 ConfirmOrder", len(confirmed))
