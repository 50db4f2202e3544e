"""The delivery participant, as the kit sees it.

Invariant: it says what `delivery_service.proto` says, as data. It must never hold a check.
"""

from collections.abc import Sequence
from typing import Final

from console.conformance.kind import Kind, Mistake, Variant, Verb, fill, set_to
from console.conformance.knobs import Knobs
from console.conformance.samples import address, address_extremes, address_mistakes, id_mistakes
from oms.delivery.v1 import delivery_service_pb2 as pb
from oms.delivery.v1.delivery_pb2 import DeliveryState

_PREFIX: Final = "DELIVERY_STATE_"


def _sample(knobs: Knobs, order_id: str) -> pb.CreateDeliveryRequest:
    return pb.CreateDeliveryRequest(order_id=order_id, address=address(knobs))


def _others(knobs: Knobs) -> Sequence[Variant]:
    others = [
        Variant(says="another order_id", make=set_to("order_id", "another-order")),
        Variant(says="another recipient", make=set_to("address.recipient", "Grace")),
        Variant(says="other lines", make=fill("address.lines", ["1 Market St"])),
    ]
    if knobs.unserved_country:
        country = set_to("address.country_code", knobs.unserved_country)
        others.append(Variant(says="another country", make=country))
    return others


def _extremes(_knobs: Knobs) -> Sequence[Variant]:
    return [
        Variant(says="an order_id of 128 characters", make=set_to("order_id", "o" * 128)),
        *address_extremes("address"),
    ]


def _mistakes(_knobs: Knobs) -> Sequence[Mistake]:
    return [
        *id_mistakes("delivery_id", required=False),
        *id_mistakes("order_id", required=True),
        *address_mistakes("address"),
    ]


def _refused(knobs: Knobs) -> Variant | None:
    if not knobs.unserved_country:
        return None
    return Variant(
        says=f"country {knobs.unserved_country}",
        make=set_to("address.country_code", knobs.unserved_country),
    )


DELIVERY: Final = Kind(
    name="delivery",
    service="oms.delivery.v1.DeliveryService",
    id_prefix="dlv",
    entity="delivery",
    entities="deliveries",
    subject="order_id",
    verbs={
        "create": Verb(
            rpc="CreateDelivery",
            request=pb.CreateDeliveryRequest,
            response=pb.CreateDeliveryResponse,
        ),
        "cancel": Verb(
            rpc="CancelDelivery",
            request=pb.CancelDeliveryRequest,
            response=pb.CancelDeliveryResponse,
        ),
        "get": Verb(
            rpc="GetDelivery", request=pb.GetDeliveryRequest, response=pb.GetDeliveryResponse
        ),
        "list": Verb(
            rpc="ListDeliveries",
            request=pb.ListDeliveriesRequest,
            response=pb.ListDeliveriesResponse,
        ),
    },
    states={
        DeliveryState.Name(number).removeprefix(_PREFIX): number
        for number in DeliveryState.values()
    },
    first_state="ASSIGNED",
    sample=_sample,
    others=_others,
    extremes=_extremes,
    mistakes=_mistakes,
    refused=_refused,
    refused_state="REJECTED",
    refused_field="reject_reason",
    refusal_knob="unserved_country",
)
