"""Each safety mechanism taken away in turn: a check goes red.

The same scenarios are green with the mechanism in place: so it is the mechanism that is seen.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import MappingProxyType

import pytest

from orchestrator.saga import decide, evolve, outcome
from orchestrator.saga.code import Code
from orchestrator.saga.definition import Definition
from orchestrator.saga.events import AttemptEnded
from orchestrator.saga.outcome import OUTCOMES, Outcome
from orchestrator.saga.state import ActionStatus, SagaState
from orchestrator.saga_log.memory import MemorySagaLog
from orchestrator.saga_log.protocol import Append
from tests.orchestrator.harness.answers import Answer, answers, once
from tests.orchestrator.harness.incidents import dawdle, freeze
from tests.orchestrator.harness.stage import Stage
from tests.orchestrator.harness.virtual_time import play

Plant = Callable[[pytest.MonkeyPatch], None]


def a_lost_reply_counts_as_a_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = MappingProxyType({**OUTCOMES, Code.UNAVAILABLE: Outcome.REJECTED})
    monkeypatch.setattr(outcome, "OUTCOMES", wrong)
    monkeypatch.setattr(evolve, "OUTCOMES", wrong)


def reply_lost() -> Stage:
    applied = Answer(code=Code.UNAVAILABLE, applies=True)
    return Stage(script={"process_payment": answers(applied)})


def only_what_is_known_to_be_done_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    def known(state: SagaState) -> set[str]:
        return {a.name for a in state.actions if a.status is ActionStatus.SUCCEEDED}

    monkeypatch.setattr(decide, "_may_be_applied", known)


def given_up() -> Stage:
    applied = Answer(code=Code.UNAVAILABLE, applies=True, retry_after_seconds=90.0)
    return Stage(script={"process_delivery": answers(applied)})


def a_refusal_speaks_for_the_attempt_before(monkeypatch: pytest.MonkeyPatch) -> None:
    unsettled = evolve._attempt_ended

    def settled(state: SagaState, event: AttemptEnded) -> evolve._Ended:
        forgetful = tuple(replace(action, in_doubt=False) for action in state.actions)
        return unsettled(replace(state, actions=forgetful), event)

    monkeypatch.setattr(evolve, "_attempt_ended", settled)


def still_under_way() -> Stage:
    hanging = Answer(code=Code.DEADLINE_EXCEEDED, applies_after_seconds=5.0)
    refused = Answer(code=Code.FAILED_PRECONDITION)
    return Stage(script={"process_payment": answers(hanging, refused)})


def undone_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    newest_first = Definition.undos_of

    def oldest_first(self: Definition, steps: set[str]) -> tuple[str, ...]:
        return newest_first(self, steps)[::-1]

    monkeypatch.setattr(Definition, "undos_of", oldest_first)


def undeliverable() -> Stage:
    return Stage(script={"process_delivery": once(Code.FAILED_PRECONDITION)})


def nobody_looks_at_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    def anybody(self: MemorySagaLog, append: Append, row: object) -> bool:
        del self, append, row
        return True

    monkeypatch.setattr(MemorySagaLog, "_proves_epoch", anybody)


def taken_for_dead() -> Stage:
    # The first stands still before its call; the second claims, and is slow to write for the first
    # time. Meanwhile the first goes on.
    return Stage(hooks={6: freeze(1.0), 7: dawdle(3.0)})


def an_append_is_answered_before_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    buffered: list[Append] = []

    async def eager(self: MemorySagaLog, append: Append) -> int:
        def write() -> None:
            while buffered:
                self._append(buffered.pop())

        write()
        buffered.append(append)
        asyncio.get_running_loop().call_later(0.01, write)
        return append.follows + len(append.events)

    monkeypatch.setattr(MemorySagaLog, "append", eager)


def going_well() -> Stage:
    return Stage()


PLANTS: list[tuple[Plant, Callable[[], Stage]]] = [
    (a_lost_reply_counts_as_a_rejection, reply_lost),
    (only_what_is_known_to_be_done_is_undone, given_up),
    (a_refusal_speaks_for_the_attempt_before, still_under_way),
    (undone_oldest_first, undeliverable),
    (nobody_looks_at_the_epoch, taken_for_dead),
    (an_append_is_answered_before_it_is_written, going_well),
]


def names() -> Iterator[str]:
    return (plant.__name__ for plant, _ in PLANTS)


@pytest.mark.parametrize(("plant", "scenario"), PLANTS, ids=names())
def test_a_mechanism_that_is_taken_away_is_missed(
    plant: Plant, scenario: Callable[[], Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    play(scenario().play())
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        play(scenario().play())
