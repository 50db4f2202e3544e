"""What began on a version that a replica does not know is left to those that do."""

import asyncio
from dataclasses import replace

from oms.orchestrator.v1 import order_process_pb2 as process_pb
from orchestrator.order_process import ORDER_PROCESS
from orchestrator.saga.definition import Versions
from orchestrator.saga_log.sql import SqlSagaLog
from tests.orchestrator.edge.harness.office import Office
from tests.orchestrator.edge.harness.scripted import Gate, ScriptedParticipants, create_payment
from tests.orchestrator.replicas.conftest import MakeOffice

COMPLETED = process_pb.ORDER_PROCESS_STATE_COMPLETED
PARKED = process_pb.ORDER_PROCESS_STATE_PARKED

BOTH = Versions(known=(ORDER_PROCESS, replace(ORDER_PROCESS, version=ORDER_PROCESS.version + 1)))


async def left_by(
    before: Office, after: Office, participants: ScriptedParticipants
) -> tuple[process_pb.OrderProcess, process_pb.OrderProcess]:
    """A process of each release, under way when both are drained."""
    gate = Gate()
    participants.answers["CreatePayment"] = gate.before(create_payment)
    async with before, after:
        old, new = await before.accept("old"), await after.accept("new")
        await participants.called("CreatePayment", 2)
        # Both at once, or one would take the other's.
        await asyncio.gather(before.drain(0.0), after.drain(0.0))
    del participants.answers["CreatePayment"]
    return old, new


async def test_a_replica_finishes_what_it_knows_and_leaves_the_rest_to_the_next_release(
    make: MakeOffice, participants: ScriptedParticipants
) -> None:
    old, new = await left_by(make(), make(versions=BOTH), participants)

    async with make() as before:
        await before.reaches(old.process_id, COMPLETED)
        stored = await before.log.load(new.process_id)
        assert stored is not None
        assert (None, 1) == (stored.row.owner, stored.row.epoch)
        assert stored.row.due_time_us is not None
        async with make(versions=BOTH) as after:
            # Whoever is asked shows it, also one that could not run it.
            assert COMPLETED == (await before.reaches(new.process_id, COMPLETED)).state
            assert COMPLETED == (await after.get(old.process_id)).state


async def test_one_that_takes_what_it_does_not_know_has_a_person_look(
    make: MakeOffice, participants: ScriptedParticipants
) -> None:
    """What the log is told of the versions is what keeps the first test true."""
    _, new = await left_by(make(), make(versions=BOTH), participants)

    async with make(open_log=SqlSagaLog.open) as before:
        parked = await before.reaches(new.process_id, PARKED)

    assert "UNKNOWN_DEFINITION" == parked.parking.reason
