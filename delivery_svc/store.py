"""Where deliveries are kept: one row each, in `deliveries`, beside the couriers.

Invariant: a delivery and the load of its courier are written in one transaction, or neither is. It
must never assign by anything but the courier book.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import sqlalchemy as sa

from chassis.entities import change_all
from chassis.group_commit import GroupCommit, Missed
from chassis.listings import Listing, select_page
from chassis.rows import RowTable
from chassis.statements import Row, to_json
from delivery_svc.couriers import CourierBook
from delivery_svc.domain import Address, Content, Couriers, Delivery, State

_DELIVERIES: Final = sa.Table(
    "deliveries",
    sa.MetaData(),
    sa.Column("delivery_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger),
    sa.Column("state", sa.Text),
    sa.Column("order_id", sa.Text),
    sa.Column("courier_id", sa.Text),
    sa.Column("reject_reason", sa.Text),
    sa.Column("create_time_us", sa.BigInteger),
    sa.Column("update_time_us", sa.BigInteger),
    sa.Column("address", sa.Text),
)


Transition: TypeAlias = Callable[[Delivery | None, Couriers], Delivery | None]
"""None: there is to be none any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is to become of a delivery. `country_code` is where it may need a courier, or None."""

    delivery_id: str
    country_code: str | None
    transition: Transition


Writer: TypeAlias = GroupCommit[Change, Delivery | None]


def table() -> RowTable[Delivery]:
    """Deliveries as entities."""
    return RowTable(
        _DELIVERIES,
        key="delivery_id",
        mutable=("state", "update_time_us"),
        to_row=_to_row,
        from_row=_from_row,
    )


def open_writer(engine: sa.Engine, deliveries: RowTable[Delivery], book: CourierBook) -> Writer:
    """Writes deliveries and couriers, many in one transaction. Not started yet."""
    return GroupCommit(engine, partial(apply, deliveries, book), name="delivery")


def apply(
    deliveries: RowTable[Delivery],
    book: CourierBook,
    connection: sa.Connection,
    changes: Sequence[Change],
) -> list[Delivery | Exception | None]:
    """Runs `changes` in order, each seeing what the ones before it did; one entry a change.

    Raises:
        Missed: A delivery or a courier was written by somebody else meanwhile.
    """
    loaded = deliveries.load(connection, list({it.delivery_id for it in changes}))
    wanted = Counter(
        it.country_code
        for it in changes
        if it.country_code is not None and it.delivery_id not in loaded
    )
    # A Create frees nobody. Who is freed works where the delivery goes.
    assigned = {
        it.courier_id: it.content.address.country_code
        for it in (
            loaded.get(change.delivery_id) for change in changes if change.country_code is None
        )
        if it is not None
        and it.state is State.ASSIGNED
        and it.courier_id is not None
        and it.content is not None
    }
    couriers = book.open(
        connection,
        countries={*wanted, *assigned.values()},
        wanted=wanted,
        courier_ids=assigned.keys(),
    )
    replies = change_all(
        deliveries,
        connection,
        [(it.delivery_id, _with_couriers(it.transition, couriers)) for it in changes],
        loaded=loaded,
    )
    if not couriers.close(connection):
        # Whose courier it was is not known: all are decided again.
        raise Missed(range(len(changes)))
    return replies


def select_deliveries(connection: sa.Connection, listing: Listing) -> tuple[list[Delivery], bool]:
    """One page of deliveries, and whether there are more behind it."""
    rows, more = select_page(
        connection,
        tuple(_DELIVERIES.c),
        listing,
        key=_DELIVERIES.c.delivery_id,
        create_time_us=_DELIVERIES.c.create_time_us,
        state=_DELIVERIES.c.state,
        subject=_DELIVERIES.c.order_id,
    )
    return [_from_row(row) for row in rows], more


def _with_couriers(
    transition: Transition, couriers: Couriers
) -> Callable[[Delivery | None], Delivery | None]:
    return lambda delivery: transition(delivery, couriers)


def _to_row(delivery: Delivery) -> Row:
    content = delivery.content
    return (
        delivery.delivery_id,
        delivery.version,
        delivery.state.value,
        None if content is None else content.order_id,
        delivery.courier_id,
        delivery.reject_reason,
        delivery.create_time_us,
        delivery.update_time_us,
        None if content is None else _address_text(content.address),
    )


def _from_row(row: Row) -> Delivery:
    delivery_id, version, state, order_id, courier_id, reject_reason, created, updated, sent = row
    content = None
    if order_id is not None:
        content = Content(order_id=order_id, address=_address(json.loads(sent)))
    return Delivery(
        delivery_id=delivery_id,
        content=content,
        state=State(state),
        courier_id=courier_id,
        reject_reason=reject_reason,
        create_time_us=created,
        update_time_us=updated,
        version=version,
    )


def _address_text(address: Address) -> str:
    return to_json(
        {
            "recipient": address.recipient,
            "lines": address.lines,
            "locality": address.locality,
            "region": address.region,
            "postal_code": address.postal_code,
            "country_code": address.country_code,
        }
    )


def _address(stored: dict[str, Any]) -> Address:
    return Address(**(stored | {"lines": tuple(stored["lines"])}))
