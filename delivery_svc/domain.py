"""A delivery, and everything that can happen to it.

Invariant: a delivery moves only along `MOVES`; a courier is taken by the move to ASSIGNED and
freed by the move from there to CANCELLED, or where an ASSIGNED delivery is forgotten, and by
nothing else, so each exactly once. It must never ask anybody anything: whoever calls brings the
time and the couriers. A transition that changes nothing returns the very delivery it was given.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol

from chassis.record import record, replace

NO_COURIER_AVAILABLE: Final = "NO_COURIER_AVAILABLE"


class State(StrEnum):
    """Where a delivery is in its life."""

    ASSIGNED = "ASSIGNED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"


class Event(StrEnum):
    """What can be asked of a delivery."""

    CREATE = "CREATE"
    CREATE_IN_VAIN = "CREATE_IN_VAIN"
    """A Create of an id never seen, when no courier is to be had."""
    CANCEL = "CANCEL"


class Refusal(StrEnum):
    """Why a request is turned away with nothing changed."""

    NOT_FOUND = "NOT_FOUND"
    REJECTED = "REJECTED"
    ALREADY_CANCELLED = "ALREADY_CANCELLED"
    ID_REUSED = "ID_REUSED"


# (where it is, what is asked) → where it goes, or why not. None is an id never seen; the same
# state again means that nothing changes. Only an id never seen asks for a courier: a refusal stays
# one, even if a courier has come free since. So no other pair with CREATE_IN_VAIN can happen, and
# none is here.
MOVES: Final[Mapping[tuple[State | None, Event], State | Refusal]] = MappingProxyType(
    {
        (None, Event.CREATE): State.ASSIGNED,
        (None, Event.CREATE_IN_VAIN): State.REJECTED,
        (None, Event.CANCEL): State.CANCELLED,
        (State.ASSIGNED, Event.CREATE): State.ASSIGNED,
        (State.ASSIGNED, Event.CANCEL): State.CANCELLED,
        (State.REJECTED, Event.CREATE): Refusal.REJECTED,
        (State.REJECTED, Event.CANCEL): State.REJECTED,
        (State.CANCELLED, Event.CREATE): Refusal.ALREADY_CANCELLED,
        (State.CANCELLED, Event.CANCEL): State.CANCELLED,
    }
)


class Couriers(Protocol):
    """Who can be had. What was taken or freed is seen by whoever asks next."""

    def take(self, country_code: str) -> str | None:
        """The id of the least loaded courier of a country, now with one delivery more; or None."""
        ...

    def free(self, courier_id: str) -> None:
        """The courier has one delivery less."""
        ...


@record
class Address:
    """Where a delivery goes."""

    recipient: str
    lines: tuple[str, ...]
    locality: str
    region: str
    postal_code: str
    country_code: str


@record
class Content:
    """What a delivery is for. Two Creates of one id are the same when this is equal."""

    order_id: str
    address: Address


@record
class Delivery:
    """One delivery. `content` is None for an id that was cancelled before any Create came for it.

    `courier_id` is who has it, or had it; `reject_reason` why nobody does.
    """

    delivery_id: str
    content: Content | None
    state: State
    courier_id: str | None
    reject_reason: str | None
    create_time_us: int
    update_time_us: int
    version: int


class Refused(Exception):  # noqa: N818 - named by what it says, as every fault here
    """A request is turned away; nothing changed."""

    def __init__(self, refusal: Refusal, delivery_id: str) -> None:
        super().__init__(refusal, delivery_id)
        self.refusal = refusal
        self.delivery_id = delivery_id


def create(
    delivery: Delivery | None,
    delivery_id: str,
    content: Content,
    couriers: Couriers,
    now_us: int,
) -> Delivery:
    """Wants a courier for an order. Where none is to be had the delivery becomes REJECTED.

    Raises:
        Refused: REJECTED, ALREADY_CANCELLED or ID_REUSED.
    """
    if delivery is None:
        courier_id = couriers.take(content.address.country_code)
        event = Event.CREATE_IN_VAIN if courier_id is None else Event.CREATE
        state = _target(None, delivery_id, event)
        return _new(delivery_id, content, state, courier_id, now_us)
    if delivery.state is not State.CANCELLED and delivery.content != content:
        raise Refused(Refusal.ID_REUSED, delivery_id)
    target = _target(delivery.state, delivery_id, Event.CREATE)
    assert target is delivery.state, "a Create changes nothing that is there"
    return delivery


def cancel(
    delivery: Delivery | None, delivery_id: str, couriers: Couriers, now_us: int
) -> Delivery:
    """Wants the delivery gone. Never refused: an id never seen becomes a tombstone."""
    if delivery is None:
        state = _target(None, delivery_id, Event.CANCEL)
        return _new(delivery_id, None, state, None, now_us)
    target = _target(delivery.state, delivery_id, Event.CANCEL)
    if target is delivery.state:
        return delivery
    assert delivery.courier_id is not None, "what is assigned has a courier"
    couriers.free(delivery.courier_id)
    return replace(
        delivery,
        state=target,
        # The clock of another process may lag: time never goes back in what is stored.
        update_time_us=max(now_us, delivery.update_time_us),
        version=delivery.version + 1,
    )


def forget(delivery: Delivery | None, couriers: Couriers) -> Delivery | None:
    """Wants the delivery forgotten, tombstones included.

    One that is still ASSIGNED has been made by now: nobody tells us of that, so it is here that its
    courier gets free.
    """
    if delivery is not None and delivery.state is State.ASSIGNED:
        assert delivery.courier_id is not None, "what is assigned has a courier"
        couriers.free(delivery.courier_id)
    return None


def _target(state: State | None, delivery_id: str, event: Event) -> State:
    target = MOVES[state, event]
    if isinstance(target, Refusal):
        raise Refused(target, delivery_id)
    return target


def _new(
    delivery_id: str, content: Content | None, state: State, courier_id: str | None, now_us: int
) -> Delivery:
    return Delivery(
        delivery_id=delivery_id,
        content=content,
        state=state,
        courier_id=courier_id,
        reject_reason=NO_COURIER_AVAILABLE if state is State.REJECTED else None,
        create_time_us=now_us,
        update_time_us=now_us,
        version=1,
    )
