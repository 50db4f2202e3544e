"""What callers ask, checked and freed of protobuf.

Invariant: what a function here returns holds nothing that a participant would refuse for its form.
Whether a payment method or a country is served is for the participants to say. Where something is
wrong they raise Invalid, which names all of it. This module must never touch the log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chassis.listings import Listing, read_listing
from chassis.timestamps import boundary_us
from chassis.validation import (
    INT64_MAX,
    Violations,
    check_address,
    check_money,
    lines_of,
)
from oms.orchestrator.v1 import order_process_admin_service_pb2 as admin_pb
from oms.orchestrator.v1 import order_process_pb2 as process_pb
from oms.orchestrator.v1 import order_process_service_pb2 as service_pb
from oms.order.v1 import order_pb2
from orchestrator.placed_order import Address, Item, Money, PlacedOrder
from orchestrator.saga.state import Phase

ID_LENGTH_MAX: Final = 128
ITEMS_MAX: Final = 1_000
QUANTITY_MAX: Final = 1_000_000
REASON_LENGTH_MAX: Final = 1_000
REQUESTED_BY_LENGTH_MAX: Final = 200
PARKED_DEFAULT: Final = 100
PARKED_MAX: Final = 1_000

_PHASES: Final[Mapping[int, Phase]] = {
    process_pb.ORDER_PROCESS_STATE_RUNNING: Phase.RUNNING,
    process_pb.ORDER_PROCESS_STATE_COMPENSATING: Phase.COMPENSATING,
    process_pb.ORDER_PROCESS_STATE_COMPLETED: Phase.COMPLETED,
    process_pb.ORDER_PROCESS_STATE_CANCELLED: Phase.CANCELLED,
    process_pb.ORDER_PROCESS_STATE_PARKED: Phase.PARKED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ByProcessId:
    """Asks for a process by its own id."""

    process_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ByRequestId:
    """Asks for a process by the id of the request that began it."""

    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ByOrderId:
    """Asks for a process by the id of its order."""

    order_id: str


ProcessKey = ByProcessId | ByRequestId | ByOrderId


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A process, and the revision at which somebody looked at it."""

    process_id: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedFilter:
    """Which parked processes are meant, oldest first. Empty and None let everything through."""

    step: str
    reason: str
    parked_before_us: int | None
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who asks for an intervention, and why."""

    reason: str
    requested_by: str


def names_itself(request: service_pb.StartOrderProcessRequest) -> bool:
    """Whether the id of the request is one; nothing else of it is read."""
    violations = Violations()
    _request_id(violations, request)
    return not violations


def start(request: service_pb.StartOrderProcessRequest) -> tuple[str, PlacedOrder]:
    """Reads the id of the request and the order that was placed."""
    violations = Violations()
    request_id = _request_id(violations, request)
    order = PlacedOrder(
        customer_id=violations.key("customer_id", request.customer_id, length_max=ID_LENGTH_MAX),
        items=_items(violations, request.items),
        payment_method=violations.key(
            "payment_method", request.payment_method, length_max=ID_LENGTH_MAX
        ),
        delivery_address=_address(violations, request),
    )
    violations.raise_if_any()
    return request_id, order


def process_key(request: service_pb.GetOrderProcessRequest) -> ProcessKey:
    """Reads by what a process is asked for."""
    violations = Violations()
    key: ProcessKey | None = None
    match request.WhichOneof("key"):
        case "process_id":
            violations.identifier("process_id", request.process_id)
            key = ByProcessId(process_id=request.process_id)
        case "request_id":
            violations.text("request_id", request.request_id, length_max=ID_LENGTH_MAX)
            key = ByRequestId(request_id=request.request_id)
        case "order_id":
            violations.identifier("order_id", request.order_id)
            key = ByOrderId(order_id=request.order_id)
        case None:
            violations.add("key", "is required: one of process_id, request_id and order_id")
    violations.raise_if_any()
    assert key is not None
    return key


def listing(request: service_pb.ListOrderProcessesRequest) -> Listing:
    """Reads which page is asked for."""
    violations = Violations()
    subject = violations.text(
        "customer_id", request.customer_id, length_max=ID_LENGTH_MAX, required=False
    )
    read = read_listing(
        violations,
        listed="processes",
        page_size=request.page_size,
        page_token=request.page_token,
        states=request.states,
        state_names=_PHASES,
        subject=subject,
        create_time_after=(
            request.create_time_after if request.HasField("create_time_after") else None
        ),
        create_time_before=(
            request.create_time_before if request.HasField("create_time_before") else None
        ),
    )
    violations.raise_if_any()
    return read


def watch(request: service_pb.WatchOrderProcessRequest) -> Seen:
    """Reads what is to be watched, and from which revision on."""
    violations = Violations()
    seen = Seen(
        process_id=violations.identifier("process_id", request.process_id),
        revision=violations.number("after_revision", request.after_revision, low=0, high=INT64_MAX),
    )
    violations.raise_if_any()
    return seen


def cancel(request: service_pb.CancelOrderProcessRequest) -> tuple[str, str]:
    """Reads which process is to be cancelled, and why."""
    violations = Violations()
    process_id = violations.identifier("process_id", request.process_id)
    reason = violations.text("reason", request.reason, length_max=REASON_LENGTH_MAX, required=False)
    violations.raise_if_any()
    return process_id, reason


def retry(request: admin_pb.RetryOrderProcessRequest) -> tuple[Seen | ParkedFilter, Asked]:
    """Reads what an operator wants to have tried afresh."""
    violations = Violations()
    target: Seen | ParkedFilter | None = None
    match request.WhichOneof("target"):
        case "process":
            target = _seen(violations, request.process)
        case "filter":
            target = _parked_filter(violations, request.filter)
        case None:
            violations.add("target", "is required: one of process and filter")
    asked = _asked(violations, request)
    violations.raise_if_any()
    assert target is not None
    return target, asked


def resolve(request: admin_pb.ResolveOrderProcessRequest) -> tuple[Seen, Asked]:
    """Reads what an operator has done by hand."""
    violations = Violations()
    seen: Seen | None = None
    if request.HasField("process"):
        seen = _seen(violations, request.process)
    else:
        violations.add("process", "is required")
    asked = _asked(violations, request)
    violations.raise_if_any()
    assert seen is not None
    return seen, asked


def _request_id(violations: Violations, request: service_pb.StartOrderProcessRequest) -> str:
    return violations.key("request_id", request.request_id, length_max=ID_LENGTH_MAX)


def _items(violations: Violations, items: Sequence[order_pb2.OrderItem]) -> tuple[Item, ...]:
    if not 1 <= len(items) <= ITEMS_MAX:
        violations.add("items", f"must have 1 to {ITEMS_MAX} entries")
        return ()
    found_before = len(violations)
    read = [_item(violations, index, item) for index, item in enumerate(items)]
    currency_code = read[0].unit_price.currency_code
    total = 0
    for index, item in enumerate(read):
        price = item.unit_price
        if price.currency_code and price.currency_code != currency_code:
            violations.add(
                f"items[{index}].unit_price.currency_code",
                "must be the currency of the first item: an order is in one currency",
            )
        total += item.quantity * price.minor_units
    if len(violations) == found_before and total > INT64_MAX:
        violations.add("items", f"must add up to at most {INT64_MAX} minor units")
    return tuple(read)


def _item(violations: Violations, index: int, item: order_pb2.OrderItem) -> Item:
    # Checked is what was read: to ask a message for a field again costs as much as all else here.
    unit_price = item.unit_price
    read = Item(
        sku=item.sku,
        quantity=item.quantity,
        unit_price=Money(
            currency_code=unit_price.currency_code, minor_units=unit_price.minor_units
        ),
    )
    field = f"items[{index}]"
    violations.key(f"{field}.sku", read.sku, length_max=ID_LENGTH_MAX)
    violations.number(f"{field}.quantity", read.quantity, low=1, high=QUANTITY_MAX)
    check_money(violations, f"{field}.unit_price", item.HasField("unit_price"), read.unit_price)
    return read


def _address(violations: Violations, request: service_pb.StartOrderProcessRequest) -> Address:
    address = request.delivery_address
    read = Address(
        recipient=address.recipient,
        lines=lines_of(address),
        locality=address.locality,
        region=address.region,
        postal_code=address.postal_code,
        country_code=address.country_code,
    )
    check_address(violations, "delivery_address", request.HasField("delivery_address"), read)
    return read


def _seen(violations: Violations, process: admin_pb.OrderProcessRevision) -> Seen:
    return Seen(
        process_id=violations.identifier("process.process_id", process.process_id),
        revision=violations.number("process.revision", process.revision, low=1, high=INT64_MAX),
    )


def _parked_filter(
    violations: Violations, parked: admin_pb.ParkedOrderProcessFilter
) -> ParkedFilter:
    return ParkedFilter(
        step=violations.text("filter.step", parked.step, length_max=ID_LENGTH_MAX, required=False),
        reason=violations.text(
            "filter.reason", parked.reason, length_max=ID_LENGTH_MAX, required=False
        ),
        parked_before_us=(
            boundary_us(violations, "filter.parked_before", parked.parked_before)
            if parked.HasField("parked_before")
            else None
        ),
        limit=violations.number("filter.limit", parked.limit, low=0, high=PARKED_MAX)
        or PARKED_DEFAULT,
    )


def _asked(
    violations: Violations,
    request: admin_pb.RetryOrderProcessRequest | admin_pb.ResolveOrderProcessRequest,
) -> Asked:
    return Asked(
        reason=violations.text("reason", request.reason, length_max=REASON_LENGTH_MAX),
        requested_by=violations.text(
            "requested_by", request.requested_by, length_max=REQUESTED_BY_LENGTH_MAX
        ),
    )
