"""Payments as callers see them.

Invariant: a message says of a payment exactly what the domain says of it. It must never show what
is not committed: it is given only what was.
"""

from typing import Final

from chassis.purging import Kept
from chassis.timestamps import to_timestamp
from oms.common.v1 import money_pb2
from oms.payment.v1 import payment_pb2, payment_service_pb2
from payment_svc.domain import Asking, Payment, Release, State

_STATES: Final = {
    State.PENDING: payment_pb2.PAYMENT_STATE_PENDING,
    State.HELD: payment_pb2.PAYMENT_STATE_HELD,
    State.CONFIRMED: payment_pb2.PAYMENT_STATE_CONFIRMED,
    State.DECLINED: payment_pb2.PAYMENT_STATE_DECLINED,
    State.CANCELLED: payment_pb2.PAYMENT_STATE_CANCELLED,
}
_ASKING: Final = {
    None: payment_pb2.PAYMENT_GATEWAY_REQUEST_UNSPECIFIED,
    Asking.HOLD: payment_pb2.PAYMENT_GATEWAY_REQUEST_HOLD,
    Asking.CAPTURE: payment_pb2.PAYMENT_GATEWAY_REQUEST_CAPTURE,
    Asking.RELEASE: payment_pb2.PAYMENT_GATEWAY_REQUEST_RELEASE,
}
_RELEASES: Final = {
    Release.NOTHING: payment_pb2.PAYMENT_RELEASE_UNSPECIFIED,
    Release.VOIDED: payment_pb2.PAYMENT_RELEASE_VOIDED,
    Release.REFUNDED: payment_pb2.PAYMENT_RELEASE_REFUNDED,
}


def payment_message(payment: Payment) -> payment_pb2.Payment:
    """A payment."""
    message = payment_pb2.Payment(
        payment_id=payment.payment_id,
        state=_STATES[payment.state],
        pending_gateway_request=_ASKING[payment.asking],
        decline_reason="" if payment.decline is None else payment.decline.reason,
        release=_RELEASES[payment.release],
        create_time=to_timestamp(payment.create_time_us),
        update_time=to_timestamp(payment.update_time_us),
    )
    content = payment.content
    if content is not None:
        message.order_id = content.order_id
        message.payment_method = content.payment_method
        message.amount.CopyFrom(
            money_pb2.Money(
                currency_code=content.amount.currency_code,
                minor_units=content.amount.minor_units,
            )
        )
    return message


def kept_message(kept: Kept[Payment]) -> payment_service_pb2.KeptPayment:
    """A payment that was not purged."""
    message = payment_service_pb2.KeptPayment(payment_id=kept.entity_id, reason=kept.reason)
    if kept.entity is not None:
        message.state = _STATES[kept.entity.state]
        message.pending_gateway_request = _ASKING[kept.entity.asking]
    return message
