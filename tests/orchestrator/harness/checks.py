"""What holds of every process, whatever happened to it.

Each check looks at a history or at the world, never at the code that made them.
"""

from collections.abc import Sequence

from orchestrator.saga.code import Code
from orchestrator.saga.definition import Definition
from orchestrator.saga.events import (
    AttemptBegan,
    AttemptEnded,
    Event,
    ResolvedByHand,
)
from orchestrator.saga.evolve import replay
from orchestrator.saga.replay_check import divergence
from orchestrator.saga.state import Phase
from tests.orchestrator.harness.world import World


def check_history(definition: Definition, events: Sequence[Event]) -> None:
    assert divergence(definition, events) == ""
    check_attempts_follow_one_another(events)
    check_what_was_undone(definition, events)


def check_attempts_follow_one_another(events: Sequence[Event]) -> None:
    """Of one process at most one attempt is under way, and each ends at most once."""
    under_way: tuple[str, int] | None = None
    for event in events:
        if isinstance(event, AttemptBegan):
            under_way = (event.action, event.attempt)
        if isinstance(event, AttemptEnded):
            assert under_way == (event.action, event.attempt)
            under_way = None


def check_what_was_undone(definition: Definition, events: Sequence[Event]) -> None:
    """Newest first, one after the other, and never forward again."""
    undos = [step.undo for step in reversed(definition.steps) if step.undo is not None]
    begun: list[str] = []
    done: set[str] = set()
    for event in events:
        if isinstance(event, AttemptBegan):
            if event.action in undos:
                if event.action not in begun:
                    assert set(begun) <= done, "an undo begins when the one before is done"
                    begun.append(event.action)
            else:
                assert begun == [], "nothing goes forward once something was undone"
        if isinstance(event, AttemptEnded) and event.code is Code.OK:
            done.add(event.action)
        if isinstance(event, ResolvedByHand):
            done.add(event.action)
    assert begun == [undo for undo in undos if undo in begun], "newest first"


def check_effects(
    definition: Definition, world: World, process_id: str, events: Sequence[Event]
) -> None:
    """Where a process ended, the world is as that says."""
    match replay(events).phase:
        case Phase.COMPLETED:
            assert {step.name for step in definition.steps} == world.effects_of(process_id)
        case Phase.CANCELLED:
            assert set() == world.lasting_effects_of(process_id)
        case Phase.PARKED | Phase.RUNNING | Phase.COMPENSATING:
            pass
