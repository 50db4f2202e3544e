"""What the tests of the RPCs send, and what they read out of a refusal."""

from typing import Any, TypeAlias

import grpc

from chassis.statuses import WireError
from oms.common.v1.money_pb2 import Money
from oms.payment.v1 import payment_service_pb2 as pb
from oms.payment.v1 import payment_service_pb2_grpc

# Only checkers know this class.
Stub: TypeAlias = "payment_service_pb2_grpc.PaymentServiceAsyncStub"


def creation(payment_id: str = "", method: str = "pm_card_visa", **other: Any) -> Any:
    content: dict[str, Any] = {
        "order_id": "ord_1",
        "amount": Money(currency_code="USD", minor_units=2_500),
        "payment_method": method,
    }
    return pb.CreatePaymentRequest(payment_id=payment_id, **(content | other))


def fields(error: WireError) -> list[str]:
    return [violation.field for violation in error.violations]


def told(error: WireError) -> tuple[grpc.StatusCode, str]:
    return error.code, error.reason
