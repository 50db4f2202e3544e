"""Who is turned away, and what is looked at before."""

from pathlib import Path

import grpc
import pytest

from chassis.statuses import WireError
from oms.orchestrator.v1 import order_process_pb2 as process_pb
from orchestrator import admission
from orchestrator.limit import Limit
from tests.orchestrator.edge.harness.office import Office, order
from tests.orchestrator.edge.harness.refusal import refusal, told
from tests.orchestrator.edge.harness.scripted import Gate, ScriptedParticipants, create_order

COMPLETED = process_pb.ORDER_PROCESS_STATE_COMPLETED


def wrong(error: WireError) -> list[str]:
    """The fields that an error names."""
    return [it.field for it in error.violations]


async def test_of_an_order_for_which_there_is_no_room_nothing_but_its_request_id_is_read(
    participants: ScriptedParticipants, tmp_path: Path
) -> None:
    gate = Gate()
    participants.answers["CreateOrder"] = gate.before(create_order)
    async with Office(tmp_path, participants.targets, in_flight_max=1) as office:
        first = await office.accept("r1")

        assert ("RESOURCE_EXHAUSTED", "OVERLOADED") == told(
            await refusal(office.accept("r2", items=[]))
        )
        # Who came before is told what is wrong, and so is who does not say who he is.
        assert ["items"] == wrong(await refusal(office.accept("r1", items=[])))
        assert ["request_id"] == wrong(await refusal(office.accept("\x00")))
        assert ["request_id", "items"] == wrong(await refusal(office.accept("", items=[])))

        gate.opened.set()
        await office.reaches(first.process_id, COMPLETED)
        assert ["items"] == wrong(await refusal(office.accept("r2", items=[])))


async def of_one_that_began_before(participants: ScriptedParticipants, folder: Path) -> None:
    """A request that began its process is sent again, where all others wait for room in vain."""
    gate = Gate()
    participants.answers["CreateOrder"] = gate.before(create_order)
    async with Office(folder, participants.targets) as office:
        first = await office.accept("r1")
        try:
            again = await office.service.StartOrderProcess(
                order("r1", return_immediately=True), timeout=1.5
            )
            assert first.process_id == again.process.process_id
        finally:
            gate.opened.set()
            await office.reaches(first.process_id, COMPLETED)


async def test_who_began_before_is_answered_though_room_is_never_made(
    participants: ScriptedParticipants, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Limit, "running_max", 1)
    await of_one_that_began_before(participants, tmp_path)


async def test_without_an_end_to_patience_he_would_not_be(
    participants: ScriptedParticipants, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removes the mechanism."""
    monkeypatch.setattr(Limit, "running_max", 1)
    monkeypatch.setattr(admission, "_turn_away", lambda _: None)
    error = await refusal(of_one_that_began_before(participants, tmp_path))
    assert grpc.StatusCode.DEADLINE_EXCEEDED is error.code
