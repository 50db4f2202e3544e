"""Each of the 17 codes at each step and each undo, and the calls that follow, exactly."""

import pytest

from orchestrator.saga.code import Code
from orchestrator.saga.state import ActionStatus, Phase
from tests.orchestrator.harness.answers import Answer, always, answers, once
from tests.orchestrator.harness.stage import Stage
from tests.orchestrator.harness.virtual_time import play

STEPS = ["create_order", "process_payment", "confirm_payment", "confirm_order", "process_delivery"]
UNDOS = ["cancel_delivery", "cancel_payment", "cancel_order"]

# As the contract has it, written down once more and on purpose: not read from the code.
NOT_APPLIED = [
    Code.INVALID_ARGUMENT,
    Code.NOT_FOUND,
    Code.ALREADY_EXISTS,
    Code.FAILED_PRECONDITION,
    Code.OUT_OF_RANGE,
]
TURNED_AWAY = [Code.PERMISSION_DENIED, Code.UNAUTHENTICATED, Code.UNIMPLEMENTED]
NOT_NOW = [Code.ABORTED, Code.RESOURCE_EXHAUSTED]
NOBODY_KNOWS = [
    Code.UNAVAILABLE,
    Code.DEADLINE_EXCEEDED,
    Code.CANCELLED,
    Code.UNKNOWN,
    Code.INTERNAL,
    Code.DATA_LOSS,
]

UNDOS_WITHOUT = {
    "create_order": [],
    "process_payment": ["cancel_order"],
    "confirm_payment": ["cancel_payment", "cancel_order"],
    "confirm_order": ["cancel_payment", "cancel_order"],
    "process_delivery": ["cancel_payment", "cancel_order"],
}
"""What is undone when a step was certainly not applied."""

UNDOS_WITH = {
    "create_order": ["cancel_order"],
    "process_payment": ["cancel_payment", "cancel_order"],
    "confirm_payment": ["cancel_payment", "cancel_order"],
    "confirm_order": ["cancel_payment", "cancel_order"],
    "process_delivery": ["cancel_delivery", "cancel_payment", "cancel_order"],
}
"""What is undone when a step may have been applied."""

ATTEMPTS_UNTIL_THE_DEADLINE = 17
"""Without jitter the pauses are 0.1, 0.2, 0.4, 0.8, 1.6 and 3.2 seconds, then ten times 5: 56.3 in
all. The next attempt would be at 61.3 seconds, too late by 1.3."""


def test_every_code_is_looked_at() -> None:
    told_apart = [Code.OK, *NOT_APPLIED, *TURNED_AWAY, *NOT_NOW, *NOBODY_KNOWS]
    assert sorted(Code) == sorted(told_apart)
    assert 17 == len(told_apart)


def until(step: str) -> list[str]:
    return STEPS[: STEPS.index(step) + 1]


def after(step: str) -> list[str]:
    return STEPS[STEPS.index(step) + 1 :]


def test_all_goes_well() -> None:
    stage = Stage()
    state = play(stage.play())
    assert STEPS == stage.calls
    assert Phase.COMPLETED is state.phase
    assert [ActionStatus.SUCCEEDED] * 5 == [action.status for action in state.actions]
    assert state.failure is None


@pytest.mark.parametrize("code", [*NOT_APPLIED, *TURNED_AWAY])
@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_was_certainly_not_applied_has_the_steps_before_it_undone(
    step: str, code: Code
) -> None:
    stage = Stage(script={step: once(code, "SUCH_IS_LIFE")})
    state = play(stage.play())
    assert [*until(step), *UNDOS_WITHOUT[step]] == stage.calls
    assert Phase.CANCELLED is state.phase
    assert state.failure is not None
    assert (step, code.name, "SUCH_IS_LIFE") == (
        state.failure.step,
        state.failure.code_name,
        state.failure.reason,
    )
    failed = state.action(step)
    assert failed is not None
    assert ActionStatus.REJECTED is failed.status


@pytest.mark.parametrize("code", [*NOT_NOW, *NOBODY_KNOWS])
@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_may_yet_succeed_is_tried_again(step: str, code: Code) -> None:
    stage = Stage(script={step: once(code)})
    state = play(stage.play())
    assert [*until(step), step, *after(step)] == stage.calls
    assert Phase.COMPLETED is state.phase


