"""The loop that never ends: bounded, and stopped by nothing but a stop."""

import asyncio
from dataclasses import replace
from itertools import chain

from chassis.faults import Unavailable
from orchestrator.recovery import Recovery
from orchestrator.saga.code import Code
from orchestrator.saga_log.memory import MemorySagaLog
from orchestrator.saga_log.protocol import StoredProcess
from tests.orchestrator.harness.answers import Answer, answers
from tests.orchestrator.harness.lines import captured_lines
from tests.orchestrator.harness.stage import Node, Stage
from tests.orchestrator.harness.virtual_time import play


class CountingLog(MemorySagaLog):
    def __init__(self) -> None:
        super().__init__()
        self.claims: list[int] = []
        self.looks: list[float] = []

    async def claim(self, *, owner: str, now_us: int, limit: int) -> tuple[StoredProcess, ...]:
        claimed = await super().claim(owner=owner, now_us=now_us, limit=limit)
        self.claims.append(len(claimed))
        return claimed

    async def next_due_us(self, owner: str) -> int | None:
        self.looks.append(asyncio.get_running_loop().time())
        return await super().next_due_us(owner)


def counting(stage: Stage) -> CountingLog:
    log = CountingLog()
    log.seam = stage.log.seam
    stage.log = log
    return log


async def left_behind(stage: Stage, count: int) -> None:
    """So many processes, whose orchestrator died while their first call was under way."""
    under_way = [Answer(takes_seconds=3_600.0)] * count
    stage.script["create_order"] = chain(under_way, stage.script.get("create_order", ()))
    node = stage.start_node(recovers=False)
    for number in range(count):
        await stage.accept(node, key=f"key {number}")
    await node.die()


def test_what_the_dead_left_is_claimed_in_batches_and_finished() -> None:
    stage = Stage()
    log = counting(stage)

    async def scenario() -> None:
        await left_behind(stage, 250)
        node = stage.start_node()
        for number in range(250):
            await stage.rests(key=f"key {number}")
        await node.drain()
        stage.check()

    play(scenario())
    assert [100, 100, 50] == log.claims[:3]
    assert 250 == sum(log.claims)
    assert {2} == {stage.row(f"key {number}").epoch for number in range(250)}


def test_no_more_is_claimed_than_there_is_room_for() -> None:
    slow = Answer(takes_seconds=1.9)
    stage = Stage(script={"create_order": iter([slow] * 30)})
    log = counting(stage)

    async def scenario() -> None:
        await left_behind(stage, 30)
        node = stage.start_node(recovers=False)
        recovery = Recovery(
            log=log, runner=node.runner, clock=stage.clock, owner=node.owner, resident_max=12
        )
        node.recovery, node.recovering = recovery, asyncio.create_task(recovery.run())
        await stage.clock.sleep(0.5)
        assert [12] == log.claims
        assert 12 == node.runner.in_flight
        for number in range(30):
            await stage.rests(key=f"key {number}")
        await node.drain()
        stage.check()

    play(scenario())
    assert max(log.claims) == 12
    assert 30 == sum(log.claims)


def asked_to_wait(seconds: float) -> tuple[Stage, CountingLog]:
    """Where the first process is given back for so long, and when it is looked for."""
    asks = Answer(code=Code.RESOURCE_EXHAUSTED, retry_after_seconds=seconds)
    stage = Stage(script={"create_order": answers(asks)})
    return stage, counting(stage)


def test_it_looks_when_something_is_due_and_else_once_a_second() -> None:
    stage, log = asked_to_wait(40.5)

    async def scenario() -> None:
        node = stage.start_node()
        await stage.accept(node)
        await stage.rests()
        await node.drain()
        stage.check()

    play(scenario())
    looked = [round(time, 3) for time in log.looks]
    assert [float(second) for second in range(41)] == looked[:41]
    assert 40.5 == looked[41]


def test_nothing_is_claimed_while_nothing_is_due() -> None:
    stage, log = asked_to_wait(40.5)

    async def scenario() -> None:
        node = stage.start_node()
        await stage.accept(node)
        await stage.clock.sleep(40.0)
        assert [] == log.claims
        await stage.rests()
        await node.drain()
        stage.check()

    play(scenario())
    assert [1] == log.claims


def test_woken_it_looks_at_once() -> None:
    stage = Stage()
    log = counting(stage)

    async def scenario() -> None:
        node = stage.start_node()
        await stage.clock.sleep(0.3)
        node.recovery.wake()
        await stage.clock.sleep(0.3)
        await node.drain()

    play(scenario())
    assert [0.0, 0.3] == log.looks[:2]


