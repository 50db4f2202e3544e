"""What goes wrong with one process is nothing to the others."""

import asyncio

from chassis.faults import Unavailable
from orchestrator.saga.events import AttemptBegan
from orchestrator.saga.state import Phase
from orchestrator.saga_log.memory import MemorySagaLog, Moment
from orchestrator.saga_log.protocol import Append
from tests.orchestrator.harness.lines import captured_lines
from tests.orchestrator.harness.stage import Stage
from tests.orchestrator.harness.virtual_time import play


class PoisonedLog(MemorySagaLog):
    """Cannot write one kind of append of one process, as if there were a mistake somewhere."""

    poisoned = True
    appends = 0

    async def append(self, append: Append) -> int:
        if (
            self.poisoned
            and append.process_id == "prc_2"
            and any(
                isinstance(e, AttemptBegan) and e.action == "confirm_order" for e in append.events
            )
        ):
            self.appends += 1
            raise ZeroDivisionError("a mistake")
        return await super().append(append)


def test_a_process_that_the_program_fails_on_is_set_aside_and_tried_again_later() -> None:
    stage = Stage()
    log = PoisonedLog()
    log.seam = stage.log.seam
    stage.log = log
    keys = ["a", "b", "c"]

    async def scenario() -> None:
        node = stage.start_node()
        for key in keys:
            await stage.accept(node, key=key)
        await asyncio.gather(stage.rests(key="a"), stage.rests(key="c"))
        await stage.clock.sleep(9.0)
        assert 0 == node.runner.in_flight
        assert Phase.RUNNING is stage.state("b").phase
        assert 1 == log.appends
        log.poisoned = False
        await stage.rests(key="b")
        await node.drain()
        stage.check()

    with captured_lines() as lines:
        play(scenario())
    assert [Phase.COMPLETED] * 3 == [stage.state(key).phase for key in keys]
    [line] = lines.of("process_failed")
    assert "prc_2" == line["process_id"]


def test_it_is_set_aside_also_if_the_log_is_away_just_then() -> None:
    stage = Stage()
    log = PoisonedLog()
    away = 0

    async def seam(_: Moment, method: str) -> None:
        nonlocal away
        if method == "release" and away < 2:
            away += 1
            raise Unavailable("LOG_UNAVAILABLE", "the log is away")

    log.seam = seam
    stage.log = log

    async def scenario() -> None:
        node = stage.start_node()
        await stage.accept(node, key="a")
        await stage.accept(node, key="b")
        await stage.clock.sleep(9.0)
        assert 1 == node.runner.in_flight
        await stage.clock.sleep(2.0)
        assert 0 == node.runner.in_flight
        log.poisoned = False
        await stage.rests(key="b")
        await node.drain()
        stage.check()

    play(scenario())
    assert 2 == away
    assert Phase.COMPLETED is stage.state("b").phase


def test_many_processes_run_side_by_side_on_one_log() -> None:
    stage = Stage()
    keys = [f"key {number}" for number in range(200)]

    async def scenario() -> None:
        node = stage.start_node()
        made = await asyncio.gather(*(stage.accept(node, key=key) for key in keys))
        assert all(created for _, created in made)
        for key in keys:
            await stage.rests(key=key)
        await node.drain()
        stage.check()

    play(scenario())
    assert {Phase.COMPLETED} == {stage.state(key).phase for key in keys}
    assert 200 * 5 == len(stage.calls)


def test_the_same_request_again_is_the_same_process() -> None:
    stage = Stage()

    async def scenario() -> None:
        node = stage.start_node()
        made = await asyncio.gather(*(stage.accept(node) for _ in range(20)))
        assert 1 == sum(created for _, created in made)
        await stage.rests()
        again, created = await stage.accept(node)
        assert not created
        assert Phase.COMPLETED is again.phase
        await node.drain()
        stage.check()

    play(scenario())
    assert 5 == len(stage.calls)
