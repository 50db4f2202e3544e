"""The order and the delivery service, over simulated stores.

Invariant: what becomes of an order or a delivery is decided by the service's own `domain`; here it
is only kept. A row is what its store committed. Must never: answer OK for a state that was not
asked for.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final, cast

from bench.simulator.world import Ground
from delivery_svc import domain as delivery_domain
from delivery_svc.domain import Delivery
from orchestrator.action import ActionCall, ActionReply
from orchestrator.order_process import delivery_id_of, order_id_of
from orchestrator.placed_order import PlacedOrder
from orchestrator.saga.code import Code
from order_svc import domain as order_domain
from order_svc.domain import Order

ORDER: Final = "order"
DELIVERY: Final = "delivery"

ORDER_REFUSALS: Final = MappingProxyType(
    {
        order_domain.Refusal.NOT_FOUND: (Code.NOT_FOUND, "ORDER_NOT_FOUND"),
        order_domain.Refusal.ALREADY_CANCELLED: (Code.FAILED_PRECONDITION, "ALREADY_CANCELLED"),
        order_domain.Refusal.ID_REUSED: (Code.ALREADY_EXISTS, "ORDER_ID_REUSED"),
    }
)
DELIVERY_REFUSALS: Final = MappingProxyType(
    {
        delivery_domain.Refusal.NOT_FOUND: (Code.NOT_FOUND, "DELIVERY_NOT_FOUND"),
        delivery_domain.Refusal.REJECTED: (
            Code.FAILED_PRECONDITION,
            delivery_domain.NO_COURIER_AVAILABLE,
        ),
        delivery_domain.Refusal.ALREADY_CANCELLED: (
            Code.FAILED_PRECONDITION,
            "ALREADY_CANCELLED",
        ),
        delivery_domain.Refusal.ID_REUSED: (Code.ALREADY_EXISTS, "DELIVERY_ID_REUSED"),
    }
)
_OK: Final = ActionReply(code=Code.OK)
_CONTRADICTION: Final = ActionReply(code=Code.INTERNAL, reason="REPLY_CONTRADICTS")

Transition = Callable[[Order | None], Order]


class OrderDesk:
    """Keeps orders."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.rows: dict[str, Order] = {}
        self.journal: list[tuple[str, str]] = []
        """The states that were committed, by id, in order."""

    def order_id(self, call: ActionCall) -> str:
        """The order that a call is about."""
        return order_id_of(call.process_id)

    def serve(self, call: ActionCall) -> ActionReply:
        """Answers a call."""
        order_id, now_us = self.order_id(call), self._ground.clock.now_us()
        try:
            match call.action:
                case "create_order":
                    content = content_of(call)
                    order = self._change(
                        order_id,
                        lambda it: order_domain.create(it, order_id, content, now_us),
                    )
                    return ActionReply(code=Code.OK, result={"total": _total(order)})
                case "confirm_order":
                    order = self._change(
                        order_id, lambda it: order_domain.confirm(it, order_id, now_us)
                    )
                    confirmed = order.state is order_domain.State.CONFIRMED
                    return _OK if confirmed else _CONTRADICTION
                case "cancel_order":
                    order = self._change(
                        order_id, lambda it: order_domain.cancel(it, order_id, now_us)
                    )
                    cancelled = order.state is order_domain.State.CANCELLED
                    return _OK if cancelled else _CONTRADICTION
                case _:
                    raise AssertionError(f"{call.action} is not the order service's")
        except order_domain.Refused as refused:
            code, reason = ORDER_REFUSALS[refused.refusal]
            return ActionReply(code=code, reason=reason)

    def by_hand(self, order_id: str) -> None:
        """A person cancels an order."""
        now_us = self._ground.clock.now_us()
        self._store(order_id, order_domain.cancel(self.rows.get(order_id), order_id, now_us))

    def _change(self, order_id: str, transition: Transition) -> Order:
        before = self.rows.get(order_id)
        after = transition(before)
        if after is not before:
            self._ground.commit(ORDER, lambda: self._store(order_id, after))
        return after

    def _store(self, order_id: str, after: Order) -> None:
        self.rows[order_id] = after
        self.journal.append((order_id, after.state.value))


