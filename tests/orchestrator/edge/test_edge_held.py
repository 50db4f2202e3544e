"""What callers see of a process that is held before a call."""

from pathlib import Path

from oms.orchestrator.v1 import order_process_pb2 as process_pb
from tests.orchestrator.edge.harness.office import Office
from tests.orchestrator.edge.harness.scripted import ScriptedParticipants
from tests.orchestrator.harness.gates import HandGate

RUNNING = process_pb.ORDER_PROCESS_STATE_RUNNING
COMPLETED = process_pb.ORDER_PROCESS_STATE_COMPLETED
CANCELLED = process_pb.ORDER_PROCESS_STATE_CANCELLED


async def test_an_order_is_accepted_and_shown_while_its_first_call_is_held(
    participants: ScriptedParticipants, tmp_path: Path
) -> None:
    gate = HandGate()
    async with Office(tmp_path, participants.targets, gates={"create_order": gate}) as office:
        process = await office.accept("r")
        assert (RUNNING, []) == (process.state, list(process.steps))
        again = await office.accept("r")
        assert process.process_id == again.process_id
        assert process == await office.get(process.process_id)
        assert [] == participants.calls
        await gate.asked.wait()
        gate.grant()
        assert COMPLETED == (await office.reaches(process.process_id, COMPLETED)).state


async def test_one_that_is_cancelled_before_anything_began_is_cancelled_at_once(
    participants: ScriptedParticipants, tmp_path: Path
) -> None:
    gate = HandGate()
    async with Office(tmp_path, participants.targets, gates={"create_order": gate}) as office:
        process = await office.accept("r")
        await office.cancel(process.process_id, "changed my mind")
        ended = await office.reaches(process.process_id, CANCELLED)
        assert "CANCEL_REQUESTED" == ended.failure.reason
    assert [] == participants.calls
