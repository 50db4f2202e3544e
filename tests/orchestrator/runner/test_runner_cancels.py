"""Somebody cancels at every point in turn."""

import pytest

from orchestrator.saga.code import Code
from orchestrator.saga.events import CancelRequested, CompensationBegan
from orchestrator.saga.state import Phase
from tests.orchestrator.harness.answers import Answer, always, answers, once
from tests.orchestrator.harness.incidents import cancel, crash
from tests.orchestrator.harness.stage import Stage
from tests.orchestrator.harness.virtual_time import play

STEPS = ["create_order", "process_payment", "confirm_payment", "confirm_order", "process_delivery"]
UNDOS = ["cancel_delivery", "cancel_payment", "cancel_order"]
UNDOS_WITH = {
    "create_order": ["cancel_order"],
    "process_payment": ["cancel_payment", "cancel_order"],
    "confirm_payment": ["cancel_payment", "cancel_order"],
    "confirm_order": ["cancel_payment", "cancel_order"],
    "process_delivery": UNDOS,
}


@pytest.mark.parametrize("point", range(1, 21))
def test_a_cancel_lets_the_call_under_way_end_and_undoes_it_too(point: int) -> None:
    stage = Stage(hooks={point: cancel})
    state = play(stage.play())
    # A step is under way from the commit of its intent to the commit of its outcome.
    under_way = STEPS[(point - 1) // 4]
    made = STEPS[: STEPS.index(under_way) + 1]
    assert [*made, *UNDOS_WITH[under_way]] == stage.calls
    assert Phase.CANCELLED is state.phase
    assert state.failure is not None
    assert ("CANCELLED", "CANCEL_REQUESTED", "changed my mind") == (
        state.failure.code_name,
        state.failure.reason,
        state.failure.message,
    )
    assert state.cancel is not None
    assert "Ada" == state.cancel.requested_by


def test_a_cancel_when_all_is_done_undoes_all() -> None:
    stage = Stage(hooks={21: cancel})
    state = play(stage.play())
    assert [*STEPS, *UNDOS] == stage.calls
    assert Phase.CANCELLED is state.phase
    assert not any(isinstance(event, CompensationBegan) for event in stage.events())
    assert state.failure is not None
    assert "" == state.failure.step


def test_a_cancel_names_the_step_that_was_under_way() -> None:
    stage = Stage(
        script={"process_payment": always(Code.UNAVAILABLE)},
        # Before the second attempt's commit: the first has ended, the pause is over.
        hooks={10: cancel},
    )
    state = play(stage.play())
    assert "before commit append" == stage.points[10]
    assert state.failure is not None
    assert "process_payment" == state.failure.step


@pytest.mark.parametrize("point", range(2, 21))
def test_cancelled_and_killed_at_once_it_is_undone_by_the_next(point: int) -> None:
    async def cancel_and_crash(stage: Stage) -> None:
        await stage.cancel()
        await crash(stage)

    stage = Stage(hooks={point: cancel_and_crash})
    state = play(stage.play())
    of_call = (point - 2) % 4
    under_way = STEPS[(point - 1) // 4]
    made = STEPS[: STEPS.index(under_way) + 1]
    # Killed before the call left, it was never made; the log cannot know, and has it undone.
    never_made = of_call in {0, 3}
    assert [*(made[:-1] if never_made else made), *UNDOS_WITH[under_way]] == stage.calls
    assert Phase.CANCELLED is state.phase


def test_a_cancel_cuts_a_pause_short() -> None:
    stage = Stage(
        script={
            "confirm_order": answers(Answer(code=Code.RESOURCE_EXHAUSTED, retry_after_seconds=20.0))
        }
    )

    async def scenario() -> None:
        node = stage.start_node()
        await stage.accept(node)
        await stage.clock.sleep(5.0)
        await stage.cancel()
        await stage.clock.sleep(0.0)
        await stage.rests()
        await node.drain()
        stage.check()

    play(scenario())
    assert [*STEPS[:4], "cancel_payment", "cancel_order"] == stage.calls
    [asked_us] = [e.time_us for e in stage.events() if isinstance(e, CancelRequested)]
    assert asked_us == stage.call_times_us[4]


def test_a_cancel_through_another_orchestrator_is_seen_when_the_next_thing_is_written() -> None:
    asks = Answer(code=Code.RESOURCE_EXHAUSTED, retry_after_seconds=20.0)
    stage = Stage(script={"confirm_order": answers(asks)})

    async def scenario() -> None:
        node = stage.start_node()
        await stage.accept(node)
        await stage.clock.sleep(5.0)
        await stage.cancel(here=False)
        await stage.rests()
        await node.drain()
        stage.check()

    play(scenario())
    assert [*STEPS[:4], "cancel_payment", "cancel_order"] == stage.calls
    assert 1 == stage.row().epoch
    assert stage.call_times_us[3] + 20_000_000 == stage.call_times_us[4]


def test_a_cancel_outranks_the_failure_that_comes_in_meanwhile() -> None:
    # Point 7 is after the payment was asked for, and before anybody knows that it was declined.
    stage = Stage(
        script={"process_payment": once(Code.FAILED_PRECONDITION, "DECLINED")}, hooks={7: cancel}
    )
    state = play(stage.play())
    assert [*STEPS[:2], "cancel_order"] == stage.calls
    assert state.failure is not None
    assert ("process_payment", "CANCEL_REQUESTED") == (state.failure.step, state.failure.reason)


@pytest.mark.parametrize("point", range(22, 30))
def test_a_cancel_on_the_way_back_changes_nothing(point: int) -> None:
    stage = Stage(
        script={"process_delivery": once(Code.FAILED_PRECONDITION, "NO_COURIER_AVAILABLE")},
        hooks={point: cancel},
    )
    state = play(stage.play())
    assert [*STEPS, "cancel_payment", "cancel_order"] == stage.calls
    assert state.failure is not None
    assert "NO_COURIER_AVAILABLE" == state.failure.reason
    assert any(isinstance(event, CancelRequested) for event in stage.events())


def test_a_second_cancel_changes_nothing() -> None:
    stage = Stage(hooks={6: cancel, 7: cancel})
    state = play(stage.play())
    assert [*STEPS[:2], "cancel_payment", "cancel_order"] == stage.calls
    assert Phase.CANCELLED is state.phase
