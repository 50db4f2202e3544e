"""The order participant, as the kit sees it.

Invariant: it says what `order_service.proto` says, as data. It must never hold a check.
"""

from collections.abc import Sequence
from typing import Final

from console.conformance.kind import Kind, Mistake, Request, Variant, Verb, clear, fill, set_to
from console.conformance.knobs import Knobs
from console.conformance.samples import (
    address,
    address_extremes,
    address_mistakes,
    id_mistakes,
    money,
    money_mistakes,
    text_mistakes,
)
from oms.order.v1 import order_service_pb2 as pb
from oms.order.v1.order_pb2 import OrderItem, OrderState

_PREFIX: Final = "ORDER_STATE_"
_INT64_MAX: Final = 2**63 - 1


def _item(
    knobs: Knobs, sku: str = "BOOK", quantity: int = 2, minor_units: int = 1_250
) -> OrderItem:
    return OrderItem(sku=sku, quantity=quantity, unit_price=money(knobs, minor_units))


def _sample(knobs: Knobs, customer_id: str) -> pb.CreateOrderRequest:
    return pb.CreateOrderRequest(
        customer_id=customer_id,
        items=[_item(knobs), _item(knobs, "PEN", 3, 199)],
        delivery_address=address(knobs),
    )


def _others(knobs: Knobs) -> Sequence[Variant]:
    return [
        Variant(says="another customer_id", make=set_to("customer_id", "another-customer")),
        Variant(says="another quantity", make=set_to("items[0].quantity", 3)),
        Variant(says="another price", make=set_to("items[1].unit_price.minor_units", 200)),
        Variant(says="another sku", make=set_to("items[1].sku", "PENCIL")),
        Variant(says="an item less", make=fill("items", [_item(knobs)])),
        Variant(says="another recipient", make=set_to("delivery_address.recipient", "Grace")),
    ]


def _extremes(knobs: Knobs) -> Sequence[Variant]:
    def largest_item(request: Request) -> None:
        set_to("items[0].quantity", 1_000_000)(request)
        set_to("items[0].sku", "s" * 128)(request)

    many = [_item(knobs, f"SKU-{number}", 1, number) for number in range(1_000)]
    return [
        Variant(says="a customer_id of 128 characters", make=set_to("customer_id", "ö" * 128)),
        Variant(says="1,000 items", make=fill("items", many)),
        Variant(says="1,000,000 of a sku of 128 characters", make=largest_item),
        Variant(says="a price of zero", make=set_to("items[0].unit_price.minor_units", 0)),
        *address_extremes("delivery_address"),
    ]


def _mistakes(knobs: Knobs) -> Sequence[Mistake]:
    many = [_item(knobs, f"SKU-{number}", 1, number) for number in range(1_001)]
    overflowing = fill("items", [_item(knobs, sku, 1, _INT64_MAX) for sku in ("A", "B")])
    mistakes = [
        *id_mistakes("order_id", required=False),
        *text_mistakes("customer_id", 128, required=True),
        Mistake(field="items", says="items: none", make=clear("items")),
        Mistake(field="items", says="items: 1,001", make=fill("items", many)),
        Mistake(field="", says="items: a total beyond int64", make=overflowing),
        *text_mistakes("items[1].sku", 128, required=True),
        *(
            Mistake(
                field="items[0].quantity",
                says=f"items[0].quantity: {quantity}",
                make=set_to("items[0].quantity", quantity),
            )
            for quantity in (0, -1, 1_000_001)
        ),
        *money_mistakes("items[1].unit_price"),
        *address_mistakes("delivery_address"),
    ]
    if knobs.other_currency:
        path = "items[1].unit_price.currency_code"
        mistakes.append(
            Mistake(
                field=path,
                says=f"{path}: other than that of the first item",
                make=set_to(path, knobs.other_currency),
            )
        )
    return mistakes


ORDER: Final = Kind(
    name="order",
    service="oms.order.v1.OrderService",
    id_prefix="ord",
    entity="order",
    entities="orders",
    subject="customer_id",
    verbs={
        "create": Verb(
            rpc="CreateOrder", request=pb.CreateOrderRequest, response=pb.CreateOrderResponse
        ),
        "confirm": Verb(
            rpc="ConfirmOrder", request=pb.ConfirmOrderRequest, response=pb.ConfirmOrderResponse
        ),
        "cancel": Verb(
            rpc="CancelOrder", request=pb.CancelOrderRequest, response=pb.CancelOrderResponse
        ),
        "get": Verb(rpc="GetOrder", request=pb.GetOrderRequest, response=pb.GetOrderResponse),
        "list": Verb(
            rpc="ListOrders", request=pb.ListOrdersRequest, response=pb.ListOrdersResponse
        ),
    },
    states={
        OrderState.Name(number).removeprefix(_PREFIX): number for number in OrderState.values()
    },
    first_state="PENDING",
    # A page of 1,000 addresses may be more than a message holds, and nobody compares them.
    list_leaves_out=("items",),
    sample=_sample,
    others=_others,
    extremes=_extremes,
    mistakes=_mistakes,
)
