"""Whether a history is what the decisions make of it.

Invariant: of a history that runners wrote, every event that follows from a decision is the one that
`decide` gives for the events before it, at the event's own time. Must never: correct anything.
"""

from collections.abc import Iterable

from orchestrator.saga.decide import UNKNOWN_DEFINITION, Rest, Wait, decide
from orchestrator.saga.definition import Definition
from orchestrator.saga.events import (
    AttemptBegan,
    AttemptEnded,
    Cancelled,
    CancelRequested,
    CompensationBegan,
    Completed,
    Event,
    Parked,
    ResolvedByHand,
    RetryRequested,
    Started,
)
from orchestrator.saga.evolve import IllegalMove, evolve
from orchestrator.saga.state import SagaState


def divergence(definition: Definition, events: Iterable[Event]) -> str:
    """Where a history and the decisions part for the first time. Empty: nowhere."""
    state: SagaState | None = None
    for revision, event in enumerate(events, start=1):
        match event:
            case AttemptBegan() | CompensationBegan() | Parked() | Completed() | Cancelled():
                decided = _decided(definition, state, event)
                if decided != event:
                    return f"at revision {revision} {decided} was to happen, not {event}"
            case (
                Started() | AttemptEnded() | CancelRequested() | RetryRequested() | ResolvedByHand()
            ):
                pass
        try:
            state = evolve(state, event)
        except IllegalMove as illegal:
            return f"at revision {revision}: {illegal}"
    return ""


def _decided(definition: Definition, state: SagaState | None, event: Event) -> Event | None:
    if state is None:
        return None
    unknown = isinstance(event, Parked) and event.reason == UNKNOWN_DEFINITION
    command = decide(None if unknown else definition, state, event.time_us)
    return None if isinstance(command, Wait | Rest) else command.event(event.time_us)
