"""Two payment services on one PostgreSQL, and one ledger: one payment, one effect."""

import asyncio
import threading
from collections.abc import AsyncIterator

import grpc
import pytest_asyncio
import sqlalchemy as sa

from chassis.database import Database
from chassis.group_commit import BatchWriter
from oms.payment.v1 import payment_pb2 as m
from payment_svc.domain import ASK_LEASE_US, Money, Release
from payment_svc.records import DatabaseRecords
from payment_svc.sandbox.gateway import MIGRATIONS
from payment_svc.sandbox.ledger import Balance, Entry, Kind, Question, balances
from payment_svc.sandbox.store import LedgerTable
from tests.chassis.meeting import meet
from tests.payment_svc.harness.clock import MICROSECONDS, ManualClock
from tests.payment_svc.harness.desk import AMOUNT, PATIENCE_SECONDS, Desk, beside, refusal
from tests.payment_svc.harness.gates import Way

USD = Money(currency_code="USD", minor_units=100)
SETTLE_SECONDS = 1.0


@pytest_asyncio.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest_asyncio.fixture
async def desk(postgres_url: str, clock: ManualClock) -> AsyncIterator[Desk]:
    """Both of its databases in one schema; its settling loop has walked once, and sleeps."""
    async with Desk(
        lambda: postgres_url, clock=clock, settle_interval_seconds=SETTLE_SECONDS
    ) as opened:
        await clock.until_asleep(naps=1)
        yield opened


@pytest_asyncio.fixture
async def replica(desk: Desk, clock: ManualClock) -> AsyncIterator[Desk]:
    async with Desk(beside(desk), clock=clock, settle_interval_seconds=SETTLE_SECONDS) as opened:
        await clock.until_asleep(naps=2)
        yield opened


async def idle(desk: Desk) -> None:
    while desk.asks.under_way:
        await asyncio.wait(set(desk.asks._running.values()))


def kinds(desk: Desk, payment_id: str) -> list[Kind]:
    with desk.ledger() as view:
        return sorted(entry.kind for entry in view.entries(payment_id))


async def test_a_cancel_at_one_replica_undoes_what_another_is_holding(
    desk: Desk, replica: Desk
) -> None:
    gate = desk.gateway.shut("pay_1", Kind.HOLD, Way.BACK)
    creating = asyncio.create_task(refusal(desk.create("pay_1")))
    await gate.reached.wait()
    # The money is held, and the replica that asked does not know it yet.
    assert AMOUNT == desk.balance("pay_1").on_hold
    assert "IN_PROGRESS" == (await refusal(replica.cancel("pay_1"))).reason
    assert m.PAYMENT_STATE_CANCELLED == (await replica.cancel_until_done("pay_1")).state
    assert Balance(held=AMOUNT, captured=0, released=AMOUNT) == desk.balance("pay_1")
    gate.open()
    error = await creating
    assert (grpc.StatusCode.FAILED_PRECONDITION, "ALREADY_CANCELLED") == (error.code, error.reason)
    assert m.PAYMENT_STATE_CANCELLED == (await desk.get("pay_1")).state
    assert [Kind.HOLD, Kind.RELEASE] == kinds(desk, "pay_1")


async def test_what_a_dead_replica_was_asking_is_settled_by_another_within_its_lease(
    desk: Desk, replica: Desk, clock: ManualClock
) -> None:
    gate = desk.gateway.shut("pay_1", Kind.HOLD, Way.BACK)
    creating = asyncio.create_task(desk.create("pay_1"))
    await gate.reached.wait()
    naps = clock.naps
    await desk.crash()
    await asyncio.gather(creating, return_exceptions=True)
    clock.advance(ASK_LEASE_US / MICROSECONDS)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await clock.until_asleep(naps=naps + 1)
    await idle(replica)
    assert m.PAYMENT_STATE_HELD == (await replica.get("pay_1")).state
    assert [Kind.HOLD] == kinds(replica, "pay_1")


async def test_whoever_is_called_about_it_does_not_wait_for_the_lease_of_a_dead_replica(
    desk: Desk, replica: Desk
) -> None:
    gate = desk.gateway.shut("pay_1", Kind.HOLD, Way.BACK)
    creating = asyncio.create_task(desk.create("pay_1"))
    await gate.reached.wait()
    await desk.crash()
    await asyncio.gather(creating, return_exceptions=True)
    # The clock stands still.
    assert m.PAYMENT_STATE_HELD == (await replica.create("pay_1")).state


