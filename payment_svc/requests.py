"""Requests to the payment service, checked and turned into what the domain knows.

Invariant: what comes out of here is within the limits of the contract, and the gateway knows its
payment method. It must never stop at the first thing that is wrong: a caller is told of all of it.
"""

from collections.abc import Callable, Mapping
from typing import Final

from chassis.listings import Listing, read_listing
from chassis.purging import read_ids
from chassis.validation import Violations, check_money
from oms.payment.v1 import payment_pb2, payment_service_pb2
from payment_svc.domain import Content, Money, State

METHOD_LENGTH_MAX: Final = 128

STATES: Final[Mapping[int, str]] = {
    payment_pb2.PAYMENT_STATE_PENDING: State.PENDING,
    payment_pb2.PAYMENT_STATE_HELD: State.HELD,
    payment_pb2.PAYMENT_STATE_CONFIRMED: State.CONFIRMED,
    payment_pb2.PAYMENT_STATE_DECLINED: State.DECLINED,
    payment_pb2.PAYMENT_STATE_CANCELLED: State.CANCELLED,
}


def read_create(
    request: payment_service_pb2.CreatePaymentRequest, knows: Callable[[str], bool]
) -> tuple[str, Content]:
    """The id, empty where one is to be drawn, and what is to be paid.

    Args:
        request: As sent.
        knows: Whether the gateway knows a payment method.

    Raises:
        faults.Invalid: Something is wrong; every offending field is named.
    """
    violations = Violations()
    payment_id = violations.identifier("payment_id", request.payment_id, required=False)
    order_id = violations.identifier("order_id", request.order_id)
    check_money(violations, "amount", request.HasField("amount"), request.amount)
    before = len(violations)
    method = violations.key("payment_method", request.payment_method, length_max=METHOD_LENGTH_MAX)
    if len(violations) == before and not knows(method):
        violations.add("payment_method", "must be the name of a payment method the gateway knows")
    violations.raise_if_any()
    amount = Money(
        currency_code=request.amount.currency_code, minor_units=request.amount.minor_units
    )
    return payment_id, Content(order_id=order_id, amount=amount, payment_method=method)


def read_payment_id(payment_id: str) -> str:
    """The id of a payment that is asked for.

    Raises:
        faults.Invalid: It is missing or malformed.
    """
    violations = Violations()
    violations.identifier("payment_id", payment_id)
    violations.raise_if_any()
    return payment_id


def read_purge(request: payment_service_pb2.PurgePaymentsRequest) -> tuple[str, ...]:
    """The ids of the payments that may be forgotten.

    Raises:
        faults.Invalid: Something is wrong; every offending field is named.
    """
    return read_ids("payment_ids", request.payment_ids)


def read_list(request: payment_service_pb2.ListPaymentsRequest) -> Listing:
    """Which page of payments is asked for.

    Raises:
        faults.Invalid: Something is wrong; every offending field is named.
    """
    violations = Violations()
    order_id = violations.identifier("order_id", request.order_id, required=False)
    listing = read_listing(
        violations,
        listed="payments",
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
