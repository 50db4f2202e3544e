"""Requests to the order service, checked and turned into what the domain knows.

Invariant: what comes out of here is within the limits of the contract. It must never stop at the
first thing that is wrong: a caller is told of all of it.
"""

from collections.abc import Mapping
from typing import Final

from chassis.listings import Listing, read_listing
from chassis.purging import read_ids
from chassis.validation import Violations, check_address, check_money, lines_of
from oms.common.v1 import address_pb2
from oms.order.v1 import order_pb2, order_service_pb2
from order_svc.domain import Address, Content, DoesNotAddUp, Flaw, Item, Money, State, add_up

CUSTOMER_ID_LENGTH_MAX: Final = 128
SKU_LENGTH_MAX: Final = 128
QUANTITY_MAX: Final = 1_000_000
ITEMS_MAX: Final = 1_000

STATES: Final[Mapping[int, str]] = {
    order_pb2.ORDER_STATE_PENDING: State.PENDING,
    order_pb2.ORDER_STATE_CONFIRMED: State.CONFIRMED,
    order_pb2.ORDER_STATE_CANCELLED: State.CANCELLED,
}


def read_create(request: order_service_pb2.CreateOrderRequest) -> tuple[str, Content]:
    """The id, empty where one is to be drawn, and what is ordered.

    Raises:
        faults.Invalid: Something is wrong; every offending field is named.
    """
    violations = Violations()
    order_id = violations.identifier("order_id", request.order_id, required=False)
    customer_id = violations.key(
        "customer_id", request.customer_id, length_max=CUSTOMER_ID_LENGTH_MAX
    )
    total: Money | None = None
    items: list[Item] = []
    if not 1 <= len(request.items) <= ITEMS_MAX:
        violations.add("items", f"must have 1 to {ITEMS_MAX} entries")
    else:
        items, total = _read_items(violations, request)
    address = _read_address(request.delivery_address)
    check_address(violations, "delivery_address", request.HasField("delivery_address"), address)
    violations.raise_if_any()
    assert total is not None, "where there is no total there is a violation"
    return order_id, Content(
        customer_id=customer_id,
        items=tuple(items),
        total=total,
        delivery_address=address,
    )


def read_order_id(order_id: str) -> str:
    """The id of an order that is asked for.

    Raises:
        faults.Invalid: It is missing or malformed.
    """
    violations = Violations()
    violations.identifier("order_id", order_id)
    violations.raise_if_any()
    return order_id


def read_purge(request: order_service_pb2.PurgeOrdersRequest) -> tuple[str, ...]:
    """The ids of the orders that may be forgotten.

    Raises:
        faults.Invalid: Something is wrong; every offending field is named.
    """
    return read_ids("order_ids", request.order_ids)


def read_list(request: order_service_pb2.ListOrdersRequest) -> Listing:
    """Which page of orders is asked for.

    Raises:
        faults.Invalid: Something is wrong; every offending field is named.
    """
    violations = Violations()
    customer_id = violations.text(
        "customer_id", request.customer_id, length_max=CUSTOMER_ID_LENGTH_MAX, required=False
    )
    listing = read_listing(
        violations,
        listed="orders",
        page_size=request.page_size,
        page_token=request.page_token,
        states=request.states,
        state_names=STATES,
        subject=customer_id,
        create_time_after=(
            request.create_time_after if request.HasField("create_time_after") else None
        ),
        create_time_before=(
            request.create_time_before if request.HasField("create_time_before") else None
        ),
    )
    violations.raise_if_any()
    return listing


def _read_items(
    violations: Violations, request: order_service_pb2.CreateOrderRequest
) -> tuple[list[Item], Money | None]:
    """The items that are well formed by themselves, and what they add up to, if they do."""
    items: list[Item] = []
    places: list[int] = []
    for index, sent in enumerate(request.items):
        before = len(violations)
        # Checked is what was read: to ask a message for a field again costs as much as all else.
        item = _read_item(sent)
        field = f"items[{index}]"
        violations.key(f"{field}.sku", item.sku, length_max=SKU_LENGTH_MAX)
        violations.number(f"{field}.quantity", item.quantity, low=1, high=QUANTITY_MAX)
        has_price = sent.HasField("unit_price")
        check_money(violations, f"{field}.unit_price", has_price, item.unit_price)
        if len(violations) == before:
            items.append(item)
            places.append(index)
    if not items:
        return items, None
    try:
        return items, add_up(items)
    except DoesNotAddUp as error:
        for place, flaw in error.flaws:
            _add_flaw(violations, f"items[{places[place]}]", flaw, items[0].unit_price)
        return items, None


def _add_flaw(violations: Violations, field: str, flaw: Flaw, first_price: Money) -> None:
    match flaw:
        case Flaw.OTHER_CURRENCY:
            violations.add(
                f"{field}.unit_price.currency_code",
                f"must be that of the other items, {first_price.currency_code}",
            )
        case Flaw.TOTAL_TOO_LARGE:
            violations.add(field, "takes the total beyond int64; order less at a time")


def _read_item(sent: order_pb2.OrderItem) -> Item:
    price = sent.unit_price
    return Item(
        sku=sent.sku,
        quantity=sent.quantity,
        unit_price=Money(currency_code=price.currency_code, minor_units=price.minor_units),
    )


def _read_address(sent: address_pb2.Address) -> Address:
    return Address(
        recipient=sent.recipient,
        lines=lines_of(sent),
        locality=sent.locality,
        region=sent.region,
        postal_code=sent.postal_code,
        country_code=sent.country_code,
    )