def damage(stage: Stage, key: str) -> list[tuple[str, int, str]]:
    """Makes a history unreadable; answers with what it was."""
    record = stage.log._records[stage.row(key).process_id]
    whole = list(record.texts)
    record.texts[0] = ("begun_in_a_later_release", 0, "{}")
    return whole


async def recovered_around(stage: Stage, node: Node, broken: str) -> None:
    for number in range(5):
        if f"key {number}" != broken:
            await stage.rests(key=f"key {number}")
    row = stage.row(broken)
    assert row.owner is None
    assert row.due_time_us is not None
    assert row.due_time_us > stage.clock.now_us() + 50_000_000
    assert 0 == node.runner.in_flight


def test_a_process_that_cannot_be_read_is_set_aside_and_the_others_run() -> None:
    stage = Stage()

    async def scenario() -> None:
        await left_behind(stage, 5)
        whole = damage(stage, "key 2")
        node = stage.start_node()
        await recovered_around(stage, node, "key 2")
        # A later release reads it.
        stage.log._records[stage.row("key 2").process_id].texts[:] = whole
        await stage.rests(key="key 2")
        assert asyncio.get_running_loop().time() >= 60.0
        await node.drain()
        stage.check()

    with captured_lines() as lines:
        play(scenario())
    [line] = lines.of("process_unreadable")
    assert ("prc_3", "error") == (line["process_id"], line["log_level"])
    assert "begun_in_a_later_release" in line["why"]
    assert stage.state("key 2").phase.settled


def test_a_history_that_is_none_is_set_aside_too() -> None:
    stage = Stage()

    async def scenario() -> None:
        await left_behind(stage, 5)
        record = stage.log._records[stage.row("key 2").process_id]
        record.texts[0], record.texts[1] = record.texts[1], record.texts[0]
        node = stage.start_node()
        await recovered_around(stage, node, "key 2")
        await node.drain()

    with captured_lines() as lines:
        play(scenario())
    assert ["prc_3"] == [line["process_id"] for line in lines.of("process_unreadable")]


def test_an_outage_of_the_log_is_told_once_and_survived() -> None:
    stage = Stage()

    async def scenario() -> None:
        await left_behind(stage, 3)

        async def away(*_: object) -> None:
            raise Unavailable("LOG_UNAVAILABLE", "the log is away")

        healthy, stage.log.seam = stage.log.seam, away
        node = stage.start_node()
        await stage.clock.sleep(30.0)
        stage.log.seam = healthy
        for number in range(3):
            await stage.rests(key=f"key {number}")
        await node.drain()
        stage.check()

    with captured_lines() as lines:
        play(scenario())
    assert 1 == len(lines.of("recovery_cannot_reach_the_log"))
    assert 1 == len(lines.of("recovery_reaches_the_log"))


def test_a_mistake_in_the_loop_does_not_end_it() -> None:
    stage = Stage()

    class Mistaken(MemorySagaLog):
        mistakes = 3

        async def next_due_us(self, owner: str) -> int | None:
            if self.mistakes:
                self.mistakes -= 1
                raise ZeroDivisionError("a mistake")
            return await super().next_due_us(owner)

    log = Mistaken()
    log.seam = stage.log.seam
    stage.log = log

    async def scenario() -> None:
        node = stage.start_node()
        await stage.clock.sleep(10.0)
        await node.drain()

    with captured_lines() as lines:
        play(scenario())
    assert 3 == len(lines.of("recovery_failed"))


def test_a_claim_whose_answer_was_lost_is_made_again() -> None:
    stage = Stage()

    async def scenario() -> None:
        await left_behind(stage, 3)
        healthy, lost = stage.log.seam, 0

        async def losing(moment: str, method: str) -> None:
            nonlocal lost
            if (str(moment), method) == ("after commit", "claim") and lost < 2:
                lost += 1
                raise Unavailable("LOG_UNAVAILABLE", "the answer is lost")

        stage.log.seam = losing
        node = stage.start_node()
        for number in range(3):
            await stage.rests(key=f"key {number}")
        stage.log.seam = healthy
        await node.drain()
        stage.check()
        assert 2 == lost

    play(scenario())
    assert [4] * 3 == [stage.row(f"key {number}").epoch for number in range(3)]


def test_what_is_stored_settled_is_never_claimed() -> None:
    stage = Stage()

    async def scenario() -> None:
        node = stage.start_node()
        await stage.accept(node)
        await stage.rests()
        await node.die()
        after = stage.start_node()
        await stage.clock.sleep(100.0)
        await after.drain()

    play(scenario())
    assert 1 == stage.row().epoch
    assert replace(stage.row(), epoch=1) == stage.row()
