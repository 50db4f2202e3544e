"""What actions may do wrong, and what becomes of it."""

import asyncio
import math
from typing import Any, cast

import pytest

from orchestrator.action import Action, ActionCall, ActionReply, Watch, attempt, ended
from orchestrator.saga.code import Code
from orchestrator.saga.decide import Call
from orchestrator.saga.definition import STEP_RETRIES, UNDO_RETRIES
from orchestrator.saga.events import AttemptEnded
from orchestrator.saga.state import Phase
from tests.orchestrator.harness.answers import Answer, always, answers
from tests.orchestrator.harness.lines import captured_lines
from tests.orchestrator.harness.stage import Stage
from tests.orchestrator.harness.virtual_time import EPOCH_US, play

CALL = ActionCall(
    process_id="prc_1",
    action="book_room",
    attempt=1,
    timeout_seconds=2.0,
    input={},
    results={},
)
ATTEMPT = Call(action="book_room", attempt=1, timeout_seconds=2.0)


def outcome(reply: ActionReply, *, undo: bool = False, number: int = 1) -> AttemptEnded:
    return ended(
        Call(action="book_room", attempt=number, timeout_seconds=2.0),
        reply,
        undo=undo,
        retries=UNDO_RETRIES if undo else STEP_RETRIES,
        fraction=lambda: 1.0,
        time_us=0,
    )


# An attempt ends, in time, with one code.


async def raising(_: ActionCall) -> ActionReply:
    raise ZeroDivisionError("a mistake")


async def raising_a_timeout(_: ActionCall) -> ActionReply:
    raise TimeoutError("not the guard's")


async def cancelled_from_within(_: ActionCall) -> ActionReply:
    raise asyncio.CancelledError


async def never_returning(_: ActionCall) -> ActionReply:
    await asyncio.Event().wait()
    raise AssertionError


async def answering_nonsense(_: ActionCall) -> ActionReply:
    nonsense = {"code": 0}
    return cast("ActionReply", nonsense)


async def watched(action: Action) -> ActionReply:
    return await attempt(action, CALL, Watch())


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (raising, (Code.UNKNOWN, "ACTION_FAILED")),
        (raising_a_timeout, (Code.UNKNOWN, "ACTION_FAILED")),
        (answering_nonsense, (Code.UNKNOWN, "ACTION_FAILED")),
        (cancelled_from_within, (Code.CANCELLED, "ACTION_CANCELLED")),
        (never_returning, (Code.DEADLINE_EXCEEDED, "ACTION_OVERDUE")),
    ],
)
def test_whatever_an_action_does_nobody_knows_and_the_attempt_has_ended(
    action: Any, expected: tuple[Code, str]
) -> None:
    reply = play(watched(action))
    assert expected == (reply.code, reply.reason)
    assert "" == reply.message


def test_an_action_has_its_time_twice_and_a_little() -> None:
    async def scenario() -> float:
        await watched(never_returning)
        return asyncio.get_running_loop().time()

    assert 5.0 == pytest.approx(play(scenario()))


def test_each_attempt_of_a_task_has_its_own_time() -> None:
    async def slow(_: ActionCall) -> ActionReply:
        await asyncio.sleep(4.0)
        return ActionReply(code=Code.OK)

    async def scenario() -> tuple[list[Code], float]:
        watch = Watch()
        actions = (slow, never_returning, slow)
        codes = [(await attempt(action, CALL, watch)).code for action in actions]
        watch.close()
        return codes, asyncio.get_running_loop().time()

    codes, seconds = play(scenario())
    assert [Code.OK, Code.DEADLINE_EXCEEDED, Code.OK] == codes
    assert 4.0 + 5.0 + 4.0 == pytest.approx(seconds)


def test_whoever_is_cancelled_from_outside_is_cancelled() -> None:
    async def scenario() -> bool:
        task = asyncio.create_task(watched(never_returning))
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return task.cancelled()

    assert play(scenario())


def test_a_mistake_in_an_action_is_logged_with_its_trace() -> None:
    with captured_lines() as lines:
        play(watched(raising))
    [line] = lines.of("action_failed")
    assert "error" == line["log_level"]
    assert line["exc_info"]


# What is kept of a reply.


def test_a_result_is_kept_as_the_log_will_give_it_back() -> None:
    given: Any = {"seats": ("12A", "12B"), 7: None}
    assert {"seats": ["12A", "12B"], "7": None} == outcome(
        ActionReply(code=Code.OK, result=given)
    ).result


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (object(), "RESULT_NOT_JSON"),
        (math.nan, "RESULT_NOT_JSON"),
        ({"x": {1, 2}}, "RESULT_NOT_JSON"),
        ("x" * 16_383, "RESULT_TOO_LONG"),
    ],
)
def test_a_result_that_cannot_be_kept_is_no_result(result: Any, reason: str) -> None:
    event = outcome(ActionReply(code=Code.OK, result=result))
    assert (Code.INTERNAL, reason, None) == (event.code, event.reason, event.result)
    assert event.not_before_us is not None


