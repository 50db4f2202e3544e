"""The fold: each event in each phase, and what it leaves behind."""

from dataclasses import replace
from typing import get_args

import pytest

from orchestrator.saga.code import Code
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
from orchestrator.saga.evolve import MOVES, IllegalMove, evolve, replay
from orchestrator.saga.state import ActionState, ActionStatus, Phase, SagaState

STARTED = Started(definition="d", version=1, input={"a": 1}, deadline_us=1_000, time_us=10)
BEGAN = AttemptBegan(action="step", attempt=1, time_us=11)
ENDED = AttemptEnded(action="step", attempt=1, code=Code.OK, time_us=12)
TURNED = CompensationBegan(step="step", code_name="NOT_FOUND", reason="R", message="m", time_us=13)
UNDO = AttemptBegan(action="undo", attempt=1, time_us=14)
UNDO_REJECTED = AttemptEnded(action="undo", attempt=1, code=Code.NOT_FOUND, time_us=15)
PARKED = Parked(action="undo", code_name="NOT_FOUND", reason="R", message="m", time_us=16)

HISTORIES: dict[Phase, list[Event]] = {
    Phase.RUNNING: [STARTED, BEGAN],
    Phase.COMPENSATING: [STARTED, BEGAN, TURNED, UNDO],
    Phase.COMPLETED: [STARTED, BEGAN, ENDED, Completed(time_us=13)],
    Phase.CANCELLED: [STARTED, BEGAN, TURNED, Cancelled(time_us=14)],
    Phase.PARKED: [STARTED, BEGAN, ENDED, TURNED, UNDO, UNDO_REJECTED, PARKED],
}

NEXT: dict[type[Event], Event] = {
    Started: STARTED,
    AttemptBegan: AttemptBegan(action="next", attempt=1, time_us=20),
    AttemptEnded: AttemptEnded(action="step", attempt=1, code=Code.OK, time_us=20),
    CancelRequested: CancelRequested(reason="r", requested_by="Ada", time_us=20),
    CompensationBegan: replace(TURNED, time_us=20),
    Parked: replace(PARKED, time_us=20),
    RetryRequested: RetryRequested(reason="r", requested_by="Ada", time_us=20),
    ResolvedByHand: ResolvedByHand(action="undo", reason="r", requested_by="Ada", time_us=20),
    Completed: Completed(time_us=20),
    Cancelled: Cancelled(time_us=20),
}


def step_of(state: SagaState, name: str = "step") -> ActionState:
    action = state.action(name)
    assert action is not None
    return action


def test_every_event_is_looked_at() -> None:
    assert set(get_args(Event)) == set(NEXT)
    assert set(Phase) == set(HISTORIES)


