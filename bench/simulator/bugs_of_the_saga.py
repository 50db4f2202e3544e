"""Mistakes that the saga and its runner could make. See `bugs`.

Must never: be imported by anything but `bugs`.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from unittest.mock import patch

from orchestrator.run import Run
from orchestrator.saga import decide, evolve, outcome
from orchestrator.saga.code import Code
from orchestrator.saga.decide import Command
from orchestrator.saga.definition import Definition
from orchestrator.saga.events import AttemptBegan, AttemptEnded
from orchestrator.saga.outcome import OUTCOMES, UNDO_SEQUELS, Outcome, Sequel
from orchestrator.saga.state import ActionStatus, SagaState


@contextmanager
def unavailable_is_not_applied() -> Iterator[None]:
    wrong = MappingProxyType({**OUTCOMES, Code.UNAVAILABLE: Outcome.REJECTED})
    with patch.object(outcome, "OUTCOMES", wrong), patch.object(evolve, "OUTCOMES", wrong):
        yield


@contextmanager
def unknown_step_not_undone() -> Iterator[None]:
    back = decide._back

    def forgetful(definition: Definition, state: SagaState, now_us: int) -> Command:
        known = tuple(
            action
            for action in state.actions
            if action.undo or action.status is not ActionStatus.UNKNOWN
        )
        return back(definition, replace(state, actions=known), now_us)

    with patch.object(decide, "_back", forgetful):
        yield


@contextmanager
def rejection_settles_doubt() -> Iterator[None]:
    ended = evolve._attempt_ended

    def settle(state: SagaState, event: AttemptEnded) -> evolve._Ended:
        certain = tuple(replace(action, in_doubt=False) for action in state.actions)
        return ended(replace(state, actions=certain), replace(event, attempt=event.attempt))

    with patch.object(evolve, "_attempt_ended", settle):
        yield


@contextmanager
def cut_short_is_not_sent() -> Iterator[None]:
    began = evolve._attempt_began

    def forget(state: SagaState, event: AttemptBegan) -> evolve._Actions:
        never = tuple(replace(action, in_flight=False) for action in state.actions)
        return began(replace(state, actions=never), event)

    with patch.object(evolve, "_attempt_began", forget):
        yield


@contextmanager
def cancel_lost() -> Iterator[None]:
    reload = Run._reload

    async def forget(self: Run, ended: AttemptEnded | None) -> AttemptEnded | None:
        lacking = await reload(self, ended)
        self._state = replace(self._state, cancel=None)
        return lacking

    with patch.object(Run, "_reload", forget):
        yield


@contextmanager
def undos_oldest_first() -> Iterator[None]:
    undos_of = Definition.undos_of

    def oldest_first(self: Definition, steps: Collection[str]) -> tuple[str, ...]:
        return tuple(reversed(undos_of(self, steps)))

    with patch.object(Definition, "undos_of", oldest_first):
        yield


@contextmanager
def rejected_undo_is_done() -> Iterator[None]:
    wrong = MappingProxyType({**UNDO_SEQUELS, Outcome.REJECTED: Sequel.GO_ON})
    with patch.object(outcome, "UNDO_SEQUELS", wrong):
        yield