async def test_a_replica_that_starts_asks_what_another_is_asking_and_that_is_one_effect(
    desk: Desk, clock: ManualClock
) -> None:
    gate = desk.gateway.shut("pay_1", Kind.HOLD, Way.THERE)
    creating = asyncio.create_task(desk.create("pay_1"))
    await gate.reached.wait()
    async with Desk(beside(desk), clock=clock) as starting:
        await starting.gateway.until_asked("pay_1", Kind.HOLD)
        await idle(starting)
        assert m.PAYMENT_STATE_HELD == (await starting.get("pay_1")).state
        gate.open()
        assert m.PAYMENT_STATE_HELD == (await creating).state
        assert [Kind.HOLD] == kinds(desk, "pay_1")


async def test_of_two_replicas_that_store_an_answer_at_once_one_has_stored_it(
    desk: Desk, replica: Desk
) -> None:
    gates = [it.gateway.shut("pay_1", Kind.HOLD, Way.BACK) for it in (desk, replica)]
    creating = [asyncio.create_task(it.create("pay_1")) for it in (desk, replica)]
    for gate in gates:
        await gate.reached.wait()
    barrier = threading.Barrier(2)
    for it in (desk, replica):
        records = it.payments._records
        assert isinstance(records, DatabaseRecords)
        meet(records._table, "load", barrier)
    for gate in gates:
        gate.open()
    one, other = await asyncio.gather(*creating)
    assert one == other
    assert m.PAYMENT_STATE_HELD == one.state
    found = await desk.payments._read("pay_1")
    assert found is not None
    assert 2 == found.version


async def ask_at_once(url: str, *questions: Question, before: tuple[Question, ...] = ()) -> Balance:
    """Each is asked over a ledger of its own; all have read it when none has written."""
    databases = [Database.open(url, name="gateway", migrations=MIGRATIONS) for _ in questions]
    barrier = threading.Barrier(len(questions))
    ask(databases[0], LedgerTable(databases[0].engine.dialect), *before)

    def asked(database: Database, question: Question) -> Entry:
        table = LedgerTable(database.engine.dialect)
        meet(table, "_load", barrier)
        return ask(database, table, question)[0]

    entries = await asyncio.gather(
        *(
            asyncio.to_thread(asked, database, question)
            for database, question in zip(databases, questions, strict=True)
        )
    )
    # Asked again, each is answered as it was.
    table = LedgerTable(databases[0].engine.dialect)
    assert entries == ask(databases[0], table, *questions)
    moved = balances(
        [*ask(databases[0], table, *before), *{it.kind: it for it in entries}.values()]
    )
    for database in databases:
        await database.close()
    return moved["pay_1"]


def ask(database: Database, table: LedgerTable, *questions: Question) -> list[Entry]:
    writer = BatchWriter(database.engine, table.apply, name="gateway")
    entries = []
    for question in questions:
        (entry,) = writer.write([question])
        assert isinstance(entry, Entry)
        entries.append(entry)
    writer.close()
    return entries


def question(kind: Kind) -> Question:
    return Question(
        payment_id="pay_1",
        kind=kind,
        amount=None if kind is Kind.RELEASE else USD,
        method="pm_card_visa" if kind is Kind.HOLD else "",
        time_us=1,
    )


HOLD, CAPTURE, RELEASE = question(Kind.HOLD), question(Kind.CAPTURE), question(Kind.RELEASE)


async def test_the_same_question_at_once_has_one_entry(postgres_url: str) -> None:
    moved = await ask_at_once(postgres_url, HOLD, HOLD, HOLD)
    assert Balance(held=100, captured=0, released=0) == moved


async def test_a_hold_and_its_release_at_once_leave_nothing_held(postgres_url: str) -> None:
    assert 0 == (await ask_at_once(postgres_url, HOLD, RELEASE)).on_hold


async def test_a_capture_and_a_release_at_once_know_of_each_other(postgres_url: str) -> None:
    moved = await ask_at_once(postgres_url, CAPTURE, RELEASE, before=(HOLD,))
    assert (0, 0) == (moved.on_hold, moved.taken)
    database = Database.open(postgres_url, name="gateway", migrations=MIGRATIONS)
    table = LedgerTable(database.engine.dialect)
    capture, release = ask(database, table, CAPTURE, RELEASE)
    taken = capture.decline is None
    assert (Release.REFUNDED if taken else Release.VOIDED) is release.release
    await database.close()


async def test_where_places_are_not_taken_once_money_is_held_that_was_released(
    postgres_url: str,
) -> None:
    """Removes the mechanism: the tests above would fail."""
    database = Database.open(postgres_url, name="gateway", migrations=MIGRATIONS)
    with database.engine.begin() as connection:
        connection.execute(sa.text("DROP INDEX ledger_places"))
    await database.close()
    assert 100 == (await ask_at_once(postgres_url, HOLD, RELEASE)).on_hold