class DeliveryDesk:
    """Keeps deliveries, and couriers."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.rows: dict[str, Delivery] = {}
        self.journal: list[tuple[str, str]] = []
        """The states that were committed, by id, in order."""
        self.load: dict[str, int] = {}

    def delivery_id(self, call: ActionCall) -> str:
        """The delivery that a call is about."""
        return delivery_id_of(call.process_id)

    def serve(self, call: ActionCall) -> ActionReply:
        """Answers a call."""
        delivery_id, now_us = self.delivery_id(call), self._ground.clock.now_us()
        book = _OpenBook(self.load)
        before = self.rows.get(delivery_id)
        try:
            match call.action:
                case "process_delivery":
                    content = delivery_domain.Content(
                        order_id=order_id_of(call.process_id), address=address_of(call)
                    )
                    after = delivery_domain.create(before, delivery_id, content, book, now_us)
                case "cancel_delivery":
                    after = delivery_domain.cancel(before, delivery_id, book, now_us)
                case _:
                    raise AssertionError(f"{call.action} is not the delivery service's")
            if after is not before:
                self._ground.commit(DELIVERY, lambda: self._store(delivery_id, after, book))
            if call.action == "cancel_delivery":
                assigned = after.state is delivery_domain.State.ASSIGNED
                return _CONTRADICTION if assigned else _OK
            if after.state is delivery_domain.State.REJECTED:
                code, reason = DELIVERY_REFUSALS[delivery_domain.Refusal.REJECTED]
                return ActionReply(code=code, reason=reason)
            return ActionReply(code=Code.OK, result={"courier_id": after.courier_id})
        except delivery_domain.Refused as refused:
            code, reason = DELIVERY_REFUSALS[refused.refusal]
            return ActionReply(code=code, reason=reason)

    def by_hand(self, delivery_id: str) -> None:
        """A person cancels a delivery."""
        book = _OpenBook(self.load)
        now_us = self._ground.clock.now_us()
        after = delivery_domain.cancel(self.rows.get(delivery_id), delivery_id, book, now_us)
        self._store(delivery_id, after, book)

    def _store(self, delivery_id: str, after: Delivery, book: "_OpenBook") -> None:
        self.rows[delivery_id] = after
        self.journal.append((delivery_id, after.state.value))
        self.load.update(book.load)


class _OpenBook:
    """The couriers' loads, to be committed with the delivery."""

    def __init__(self, load: dict[str, int]) -> None:
        self.load = dict(load)

    def take(self, country_code: str) -> str | None:
        if country_code == "AQ":
            return None
        courier_id = f"courier-{country_code}"
        self.load[courier_id] = self.load.get(courier_id, 0) + 1
        return courier_id

    def free(self, courier_id: str) -> None:
        self.load[courier_id] -= 1


_contents: dict[int, tuple[object, order_domain.Content, delivery_domain.Address]] = {}
_CONTENTS_MAX: Final = 512


def content_of(call: ActionCall) -> order_domain.Content:
    """What was ordered."""
    return _read(call)[0]


def address_of(call: ActionCall) -> delivery_domain.Address:
    """Where it goes."""
    return _read(call)[1]


def _read(call: ActionCall) -> tuple[order_domain.Content, delivery_domain.Address]:
    """The input as the services' requests would have it; read once for each input."""
    known = _contents.get(id(call.input))
    if known is not None and known[0] is call.input:
        return known[1], known[2]
    order = PlacedOrder.of(call.input)
    items = tuple(
        order_domain.Item(
            sku=item.sku,
            quantity=item.quantity,
            unit_price=order_domain.Money(
                currency_code=item.unit_price.currency_code,
                minor_units=item.unit_price.minor_units,
            ),
        )
        for item in order.items
    )
    address = cast("dict[str, Any]", dict(cast("dict[str, Any]", call.input["delivery_address"])))
    address["lines"] = tuple(address["lines"])
    content = order_domain.Content(
        customer_id=order.customer_id,
        items=items,
        total=order_domain.add_up(items),
        delivery_address=order_domain.Address(**address),
    )
    if len(_contents) >= _CONTENTS_MAX:
        _contents.clear()
    read = content, delivery_domain.Address(**address)
    _contents[id(call.input)] = (call.input, *read)
    return read


def _total(order: Order) -> dict[str, Any]:
    assert order.content is not None, "what was created has a content"
    total = order.content.total
    return {"currency_code": total.currency_code, "minor_units": total.minor_units}
