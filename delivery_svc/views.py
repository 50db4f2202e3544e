"""Deliveries as callers see them.

Invariant: a message says of a delivery exactly what the domain says of it. It must never show what
is not committed: it is given only what was.
"""

from typing import Final

from chassis.purging import Kept
from chassis.timestamps import to_timestamp
from delivery_svc.domain import Delivery, State
from oms.common.v1 import address_pb2
from oms.delivery.v1 import delivery_pb2, delivery_service_pb2

_STATES: Final = {
    State.ASSIGNED: delivery_pb2.DELIVERY_STATE_ASSIGNED,
    State.REJECTED: delivery_pb2.DELIVERY_STATE_REJECTED,
    State.CANCELLED: delivery_pb2.DELIVERY_STATE_CANCELLED,
}


def delivery_message(delivery: Delivery) -> delivery_pb2.Delivery:
    """A whole delivery."""
    message = delivery_pb2.Delivery(
        delivery_id=delivery.delivery_id,
        state=_STATES[delivery.state],
        courier_id=delivery.courier_id or "",
        reject_reason=delivery.reject_reason or "",
        create_time=to_timestamp(delivery.create_time_us),
        update_time=to_timestamp(delivery.update_time_us),
    )
    content = delivery.content
    if content is not None:
        address = content.address
        message.order_id = content.order_id
        message.address.CopyFrom(
            address_pb2.Address(
                recipient=address.recipient,
                lines=address.lines,
                locality=address.locality,
                region=address.region,
                postal_code=address.postal_code,
                country_code=address.country_code,
            )
        )
    return message


def kept_message(kept: Kept[Delivery]) -> delivery_service_pb2.KeptDelivery:
    """A delivery that was not purged."""
    assert kept.entity is None, "whatever can be read is purged"
    return delivery_service_pb2.KeptDelivery(delivery_id=kept.entity_id, reason=kept.reason)
