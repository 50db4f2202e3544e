"""The payment participant, as the kit sees it.

Invariant: it says what `payment_service.proto` says, as data. It must never hold a check.
"""

from collections.abc import Sequence
from typing import Final

from console.conformance.kind import Kind, Mistake, Variant, Verb, set_to
from console.conformance.knobs import Knobs
from console.conformance.samples import id_mistakes, money, money_mistakes
from oms.payment.v1 import payment_service_pb2 as pb
from oms.payment.v1.payment_pb2 import PaymentState

_PREFIX: Final = "PAYMENT_STATE_"


def _sample(knobs: Knobs, order_id: str) -> pb.CreatePaymentRequest:
    return pb.CreatePaymentRequest(
        order_id=order_id, amount=money(knobs), payment_method=knobs.good_method
    )


def _others(knobs: Knobs) -> Sequence[Variant]:
    others = [
        Variant(says="another order_id", make=set_to("order_id", "another-order")),
        Variant(says="another amount", make=set_to("amount.minor_units", 1_251)),
    ]
    if knobs.other_currency:
        currency = set_to("amount.currency_code", knobs.other_currency)
        others.append(Variant(says="another currency", make=currency))
    if knobs.declined_method:
        method = set_to("payment_method", knobs.declined_method)
        others.append(Variant(says="another payment_method", make=method))
    return others


def _extremes(_knobs: Knobs) -> Sequence[Variant]:
    return [
        Variant(says="an order_id of 128 characters", make=set_to("order_id", "o" * 128)),
        Variant(says="an amount of zero", make=set_to("amount.minor_units", 0)),
    ]


def _mistakes(knobs: Knobs) -> Sequence[Mistake]:
    methods = {"left out": ""}
    if knobs.unknown_method:
        methods[knobs.unknown_method] = knobs.unknown_method
    return [
        *id_mistakes("payment_id", required=False),
        *id_mistakes("order_id", required=True),
        *money_mistakes("amount"),
        *(
            Mistake(
                field="payment_method",
                says=f"payment_method: {says}",
                make=set_to("payment_method", value),
            )
            for says, value in methods.items()
        ),
    ]


def _refused(knobs: Knobs) -> Variant | None:
    if not knobs.declined_method:
        return None
    return Variant(
        says=f"payment method {knobs.declined_method}",
        make=set_to("payment_method", knobs.declined_method),
    )


PAYMENT: Final = Kind(
    name="payment",
    service="oms.payment.v1.PaymentService",
    id_prefix="pay",
    entity="payment",
    entities="payments",
    subject="order_id",
    verbs={
        "create": Verb(
            rpc="CreatePayment",
            request=pb.CreatePaymentRequest,
            response=pb.CreatePaymentResponse,
        ),
        "confirm": Verb(
            rpc="ConfirmPayment",
            request=pb.ConfirmPaymentRequest,
            response=pb.ConfirmPaymentResponse,
        ),
        "cancel": Verb(
            rpc="CancelPayment",
            request=pb.CancelPaymentRequest,
            response=pb.CancelPaymentResponse,
        ),
        "get": Verb(rpc="GetPayment", request=pb.GetPaymentRequest, response=pb.GetPaymentResponse),
        "list": Verb(
            rpc="ListPayments", request=pb.ListPaymentsRequest, response=pb.ListPaymentsResponse
        ),
    },
    states={
        PaymentState.Name(number).removeprefix(_PREFIX): number for number in PaymentState.values()
    },
    first_state="HELD",
    sample=_sample,
    others=_others,
    extremes=_extremes,
    mistakes=_mistakes,
    refused=_refused,
    refused_state="DECLINED",
    refused_field="decline_reason",
    refusal_knob="declined_method",
)
