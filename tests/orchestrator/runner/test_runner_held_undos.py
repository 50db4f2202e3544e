"""Undos that are held at a gate, which may be for a day, take no room from others."""

import pytest

from chassis.clock import MICROSECONDS_PER_SECOND
from orchestrator.admission import Admission
from orchestrator.runner import Runner
from orchestrator.saga.code import Code
from orchestrator.saga.state import Phase
from tests.orchestrator.harness.answers import always
from tests.orchestrator.harness.gates import HandGate
from tests.orchestrator.harness.stage import Node, Stage
from tests.orchestrator.harness.virtual_time import play
from tests.orchestrator.runner.test_runner_gates import gated

KEYS = ("one", "two", "three")


async def with_held_undos(stage: Stage) -> Node:
    """Three processes whose undo is held, one second later."""
    node = stage.start_node()
    for key in KEYS:
        await stage.accept(node, key=key)
    await stage.clock.sleep(1.0)
    assert [Phase.COMPENSATING] * 3 == [stage.state(key).phase for key in KEYS]
    return node


def turned_back(*, held_undos_max: int) -> tuple[Stage, HandGate]:
    stage = Stage(script={"process_payment": always(Code.NOT_FOUND)}, held_undos_max=held_undos_max)
    return stage, gated(stage, "cancel_order")


def test_whose_undo_is_held_takes_no_room_from_others() -> None:
    stage, gate = turned_back(held_undos_max=3)

    async def scenario() -> None:
        node = await with_held_undos(stage)
        assert (3, 0) == (node.runner.in_flight, node.runner.at_work)
        gate.shut = False
        for _ in KEYS:
            gate.grant()
        for key in KEYS:
            await stage.rests(key=key)
        assert (0, 0) == (node.runner.in_flight, node.runner.at_work)
        await node.drain()
        stage.check()

    play(scenario())
    assert [] == gate.turns


def admitted_beside_held_undos() -> bool:
    """Whether an order may begin where as many may run as have their undo held."""
    stage, _ = turned_back(held_undos_max=3)

    async def scenario() -> bool:
        node = await with_held_undos(stage)
        admission = Admission(node.runner, most=3, clock=stage.clock)
        admitted = await admission.admits(patience_seconds=1.0)
        await node.drain()
        return admitted

    return play(scenario())


def test_orders_are_admitted_however_many_undos_are_held() -> None:
    assert admitted_beside_held_undos()


def test_were_those_counted_nobody_would_be_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes the mechanism."""
    monkeypatch.setattr(Runner, "at_work", Runner.in_flight)
    assert not admitted_beside_held_undos()


def test_undos_for_which_there_is_no_room_to_be_held_wait_in_the_log_and_lose_nothing() -> None:
    stage, gate = turned_back(held_undos_max=1)

    async def scenario() -> None:
        node = await with_held_undos(stage)
        assert (1, 0) == (node.runner.in_flight, node.runner.at_work)
        aside = [row for key in KEYS if (row := stage.row(key)).owner is None]
        assert 2 == len(aside)
        now_us = stage.clock.now_us()
        for row in aside:
            assert row.due_time_us is not None
            assert 140 < (row.due_time_us - now_us) / MICROSECONDS_PER_SECOND <= 300
        # Still down when they fall due: they are set aside once more.
        await stage.clock.sleep(400.0)
        assert (1, 0) == (node.runner.in_flight, node.runner.at_work)
        assert 0 == stage.calls.count("cancel_order")
        gate.shut = False
        gate.grant()
        while not all(stage.row(key).phase.at_rest for key in KEYS):
            await stage.clock.sleep(1.0)
            if not all(it.granted for it in gate.turns):
                gate.grant()
        await node.drain()
        stage.check()

    play(scenario())
    assert [Phase.CANCELLED] * 3 == [stage.state(key).phase for key in KEYS]
    assert [] == gate.turns


def test_a_held_undo_that_is_drained_gives_its_room_back() -> None:
    stage, _ = turned_back(held_undos_max=1)

    async def scenario() -> None:
        node = await with_held_undos(stage)
        await node.drain()
        assert (0, 0) == (node.runner.in_flight, node.runner.at_work)

    play(scenario())
