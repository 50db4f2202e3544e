"""What is committed when, and who is told after it."""

import asyncio

from orchestrator.saga.code import Code
from orchestrator.saga.events import (
    AttemptBegan,
    AttemptEnded,
    Cancelled,
    CompensationBegan,
    Completed,
    Event,
    Started,
)
from orchestrator.saga_log.memory import MemorySagaLog
from orchestrator.saga_log.protocol import Append, NewProcess, ProcessRow
from tests.orchestrator.harness.answers import always, once
from tests.orchestrator.harness.lines import captured_lines
from tests.orchestrator.harness.stage import Stage
from tests.orchestrator.harness.virtual_time import EPOCH_US, play


class ListeningLog(MemorySagaLog):
    """Keeps what came in each commit."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[tuple[Event, ...]] = []
        self.appends: list[Append] = []

    async def create(self, new: NewProcess) -> tuple[ProcessRow, bool]:
        self.commits.append(new.events)
        return await super().create(new)

    async def append(self, append: Append) -> int:
        self.commits.append(append.events)
        self.appends.append(append)
        return await super().append(append)

    def kinds(self) -> list[list[type[Event]]]:
        return [[type(event) for event in events] for events in self.commits]


def listened_to(stage: Stage) -> ListeningLog:
    log = ListeningLog()
    log.seam = stage.log.seam
    stage.log = log
    return log


def test_five_steps_are_six_commits() -> None:
    stage = Stage()
    log = listened_to(stage)
    play(stage.play())
    assert [
        [Started, AttemptBegan],
        *[[AttemptEnded, AttemptBegan]] * 4,
        [AttemptEnded, Completed],
    ] == log.kinds()


def test_turning_back_is_one_commit_with_the_outcome_and_the_first_undo() -> None:
    stage = Stage(script={"process_payment": once(Code.FAILED_PRECONDITION)})
    log = listened_to(stage)
    play(stage.play())
    assert [
        [Started, AttemptBegan],
        [AttemptEnded, AttemptBegan],
        [AttemptEnded, CompensationBegan, AttemptBegan],
        [AttemptEnded, Cancelled],
    ] == log.kinds()


def test_with_nothing_to_undo_it_is_cancelled_at_once() -> None:
    stage = Stage(script={"create_order": once(Code.INVALID_ARGUMENT)})
    log = listened_to(stage)
    play(stage.play())
    assert [
        [Started, AttemptBegan],
        [AttemptEnded, CompensationBegan, Cancelled],
    ] == log.kinds()


def test_an_outcome_is_committed_before_the_pause_that_follows_it() -> None:
    stage = Stage(script={"process_payment": once(Code.UNAVAILABLE)})
    log = listened_to(stage)
    play(stage.play())
    assert [[AttemptEnded], [AttemptBegan]] == log.kinds()[2:4]
    paused, resumed = log.appends[1:3]
    ended = paused.events[0]
    assert isinstance(ended, AttemptEnded)
    assert ended.not_before_us == EPOCH_US + 100_000
    assert ended.not_before_us == paused.due_time_us
    assert ended.not_before_us == resumed.events[0].time_us


def test_every_append_that_does_not_settle_says_when_the_process_is_due() -> None:
    stage = Stage(script={"process_payment": always(Code.UNAVAILABLE)})
    log = listened_to(stage)
    play(stage.play())
    dues = [(append.phase.at_rest, append.due_time_us is None) for append in log.appends]
    assert all(at_rest == never for at_rest, never in dues)


def test_whoever_subscribed_is_told_after_the_commit_and_not_before() -> None:
    stage = Stage()
    seen: list[int] = []

    async def scenario() -> None:
        node = stage.start_node()
        with stage.feed.subscribe("prc_1") as subscription:
            await stage.accept(node)
            while not stage.row().phase.at_rest:
                await subscription.changed(60.0)
                seen.append(stage.row().revision)
        await node.drain()

    async def revisions_at_each_notice() -> None:
        async with asyncio.timeout(60):
            await scenario()

    play(revisions_at_each_notice())
    assert 12 == seen[-1]
    assert sorted(set(seen)) == seen


def test_every_line_has_the_process_id_and_a_good_day_is_quiet() -> None:
    with captured_lines() as lines:
        play(Stage().play())
    assert [] == lines.events("info", "warning", "error")
    assert {"prc_1"} == {
        line["process_id"]
        for event in ("process_started", "attempt_ended", "process_settled")
        for line in lines.of(event)
    }