@pytest.mark.parametrize("kind", NEXT, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("phase", HISTORIES)
def test_a_move_that_is_not_in_the_table_raises(phase: Phase, kind: type[Event]) -> None:
    state = replay(HISTORIES[phase])
    assert phase is state.phase
    event = NEXT[kind]
    if phase is Phase.COMPENSATING and kind is AttemptEnded:
        event = replace(UNDO_REJECTED, code=Code.OK)
    if (phase, kind) in MOVES:
        assert evolve(state, event).phase in MOVES[phase, kind]
    else:
        with pytest.raises(IllegalMove):
            evolve(state, event)


@pytest.mark.parametrize("kind", NEXT, ids=lambda kind: kind.__name__)
def test_a_history_begins_with_started_and_nothing_else(kind: type[Event]) -> None:
    if kind is Started:
        assert Phase.RUNNING is evolve(None, STARTED).phase
    else:
        with pytest.raises(IllegalMove):
            evolve(None, NEXT[kind])


def test_no_history_is_no_process() -> None:
    with pytest.raises(IllegalMove):
        replay([])


def test_a_settled_phase_is_left_only_by_a_cancel() -> None:
    ways_out = {
        kind
        for (phase, kind), to in MOVES.items()
        if phase and phase.settled and {phase} != set(to)
    }
    assert {CancelRequested} == ways_out


@pytest.mark.parametrize("phase", HISTORIES)
def test_a_fold_may_be_broken_off_anywhere_and_taken_up_again(phase: Phase) -> None:
    history = HISTORIES[phase]
    for cut in range(1, len(history) + 1):
        assert replay(history) == replay(history[cut:], replay(history[:cut]))


def test_the_revision_counts_the_events() -> None:
    for history in HISTORIES.values():
        assert len(history) == replay(history).revision


def test_time_never_goes_back_in_a_history() -> None:
    # As from somebody whose clock is behind.
    wish = CancelRequested(reason="", requested_by="", time_us=3)
    state = replay([STARTED, BEGAN, wish])
    assert 11 == state.update_time_us


@pytest.mark.parametrize(
    "event",
    [
        AttemptBegan(action="step", attempt=1, time_us=20),
        AttemptBegan(action="step", attempt=3, time_us=20),
        AttemptBegan(action="other", attempt=2, time_us=20),
        AttemptEnded(action="step", attempt=2, code=Code.OK, time_us=20),
        AttemptEnded(action="other", attempt=1, code=Code.OK, time_us=20),
    ],
)
def test_attempts_count_from_one_and_end_once(event: Event) -> None:
    with pytest.raises(IllegalMove):
        replay([STARTED, BEGAN, event])


@pytest.mark.parametrize("code", [Code.OK, Code.NOT_FOUND])
def test_an_action_that_is_over_is_not_tried_again(code: Code) -> None:
    with pytest.raises(IllegalMove):
        replay([STARTED, BEGAN, replace(ENDED, code=code), replace(BEGAN, attempt=2)])


def test_an_attempt_that_never_ended_leaves_the_step_in_doubt() -> None:
    state = replay(
        [
            STARTED,
            BEGAN,
            replace(BEGAN, attempt=2, time_us=20),
            AttemptEnded(action="step", attempt=2, code=Code.NOT_FOUND, time_us=21),
        ]
    )
    step = step_of(state)
    assert (ActionStatus.UNKNOWN, 2, 11, 21) == (
        step.status,
        step.attempts,
        step.start_us,
        step.end_us,
    )


def test_what_was_being_tried_when_it_turned_back_is_unknown() -> None:
    state = replay([STARTED, BEGAN, TURNED])
    step = step_of(state)
    assert (ActionStatus.UNKNOWN, 13, False) == (step.status, step.end_us, step.in_flight)


def test_what_begins_on_the_way_back_is_an_undo() -> None:
    state = replay(HISTORIES[Phase.COMPENSATING])
    assert [False, True] == [action.undo for action in state.actions]


def test_only_an_action_that_gave_something_back_has_a_result() -> None:
    state = replay([STARTED, BEGAN, replace(ENDED, result={"id": 7})])
    assert {"step": {"id": 7}} == state.results
    assert {} == replay([STARTED, BEGAN, ENDED]).results


def test_a_pause_is_seen_until_the_next_attempt_begins() -> None:
    paused = replay([STARTED, BEGAN, replace(ENDED, code=Code.ABORTED, not_before_us=50)])
    assert 50 == paused.waits_until_us
    assert replay([replace(BEGAN, attempt=2, time_us=50)], paused).waits_until_us is None
    assert replay([STARTED]).waits_until_us is None
    assert replay([STARTED, BEGAN]).waits_until_us is None
    for phase in (Phase.COMPLETED, Phase.CANCELLED, Phase.PARKED):
        assert replay(HISTORIES[phase]).waits_until_us is None


def test_a_completed_process_that_is_cancelled_has_no_end_any_more() -> None:
    completed = replay(HISTORIES[Phase.COMPLETED])
    assert 13 == completed.end_time_us
    turned = evolve(completed, NEXT[CancelRequested])
    assert (Phase.COMPENSATING, None) == (turned.phase, turned.end_time_us)
    assert turned.failure is not None
    assert ("", "CANCELLED", "CANCEL_REQUESTED", "r") == (
        turned.failure.step,
        turned.failure.code_name,
        turned.failure.reason,
        turned.failure.message,
    )


def test_a_cancel_of_what_is_cancelled_leaves_its_end_alone() -> None:
    state = evolve(replay(HISTORIES[Phase.CANCELLED]), NEXT[CancelRequested])
    assert (14, 20, None) == (state.end_time_us, state.update_time_us, state.cancel)


def test_the_first_wish_to_cancel_counts() -> None:
    first = CancelRequested(reason="first", requested_by="Ada", time_us=20)
    second = CancelRequested(reason="second", requested_by="Grace", time_us=21)
    state = replay([STARTED, BEGAN, first, second])
    assert state.cancel is not None
    assert ("first", "Ada", 20) == (
        state.cancel.reason,
        state.cancel.requested_by,
        state.cancel.time_us,
    )


def test_parked_it_says_what_on_since_when_and_from_where() -> None:
    state = replay(HISTORIES[Phase.PARKED])
    assert state.parking is not None
    assert ("undo", "NOT_FOUND", "R", "m", 16, Phase.COMPENSATING) == (
        state.parking.action,
        state.parking.code_name,
        state.parking.reason,
        state.parking.message,
        state.parking.time_us,
        state.parking.phase,
    )
    assert ActionStatus.REJECTED is step_of(state, "undo").status


def test_a_retry_makes_the_undo_as_new_but_remembers_when_it_was_first_tried() -> None:
    state = evolve(replay(HISTORIES[Phase.PARKED]), NEXT[RetryRequested])
    undo = step_of(state, "undo")
    assert state.parking is None
    assert (ActionStatus.RUNNING, 0, 14, 20, None) == (
        undo.status,
        undo.attempts,
        undo.start_us,
        undo.since_us,
        undo.end_us,
    )
    assert ActionStatus.SUCCEEDED is step_of(state).status


def test_a_resolution_is_of_what_the_process_is_parked_on() -> None:
    parked = replay(HISTORIES[Phase.PARKED])
    for other in ("step", "nothing", ""):
        with pytest.raises(IllegalMove):
            evolve(
                parked,
                ResolvedByHand(action=other, reason="r", requested_by="Ada", time_us=20),
            )


def test_parked_as_a_whole_it_gives_nothing_up_and_goes_back_to_where_it_was() -> None:
    whole = Parked(action="", code_name="", reason="R", message="m", time_us=20)
    for phase in (Phase.RUNNING, Phase.COMPENSATING):
        before = replay(HISTORIES[phase])
        parked = evolve(before, whole)
        assert before.actions == parked.actions
        after = evolve(parked, RetryRequested(reason="r", requested_by="Ada", time_us=21))
        assert phase is after.phase
        with pytest.raises(IllegalMove):
            evolve(parked, NEXT[ResolvedByHand])