@pytest.mark.parametrize("code", [*NOT_NOW, *NOBODY_KNOWS])
@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_never_succeeds_is_given_up_at_the_deadline_and_undone_too(
    step: str, code: Code
) -> None:
    stage = Stage(script={step: always(code, "STILL_NOT")})
    state = play(stage.play())
    tried = [step] * ATTEMPTS_UNTIL_THE_DEADLINE
    assert [*until(step)[:-1], *tried, *UNDOS_WITH[step]] == stage.calls
    assert Phase.CANCELLED is state.phase
    assert state.failure is not None
    assert (step, "DEADLINE_EXCEEDED", "PROCESS_DEADLINE_EXCEEDED") == (
        state.failure.step,
        state.failure.code_name,
        state.failure.reason,
    )
    assert f"{code.name} STILL_NOT" in state.failure.message
    given_up = state.action(step)
    assert given_up is not None
    assert ActionStatus.UNKNOWN is given_up.status


@pytest.mark.parametrize("last", [*NOT_APPLIED, *TURNED_AWAY])
@pytest.mark.parametrize("first", NOBODY_KNOWS)
@pytest.mark.parametrize("step", STEPS)
def test_a_refusal_says_nothing_about_the_attempt_before_of_which_nobody_knows(
    step: str, first: Code, last: Code
) -> None:
    hanging = Answer(code=first, applies_after_seconds=1_000.0)
    stage = Stage(script={step: answers(hanging, Answer(code=last))})
    state = play(stage.play())
    assert [*until(step), step, *UNDOS_WITH[step]] == stage.calls
    assert Phase.CANCELLED is state.phase
    in_doubt = state.action(step)
    assert in_doubt is not None
    assert ActionStatus.UNKNOWN is in_doubt.status


@pytest.mark.parametrize("last", NOT_APPLIED)
@pytest.mark.parametrize("first", NOT_NOW)
@pytest.mark.parametrize("step", STEPS)
def test_a_refusal_for_now_and_then_for_good_is_a_refusal(
    step: str, first: Code, last: Code
) -> None:
    stage = Stage(script={step: answers(Answer(code=first), Answer(code=last))})
    play(stage.play())
    assert [*until(step), step, *UNDOS_WITHOUT[step]] == stage.calls


@pytest.mark.parametrize("last", TURNED_AWAY)
@pytest.mark.parametrize("step", STEPS)
def test_turned_away_at_the_door_nobody_looked_whether_the_attempt_before_was_applied(
    step: str, last: Code
) -> None:
    # A library makes this code when the reply is too long: the handler has run.
    applied = Answer(code=Code.RESOURCE_EXHAUSTED, applies=True)
    stage = Stage(script={step: answers(applied, Answer(code=last))})
    play(stage.play())
    assert [*until(step), step, *UNDOS_WITH[step]] == stage.calls


async def returned(stage: Stage) -> None:
    """Completed, then cancelled: everything is to be undone."""
    node = stage.start_node()
    await stage.accept(node)
    await stage.rests()
    await stage.cancel()
    await stage.rests()
    await node.drain()
    stage.check()


@pytest.mark.parametrize("code", NOT_APPLIED)
@pytest.mark.parametrize("undo", UNDOS)
def test_an_undo_that_is_rejected_parks_the_process(undo: str, code: Code) -> None:
    stage = Stage(script={undo: once(code, "CANNOT")})
    play(returned(stage))
    assert [*STEPS, *UNDOS[: UNDOS.index(undo) + 1]] == stage.calls
    state = stage.state()
    assert Phase.PARKED is state.phase
    assert state.parking is not None
    assert (undo, code.name, "CANNOT") == (
        state.parking.action,
        state.parking.code_name,
        state.parking.reason,
    )


@pytest.mark.parametrize("code", [*TURNED_AWAY, *NOT_NOW, *NOBODY_KNOWS])
@pytest.mark.parametrize("undo", UNDOS)
def test_an_undo_that_may_yet_succeed_is_tried_again(undo: str, code: Code) -> None:
    stage = Stage(script={undo: once(code)})
    play(returned(stage))
    place = UNDOS.index(undo)
    assert [*STEPS, *UNDOS[: place + 1], *UNDOS[place:]] == stage.calls
    assert Phase.CANCELLED is stage.state().phase


def test_undos_that_succeed_are_made_once_each() -> None:
    stage = Stage()
    play(returned(stage))
    assert [*STEPS, *UNDOS] == stage.calls
    assert Phase.CANCELLED is stage.state().phase
