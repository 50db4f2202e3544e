"""A runner is asked to leave."""

import asyncio

import pytest

from chassis.faults import Unavailable
from orchestrator.saga.code import Code
from orchestrator.saga.events import AttemptBegan, AttemptEnded
from orchestrator.saga.state import Phase
from tests.orchestrator.harness.answers import Answer, always, answers
from tests.orchestrator.harness.stage import Stage
from tests.orchestrator.harness.virtual_time import EPOCH_US, play


def test_a_call_that_ends_within_the_grace_is_logged_and_no_other_leaves() -> None:
    stage = Stage(script={"process_payment": answers(Answer(takes_seconds=4.0))})

    async def scenario() -> None:
        node = stage.start_node()
        await stage.accept(node)
        await stage.clock.sleep(1.0)
        await node.drain(grace_seconds=10.0)
        assert ["create_order", "process_payment"] == stage.calls
        assert stage.clock.now_us() == EPOCH_US + 4_000_000
        assert isinstance(stage.events()[-1], AttemptEnded)
        row = stage.row()
        assert (None, EPOCH_US + 4_000_000) == (row.owner, row.due_time_us)
        after = stage.start_node()
        await stage.rests()
        await after.drain()
        stage.check()

    play(scenario())
    assert 1 == stage.calls.count("process_payment")
    assert Phase.COMPLETED is stage.state().phase


def test_a_call_that_takes_longer_is_cut_and_made_again_by_the_next() -> None:
    stage = Stage(script={"process_payment": answers(Answer(takes_seconds=4.5))})

    async def scenario() -> None:
        node = stage.start_node()
        await stage.accept(node)
        await stage.clock.sleep(1.0)
        await node.drain(grace_seconds=2.0)
        assert 0 == node.runner.in_flight
        assert isinstance(stage.events()[-1], AttemptBegan)
        row = stage.row()
        assert (None, EPOCH_US + 3_000_000) == (row.owner, row.due_time_us)
        after = stage.start_node()
        await stage.rests()
        await after.drain()
        stage.check()

    play(scenario())
    assert 2 == stage.calls.count("process_payment")
    assert Phase.COMPLETED is stage.state().phase


def test_a_process_whose_last_call_ends_meanwhile_is_settled_not_handed_over() -> None:
    stage = Stage(script={"process_delivery": answers(Answer(takes_seconds=4.0))})

    async def scenario() -> None:
        node = stage.start_node()
        await stage.accept(node)
        await stage.clock.sleep(1.0)
        await node.drain()
        stage.check()

    play(scenario())
    assert Phase.COMPLETED is stage.state().phase


def test_a_pause_is_not_waited_for() -> None:
    asks = Answer(code=Code.RESOURCE_EXHAUSTED, retry_after_seconds=20.0)
    stage = Stage(script={"process_payment": answers(asks)})

    async def scenario() -> None:
        node = stage.start_node()
        await stage.accept(node)
        await stage.clock.sleep(1.0)
        await node.drain()
        assert stage.clock.now_us() == EPOCH_US + 1_000_000
        row = stage.row()
        assert (None, EPOCH_US + 20_000_000) == (row.owner, row.due_time_us)

    play(scenario())


def test_who_drains_accepts_nothing() -> None:
    stage = Stage()

    async def scenario() -> None:
        node = stage.start_node()
        await node.drain()
        with pytest.raises(Unavailable) as refused:
            await stage.accept(node)
        assert "DRAINING" == refused.value.reason

    play(scenario())
    assert () == stage.process_ids


def test_a_process_that_was_just_being_accepted_is_not_lost() -> None:
    stage = Stage()

    async def dawdle(stage: Stage) -> None:
        await stage.clock.sleep(3.0)

    stage.hooks[0] = dawdle

    async def scenario() -> None:
        node = stage.start_node()
        accepting = asyncio.create_task(stage.accept(node))
        await stage.clock.sleep(1.0)
        await node.drain()
        _, created = await accepting
        assert created
        assert stage.row().owner is None
        after = stage.start_node()
        await stage.rests()
        await after.drain()
        stage.check()

    play(scenario())
    assert Phase.COMPLETED is stage.state().phase


def test_drained_with_the_log_away_it_leaves_all_the_same() -> None:
    stage = Stage(script={"create_order": always(Code.UNAVAILABLE)})

    async def scenario() -> None:
        node = stage.start_node()
        await stage.accept(node)
        await stage.clock.sleep(1.0)

        async def away(*_: object) -> None:
            raise Unavailable("LOG_UNAVAILABLE", "the log is away")

        healthy, stage.log.seam = stage.log.seam, away
        await node.drain(grace_seconds=5.0)
        assert 0 == node.runner.in_flight
        stage.log.seam = healthy
        after = stage.start_node()
        await stage.rests()
        await after.drain()
        stage.check()

    play(scenario())
    assert Phase.CANCELLED is stage.state().phase