def test_a_result_within_itself_is_no_result() -> None:
    knot: list[Any] = []
    knot.append(knot)
    assert "RESULT_NOT_JSON" == outcome(ActionReply(code=Code.OK, result=knot)).reason


def test_a_result_of_just_the_length_is_kept() -> None:
    assert Code.OK is outcome(ActionReply(code=Code.OK, result="x" * 16_382)).code


def test_a_result_of_an_attempt_that_did_not_succeed_is_not_kept() -> None:
    assert outcome(ActionReply(code=Code.ABORTED, result={"seat": 1})).result is None


def test_texts_are_cut_and_cleaned_before_they_are_kept() -> None:
    event = outcome(
        ActionReply(
            code=Code.ABORTED, reason="R\x00" + "r" * 500, message="a\nb\u2028c" + "ä" * 2_000
        )
    )
    assert "R " + "r" * 198 == event.reason
    assert "a b c" + "ä" * 995 == event.message


# When the next attempt is.


def test_there_is_no_next_attempt_after_what_is_final() -> None:
    assert outcome(ActionReply(code=Code.OK)).not_before_us is None
    assert outcome(ActionReply(code=Code.NOT_FOUND)).not_before_us is None
    assert outcome(ActionReply(code=Code.UNIMPLEMENTED)).not_before_us is None
    assert outcome(ActionReply(code=Code.NOT_FOUND), undo=True).not_before_us is None


def test_the_pause_grows_with_the_attempts() -> None:
    pauses = [outcome(ActionReply(code=Code.ABORTED), number=n).not_before_us for n in (1, 2, 3, 9)]
    assert [100_000, 200_000, 400_000, 5_000_000] == pauses


def test_an_undo_behind_a_closed_door_is_tried_again_at_its_own_pace() -> None:
    event = outcome(ActionReply(code=Code.UNIMPLEMENTED), undo=True, number=20)
    assert 300_000_000 == event.not_before_us


def test_what_the_participant_asks_for_is_the_least() -> None:
    asked = ActionReply(code=Code.RESOURCE_EXHAUSTED, retry_after_seconds=7.5)
    assert 7_500_000 == outcome(asked).not_before_us
    little = ActionReply(code=Code.RESOURCE_EXHAUSTED, retry_after_seconds=0.001)
    assert 100_000 == outcome(little).not_before_us


# The whole of it, in a process.


def test_a_process_lives_with_an_action_that_hangs() -> None:
    stage = Stage(script={"confirm_order": answers(Answer(takes_seconds=3_600.0))})
    state = play(stage.play())
    assert Phase.COMPLETED is state.phase
    confirmed = state.action("confirm_order")
    assert confirmed is not None
    assert 2 == confirmed.attempts
    assert ["confirm_order"] * 2 == stage.calls[3:5]


def test_an_attempt_gets_no_more_time_than_is_left_until_the_deadline() -> None:
    slow = Answer(code=Code.UNAVAILABLE, takes_seconds=2.0, retry_after_seconds=1.5)
    stage = Stage(script={"process_payment": iter([slow] * 3)}, deadline_seconds=8.0)
    play(stage.play())
    timeouts = [call.timeout_seconds for call in stage.told if call.action == "process_payment"]
    assert [2.0, 2.0, 1.0] == timeouts
    undos = [call.timeout_seconds for call in stage.told if call.action.startswith("cancel")]
    assert [2.0, 2.0] == undos


def test_an_action_is_told_the_input_and_what_the_actions_before_gave_back() -> None:
    stage = Stage(
        script={
            "create_order": answers(Answer(result={"total": 2_500})),
            "confirm_payment": always(Code.NOT_FOUND),
        }
    )
    play(stage.play())
    assert [{}, *[{"create_order": {"total": 2_500}}] * 4] == [call.results for call in stage.told]
    assert [{"for": "key"}] * 5 == [call.input for call in stage.told]
    assert ["cancel_payment", "cancel_order"] == [call.action for call in stage.told[3:]]


def test_a_request_to_be_left_alone_beyond_the_deadline_turns_back_at_once() -> None:
    stage = Stage(
        script={
            "process_payment": answers(
                Answer(code=Code.RESOURCE_EXHAUSTED, retry_after_seconds=61.0)
            )
        }
    )
    state = play(stage.play())
    assert ["create_order", "process_payment", "cancel_payment", "cancel_order"] == stage.calls
    assert state.failure is not None
    assert "PROCESS_DEADLINE_EXCEEDED" == state.failure.reason
    assert EPOCH_US == state.end_time_us
