"""Requests that are right, to be sent as they are or spoilt."""

import itertools

from oms.common.v1.address_pb2 import Address
from oms.delivery.v1.delivery_service_pb2 import CreateDeliveryRequest

_numbers = itertools.count(1)


def new_id() -> str:
    """An id that no test of this run has used."""
    return f"dlv_test-{next(_numbers):06}"


def address(country_code: str = "US") -> Address:
    return Address(
        recipient="Ada",
        lines=["1 Market St", "Floor 2"],
        locality="San Francisco",
        region="CA",
        postal_code="94105",
        country_code=country_code,
    )


def create_request(
    delivery_id: str = "", *, country_code: str = "US", order_id: str = "ord_1"
) -> CreateDeliveryRequest:
    return CreateDeliveryRequest(
        delivery_id=delivery_id, order_id=order_id, address=address(country_code)
    )
