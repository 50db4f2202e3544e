"""Payments that are over are deleted, on both databases; money that is held is never forgotten."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

from chassis.clock import SystemClock
from chassis.database import Database
from chassis.ids import IdSource
from oms.payment.v1 import payment_pb2 as m
from oms.payment.v1 import payment_service_pb2 as pb
from payment_svc.domain import FACETS, Payment, Stage
from payment_svc.forgetting import OVER, forget
from payment_svc.sandbox.gateway import SandboxGateway
from payment_svc.sandbox.store import LedgerView
from payment_svc.servicer import PaymentServicer, build
from payment_svc.store import MIGRATIONS
from tests.payment_svc.harness.calls import Stub, creation, fields
from tests.payment_svc.harness.desk import refusal

STATES = {
    "PENDING": m.PAYMENT_STATE_PENDING,
    "HELD": m.PAYMENT_STATE_HELD,
    "CONFIRMED": m.PAYMENT_STATE_CONFIRMED,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgres"])
async def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path_factory.mktemp('payment')}/payment.db"
    if request.param == "postgres":
        url = f"{request.getfixturevalue('postgres').url()}?schema=payment_purge"
    database = Database.open(url, name="payment", migrations=MIGRATIONS)
    yield database
    await database.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grpc_servicer(database: Database, ledger_url: str) -> AsyncIterator[PaymentServicer]:
    clock = SystemClock()
    gateway = await SandboxGateway.open(ledger_url, clock, slow_seconds=90.0)
    servicer = build(
        database,
        clock,
        IdSource(clock),
        gateway,
        random=lambda: 0.5,
        gateway_timeout_seconds=30.0,
        # What is written by hand below stays as it is.
        settle_interval_seconds=3_600.0,
    )
    await servicer.start()
    yield servicer
    await servicer.close()
    await gateway.close()


async def purge(stub: Stub, *payment_ids: str) -> list[tuple[str, int, str]]:
    answer = await stub.PurgePayments(pb.PurgePaymentsRequest(payment_ids=payment_ids))
    return [(it.payment_id, it.state, it.reason) for it in answer.kept]


async def is_there(stub: Stub, payment_id: str) -> bool:
    listed = await stub.ListPayments(pb.ListPaymentsRequest(page_size=1_000))
    return payment_id in {it.payment_id for it in listed.payments}


async def confirmed(stub: Stub, payment_id: str) -> None:
    await stub.CreatePayment(creation(payment_id))
    await stub.ConfirmPayment(pb.ConfirmPaymentRequest(payment_id=payment_id))


async def declined(stub: Stub, payment_id: str) -> None:
    await refusal(stub.CreatePayment(creation(payment_id, "pm_card_chargeDeclined")))


async def cancelled(stub: Stub, payment_id: str) -> None:
    await stub.CreatePayment(creation(payment_id))
    await stub.CancelPayment(pb.CancelPaymentRequest(payment_id=payment_id))


async def tombstone(stub: Stub, payment_id: str) -> None:
    await stub.CancelPayment(pb.CancelPaymentRequest(payment_id=payment_id))


@pytest.mark.parametrize("make", [confirmed, declined, cancelled, tombstone])
async def test_a_payment_that_is_over_is_gone_and_the_gateway_is_not_asked(
    grpc_stub: Stub, payment_id: str, ledger: LedgerView, make: Callable[[Stub, str], Any]
) -> None:
    await make(grpc_stub, payment_id)
    entries = ledger.entries(payment_id)
    assert await is_there(grpc_stub, payment_id)
    assert [] == await purge(grpc_stub, payment_id, f"{payment_id}_never_seen")
    assert not await is_there(grpc_stub, payment_id)
    assert [] == await purge(grpc_stub, payment_id)
    assert entries == ledger.entries(payment_id)


async def test_a_payment_that_is_held_is_kept_and_can_still_be_given_back(
    grpc_stub: Stub, payment_id: str, ledger: LedgerView
) -> None:
    await grpc_stub.CreatePayment(creation(payment_id))
    kept = await purge(grpc_stub, payment_id)
    assert [(payment_id, m.PAYMENT_STATE_HELD, "NOT_OVER")] == kept
    await grpc_stub.CancelPayment(pb.CancelPaymentRequest(payment_id=payment_id))
    assert 0 == ledger.balance(payment_id).on_hold


@pytest.mark.parametrize(
    ("state", "asking"),
    [("PENDING", "HOLD"), ("HELD", "CAPTURE"), ("HELD", "RELEASE"), ("CONFIRMED", "RELEASE")],
)
async def test_a_payment_of_which_something_is_being_asked_is_kept(
    grpc_stub: Stub, payment_id: str, database: Database, state: str, asking: str
) -> None:
    await confirmed(grpc_stub, payment_id)
    statement = sa.text(
        "UPDATE payments SET state = :state, asking = :asking, cancel_requested = :wish,"
        " ask_due_us = 9000000000000000 WHERE payment_id = :id"
    )
    wish = asking == "RELEASE"
    values = {"state": state, "asking": asking, "wish": wish, "id": payment_id}
    with database.engine.begin() as connection:
        connection.execute(statement, values)
    assert [(payment_id, STATES[state], "NOT_OVER")] == await purge(grpc_stub, payment_id)
    assert await is_there(grpc_stub, payment_id)


def test_only_what_asks_nothing_and_holds_nothing_is_forgotten() -> None:
    for stage, facets in FACETS.items():
        payment = Payment(
            payment_id="pay_1", content=None, stage=stage, create_time_us=1, update_time_us=1,
            version=1,
        )  # fmt: skip
        assert (None if stage in OVER else payment) == forget(payment)
        assert stage not in OVER or facets.asking is None
    assert Stage.CAPTURE_DECLINED not in OVER


async def test_a_damaged_row_is_kept_and_keeps_no_other(
    grpc_stub: Stub, payment_id: str, database: Database
) -> None:
    sound = f"{payment_id}_sound"
    await confirmed(grpc_stub, payment_id)
    await confirmed(grpc_stub, sound)
    by_id = {"id": payment_id}
    with database.engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE payments SET release = 'NO' WHERE payment_id = :id"), by_id
        )
    kept = await purge(grpc_stub, payment_id, sound)
    assert [(payment_id, m.PAYMENT_STATE_UNSPECIFIED, "UNREADABLE")] == kept
    with database.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM payments WHERE payment_id = :id"), by_id)
    assert not await is_there(grpc_stub, sound)


async def test_what_is_wrong_is_named(grpc_stub: Stub) -> None:
    for payment_ids, expected in (([], "payment_ids"), (["pay_1", ""], "payment_ids[1]")):
        request = pb.PurgePaymentsRequest(payment_ids=payment_ids)
        assert [expected] == fields(await refusal(grpc_stub.PurgePayments(request)))
