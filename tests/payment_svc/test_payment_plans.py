"""A page of payments costs what a page costs, however many payments there are."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
import sqlalchemy as sa

from chassis.database import Database
from chassis.listings import Listing
from payment_svc.store import select_half_asked, select_payments
from tests.chassis.plans import PAGES, SEVERAL_STATES, Plan, fill, plan_of

INDEXES = {
    "by_time": "payments_by_time",
    "by_state": "payments_by_state",
    "by_subject": "payments_by_order",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(new_database_url: Callable[[], str]) -> AsyncIterator[Database]:
    """Full of payments."""
    database = Database.open(
        new_database_url(), name="payment", migrations="payment_svc.migrations"
    )
    with database.engine.begin() as connection:
        fill(
            connection,
            "payments",
            key="payment_id",
            subject="order_id",
            cancel_requested="false",
            release="''",
            ask_attempts="0",
            ask_due_us="0",
            asking="CASE n % 100 WHEN 7 THEN 'HOLD' END",
        )
    yield database
    await database.close()


async def plan(database: Database, listing: Listing) -> Plan:
    return await database.read(lambda it: plan_of(it, lambda on: select_payments(on, listing)))


@pytest.mark.parametrize(("listing", "index"), PAGES)
async def test_a_page_comes_from_an_index(
    database: Database, listing: Listing, index: str | None
) -> None:
    told = await plan(database, listing)
    assert told.sorts_at_most(listing.limit), told
    assert not told.reads_through
    (used,) = told.indexes
    assert used in ({INDEXES[index]} if index else INDEXES.values())


@pytest.mark.parametrize("listing", SEVERAL_STATES)
async def test_of_several_states_no_more_is_sorted_than_a_page_of_each(
    database: Database, listing: Listing
) -> None:
    told = await plan(database, listing)
    assert ["payments_by_state"] * 2 == told.indexes
    assert not told.reads_through
    assert told.sorts_at_most(2 * (listing.limit + 1))
    assert 3 == told.sql.count("LIMIT")


async def test_looking_for_what_is_half_asked_reads_only_what_is(database: Database) -> None:
    def look(connection: sa.Connection) -> object:
        return select_half_asked(connection, due_by_us=5, after="id_00100", limit=100)

    told = await database.read(lambda it: plan_of(it, look))
    assert ["payments_half_asked"] == told.indexes
    assert [] == told.sorted_rows
