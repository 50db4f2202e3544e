"""A process runs to its end on the version of its definition that it began on."""

from dataclasses import replace
from pathlib import Path

from oms.orchestrator.v1 import order_process_pb2 as process_pb
from orchestrator.order_process import ORDER_PROCESS
from orchestrator.saga.definition import Versions
from tests.orchestrator.edge.harness.office import Office
from tests.orchestrator.edge.harness.scripted import METHODS, Gate, ScriptedParticipants

COMPLETED = process_pb.ORDER_PROCESS_STATE_COMPLETED

CREATE_ORDER, PROCESS_PAYMENT, CONFIRM_PAYMENT, CONFIRM_ORDER, PROCESS_DELIVERY = (
    ORDER_PROCESS.steps
)
# Takes the money only once the order is confirmed.
NEXT = replace(
    ORDER_PROCESS,
    version=ORDER_PROCESS.version + 1,
    steps=(CREATE_ORDER, PROCESS_PAYMENT, CONFIRM_ORDER, CONFIRM_PAYMENT, PROCESS_DELIVERY),
)


async def test_the_next_release_goes_on_with_what_began_on_the_version_before(
    participants: ScriptedParticipants, tmp_path: Path
) -> None:
    gate = Gate()
    participants.answers["CreatePayment"] = gate.before(METHODS["CreatePayment"][2])
    async with Office(tmp_path, participants.targets) as office:
        process = await office.accept("r1")
        await gate.arrived.wait()
        await office.crash()
    del participants.answers["CreatePayment"]

    async with Office(
        tmp_path, participants.targets, versions=Versions(known=(ORDER_PROCESS, NEXT))
    ) as office:
        old = await office.reaches(process.process_id, COMPLETED)
        new = await office.start("r2")

    assert [it.name for it in ORDER_PROCESS.steps] == [step.name for step in old.steps]
    assert [it.name for it in NEXT.steps] == [step.name for step in new.steps]
    assert COMPLETED == new.state
