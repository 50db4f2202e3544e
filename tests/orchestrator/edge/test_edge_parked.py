"""RetryOrderProcess and ResolveOrderProcess."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from oms.orchestrator.v1 import order_process_admin_service_pb2 as pb
from oms.orchestrator.v1 import order_process_pb2 as process_pb
from tests.orchestrator.edge.harness.office import PATIENCE_SECONDS, Office
from tests.orchestrator.edge.harness.refusal import refusal, told
from tests.orchestrator.edge.harness.scripted import Gate, ScriptedParticipants, cancel_order, fails

COMPENSATING = process_pb.ORDER_PROCESS_STATE_COMPENSATING
COMPLETED = process_pb.ORDER_PROCESS_STATE_COMPLETED
CANCELLED = process_pb.ORDER_PROCESS_STATE_CANCELLED
PARKED = process_pb.ORDER_PROCESS_STATE_PARKED


async def park(
    office: Office,
    participants: ScriptedParticipants,
    request_id: str,
    *,
    undo: str = "CancelPayment",
    reason: str = "CANNOT",
) -> process_pb.OrderProcess:
    """A process that is parked on an undo; afterwards its participant is well again."""
    participants.answers["ConfirmPayment"] = fails(grpc.StatusCode.FAILED_PRECONDITION)
    participants.answers[undo] = fails(grpc.StatusCode.FAILED_PRECONDITION, reason=reason)
    process = await office.start(request_id)
    assert PARKED == process.state
    participants.forget()
    return process


async def test_a_retry_finishes_a_process_once_its_participant_is_well(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    process = await park(office, participants, request_id)

    retried = await office.retry(process)
    ended = await office.reaches(process.process_id, CANCELLED)

    assert COMPENSATING == retried.state
    assert not retried.HasField("parking")
    assert process.revision + 1 == retried.revision
    assert ["CancelPayment", "CancelOrder"] == participants.calls
    assert not ended.resolved_by_hand


async def test_a_retry_that_fails_again_parks_again(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    process = await park(office, participants, request_id)
    participants.answers["CancelPayment"] = fails(
        grpc.StatusCode.FAILED_PRECONDITION, reason="STILL_NOT"
    )

    await office.retry(process)
    again = await office.reaches(process.process_id, PARKED)

    assert "STILL_NOT" == again.parking.reason
    assert again.revision > process.revision


async def test_a_resolve_has_the_remaining_undos_run_and_says_who_and_why(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    process = await park(office, participants, request_id)

    resolved = await office.resolve(process, requested_by="grace")
    ended = await office.reaches(process.process_id, CANCELLED)

    assert COMPENSATING == resolved.state
    assert ["CancelOrder"] == participants.calls
    [resolution] = ended.resolved_by_hand
    assert ("cancel_payment", "grace", "done by phone") == (
        resolution.step,
        resolution.requested_by,
        resolution.reason,
    )
    [step] = [step for step in ended.steps if step.name == "cancel_payment"]
    assert process_pb.ORDER_PROCESS_STEP_STATE_RESOLVED_BY_HAND == step.state


async def test_a_resolve_of_the_last_undo_ends_the_process(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    process = await park(office, participants, request_id, undo="CancelOrder")

    await office.resolve(process)
    await office.reaches(process.process_id, CANCELLED)

    assert [] == participants.calls


async def test_who_asked_for_it_and_why_is_in_the_history(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    process = await park(office, participants, request_id)
    await office.retry(process, requested_by="grace")
    await office.reaches(process.process_id, CANCELLED)

    stored = await office.log.load(process.process_id, after=process.revision)

    assert stored is not None
    assert ("grace", "it is well again") == (
        getattr(stored.events[0], "requested_by", None),
        getattr(stored.events[0], "reason", None),
    )


@pytest.mark.parametrize("act", ["retry", "resolve"])
async def test_a_decision_on_an_old_revision_is_not_carried_out(
    office: Office, participants: ScriptedParticipants, request_id: str, act: str
) -> None:
    process = await park(office, participants, request_id)
    participants.answers["CancelPayment"] = fails(grpc.StatusCode.FAILED_PRECONDITION)
    await office.retry(process)
    again = await office.reaches(process.process_id, PARKED)

    error = await refusal(getattr(office, act)(process))

    assert ("ABORTED", "REVISION_MISMATCH") == told(error)
    assert again == await office.get(process.process_id)


@pytest.mark.parametrize("act", ["retry", "resolve"])
async def test_what_is_not_parked_is_left_alone(
    office: Office, participants: ScriptedParticipants, request_id: str, act: str
) -> None:
    del participants
    process = await office.start(request_id)

    error = await refusal(getattr(office, act)(process))

    assert ("FAILED_PRECONDITION", "NOT_PARKED") == told(error)
    assert process == await office.get(process.process_id)


@pytest.mark.parametrize("act", ["retry", "resolve"])
async def test_what_is_not_there_is_not_found(office: Office, act: str) -> None:
    nobody = process_pb.OrderProcess(process_id="prc_none", revision=1)

    error = await refusal(getattr(office, act)(nobody))

    assert ("NOT_FOUND", "PROCESS_NOT_FOUND") == told(error)


async def test_of_two_operators_at_once_one_has_it_his_way(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    process = await park(office, participants, request_id)
    gate = Gate()
    participants.answers["CancelOrder"] = gate.before(cancel_order)

    await office.resolve(process)
    error = await refusal(office.retry(process))

    gate.opened.set()
    assert ("ABORTED", "REVISION_MISMATCH") == told(error)
    await office.reaches(process.process_id, CANCELLED)


@pytest_asyncio.fixture
async def yard(participants: ScriptedParticipants, tmp_path: Path) -> AsyncIterator[Office]:
    """An orchestrator with four parked processes, the oldest first, and a completed one."""
    async with Office(tmp_path, participants.targets) as yard:
        await yard.start("fine")
        await park(yard, participants, "p1", undo="CancelPayment", reason="CANNOT")
        await park(yard, participants, "p2", undo="CancelOrder", reason="CANNOT")
        await park(yard, participants, "p3", undo="CancelPayment", reason="GONE")
        await park(yard, participants, "p4", undo="CancelPayment", reason="CANNOT")
        yield yard


async def retried(yard: Office, **fields: Any) -> list[str]:
    response = await yard.admin.RetryOrderProcess(
        pb.RetryOrderProcessRequest(
            filter=pb.ParkedOrderProcessFilter(**fields), reason="well", requested_by="grace"
        ),
        timeout=PATIENCE_SECONDS,
    )
    return [process.request_id for process in response.processes]


async def test_a_filter_that_says_nothing_retries_everything_parked_oldest_first(
    yard: Office,
) -> None:
    assert ["p1", "p2", "p3", "p4"] == await retried(yard)
    for request_id in ("p1", "p2", "p3", "p4"):
        assert CANCELLED == (await yard.start(request_id)).state


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"step": "cancel_payment"}, ["p1", "p3", "p4"]),
        ({"step": "cancel_order"}, ["p2"]),
        ({"reason": "GONE"}, ["p3"]),
        ({"step": "cancel_payment", "reason": "CANNOT"}, ["p1", "p4"]),
        ({"step": "cancel_delivery"}, []),
        ({"limit": 2}, ["p1", "p2"]),
        ({"step": "cancel_payment", "limit": 1}, ["p1"]),
    ],
)
async def test_a_filter_retries_what_it_lets_through(
    yard: Office, fields: dict[str, Any], expected: list[str]
) -> None:
    assert expected == await retried(yard, **fields)


async def test_a_filter_by_time_retries_what_was_parked_before_it(
    yard: Office,
) -> None:
    third = await yard.start("p3")

    assert ["p1", "p2"] == await retried(yard, parked_before=third.parking.park_time)


async def test_a_filter_retries_as_many_as_there_are(
    participants: ScriptedParticipants, tmp_path: Path
) -> None:
    participants.answers["ConfirmPayment"] = fails(grpc.StatusCode.FAILED_PRECONDITION)
    participants.answers["CancelPayment"] = fails(grpc.StatusCode.FAILED_PRECONDITION)
    async with Office(tmp_path, participants.targets) as office:
        await asyncio.gather(*(office.start(f"p{number}") for number in range(103)))
        participants.forget()

        first = await retried(office)
        rest = await retried(office)
        for request_id in (*first, *rest):
            assert CANCELLED == (await office.start(request_id)).state

    assert (100, 3) == (len(first), len(rest))
    assert 103 == participants.calls.count("CancelPayment")


async def test_a_process_retried_by_one_filter_is_not_retried_by_the_next(yard: Office) -> None:
    assert ["p1", "p2", "p3", "p4"] == await retried(yard)
    assert [] == await retried(yard)
