"""Whatever is asked may be asked of any replica."""

import asyncio

import grpc
import grpc.aio
import pytest

from oms.orchestrator.v1 import order_process_pb2 as process_pb
from oms.orchestrator.v1 import order_process_service_pb2 as pb
from orchestrator import assembly
from orchestrator.assembly import Pace
from orchestrator.saga.definition import Policy
from orchestrator.saga.retry import RetryPolicy
from tests.orchestrator.edge.harness.office import PATIENCE_SECONDS, Office
from tests.orchestrator.edge.harness.scripted import (
    Gate,
    ScriptedParticipants,
    cancel_payment,
    create_delivery,
    create_payment,
    fails,
)
from tests.orchestrator.harness.gates import HandGate
from tests.orchestrator.replicas.conftest import MakeOffice

COMPLETED = process_pb.ORDER_PROCESS_STATE_COMPLETED
CANCELLED = process_pb.ORDER_PROCESS_STATE_CANCELLED
PARKED = process_pb.ORDER_PROCESS_STATE_PARKED

Pair = tuple[Office, Office]


async def test_a_request_that_is_sent_to_both_at_once_is_one_process(
    pair: Pair, participants: ScriptedParticipants
) -> None:
    for number in range(4):
        one, other = await asyncio.gather(*(it.start(f"r{number}") for it in pair))
        assert one.process_id == other.process_id
        assert (COMPLETED, COMPLETED) == (one.state, other.state)
    assert 4 == participants.calls.count("CreateOrder")


async def test_who_sends_a_request_again_to_another_replica_waits_for_the_same_process(
    pair: Pair, participants: ScriptedParticipants
) -> None:
    gate = Gate()
    participants.answers["CreateDelivery"] = gate.before(create_delivery)
    first = asyncio.create_task(pair[0].start("r"))
    await gate.arrived.wait()
    again = asyncio.create_task(pair[1].start("r"))
    gate.opened.set()
    assert (await first).process_id == (await again).process_id
    assert COMPLETED == (await again).state
    assert 1 == participants.calls.count("CreateDelivery")


async def test_a_watch_at_another_replica_follows_to_the_end(
    pair: Pair, participants: ScriptedParticipants
) -> None:
    gate = Gate()
    participants.answers["CreatePayment"] = gate.before(create_payment)
    process = await pair[0].accept("r")
    await gate.arrived.wait()
    watched = asyncio.create_task(pair[1].reaches(process.process_id, COMPLETED))
    gate.opened.set()
    assert COMPLETED == (await watched).state


async def test_a_cancel_at_another_replica_is_acted_on_by_the_one_that_runs_it(
    pair: Pair, participants: ScriptedParticipants
) -> None:
    gate = Gate()
    participants.answers["CreatePayment"] = gate.before(create_payment)
    process = await pair[0].accept("r")
    await gate.arrived.wait()
    await pair[1].cancel(process.process_id, "changed my mind")
    gate.opened.set()
    ended = await pair[1].reaches(process.process_id, CANCELLED)
    assert "CANCEL_REQUESTED" == ended.failure.reason
    assert ["CreateOrder", "CreatePayment", "CancelPayment", "CancelOrder"] == participants.calls
    stored = await pair[0].log.load(process.process_id)
    assert stored is not None
    assert 1 == stored.row.epoch


async def test_a_cancel_at_another_replica_ends_a_long_wait(
    make: MakeOffice, participants: ScriptedParticipants
) -> None:
    """Whoever waits for long does so in the log, where it is due once there is something to do."""
    patient = Policy(
        attempt_timeout_seconds=5.0,
        step_retries=RetryPolicy(floor_seconds=1_000, cap_seconds=2_000),
        undo_retries=RetryPolicy(floor_seconds=0.001, cap_seconds=0.01),
    )
    participants.answers["CreatePayment"] = fails(grpc.StatusCode.UNAVAILABLE)
    async with (
        make(policy=patient, process_deadline_seconds=90_000) as one,
        make(policy=patient, process_deadline_seconds=90_000) as other,
    ):
        process = await one.accept("r")
        await one.waits(process.process_id)
        await other.cancel(process.process_id)
        ended = await other.reaches(process.process_id, CANCELLED)
        assert "CANCEL_REQUESTED" == ended.failure.reason
    assert ["CreateOrder", "CreatePayment", "CancelPayment", "CancelOrder"] == participants.calls


