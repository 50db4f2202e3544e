"""How far a process gets without a call and without a wait: decisions, one after the other.

Invariant: each event that is added is that of a command which `decide` gave at the event's own
time. Must never: go past a call; what it will come to is not known.
"""

from collections.abc import Sequence
from typing import Final

from chassis.record import record
from orchestrator.saga.decide import Call, Rest, Wait, decide
from orchestrator.saga.definition import Definition
from orchestrator.saga.events import Event
from orchestrator.saga.evolve import evolve
from orchestrator.saga.state import SagaState

_HALTS: Final = (Call, Wait, Rest)


@record
class Advance:
    """What happened, what that comes to, and what is to be done then."""

    events: tuple[Event, ...]
    """Not with the event of the call: whether it is made is for the runner to say."""
    state: SagaState
    command: Call | Wait | Rest
    time_us: int
    """The time that the decisions used."""


def advance(
    definition: Definition | None, state: SagaState, now_us: int, *, happened: Sequence[Event] = ()
) -> Advance:
    """Decides until there is a call to make, a time to wait for, or nothing to do.

    Args:
        definition: As for `decide`.
        state: The process as it is in the log.
        now_us: The time.
        happened: What is not in the log yet.
    """
    events = list(happened)
    for event in happened:
        state = evolve(state, event)
    time_us = max(now_us, state.update_time_us)
    while True:
        command = decide(definition, state, time_us)
        if isinstance(command, _HALTS):
            return Advance(events=tuple(events), state=state, command=command, time_us=time_us)
        follows = command.event(time_us)
        events.append(follows)
        state = evolve(state, follows)
