"""A page of orders costs what a page costs, however many orders there are."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from chassis.database import Database
from chassis.listings import Listing
from order_svc.store import select_summaries
from tests.chassis.plans import PAGE, PAGES, SEVERAL_STATES, Plan, fill, plan_of

INDEXES = {
    "by_time": "orders_by_time",
    "by_state": "orders_by_state",
    "by_subject": "orders_by_customer",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(new_database_url: Callable[[], str]) -> AsyncIterator[Database]:
    """Full of orders."""
    database = Database.open(new_database_url(), name="order", migrations="order_svc.migrations")
    with database.engine.begin() as connection:
        fill(connection, "orders", key="order_id", subject="customer_id")
    yield database
    await database.close()


async def plan(database: Database, listing: Listing) -> Plan:
    return await database.read(lambda it: plan_of(it, lambda on: select_summaries(on, listing)))


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
    assert ["orders_by_state"] * 2 == told.indexes
    assert not told.reads_through
    assert told.sorts_at_most(2 * (listing.limit + 1))
    assert 3 == told.sql.count("LIMIT")


async def test_a_list_does_not_read_items(database: Database) -> None:
    sql = (await plan(database, PAGE)).sql
    assert "customer_id" in sql
    assert "items" not in sql
