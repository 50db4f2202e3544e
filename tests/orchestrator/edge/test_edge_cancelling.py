"""CancelOrderProcess: at any moment, and as a return."""

import asyncio
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from chassis.clock import SystemClock
from oms.orchestrator.v1 import order_process_pb2 as process_pb
from orchestrator.order_process import ORDER_PROCESS
from orchestrator.saga.definition import Policy, Versions
from orchestrator.saga.retry import RetryPolicy
from tests.orchestrator.edge.harness.office import Office
from tests.orchestrator.edge.harness.refusal import refusal, told
from tests.orchestrator.edge.harness.scripted import (
    METHODS,
    Gate,
    ScriptedParticipants,
    fails,
)

RUNNING = process_pb.ORDER_PROCESS_STATE_RUNNING
COMPENSATING = process_pb.ORDER_PROCESS_STATE_COMPENSATING
COMPLETED = process_pb.ORDER_PROCESS_STATE_COMPLETED
CANCELLED = process_pb.ORDER_PROCESS_STATE_CANCELLED
PARKED = process_pb.ORDER_PROCESS_STATE_PARKED

FORWARD = ["CreateOrder", "CreatePayment", "ConfirmPayment", "ConfirmOrder", "CreateDelivery"]
# What has to be undone once a call was made.
UNDOS = {
    "CreateOrder": ["CancelOrder"],
    "CreatePayment": ["CancelPayment", "CancelOrder"],
    "ConfirmPayment": ["CancelPayment", "CancelOrder"],
    "ConfirmOrder": ["CancelPayment", "CancelOrder"],
    "CreateDelivery": ["CancelDelivery", "CancelPayment", "CancelOrder"],
}


@pytest.mark.parametrize("method", FORWARD)
async def test_a_cancel_during_a_call_undoes_that_call_and_all_before_it(
    office: Office, participants: ScriptedParticipants, request_id: str, method: str
) -> None:
    gate = Gate()
    participants.answers[method] = gate.before(METHODS[method][2])
    process = await office.accept(request_id)
    await gate.arrived.wait()

    answered = await office.cancel(process.process_id, "changed my mind")
    gate.opened.set()
    ended = await office.reaches(process.process_id, CANCELLED)

    assert RUNNING == answered.state
    assert FORWARD[: FORWARD.index(method) + 1] + UNDOS[method] == participants.calls
    assert ("CANCELLED", "CANCEL_REQUESTED", "changed my mind") == (
        ended.failure.code,
        ended.failure.reason,
        ended.failure.message,
    )


async def test_a_cancel_between_two_attempts_cuts_the_wait_short(
    participants: ScriptedParticipants, tmp_path: Path
) -> None:
    patient = Policy(step_retries=RetryPolicy(floor_seconds=20.0, cap_seconds=20.0))
    participants.answers["CreatePayment"] = fails(grpc.StatusCode.UNAVAILABLE)
    async with Office(tmp_path, participants.targets, policy=patient) as office:
        process = await office.accept("r1")
        await office.waits(process.process_id)

        async with asyncio.timeout(10):
            await office.cancel(process.process_id)
            await office.reaches(process.process_id, CANCELLED)

    # What was answered UNAVAILABLE may have been applied.
    assert ["CreateOrder", "CreatePayment", "CancelPayment", "CancelOrder"] == participants.calls


async def test_a_cancel_reaches_a_process_that_waits_for_long_and_is_in_nobodys_memory(
    participants: ScriptedParticipants, tmp_path: Path
) -> None:
    patient = Policy(step_retries=RetryPolicy(floor_seconds=50.0, cap_seconds=50.0))
    participants.answers["CreatePayment"] = fails(grpc.StatusCode.UNAVAILABLE)
    async with Office(tmp_path, participants.targets, policy=patient) as office:
        process = await office.accept("r1")
        await office.waits(process.process_id)
        stored = await office.log.load(process.process_id)
        assert stored is not None
        assert stored.row.owner is None

        async with asyncio.timeout(10):
            await office.cancel(process.process_id)
            await office.reaches(process.process_id, CANCELLED)

    assert ["CreateOrder", "CreatePayment", "CancelPayment", "CancelOrder"] == participants.calls


