"""Orders in their table."""

import sqlite3
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.database import Database
from chassis.listings import Listing
from order_svc import store
from order_svc.domain import Address, Content, Item, Money, Order, State
from order_svc.store import select_summaries

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(0, 2**63 - 1)


@st.composite
def contents(draw: st.DrawFn) -> Content:
    currency_code = draw(st.sampled_from(["USD", "JPY"]))
    money = st.builds(Money, currency_code=st.just(currency_code), minor_units=numbers)
    item = st.builds(Item, sku=texts, quantity=st.integers(1, 1_000_000), unit_price=money)
    return Content(
        customer_id=draw(texts),
        items=tuple(draw(st.lists(item, min_size=1, max_size=3))),
        total=draw(money),
        delivery_address=draw(
            st.builds(
                Address,
                recipient=texts,
                lines=st.lists(texts, max_size=5).map(tuple),
                locality=texts,
                region=texts,
                postal_code=texts,
                country_code=texts,
            )
        ),
    )


orders = st.builds(
    Order,
    order_id=st.uuids().map(str),
    content=st.none() | contents(),
    state=st.sampled_from(State),
    create_time_us=numbers,
    update_time_us=numbers,
    version=st.just(1),
)


@settings(deadline=None)
@given(order=orders)
def test_an_order_that_was_written_reads_back_equal(database: Database, order: Order) -> None:
    table = store.table()
    with database.engine.connect() as connection:  # rolled back, so that an id may come again
        table.insert(connection, [order])
        assert {order.order_id: order} == table.load(connection, [order.order_id])
        moved = replace(order, state=State.CANCELLED, update_time_us=7, version=2)
        assert 1 == table.update(connection, [moved])
        assert {order.order_id: moved} == table.load(connection, [order.order_id])
        assert 0 == table.update(connection, [moved])


def traced(connection: sa.Connection, listing: Listing) -> str:
    """The SQL, values included, that a list runs."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    told: list[str] = []
    driver.set_trace_callback(told.append)
    select_summaries(connection, listing)
    driver.set_trace_callback(None)
    assert ["SELECT"] == [text.split()[0] for text in told]
    return told[-1]


PAGE = Listing(
    listed="orders",
    limit=50,
    after=(1_700, "ord_5"),
    states=frozenset(),
    subject="",
    created_from_us=None,
    created_before_us=None,
)


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({}, "orders_by_time"),
        ({"after": None}, "orders_by_time"),
        ({"subject": "c1"}, "orders_by_customer"),
        ({"subject": "c1", "after": None}, "orders_by_customer"),
        ({"states": frozenset({"PENDING"})}, "orders_by_state"),
        ({"states": frozenset({"PENDING"}), "after": None}, "orders_by_state"),
        ({"created_from_us": 1_000, "created_before_us": 1_800}, "orders_by_time"),
        ({"subject": "c1", "created_before_us": 1_800}, "orders_by_customer"),
        ({"states": frozenset({"PENDING"}), "subject": "c1"}, None),
        ({"states": frozenset({"PENDING", "CONFIRMED"}), "subject": "c1"}, None),
    ],
)
async def test_a_page_comes_from_an_index_in_order(
    database: Database, filters: dict[str, Any], index: str | None
) -> None:
    def plan(connection: sa.Connection) -> str:
        sql = traced(connection, replace(PAGE, **filters))
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}").all()
        return "; ".join(row[3] for row in rows)

    told = await database.read(plan)
    assert "TEMP B-TREE" not in told
    assert f"USING INDEX {index or 'orders_by_'}" in told


@pytest.mark.parametrize("after", [None, (1_700, "ord_5")])
async def test_of_several_states_no_more_is_sorted_than_a_page_of_each(
    database: Database, after: tuple[int, str] | None
) -> None:
    states = frozenset({"PENDING", "CONFIRMED"})
    sql = await database.read(lambda it: traced(it, replace(PAGE, after=after, states=states)))
    plan = await database.read(lambda it: it.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}").all())
    searched_in = {row.parent for row in plan if "USING INDEX orders_by_state" in row.detail}
    sorted_in = {row.parent for row in plan if "TEMP B-TREE" in row.detail}
    assert 2 == len(searched_in)
    assert set() == searched_in & sorted_in
    assert 3 == sql.count(f"LIMIT {PAGE.limit + 1}")


async def test_a_list_does_not_read_items(database: Database) -> None:
    sql = await database.read(lambda it: traced(it, PAGE))
    assert "customer_id" in sql
    assert "items" not in sql
