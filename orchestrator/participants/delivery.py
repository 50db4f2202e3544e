"""The delivery service as a participant: process_delivery, cancel_delivery.

Invariant: an OK counts only where it is about the delivery that was asked about, in a state that
was asked for. This module must never decide what follows.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from grpc import aio

from chassis.calls import unregistered
from oms.delivery.v1 import delivery_pb2, delivery_service_pb2, delivery_service_pb2_grpc
from orchestrator.action import Action, ActionCall
from orchestrator.breaker import Breaker
from orchestrator.order_process import delivery_id_of, order_id_of
from orchestrator.participants.participant import OUTSTANDING_MAX, Contradiction, Participant
from orchestrator.saga.events import JSON

SERVICE: Final = "oms.delivery.v1.DeliveryService"

_ASSIGNED = frozenset({delivery_pb2.DELIVERY_STATE_ASSIGNED})
# One that was rejected has no courier either.
_CANCELLED = frozenset(
    {delivery_pb2.DELIVERY_STATE_CANCELLED, delivery_pb2.DELIVERY_STATE_REJECTED}
)


class DeliveryParticipant:
    """Makes attempts at the delivery service's actions."""

    def __init__(
        self,
        channel: aio.Channel,
        *,
        outstanding_max: int = OUTSTANDING_MAX,
        breaker: Breaker | None = None,
    ) -> None:
        self._stub = delivery_service_pb2_grpc.DeliveryServiceStub(unregistered(channel))
        self._participant = Participant(
            "delivery", outstanding_max=outstanding_max, breaker=breaker
        )

    def actions(self) -> Mapping[str, Action]:
        """What the order process calls by these names."""
        make = self._participant.action
        return {
            # Has a courier assigned. Gives back which.
            "process_delivery": make(self._stub.CreateDelivery, _create_request, _read_assigned),
            # Frees the courier, or sees to it that none is ever assigned.
            "cancel_delivery": make(self._stub.CancelDelivery, _cancel_request, _read_cancelled),
        }


def _create_request(call: ActionCall) -> delivery_service_pb2.CreateDeliveryRequest:
    # What a history holds of it is spelt as the message is.
    address: Any = call.input["delivery_address"]
    return delivery_service_pb2.CreateDeliveryRequest(
        delivery_id=delivery_id_of(call.process_id),
        order_id=order_id_of(call.process_id),
        address=address,
    )


def _cancel_request(call: ActionCall) -> delivery_service_pb2.CancelDeliveryRequest:
    return delivery_service_pb2.CancelDeliveryRequest(delivery_id=delivery_id_of(call.process_id))


def _read_assigned(call: ActionCall, reply: delivery_service_pb2.CreateDeliveryResponse) -> JSON:
    _check(call, reply.delivery, _ASSIGNED)
    return {"courier_id": reply.delivery.courier_id}


def _read_cancelled(call: ActionCall, reply: delivery_service_pb2.CancelDeliveryResponse) -> JSON:
    _check(call, reply.delivery, _CANCELLED)
    return None


def _check(
    call: ActionCall,
    delivery: delivery_pb2.Delivery,
    states: Collection[delivery_pb2.DeliveryState.ValueType],
) -> None:
    if delivery.delivery_id != delivery_id_of(call.process_id):
        raise Contradiction("the delivery service answered another delivery")
    if delivery.state not in states:
        raise Contradiction("the delivery service answered a delivery in another state")
