"""Payments in a database: what was written is read back, what nobody can have written is not."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import pytest
import sqlalchemy as sa

from chassis.database import Database
from chassis.listings import Listing
from payment_svc.domain import (
    FACETS,
    Content,
    Declined,
    IllegalMove,
    Money,
    Payment,
    Release,
    Stage,
    State,
)
from payment_svc.store import MIGRATIONS, select_half_asked, select_payments, table

DECLINE = Declined(reason="NO_WAY", message="né\u00a0")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database.open(database_url, name="payment", migrations=MIGRATIONS)
    yield opened
    await opened.close()


def payment(number: int, stage: Stage = Stage.HELD, *, order_id: str = "ord_1") -> Payment:
    declined = stage in {Stage.DECLINED, Stage.CAPTURE_DECLINED}
    return Payment(
        payment_id=f"pay_{number:04}",
        content=Content(
            order_id=order_id,
            amount=Money(currency_code="JPY", minor_units=2**63 - 1),
            payment_method="pm_card_visa",
        ),
        stage=stage,
        decline=DECLINE if declined else None,
        ask_attempts=3,
        ask_due_us=number,
        create_time_us=1_000 + number // 2,
        update_time_us=2_000,
        version=1,
    )


def insert(database: Database, *payments: Payment) -> None:
    with database.engine.begin() as connection:
        table().insert(connection, payments)


def listing(
    *,
    limit: int = 100,
    after: tuple[int, str] | None = None,
    states: frozenset[str] = frozenset(),
    order_id: str = "",
    created_from_us: int | None = None,
    created_before_us: int | None = None,
) -> Listing:
    return Listing(
        listed="payments",
        limit=limit,
        after=after,
        states=states,
        subject=order_id,
        created_from_us=created_from_us,
        created_before_us=created_before_us,
    )


async def listed(database: Database, wanted: Listing) -> list[str]:
    found, _ = await database.read(lambda it: select_payments(it, wanted))
    return [it.payment_id for it in found]


EVERY = [
    *(payment(number, stage) for number, stage in enumerate(Stage)),
    replace(payment(90, Stage.CANCELLED), content=None),
    replace(payment(91, Stage.CANCELLED), release=Release.REFUNDED),
    replace(payment(92, Stage.VOIDING), decline=DECLINE),
    replace(payment(93, Stage.CANCELLED), decline=DECLINE, release=Release.VOIDED),
]


@pytest.mark.parametrize("written", EVERY, ids=lambda it: f"{it.stage}-{it.payment_id}")
async def test_a_payment_is_read_back_as_it_was_written(
    database: Database, written: Payment
) -> None:
    insert(database, written)
    found = await database.read(lambda it: table().load(it, [written.payment_id]))
    assert {written.payment_id: written} == found


@pytest.mark.parametrize("stage", Stage)
async def test_a_change_writes_all_that_can_change(database: Database, stage: Stage) -> None:
    first = payment(1)
    insert(database, first)
    changed = replace(
        payment(1, stage), release=Release.VOIDED, ask_attempts=9, ask_due_us=99, version=2
    )
    with database.engine.begin() as connection:
        assert 1 == table().update(connection, [changed])
    found = await database.read(lambda it: table().load(it, ["pay_0001"]))
    assert changed == found["pay_0001"]


async def test_a_change_over_another_version_hits_nothing(database: Database) -> None:
    insert(database, payment(1))
    with database.engine.begin() as connection:
        assert 0 == table().update(connection, [replace(payment(1), version=3)])


async def test_a_row_that_no_payment_can_have_is_a_defect(database: Database) -> None:
    insert(database, payment(1, Stage.CANCELLED))
    with database.engine.begin() as connection:
        connection.execute(sa.text("UPDATE payments SET asking = 'HOLD'"))
    with pytest.raises(IllegalMove):
        await database.read(lambda it: table().load(it, ["pay_0001"]))


async def test_what_is_half_asked_is_found_page_by_page_once_it_is_due(database: Database) -> None:
    asking = [stage for stage in Stage if FACETS[stage].asking is not None]
    insert(database, *(payment(number, asking[number % len(asking)]) for number in range(12)))
    insert(database, *(payment(100 + number, stage) for number, stage in enumerate(Stage)))

    async def walk(due_by_us: int) -> list[str]:
        found: list[str] = []
        after = ""
        while page := await database.read(
            partial(select_half_asked, due_by_us=due_by_us, after=after, limit=5)
        ):
            assert len(page) <= 5
            found += page
            after = page[-1]
        return found

    assert [f"pay_{number:04}" for number in range(8)] == await walk(7)
    assert 12 + len(asking) == len(await walk(2**63 - 1))


async def test_pages_follow_one_another_without_a_gap_also_where_times_are_equal(
    database: Database,
) -> None:
    insert(database, *(payment(number) for number in range(9)))
    pages: list[str] = []
    after: tuple[int, str] | None = None
    more = True
    while more:
        wanted = listing(limit=2, after=after)
        found, more = await database.read(partial(select_payments, listing=wanted))
        pages += [it.payment_id for it in found]
        after = (found[-1].create_time_us, found[-1].payment_id)
    assert [f"pay_{number:04}" for number in range(8, -1, -1)] == pages


async def test_every_filter_filters_and_all_of_them_must_hold(database: Database) -> None:
    insert(
        database,
        payment(0, Stage.HOLDING),
        payment(2, Stage.HELD),
        payment(4, Stage.VOIDING, order_id="ord_2"),
        payment(6, Stage.CONFIRMED, order_id="ord_2"),
    )
    held = frozenset({State.HELD.value})
    assert ["pay_0004", "pay_0002"] == await listed(database, listing(states=held))
    assert ["pay_0006", "pay_0004"] == await listed(database, listing(order_id="ord_2"))
    assert ["pay_0004"] == await listed(database, listing(order_id="ord_2", states=held))
    assert ["pay_0006", "pay_0004"] == await listed(database, listing(created_from_us=1_002))
    assert ["pay_0002", "pay_0000"] == await listed(database, listing(created_before_us=1_002))
    assert [] == await listed(database, listing(created_from_us=1_002, created_before_us=1_002))
