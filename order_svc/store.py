"""Where orders are kept: one row each, in `orders`.

Invariant: an order that was written reads back equal. It must never read items for a list.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from chassis.listings import Listing, select_page
from chassis.rows import RowTable
from chassis.statements import Row, to_json
from order_svc.domain import Address, Content, Item, Money, Order, State

_ORDERS: Final = sa.Table(
    "orders",
    sa.MetaData(),
    sa.Column("order_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger),
    sa.Column("state", sa.Text),
    sa.Column("customer_id", sa.Text),
    sa.Column("currency_code", sa.Text),
    sa.Column("total_minor_units", sa.BigInteger),
    sa.Column("create_time_us", sa.BigInteger),
    sa.Column("update_time_us", sa.BigInteger),
    sa.Column("items", sa.Text),
    sa.Column("delivery_address", sa.Text),
)
_SUMMARY: Final = (*tuple(_ORDERS.c)[:8], _ORDERS.c.delivery_address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """An order as a list shows it, without its items. A tombstone has none of what may be None."""

    order_id: str
    state: State
    customer_id: str | None
    total: Money | None
    delivery_address: Address | None
    create_time_us: int
    update_time_us: int


def table() -> RowTable[Order]:
    """Orders as entities."""
    return RowTable(
        _ORDERS,
        key="order_id",
        mutable=("state", "update_time_us"),
        to_row=_to_row,
        from_row=_from_row,
    )


def select_summaries(connection: sa.Connection, listing: Listing) -> tuple[list[Summary], bool]:
    """One page of orders, and whether there are more behind it."""
    rows, more = select_page(
        connection,
        _SUMMARY,
        listing,
        key=_ORDERS.c.order_id,
        create_time_us=_ORDERS.c.create_time_us,
        state=_ORDERS.c.state,
        subject=_ORDERS.c.customer_id,
    )
    return [_summary(row) for row in rows], more


def _summary(row: Row) -> Summary:
    order_id, _version, state, customer_id, currency_code, minor_units = row[:6]
    created, updated, address = row[6:]
    total = None
    if currency_code is not None:
        total = Money(currency_code=currency_code, minor_units=minor_units)
    return Summary(
        order_id=order_id,
        state=State(state),
        customer_id=customer_id,
        total=total,
        delivery_address=None if address is None else _address(json.loads(address)),
        create_time_us=created,
        update_time_us=updated,
    )


def _to_row(order: Order) -> Row:
    content = order.content
    head = (order.order_id, order.version, order.state.value)
    times = (order.create_time_us, order.update_time_us)
    if content is None:
        return (*head, None, None, None, *times, None, None)
    total = content.total
    address = content.delivery_address
    return (
        *head,
        content.customer_id,
        total.currency_code,
        total.minor_units,
        *times,
        # All in the currency of the total.
        to_json([[it.sku, it.quantity, it.unit_price.minor_units] for it in content.items]),
        to_json(
            {
                "recipient": address.recipient,
                "lines": address.lines,
                "locality": address.locality,
                "region": address.region,
                "postal_code": address.postal_code,
                "country_code": address.country_code,
            }
        ),
    )


def _from_row(row: Row) -> Order:
    order_id, version, state, customer_id, currency_code, minor_units, created, updated = row[:8]
    content = None
    if customer_id is not None:
        items, address = row[8:]
        content = Content(
            customer_id=customer_id,
            items=tuple(_item(it, currency_code) for it in json.loads(items)),
            total=Money(currency_code=currency_code, minor_units=minor_units),
            delivery_address=_address(json.loads(address)),
        )
    return Order(
        order_id=order_id,
        content=content,
        state=State(state),
        create_time_us=created,
        update_time_us=updated,
        version=version,
    )


def _item(stored: list[Any], currency_code: str) -> Item:
    sku, quantity, minor_units = stored
    unit_price = Money(currency_code=currency_code, minor_units=minor_units)
    return Item(sku=sku, quantity=quantity, unit_price=unit_price)


def _address(stored: dict[str, Any]) -> Address:
    return Address(**(stored | {"lines": tuple(stored["lines"])}))
