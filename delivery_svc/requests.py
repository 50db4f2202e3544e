"""Requests to the delivery service, checked and turned into what the domain knows.

Invariant: what comes out of here is within the limits of the contract. It must never stop at the
first thing that is wrong: a caller is told of all of it.
"""

from collections.abc import Mapping
from typing import Final

from chassis.listings import Listing, read_listing
from chassis.purging import read_ids
from chassis.validation import Violations, check_address, lines_of
from delivery_svc.domain import Address, Content, State
from oms.common.v1 import address_pb2
from oms.delivery.v1 import delivery_pb2, delivery_service_pb2

STATES: Final[Mapping[int, str]] = {
    delivery_pb2.DELIVERY_STATE_ASSIGNED: State.ASSIGNED,
    delivery_pb2.DELIVERY_STATE_REJECTED: State.REJECTED,
    delivery_pb2.DELIVERY_STATE_CANCELLED: State.CANCELLED,
}


def read_create(request: delivery_service_pb2.CreateDeliveryRequest) -> tuple[str, Content]:
    """The id, empty where one is to be drawn, and what is to be delivered.

    Raises:
        faults.Invalid: Something is wrong; every offending field is named.
    """
    violations = Violations()
    delivery_id = violations.identifier("delivery_id", request.delivery_id, required=False)
    order_id = violations.identifier("order_id", request.order_id)
    # Checked is what was read: to ask a message for a field again costs as much as all else.
    address = _read_address(request.address)
    check_address(violations, "address", request.HasField("address"), address)
    violations.raise_if_any()
    return delivery_id, Content(order_id=order_id, address=address)


def read_delivery_id(delivery_id: str) -> str:
    """The id of a delivery that is asked for.

    Raises:
        faults.Invalid: It is missing or malformed.
    """
    violations = Violations()
    violations.identifier("delivery_id", delivery_id)
    violations.raise_if_any()
    return delivery_id


def read_purge(request: delivery_service_pb2.PurgeDeliveriesRequest) -> tuple[str, ...]:
    """The ids of the deliveries that may be forgotten.

    Raises:
        faults.Invalid: Something is wrong; every offending field is named.
    """
    return read_ids("delivery_ids", request.delivery_ids)


def read_list(request: delivery_service_pb2.ListDeliveriesRequest) -> Listing:
    """Which page of deliveries is asked for.

    Raises:
        faults.Invalid: Something is wrong; every offending field is named.
    """
    violations = Violations()
    order_id = violations.identifier("order_id", request.order_id, required=False)
    listing = read_listing(
        violations,
        listed="deliveries",
        page_size=request.page_size,
        page_token=request.page_token,
        states=request.states,
        state_names=STATES,
        subject=order_id,
        create_time_after=(
            request.create_time_after if request.HasField("create_time_after") else None
        ),
        create_time_before=(
            request.create_time_before if request.HasField("create_time_before") else None
        ),
    )
    violations.raise_if_any()
    return listing


def _read_address(sent: address_pb2.Address) -> Address:
    return Address(
        recipient=sent.recipient,
        lines=lines_of(sent),
        locality=sent.locality,
        region=sent.region,
        postal_code=sent.postal_code,
        country_code=sent.country_code,
    )
