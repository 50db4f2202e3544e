"""Orders as callers write them.

Invariant: every order that is not asked for by name is a new one, so that tests share a system
without meeting.
"""

import uuid

from oms.common.v1.address_pb2 import Address
from oms.common.v1.money_pb2 import Money
from oms.orchestrator.v1.order_process_service_pb2 import StartOrderProcessRequest
from oms.order.v1.order_pb2 import OrderItem


def fresh(prefix: str) -> str:
    """An id nobody else has, telling what it is for."""
    return f"{prefix}-{uuid.uuid4().hex}"


def usd(minor_units: int) -> Money:
    """An amount of US dollars, in cents."""
    return Money(currency_code="USD", minor_units=minor_units)


def address(country_code: str = "US") -> Address:
    """An address in that country."""
    return Address(
        recipient="Ada",
        lines=["1 Market St"],
        locality="San Francisco",
        postal_code="94105",
        country_code=country_code,
    )


def order(
    *,
    request_id: str | None = None,
    customer_id: str | None = None,
    quantity: int = 2,
    payment_method: str = "pm_card_visa",
    country_code: str = "US",
) -> StartOrderProcessRequest:
    """Two books at 12.50 USD, unless told otherwise."""
    return StartOrderProcessRequest(
        request_id=fresh("req") if request_id is None else request_id,
        customer_id=fresh("cust") if customer_id is None else customer_id,
        items=[OrderItem(sku="BOOK", quantity=quantity, unit_price=usd(1_250))],
        payment_method=payment_method,
        delivery_address=address(country_code),
    )
