"""Orders as callers see them.

Invariant: a message says of an order exactly what the domain says of it. It must never show what
is not committed: it is given only what was.
"""

from typing import Final

from chassis.purging import Kept
from chassis.timestamps import to_timestamp
from oms.common.v1 import address_pb2, money_pb2
from oms.order.v1 import order_pb2, order_service_pb2
from order_svc.domain import Address, Money, Order, State
from order_svc.store import Summary

_STATES: Final = {
    State.PENDING: order_pb2.ORDER_STATE_PENDING,
    State.CONFIRMED: order_pb2.ORDER_STATE_CONFIRMED,
    State.CANCELLED: order_pb2.ORDER_STATE_CANCELLED,
}


def order_message(order: Order) -> order_pb2.Order:
    """A whole order."""
    message = order_pb2.Order(
        order_id=order.order_id,
        state=_STATES[order.state],
        create_time=to_timestamp(order.create_time_us),
        update_time=to_timestamp(order.update_time_us),
    )
    content = order.content
    if content is not None:
        message.customer_id = content.customer_id
        _put_money(message.total, content.total)
        _put_address(message.delivery_address, content.delivery_address)
        for item in content.items:
            line = message.items.add(sku=item.sku, quantity=item.quantity)
            _put_money(line.unit_price, item.unit_price)
    return message


def kept_message(kept: Kept[Order]) -> order_service_pb2.KeptOrder:
    """An order that was not purged."""
    state = order_pb2.ORDER_STATE_UNSPECIFIED if kept.entity is None else _STATES[kept.entity.state]
    return order_service_pb2.KeptOrder(order_id=kept.entity_id, state=state, reason=kept.reason)


def summary_message(summary: Summary) -> order_pb2.Order:
    """An order in a list."""
    message = order_pb2.Order(
        order_id=summary.order_id,
        state=_STATES[summary.state],
        customer_id=summary.customer_id or "",
        create_time=to_timestamp(summary.create_time_us),
        update_time=to_timestamp(summary.update_time_us),
    )
    if summary.total is not None:
        _put_money(message.total, summary.total)
    if summary.delivery_address is not None:
        _put_address(message.delivery_address, summary.delivery_address)
    return message


def _put_money(message: money_pb2.Money, money: Money) -> None:
    message.currency_code = money.currency_code
    message.minor_units = money.minor_units


def _put_address(message: address_pb2.Address, address: Address) -> None:
    message.recipient = address.recipient
    message.lines.extend(address.lines)
    message.locality = address.locality
    message.region = address.region
    message.postal_code = address.postal_code
    message.country_code = address.country_code
