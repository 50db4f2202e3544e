"""An order, and everything that can happen to it.

Invariant: an order moves only along `MOVES`, and its content never changes: what it costs was
added up once, when it was created. It must never ask anybody anything: whoever calls brings the
time. A transition that changes nothing returns the very order it was given.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from chassis.record import record, replace

MINOR_UNITS_MAX: Final = 2**63 - 1


class State(StrEnum):
    """Where an order is in its life."""

    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    CANCELLED = "CANCELLED"


class Event(StrEnum):
    """What can be asked of an order."""

    CREATE = "CREATE"
    CONFIRM = "CONFIRM"
    CANCEL = "CANCEL"


class Refusal(StrEnum):
    """Why a request is turned away with nothing changed."""

    NOT_FOUND = "NOT_FOUND"
    ALREADY_CANCELLED = "ALREADY_CANCELLED"
    ID_REUSED = "ID_REUSED"


# (where it is, what is asked) → where it goes, or why not. None is an id never seen; the same
# state again means that nothing changes. Every pair is here.
MOVES: Final[Mapping[tuple[State | None, Event], State | Refusal]] = MappingProxyType(
    {
        (None, Event.CREATE): State.PENDING,
        (None, Event.CONFIRM): Refusal.NOT_FOUND,
        (None, Event.CANCEL): State.CANCELLED,
        (State.PENDING, Event.CREATE): State.PENDING,
        (State.PENDING, Event.CONFIRM): State.CONFIRMED,
        (State.PENDING, Event.CANCEL): State.CANCELLED,
        (State.CONFIRMED, Event.CREATE): State.CONFIRMED,
        (State.CONFIRMED, Event.CONFIRM): State.CONFIRMED,
        (State.CONFIRMED, Event.CANCEL): State.CANCELLED,
        (State.CANCELLED, Event.CREATE): Refusal.ALREADY_CANCELLED,
        (State.CANCELLED, Event.CONFIRM): Refusal.ALREADY_CANCELLED,
        (State.CANCELLED, Event.CANCEL): State.CANCELLED,
    }
)


# Where an order stays as it is unless somebody cancels it: then it may be forgotten.
OVER: Final = frozenset({State.CONFIRMED, State.CANCELLED})


class Flaw(StrEnum):
    """Why items do not add up."""

    OTHER_CURRENCY = "OTHER_CURRENCY"
    TOTAL_TOO_LARGE = "TOTAL_TOO_LARGE"


@record
class Money:
    """An amount, in the currency's minor units (for example cents)."""

    currency_code: str
    minor_units: int


@record
class Item:
    """One line of an order."""

    sku: str
    quantity: int
    unit_price: Money


@record
class Address:
    """Where an order goes."""

    recipient: str
    lines: tuple[str, ...]
    locality: str
    region: str
    postal_code: str
    country_code: str


@record
class Content:
    """What was ordered. Two Creates of one id are the same when this is equal."""

    customer_id: str
    items: tuple[Item, ...]
    total: Money
    delivery_address: Address


@record
class Order:
    """One order. `content` is None for an id that was cancelled before any Create came for it."""

    order_id: str
    content: Content | None
    state: State
    create_time_us: int
    update_time_us: int
    version: int


class Refused(Exception):  # noqa: N818 - named by what it says, as every fault here
    """A request is turned away; nothing changed."""

    def __init__(self, refusal: Refusal, order_id: str) -> None:
        super().__init__(refusal, order_id)
        self.refusal = refusal
        self.order_id = order_id


class DoesNotAddUp(Exception):  # noqa: N818 - same
    """Items have no total. `flaws` says of every one that is in the way why, by its index."""

    def __init__(self, flaws: Sequence[tuple[int, Flaw]]) -> None:
        super().__init__(flaws)
        self.flaws = tuple(flaws)


def add_up(items: Sequence[Item]) -> Money:
    """The sum of quantity times unit price; `items` has at least one.

    Raises:
        DoesNotAddUp: They are of several currencies, or the sum is beyond int64.
    """
    currency_code = items[0].unit_price.currency_code
    flaws: list[tuple[int, Flaw]] = []
    minor_units = 0
    for index, item in enumerate(items):
        assert item.quantity > 0, "quantities are checked at the edge"
        assert item.unit_price.minor_units >= 0, "so are prices"
        if item.unit_price.currency_code != currency_code:
            flaws.append((index, Flaw.OTHER_CURRENCY))
            continue
        within = minor_units <= MINOR_UNITS_MAX
        minor_units += item.quantity * item.unit_price.minor_units
        if within and minor_units > MINOR_UNITS_MAX:
            flaws.append((index, Flaw.TOTAL_TOO_LARGE))
    if flaws:
        raise DoesNotAddUp(flaws)
    return Money(currency_code=currency_code, minor_units=minor_units)


def create(order: Order | None, order_id: str, content: Content, now_us: int) -> Order:
    """Wants an order with this content.

    Raises:
        Refused: ALREADY_CANCELLED or ID_REUSED.
    """
    target = _target(order, order_id, Event.CREATE)
    if order is None:
        return _new(order_id, content, target, now_us)
    if order.content != content:
        raise Refused(Refusal.ID_REUSED, order_id)
    return _move(order, target, now_us)


def confirm(order: Order | None, order_id: str, now_us: int) -> Order:
    """Wants the order confirmed.

    Raises:
        Refused: NOT_FOUND or ALREADY_CANCELLED.
    """
    target = _target(order, order_id, Event.CONFIRM)
    assert order is not None, "what is not there is refused"
    return _move(order, target, now_us)


def cancel(order: Order | None, order_id: str, now_us: int) -> Order:
    """Wants the order gone. Never refused: an id never seen becomes a tombstone."""
    target = _target(order, order_id, Event.CANCEL)
    if order is None:
        return _new(order_id, None, target, now_us)
    return _move(order, target, now_us)


def forget(order: Order | None) -> Order | None:
    """Wants the order forgotten, tombstones included. One that is not over stays as it is."""
    return None if order is None or order.state in OVER else order


def _target(order: Order | None, order_id: str, event: Event) -> State:
    target = MOVES[None if order is None else order.state, event]
    if isinstance(target, Refusal):
        raise Refused(target, order_id)
    return target


def _new(order_id: str, content: Content | None, state: State, now_us: int) -> Order:
    return Order(
        order_id=order_id,
        content=content,
        state=state,
        create_time_us=now_us,
        update_time_us=now_us,
        version=1,
    )


def _move(order: Order, state: State, now_us: int) -> Order:
    if state is order.state:
        return order
    return replace(
        order,
        state=state,
        # The clock of another process may lag: time never goes back in what is stored.
        update_time_us=max(now_us, order.update_time_us),
        version=order.version + 1,
    )
