"""The log goes away, at every point in turn and for long."""

import asyncio

import pytest

from chassis.faults import Unavailable
from orchestrator.saga.code import Code
from orchestrator.saga.state import Phase
from orchestrator.saga_log.memory import Moment
from tests.orchestrator.harness.answers import once
from tests.orchestrator.harness.incidents import cancel, lose
from tests.orchestrator.harness.stage import Stage
from tests.orchestrator.harness.virtual_time import play

STEPS = ["create_order", "process_payment", "confirm_payment", "confirm_order", "process_delivery"]
UNDONE = [*STEPS, "cancel_payment", "cancel_order"]
COMMITS = [0, 1, *(2 + 4 * call + moment for call in range(7) for moment in (2, 3))]


@pytest.mark.parametrize("point", COMMITS[:12])
def test_an_outcome_is_kept_until_the_log_has_it_so_no_call_is_made_twice(point: int) -> None:
    stage = Stage(hooks={point: lose})
    state = play(stage.play())
    assert "commit" in stage.points[point]
    assert STEPS == stage.calls
    assert Phase.COMPLETED is state.phase


@pytest.mark.parametrize("point", COMMITS)
def test_the_same_on_the_way_back(point: int) -> None:
    stage = Stage(script={"process_delivery": once(Code.FAILED_PRECONDITION)}, hooks={point: lose})
    state = play(stage.play())
    # That the attempt at the delivery was committed, and that nobody heard so, is one too many in
    # the log: it never left, but who reads the log must take it for one that may be applied.
    lost_intent = 2 + 4 * 3 + 3
    undone = [*STEPS, "cancel_delivery", *UNDONE[5:]] if point == lost_intent else UNDONE
    assert undone == stage.calls
    assert Phase.CANCELLED is state.phase


@pytest.mark.parametrize("point", COMMITS[2:11])
def test_the_log_goes_away_and_somebody_cancels_meanwhile(point: int) -> None:
    async def cancel_and_lose(stage: Stage) -> None:
        await cancel(stage)
        await lose(stage)

    stage = Stage(hooks={point: cancel_and_lose})
    state = play(stage.play())
    assert Phase.CANCELLED is state.phase
    assert state.failure is not None
    assert "CANCEL_REQUESTED" == state.failure.reason
    assert len(set(stage.calls)) == len(stage.calls)


def test_nothing_is_told_and_no_call_leaves_while_the_log_is_away() -> None:
    stage = Stage()
    away = False
    healthy = stage.log.seam

    async def seam(moment: Moment, method: str) -> None:
        if away:
            raise Unavailable("LOG_UNAVAILABLE", "the log is away")
        await healthy(moment, method)

    stage.log.seam = seam

    async def go_away(_: Stage) -> None:
        nonlocal away
        away = True

    # After the payment was asked for.
    stage.hooks[7] = go_away

    async def scenario() -> None:
        nonlocal away
        node = stage.start_node()
        await stage.accept(node)
        await stage.clock.sleep(30.0)
        assert STEPS[:2] == stage.calls
        assert 4 == stage.row().revision
        assert 1 == node.runner.in_flight
        away = False
        await stage.rests()
        await node.drain()
        stage.check()

    play(scenario())
    assert STEPS == stage.calls


def test_a_create_whose_answer_was_lost_is_run_though_nobody_asks_again() -> None:
    stage = Stage(hooks={1: lose})

    async def scenario() -> None:
        node = stage.start_node()
        with pytest.raises(Unavailable):
            await stage.accept(node)
        await stage.rests()
        await node.drain()
        stage.check()

    play(scenario())
    assert STEPS == stage.calls


def test_a_caller_that_leaves_while_its_process_is_being_stored_does_not_stop_it() -> None:
    stage = Stage()
    stored, go_on = asyncio.Event(), asyncio.Event()

    async def dawdle(_: Stage) -> None:
        stored.set()
        await go_on.wait()

    stage.hooks[1] = dawdle

    async def scenario() -> None:
        node = stage.start_node(recovers=False)
        caller = asyncio.create_task(stage.accept(node))
        await stored.wait()
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        assert caller.cancelled()
        go_on.set()
        await stage.rests()
        await node.drain()
        stage.check()

    play(scenario())
    assert STEPS == stage.calls
