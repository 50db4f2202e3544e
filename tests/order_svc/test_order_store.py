"""Orders in their table."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.database import Database
from order_svc import store
from order_svc.domain import Address, Content, Item, Money, Order, State

# No request gets as far as this with a NUL in it, which PostgreSQL has no text for.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
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
