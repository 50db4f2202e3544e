"""Histories to be multiplied: one of each kind, with the places marked that differ.

Invariant: every shape is a history that the product's own fold allows, and its bodies are written
by the product's own codec, so what is multiplied can be read back, replayed and audited. Must
never: write a body by hand.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chassis.record import replace
from orchestrator.order_process import ORDER_PROCESS
from orchestrator.placed_order import Address, Item, Money, PlacedOrder
from orchestrator.saga.code import Code
from orchestrator.saga.events import (
    JSON,
    AttemptBegan,
    AttemptEnded,
    Cancelled,
    CompensationBegan,
    Completed,
    Event,
    Parked,
    Started,
)
from orchestrator.saga.evolve import replay
from orchestrator.saga.state import Phase
from orchestrator.saga_log.event_rows import goes_well, rows_of

SUFFIX: Final = "@SUFFIX"
"""In a body: what the ids of one process share."""
SUBJECT: Final = "@SUBJECT"
"""In a body: the customer."""
DEADLINE_US: Final = 1_111_111_111_111_111
NOT_BEFORE_US: Final = 2_222_222_222_222_222
"""In a body: times, to be replaced by such as fit."""

STEP_US: Final = 20_000
"""Between two events of a history."""
PATIENCE_US: Final = 60_000_000
"""Between the begin of a process and its deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A row of events as it is stored, its marks not yet replaced."""

    sequence: int
    kind: str
    offset_us: int
    """After the begin of its process."""
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A history."""

    name: str
    phase: Phase
    revision: int
    texts: tuple[Text, ...]

    @property
    def length_us(self) -> int:
        """From its first event to its last."""
        return (self.revision - 1) * STEP_US


_ORDER: Final = PlacedOrder(
    customer_id=SUBJECT,
    items=(
        Item(sku="BOOK-1", quantity=2, unit_price=Money(currency_code="USD", minor_units=1_250)),
        Item(sku="PEN-20", quantity=1, unit_price=Money(currency_code="USD", minor_units=300)),
    ),
    payment_method="pm_card_visa",
    delivery_address=Address(
        recipient="Ada",
        lines=("1 Market St",),
        locality="San Francisco",
        region="CA",
        postal_code="94105",
        country_code="US",
    ),
)
_STEPS: Final = tuple(step.name for step in ORDER_PROCESS.steps)
_RESULTS: Final[Mapping[str, JSON]] = {
    "create_order": {"order_id": f"ord_{SUFFIX}", "total": _ORDER.total.content()},
    "process_payment": {"payment_id": f"pay_{SUFFIX}"},
    "process_delivery": {"delivery_id": f"dlv_{SUFFIX}"},
}


def shapes() -> Mapping[str, Shape]:
    """All of them, by name."""
    every = {
        "delivered": [*_begin(), *_tried(_STEPS), Completed(time_us=0)],
        "delivered late": [
            *_begin(),
            *_tried(_STEPS[:2]),
            _began("confirm_payment"),
            _ended("confirm_payment", code=Code.UNAVAILABLE, not_before_us=NOT_BEFORE_US),
            *_tried(["confirm_payment"], attempt=2),
            *_tried(_STEPS[3:]),
            Completed(time_us=0),
        ],
        "undone": [
            *_begin(),
            *_tried(_STEPS[:2]),
            *_refused("confirm_payment"),
            *_tried(["cancel_payment", "cancel_order"]),
            Cancelled(time_us=0),
        ],
        "under way": [*_begin(), *_tried(_STEPS[:1]), _began("process_payment")],
        "parked": [
            *_begin(),
            *_tried(_STEPS[:2]),
            *_refused("confirm_payment"),
            _began("cancel_payment"),
            _ended("cancel_payment", code=Code.FAILED_PRECONDITION, reason="NOT_ALLOWED"),
            Parked(
                action="cancel_payment",
                code_name=Code.FAILED_PRECONDITION.name,
                reason="NOT_ALLOWED",
                message="the payment cannot be cancelled",
                time_us=0,
            ),
        ],
    }
    return {name: _shape(name, events) for name, events in every.items()}


def _shape(name: str, given: Sequence[Event]) -> Shape:
    events = [replace(event, time_us=at * STEP_US) for at, event in enumerate(given)]
    state = replay(events)
    return Shape(name=name, phase=state.phase, revision=state.revision, texts=tuple(_texts(events)))


def _texts(events: Sequence[Event]) -> Iterator[Text]:
    for part in appended(events):
        for _, sequence, kind, offset_us, body in rows_of("", events[part], follows=part.start):
            yield Text(sequence=sequence, kind=kind, offset_us=offset_us, body=body)


def appended(events: Sequence[Event]) -> Iterator[slice]:
    """The parts that are a row each, as a run appends them: of two events, or of one."""
    begin = 0
    while begin < len(events):
        end = begin + (2 if goes_well(events[begin : begin + 2]) else 1)
        yield slice(begin, end)
        begin = end


def _begin() -> Iterable[Event]:
    yield Started(
        definition=ORDER_PROCESS.name,
        version=ORDER_PROCESS.version,
        input={**_ORDER.content(), "total": _ORDER.total.content()},
        deadline_us=DEADLINE_US,
        time_us=0,
    )


def _tried(actions: Iterable[str], *, attempt: int = 1) -> Iterable[Event]:
    for action in actions:
        yield _began(action, attempt=attempt)
        yield _ended(action, attempt=attempt, result=_RESULTS.get(action))


def _refused(action: str) -> Iterable[Event]:
    yield _began(action)
    yield _ended(action, code=Code.FAILED_PRECONDITION, reason="PAYMENT_DECLINED")
    yield CompensationBegan(
        step=action,
        code_name=Code.FAILED_PRECONDITION.name,
        reason="PAYMENT_DECLINED",
        message="",
        time_us=0,
    )


def _began(action: str, *, attempt: int = 1) -> Event:
    return AttemptBegan(action=action, attempt=attempt, time_us=0)


def _ended(
    action: str,
    *,
    attempt: int = 1,
    code: Code = Code.OK,
    reason: str = "",
    result: JSON = None,
    not_before_us: int | None = None,
) -> Event:
    return AttemptEnded(
        action=action,
        attempt=attempt,
        code=code,
        reason=reason,
        result=result,
        not_before_us=not_before_us,
        time_us=0,
    )
