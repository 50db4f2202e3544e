"""What operators do with a process that is parked."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from orchestrator.saga.code import Code
from orchestrator.saga.definition import Policy
from orchestrator.saga.events import AttemptBegan, Parked
from orchestrator.saga.state import ActionStatus, Phase, SagaState
from tests.orchestrator.harness.answers import Answer, Script, always, answers
from tests.orchestrator.harness.stage import Stage
from tests.orchestrator.harness.virtual_time import play

FORWARD = ["create_order", "process_payment", "confirm_payment"]


def parked(stage: Stage, then: Callable[[], Awaitable[None]]) -> SagaState:
    """Plays until it is parked, does that, and plays until it rests again."""

    async def scenario() -> None:
        node = stage.start_node()
        await stage.accept(node)
        await stage.rests()
        assert Phase.PARKED is stage.state().phase
        await then()
        await stage.rests()
        await node.drain()
        stage.check()

    play(scenario())
    return stage.state()


def undo_fails(*, times: int) -> Script:
    refuses = Answer(code=Code.FAILED_PRECONDITION, reason="CANNOT")
    return {
        "confirm_payment": always(Code.NOT_FOUND),
        "cancel_payment": iter([refuses] * times),
    }


def test_a_retry_makes_the_parked_undo_afresh_and_then_the_others() -> None:
    stage = Stage(script=undo_fails(times=1))
    state = parked(stage, stage.retry)
    assert [*FORWARD, "cancel_payment", "cancel_payment", "cancel_order"] == stage.calls
    assert Phase.CANCELLED is state.phase
    assert state.parking is None
    attempts = [
        event.attempt
        for event in stage.events()
        if isinstance(event, AttemptBegan) and event.action == "cancel_payment"
    ]
    assert [1, 1] == attempts


def test_a_retry_that_fails_parks_again() -> None:
    stage = Stage(script=undo_fails(times=2))
    state = parked(stage, stage.retry)
    assert [*FORWARD, "cancel_payment", "cancel_payment"] == stage.calls
    assert Phase.PARKED is state.phase


def test_what_was_resolved_by_hand_is_not_undone_again_but_the_rest_is() -> None:
    stage = Stage(script=undo_fails(times=9))
    state = parked(stage, lambda: stage.resolve("cancel_payment"))
    assert [*FORWARD, "cancel_payment", "cancel_order"] == stage.calls
    assert Phase.CANCELLED is state.phase
    [resolution] = state.resolutions
    assert ("cancel_payment", "done by phone", "Grace") == (
        resolution.action,
        resolution.reason,
        resolution.requested_by,
    )
    undo = state.action("cancel_payment")
    assert undo is not None
    assert ActionStatus.RESOLVED_BY_HAND is undo.status


def test_a_retry_begins_the_horizon_anew() -> None:
    stage = Stage(
        script={
            "process_payment": always(Code.NOT_FOUND),
            "cancel_order": always(Code.UNAVAILABLE),
        }
    )
    stage.define(Policy(compensation_horizon_seconds=10.0))
    state = parked(stage, stage.retry)
    # Pauses of 0.1, 0.2, 0.4, 0.8, 1.6 and 3.2 seconds, and one of 6.4 that would be too long.
    assert [*FORWARD[:2], *["cancel_order"] * 14] == stage.calls
    assert Phase.PARKED is state.phase
    assert 2 == sum(isinstance(event, Parked) for event in stage.events())


def test_a_cancel_of_what_is_parked_changes_nothing() -> None:
    stage = Stage(script=undo_fails(times=1))

    async def cancel_and_retry() -> None:
        await stage.cancel()
        assert Phase.PARKED is stage.state().phase
        await stage.retry()

    state = parked(stage, cancel_and_retry)
    assert Phase.CANCELLED is state.phase
    assert state.failure is not None
    assert ("confirm_payment", "NOT_FOUND") == (state.failure.step, state.failure.code_name)


# A definition that is not known any more.


async def found_by_a_release_that_does_not_know_it(stage: Stage) -> None:
    """Killed while the payment is under way; the next release has another version."""
    known = dict(stage.definitions)
    node = stage.start_node()
    await stage.accept(node)
    await stage.clock.sleep(1.0)
    await node.die()
    newer = replace(stage.definition, version=2)
    stage.definitions = {newer.key: newer}
    node = stage.start_node()
    await stage.rests()
    await node.drain()
    stage.definitions = known


def slow_payment() -> Stage:
    return Stage(script={"process_payment": answers(Answer(takes_seconds=4.0))})


def test_a_process_whose_definition_is_not_known_is_parked_not_guessed() -> None:
    stage = slow_payment()
    play(found_by_a_release_that_does_not_know_it(stage))
    state = stage.state()
    assert ["create_order", "process_payment"] == stage.calls
    assert state.parking is not None
    assert (Phase.PARKED, "", "", "UNKNOWN_DEFINITION") == (
        state.phase,
        state.parking.action,
        state.parking.code_name,
        state.parking.reason,
    )
    assert "version 1 of five_steps" in state.parking.message
    stage.check()


@pytest.mark.parametrize("cancelled", [False, True])
def test_once_its_definition_is_known_again_a_retry_goes_on_where_it_was(
    *, cancelled: bool
) -> None:
    stage = slow_payment()

    async def scenario() -> None:
        await found_by_a_release_that_does_not_know_it(stage)
        if cancelled:
            await stage.cancel()
            assert Phase.PARKED is stage.state().phase
        await stage.retry()
        assert Phase.RUNNING is stage.state().phase
        node = stage.start_node()
        await stage.rests()
        await node.drain()
        stage.check()

    play(scenario())
    if cancelled:
        assert Phase.CANCELLED is stage.state().phase
        assert ["cancel_payment", "cancel_order"] == stage.calls[2:]
    else:
        assert Phase.COMPLETED is stage.state().phase
        assert ["process_payment", *FORWARD[2:]] == stage.calls[2:4]


def test_retried_while_it_is_still_not_known_it_is_parked_again() -> None:
    stage = slow_payment()

    async def scenario() -> None:
        await found_by_a_release_that_does_not_know_it(stage)
        newer = replace(stage.definition, version=2)
        stage.definitions = {newer.key: newer}
        await stage.retry()
        node = stage.start_node()
        await stage.rests()
        await node.drain()
        stage.check()

    play(scenario())
    assert Phase.PARKED is stage.state().phase
    assert 2 == sum(isinstance(event, Parked) for event in stage.events())
    assert ["create_order", "process_payment"] == stage.calls