async def test_a_cancel_sent_twice_is_one_wish(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    gate = Gate()
    participants.answers["CreateOrder"] = gate.before(METHODS["CreateOrder"][2])
    process = await office.accept(request_id)
    await gate.arrived.wait()

    first = await office.cancel(process.process_id, "once")
    again = await office.cancel(process.process_id, "twice")
    gate.opened.set()
    ended = await office.reaches(process.process_id, CANCELLED)

    assert first == again
    assert "once" == ended.failure.message


async def test_many_cancels_at_once_are_one_wish(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    gate = Gate()
    participants.answers["CreateOrder"] = gate.before(METHODS["CreateOrder"][2])
    process = await office.accept(request_id)
    await gate.arrived.wait()

    answers = await asyncio.gather(
        *(office.cancel(process.process_id, f"I am {number}") for number in range(10))
    )
    gate.opened.set()

    assert {3} == {answer.revision for answer in answers}
    await office.reaches(process.process_id, CANCELLED)


async def test_cancels_and_a_process_at_full_speed_get_by_each_other(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    del participants
    accepted = [await office.accept(f"{request_id}-{number}") for number in range(20)]

    await asyncio.gather(*(office.cancel(process.process_id) for process in accepted))

    ended = [await office.reaches(process.process_id, CANCELLED) for process in accepted]
    assert {"CANCEL_REQUESTED"} == {process.failure.reason for process in ended}


async def test_a_process_that_is_going_back_is_answered_as_it_is(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    gate = Gate()
    participants.answers["CreatePayment"] = fails(
        grpc.StatusCode.FAILED_PRECONDITION, reason="PAYMENT_DECLINED"
    )
    participants.answers["CancelOrder"] = gate.before(METHODS["CancelOrder"][2])
    process = await office.accept(request_id)
    await gate.arrived.wait()
    before = await office.get(process.process_id)

    answered = await office.cancel(process.process_id)

    assert COMPENSATING == answered.state
    assert before == answered
    gate.opened.set()
    ended = await office.reaches(process.process_id, CANCELLED)
    assert "PAYMENT_DECLINED" == ended.failure.reason


async def test_a_cancelled_process_is_answered_as_it_is(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    participants.answers["CreateOrder"] = fails(grpc.StatusCode.FAILED_PRECONDITION)
    process = await office.start(request_id)

    assert process == await office.cancel(process.process_id)


async def test_a_parked_process_is_answered_as_it_is(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    participants.answers["CreatePayment"] = fails(grpc.StatusCode.FAILED_PRECONDITION)
    participants.answers["CancelOrder"] = fails(grpc.StatusCode.FAILED_PRECONDITION)
    process = await office.start(request_id)

    assert PARKED == process.state
    assert process == await office.cancel(process.process_id)


async def test_a_cancel_of_a_process_parked_before_it_turned_back_is_kept_for_its_retry(
    participants: ScriptedParticipants, tmp_path: Path
) -> None:
    gate = Gate()
    participants.answers["CreatePayment"] = gate.before(METHODS["CreatePayment"][2])
    async with Office(tmp_path, participants.targets) as office:
        process = await office.accept("r1")
        await gate.arrived.wait()
        await office.crash()
    other_release = Versions(known=(replace(ORDER_PROCESS, version=99),))
    async with Office(tmp_path, participants.targets, versions=other_release) as office:
        parked = await office.reaches(process.process_id, PARKED)
        assert "UNKNOWN_DEFINITION" == parked.parking.reason

        answered = await office.cancel(process.process_id, "changed my mind")

        assert (PARKED, parked.revision + 1) == (answered.state, answered.revision)
        assert answered == await office.cancel(process.process_id, "said so already")
    async with Office(tmp_path, participants.targets) as office:
        await office.retry(answered)
        ended = await office.reaches(process.process_id, CANCELLED)

    assert "changed my mind" == ended.failure.message
    assert ["CreateOrder", "CreatePayment", "CancelPayment", "CancelOrder"] == participants.calls


async def test_a_completed_process_is_returned_newest_first(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    process = await office.start(request_id)

    answered = await office.cancel(process.process_id, "does not fit")
    ended = await office.reaches(process.process_id, CANCELLED)

    assert COMPENSATING == answered.state
    assert not answered.HasField("end_time")
    assert UNDOS["CreateDelivery"] == participants.calls[5:]
    assert "does not fit" == ended.failure.message
    assert "" == ended.failure.step


async def test_a_request_is_still_the_same_process_after_its_return(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    process = await office.start(request_id)
    await office.cancel(process.process_id)

    again = await office.start(request_id)

    assert (process.process_id, CANCELLED) == (again.process_id, again.state)
    assert 1 == participants.calls.count("CreateOrder")


class MovableClock(SystemClock):
    """Tells the time, and another one after it was moved."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead_us = 0

    def now_us(self) -> int:
        return super().now_us() + self.ahead_us


async def test_a_return_is_refused_once_its_window_has_closed(
    participants: ScriptedParticipants, tmp_path: Path
) -> None:
    clock = MovableClock()
    async with Office(
        tmp_path, participants.targets, clock=clock, return_window_seconds=3_600.0
    ) as office:
        early = await office.start("r1")
        late = await office.start("r2")
        clock.ahead_us += 3_590 * 1_000_000
        await office.cancel(early.process_id)
        clock.ahead_us += 11 * 1_000_000

        error = await refusal(office.cancel(late.process_id))

        assert ("FAILED_PRECONDITION", "RETURN_WINDOW_CLOSED") == told(error)
        assert late == await office.get(late.process_id)
        await office.reaches(early.process_id, CANCELLED)


async def test_a_cancel_of_what_is_not_there_is_refused(office: Office) -> None:
    error = await refusal(office.cancel("prc_none"))

    assert ("NOT_FOUND", "PROCESS_NOT_FOUND") == told(error)


async def test_a_wish_outlives_a_crash(participants: ScriptedParticipants, tmp_path: Path) -> None:
    gate = Gate()
    participants.answers["CreatePayment"] = gate.before(METHODS["CreatePayment"][2])
    async with Office(tmp_path, participants.targets) as office:
        process = await office.accept("r1")
        await gate.arrived.wait()
        await office.cancel(process.process_id)
        await office.crash()

    async with Office(tmp_path, participants.targets) as office:
        await office.reaches(process.process_id, CANCELLED)

    # The payment that was cut short may have been made: it is undone, and not asked for again.
    assert ["CreateOrder", "CreatePayment", "CancelPayment", "CancelOrder"] == participants.calls
