"""Requests that are right, to be sent as they are or spoilt."""

import itertools

from oms.common.v1.address_pb2 import Address
from oms.common.v1.money_pb2 import Money
from oms.order.v1.order_pb2 import OrderItem
from oms.order.v1.order_service_pb2 import CreateOrderRequest

_numbers = itertools.count(1)


def new_id() -> str:
    """An id that no test of this run has used."""
    return f"ord_test-{next(_numbers):06}"


def item(
    sku: str = "BOOK", quantity: int = 2, minor_units: int = 1_250, currency_code: str = "USD"
) -> OrderItem:
    price = Money(currency_code=currency_code, minor_units=minor_units)
    return OrderItem(sku=sku, quantity=quantity, unit_price=price)


def address() -> Address:
    return Address(
        recipient="Ada",
        lines=["1 Market St", "Floor 2"],
        locality="San Francisco",
        region="CA",
        postal_code="94105",
        country_code="US",
    )


def create_request(order_id: str = "", *items: OrderItem) -> CreateOrderRequest:
    return CreateOrderRequest(
        order_id=order_id,
        customer_id="c1",
        items=items or [item(), item("PEN", 3, 150)],
        delivery_address=address(),
    )