async def test_a_cancel_at_another_replica_ends_a_hold(
    make: MakeOffice, participants: ScriptedParticipants, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is held stays where his turn comes; so that replica asks the log what others did."""
    monkeypatch.setattr(assembly, "SHARING", Pace(resident_wait_seconds=0.05, look_seconds=0.25))
    gate = HandGate()
    async with make(gates={"process_payment": gate}) as one, make() as other:
        process = await one.accept("r")
        await gate.asked.wait()
        await other.cancel(process.process_id)
        ended = await other.reaches(process.process_id, CANCELLED)
        assert "CANCEL_REQUESTED" == ended.failure.reason
        stored = await one.log.load(process.process_id)
        assert stored is not None
        assert 1 == stored.row.epoch
    assert ["CreateOrder", "CancelOrder"] == participants.calls


async def parked(office: Office, participants: ScriptedParticipants) -> process_pb.OrderProcess:
    """A process whose cancel_payment is rejected."""
    participants.answers["ConfirmPayment"] = fails(grpc.StatusCode.FAILED_PRECONDITION)
    participants.answers["CancelPayment"] = fails(grpc.StatusCode.FAILED_PRECONDITION)
    process = await office.start("r")
    assert PARKED == process.state
    return process


async def test_a_retry_at_another_replica_finishes_what_is_parked(
    pair: Pair, participants: ScriptedParticipants
) -> None:
    process = await parked(pair[0], participants)
    del participants.answers["CancelPayment"]
    await pair[1].retry(process)
    assert CANCELLED == (await pair[0].reaches(process.process_id, CANCELLED)).state


async def test_a_resolve_at_another_replica_has_the_rest_undone(
    pair: Pair, participants: ScriptedParticipants
) -> None:
    process = await parked(pair[0], participants)
    await pair[1].resolve(process)
    ended = await pair[0].reaches(process.process_id, CANCELLED)
    assert ended.resolved_by_hand
    assert 1 == participants.calls.count("CancelPayment")


async def test_a_return_at_another_replica_is_undone(
    pair: Pair, participants: ScriptedParticipants
) -> None:
    process = await pair[0].start("r")
    await pair[1].cancel(process.process_id)
    assert CANCELLED == (await pair[1].reaches(process.process_id, CANCELLED)).state
    assert ["CancelDelivery", "CancelPayment", "CancelOrder"] == participants.calls[-3:]


async def test_a_process_is_read_at_any_replica_as_it_is(pair: Pair) -> None:
    process = await pair[0].start("r")
    assert process == await pair[1].get(process.process_id)
    listed = await pair[1].service.ListOrderProcesses(
        pb.ListOrderProcessesRequest(), timeout=PATIENCE_SECONDS
    )
    assert [process.process_id] == [it.process_id for it in listed.processes]


async def test_content_that_differs_is_told_by_any_replica(pair: Pair) -> None:
    await pair[0].start("r")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await pair[1].start("r", customer_id="somebody else")
    assert grpc.StatusCode.ALREADY_EXISTS is refused.value.code()


async def test_a_gate_at_an_undo_holds_nobody_up_at_another_replica(
    pair: Pair, participants: ScriptedParticipants
) -> None:
    gate = Gate()
    participants.answers["CancelPayment"] = gate.before(cancel_payment)
    participants.answers["ConfirmPayment"] = fails(grpc.StatusCode.FAILED_PRECONDITION)
    process = await pair[0].accept("r")
    await gate.arrived.wait()
    # Once an undo has begun there is nothing more to cancel; and nothing is in its way.
    assert process.process_id == (await pair[1].cancel(process.process_id)).process_id
    gate.opened.set()
    assert CANCELLED == (await pair[1].reaches(process.process_id, CANCELLED)).state
