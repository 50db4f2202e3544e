"""The payment service as a participant: process_payment, confirm_payment, cancel_payment.

Invariant: an OK counts only where it is about the payment that was asked about, in a state that was
asked for. This module must never decide what follows.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from grpc import aio

from chassis.calls import unregistered
from oms.common.v1 import money_pb2
from oms.payment.v1 import payment_pb2, payment_service_pb2, payment_service_pb2_grpc
from orchestrator.action import Action, ActionCall
from orchestrator.breaker import Breaker
from orchestrator.order_process import order_id_of, payment_id_of
from orchestrator.participants.participant import OUTSTANDING_MAX, Contradiction, Participant
from orchestrator.saga.events import JSON

SERVICE: Final = "oms.payment.v1.PaymentService"

_PROCESSED = frozenset({payment_pb2.PAYMENT_STATE_HELD, payment_pb2.PAYMENT_STATE_CONFIRMED})
_CONFIRMED = frozenset({payment_pb2.PAYMENT_STATE_CONFIRMED})
# One that was declined holds nothing either.
_CANCELLED = frozenset({payment_pb2.PAYMENT_STATE_CANCELLED, payment_pb2.PAYMENT_STATE_DECLINED})


class PaymentParticipant:
    """Makes attempts at the payment service's actions."""

    def __init__(
        self,
        channel: aio.Channel,
        *,
        outstanding_max: int = OUTSTANDING_MAX,
        breaker: Breaker | None = None,
    ) -> None:
        self._stub = payment_service_pb2_grpc.PaymentServiceStub(unregistered(channel))
        self._participant = Participant("payment", outstanding_max=outstanding_max, breaker=breaker)

    def actions(self) -> Mapping[str, Action]:
        """What the order process calls by these names."""
        make = self._participant.action
        return {
            # Has the order's total held.
            "process_payment": make(self._stub.CreatePayment, _create_request, _read_processed),
            # Has what is held taken.
            "confirm_payment": make(self._stub.ConfirmPayment, _confirm_request, _read_confirmed),
            # Has the money released or given back, or sees to it that none is ever held.
            "cancel_payment": make(self._stub.CancelPayment, _cancel_request, _read_cancelled),
        }


def _create_request(call: ActionCall) -> payment_service_pb2.CreatePaymentRequest:
    return payment_service_pb2.CreatePaymentRequest(
        payment_id=payment_id_of(call.process_id),
        order_id=order_id_of(call.process_id),
        amount=_total(call),
        payment_method=str(call.input["payment_method"]),
    )


def _confirm_request(call: ActionCall) -> payment_service_pb2.ConfirmPaymentRequest:
    return payment_service_pb2.ConfirmPaymentRequest(payment_id=payment_id_of(call.process_id))


def _cancel_request(call: ActionCall) -> payment_service_pb2.CancelPaymentRequest:
    return payment_service_pb2.CancelPaymentRequest(payment_id=payment_id_of(call.process_id))


def _total(call: ActionCall) -> money_pb2.Money:
    """What the order costs: the order service's word, not the orchestrator's own sum."""
    created: Any = call.results["create_order"]
    return money_pb2.Money(**created["total"])


def _read_processed(call: ActionCall, reply: payment_service_pb2.CreatePaymentResponse) -> JSON:
    _check(call, reply.payment, _PROCESSED)
    if reply.payment.amount != _total(call):
        raise Contradiction("the payment service answered a payment of another amount")
    return None


def _read_confirmed(call: ActionCall, reply: payment_service_pb2.ConfirmPaymentResponse) -> JSON:
    _check(call, reply.payment, _CONFIRMED)
    return None


def _read_cancelled(call: ActionCall, reply: payment_service_pb2.CancelPaymentResponse) -> JSON:
    _check(call, reply.payment, _CANCELLED)
    return None


def _check(
    call: ActionCall,
    payment: payment_pb2.Payment,
    states: Collection[payment_pb2.PaymentState.ValueType],
) -> None:
    if payment.payment_id != payment_id_of(call.process_id):
        raise Contradiction("the payment service answered another payment")
    if payment.state not in states:
        raise Contradiction("the payment service answered a payment in another state")
