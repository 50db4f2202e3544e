"""How far a process gets without anybody being called: decisions, one after the other.

Invariant: every event but the first ones, which were handed in, is `event_of` a command that
`decide` gave at the event's own time. Must never: go past a call; its outcome is not known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.saga.decide import Call, Command, decide, event_of
from orchestrator.saga.definition import Definition
from orchestrator.saga.events import Event
from orchestrator.saga.evolve import evolve, replay
from orchestrator.saga.state import SagaState


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """What happened, what that comes to, and what is to be done then: call, wait or rest."""

    events: tuple[Event, ...]
    state: SagaState
    command: Command
    time_us: int


def advance(
    definition: Definition | None, state: SagaState, now_us: int, *, happened: Sequence[Event] = ()
) -> Advance:
    """Decides until the next call, wait or rest.

    The event of a call is among the events: once they are in the log the call may leave.

    Args:
        definition: As for `decide`.
        state: The process as it is in the log.
        now_us: The time.
        happened: What is not in the log yet.
    """
    events = list(happened)
    state = replay(happened, state)
    time_us = max(now_us, state.update_time_us)
    while True:
        command = decide(definition, state, time_us)
        event = event_of(command, time_us)
        if event is not None:
            events.append(event)
            state = evolve(state, event)
        if event is None or isinstance(command, Call):
            return Advance(events=tuple(events), state=state, command=command, time_us=time_us)
