"""Long waits leave the memory; short ones stay in it."""

import asyncio

import pytest

from orchestrator.saga.code import Code
from orchestrator.saga.definition import Policy
from orchestrator.saga.state import Phase
from tests.orchestrator.harness.answers import Answer, always, answers
from tests.orchestrator.harness.incidents import lose
from tests.orchestrator.harness.lines import captured_lines
from tests.orchestrator.harness.stage import Stage
from tests.orchestrator.harness.virtual_time import EPOCH_US, play


def asked_to_wait(seconds: float) -> Stage:
    asks = Answer(code=Code.RESOURCE_EXHAUSTED, retry_after_seconds=seconds)
    return Stage(script={"confirm_order": answers(asks)})


def test_a_process_that_waits_for_long_is_given_back_and_claimed_when_it_is_due() -> None:
    stage = asked_to_wait(45.0)

    async def scenario() -> None:
        node = stage.start_node()
        await stage.accept(node)
        await stage.clock.sleep(1.0)
        assert 0 == node.runner.in_flight
        row = stage.row()
        assert (None, EPOCH_US + 45_000_000) == (row.owner, row.due_time_us)
        await stage.rests()
        await node.drain()
        stage.check()

    play(scenario())
    assert Phase.COMPLETED is stage.state().phase
    assert 2 == stage.row().epoch
    assert EPOCH_US + 45_000_000 <= stage.call_times_us[4] <= EPOCH_US + 45_100_000


@pytest.mark.parametrize("point", [16, 17])
def test_that_it_was_given_back_may_get_lost_on_the_way(point: int) -> None:
    stage = asked_to_wait(45.0)
    stage.hooks[point] = lose

    async def scenario() -> None:
        node = stage.start_node()
        await stage.accept(node)
        await stage.clock.sleep(1.0)
        assert 0 == node.runner.in_flight
        assert stage.row().owner is None
        await stage.rests()
        await node.drain()
        stage.check()

    play(scenario())
    assert "append" in stage.points[point]
    assert 1 + 5 == len(stage.calls)
    assert EPOCH_US + 45_000_000 <= stage.call_times_us[4] <= EPOCH_US + 45_100_000


def test_a_process_that_waits_a_little_stays() -> None:
    stage = asked_to_wait(29.0)

    async def scenario() -> None:
        node = stage.start_node(recovers=False)
        await stage.accept(node)
        await stage.clock.sleep(1.0)
        assert 1 == node.runner.in_flight
        await stage.rests()
        await node.drain()
        stage.check()

    play(scenario())
    assert 1 == stage.row().epoch
    assert EPOCH_US + 29_000_000 == stage.call_times_us[4]


def test_a_process_that_was_given_back_is_cancelled_without_waiting() -> None:
    stage = asked_to_wait(45.0)

    async def scenario() -> None:
        node = stage.start_node()
        await stage.accept(node)
        await stage.clock.sleep(5.0)
        await stage.cancel()
        await stage.rests()
        await node.drain()
        stage.check()

    play(scenario())
    assert ["cancel_payment", "cancel_order"] == stage.calls[4:]
    assert stage.call_times_us[4] <= EPOCH_US + 5_100_000


def test_a_cancel_that_comes_while_the_process_is_given_back_is_seen() -> None:
    stage = asked_to_wait(45.0)

    async def cancels(stage: Stage) -> None:
        await stage.cancel()

    async def scenario() -> None:
        node = stage.start_node()
        await stage.accept(node)
        await stage.rests()
        await node.drain()
        stage.check()

    # Before the commit of the outcome, with which the process is given back.
    stage.hooks[2 + 4 * 3 + 2] = cancels
    play(scenario())
    assert ["cancel_payment", "cancel_order"] == stage.calls[4:]
    assert stage.call_times_us[4] == EPOCH_US


def test_a_clock_that_was_ahead_makes_nobody_wait_for_it() -> None:
    stage = asked_to_wait(20.0)

    async def scenario() -> float:
        stage.clock.wrong_by_us = 3_600_000_000
        node = stage.start_node()
        await stage.accept(node)
        await stage.clock.sleep(1.0)
        await node.die()
        stage.clock.wrong_by_us = 0
        node = stage.start_node()
        await stage.rests()
        await node.drain()
        stage.check()
        return asyncio.get_running_loop().time()

    # The pause is begun anew, in the history's own time; it is not an hour.
    assert 21.0 <= play(scenario()) <= 22.0
    assert Phase.COMPLETED is stage.state().phase


def test_an_undo_that_never_succeeds_is_parked_when_its_horizon_is_reached() -> None:
    stage = Stage(
        script={
            "process_payment": always(Code.NOT_FOUND),
            "cancel_order": always(Code.ABORTED, "BUSY"),
        }
    )
    policy = Policy(compensation_horizon_seconds=1_000.0)
    stage.define(policy)
    state = play(stage.play())
    assert Phase.PARKED is state.phase
    assert state.parking is not None
    assert ("cancel_order", "ABORTED", "COMPENSATION_HORIZON_EXCEEDED") == (
        state.parking.action,
        state.parking.code_name,
        state.parking.reason,
    )
    assert "ABORTED BUSY" in state.parking.message
    # Pauses of 0.1, 0.2, … 204.8 seconds sum up to 409.5, one of 300 to 709.5 and the next would
    # end at 1,009.5: too late.
    assert 14 == stage.calls.count("cancel_order")
    assert EPOCH_US + 709_000_000 < state.update_time_us < EPOCH_US + 711_000_000


def test_an_undo_behind_a_closed_door_is_loud_and_goes_on_until_the_horizon() -> None:
    stage = Stage(
        script={
            "process_payment": always(Code.NOT_FOUND),
            "cancel_order": always(Code.UNAUTHENTICATED, "NO_CERTIFICATE"),
        }
    )
    stage.define(Policy(compensation_horizon_seconds=10.0))
    with captured_lines() as lines:
        state = play(stage.play())
    assert Phase.PARKED is state.phase
    tries = stage.calls.count("cancel_order")
    assert 7 == tries
    loud = [line for line in lines.of("attempt_ended") if line["log_level"] == "error"]
    assert ["cancel_order"] * tries == [line["action"] for line in loud]
    assert ["error"] == [line["log_level"] for line in lines.of("process_parked")]
