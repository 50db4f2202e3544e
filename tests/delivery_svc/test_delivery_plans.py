"""A page of deliveries costs what a page costs, however many deliveries there are."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from chassis.database import Database
from chassis.listings import Listing
from delivery_svc.store import select_deliveries
from tests.chassis.plans import PAGES, SEVERAL_STATES, Plan, fill, plan_of

INDEXES = {
    "by_time": "deliveries_by_time",
    "by_state": "deliveries_by_state",
    "by_subject": "deliveries_by_order",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(new_database_url: Callable[[], str]) -> AsyncIterator[Database]:
    """Full of deliveries."""
    database = Database.open(
        new_database_url(), name="delivery", migrations="delivery_svc.migrations"
    )
    with database.engine.begin() as connection:
        fill(connection, "deliveries", key="delivery_id", subject="order_id")
    yield database
    await database.close()


async def plan(database: Database, listing: Listing) -> Plan:
    return await database.read(lambda it: plan_of(it, lambda on: select_deliveries(on, listing)))


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
    assert ["deliveries_by_state"] * 2 == told.indexes
    assert not told.reads_through
    assert told.sorts_at_most(2 * (listing.limit + 1))
    assert 3 == told.sql.count("LIMIT")
