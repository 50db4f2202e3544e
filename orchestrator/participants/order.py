"""The order service as a participant: create_order, confirm_order, cancel_order.

Invariant: an OK counts only where it is about the order that was asked about, in a state that was
asked for. This module must never decide what follows.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from grpc import aio

from chassis.calls import unregistered
from chassis.json_text import Written
from oms.order.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from orchestrator.action import Action, ActionCall
from orchestrator.breaker import Breaker
from orchestrator.order_process import order_id_of
from orchestrator.participants.participant import OUTSTANDING_MAX, Contradiction, Participant
from orchestrator.placed_order import Money
from orchestrator.saga.events import JSON

SERVICE: Final = "oms.order.v1.OrderService"

_CREATED = frozenset({order_pb2.ORDER_STATE_PENDING, order_pb2.ORDER_STATE_CONFIRMED})
_CONFIRMED = frozenset({order_pb2.ORDER_STATE_CONFIRMED})
_CANCELLED = frozenset({order_pb2.ORDER_STATE_CANCELLED})


class OrderParticipant:
    """Makes attempts at the order service's actions."""

    def __init__(
        self,
        channel: aio.Channel,
        *,
        outstanding_max: int = OUTSTANDING_MAX,
        breaker: Breaker | None = None,
    ) -> None:
        self._stub = order_service_pb2_grpc.OrderServiceStub(unregistered(channel))
        self._participant = Participant("order", outstanding_max=outstanding_max, breaker=breaker)

    def actions(self) -> Mapping[str, Action]:
        """What the order process calls by these names."""
        make = self._participant.action
        return {
            # Creates the order. Gives back its total, which the payment is about.
            "create_order": make(self._stub.CreateOrder, _create_request, _read_created),
            # Confirms the order, so that it may be delivered.
            "confirm_order": make(self._stub.ConfirmOrder, _confirm_request, _read_confirmed),
            # Cancels the order, or sees to it that it is never created.
            "cancel_order": make(self._stub.CancelOrder, _cancel_request, _read_cancelled),
        }


def _create_request(call: ActionCall) -> order_service_pb2.CreateOrderRequest:
    order: Mapping[str, Any] = call.input
    return order_service_pb2.CreateOrderRequest(
        order_id=order_id_of(call.process_id),
        customer_id=order["customer_id"],
        # What a history holds of these is spelt as the messages are.
        items=order["items"],
        delivery_address=order["delivery_address"],
    )


def _confirm_request(call: ActionCall) -> order_service_pb2.ConfirmOrderRequest:
    return order_service_pb2.ConfirmOrderRequest(order_id=order_id_of(call.process_id))


def _cancel_request(call: ActionCall) -> order_service_pb2.CancelOrderRequest:
    return order_service_pb2.CancelOrderRequest(order_id=order_id_of(call.process_id))


def _read_created(call: ActionCall, reply: order_service_pb2.CreateOrderResponse) -> JSON:
    _check(call, reply.order, _CREATED)
    told = reply.order.total
    total = Money(currency_code=told.currency_code, minor_units=told.minor_units)
    if not total.currency_code or total.minor_units < 0:
        raise Contradiction("the order service answered an order without a total")
    return Written({"total": total.content()}, f'{{"total":{total.canonical()}}}')


def _read_confirmed(call: ActionCall, reply: order_service_pb2.ConfirmOrderResponse) -> JSON:
    _check(call, reply.order, _CONFIRMED)
    return None


def _read_cancelled(call: ActionCall, reply: order_service_pb2.CancelOrderResponse) -> JSON:
    _check(call, reply.order, _CANCELLED)
    return None


def _check(
    call: ActionCall, order: order_pb2.Order, states: Collection[order_pb2.OrderState.ValueType]
) -> None:
    if order.order_id != order_id_of(call.process_id):
        raise Contradiction("the order service answered another order")
    if order.state not in states:
        raise Contradiction("the order service answered an order in another state")
