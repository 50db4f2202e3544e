"""SIGTERM to the orchestrator:

nothing accepted is lost, and no call is cut that could have ended in time.
"""

import asyncio
import itertools
import signal

import grpc.aio
import pytest
from grpc import StatusCode

from bench.chaos.snags import HeldReply
from oms.orchestrator.v1.order_process_pb2 import ORDER_PROCESS_STATE_COMPLETED, OrderProcess
from oms.orchestrator.v1.order_process_service_pb2 import WatchOrderProcessRequest
from tests.system.harness.events import attempt_ended
from tests.system.harness.process import Process
from tests.system.harness.refusal import read, refusal
from tests.system.harness.requests import order
from tests.system.harness.system import Orchestrator, System

CONFIGURATION = 78
METHODS = ["CreateOrder", "CreatePayment", "ConfirmPayment", "ConfirmOrder", "CreateDelivery"]


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """The grace is longer than any test takes, and so is an attempt."""
    return {
        "OMS_DRAIN_GRACE_SECONDS": "50",
        "OMS_ATTEMPT_TIMEOUT_SECONDS": "60",
        "OMS_PROCESS_DEADLINE_SECONDS": "600",
    }


async def test_a_call_under_way_is_finished_and_its_process_goes_on_after_the_restart(
    system: System,
) -> None:
    orchestrator = system.orchestrator
    requests = [order() for _ in range(10)]
    holds = [
        system.roads.hold(HeldReply, request.customer_id, method)
        for request, method in zip(requests, itertools.cycle(METHODS), strict=False)
    ]
    accepted = [await orchestrator.accept(request) for request in requests]
    await asyncio.gather(*(hold.reached() for hold in holds))

    orchestrator.process.send(signal.SIGTERM)
    await orchestrator.until_not_serving()
    for hold in holds:
        hold.release()
    assert 0 == await orchestrator.process.ended()
    await orchestrator.restart()

    settled = await asyncio.gather(*map(orchestrator.until_settled, accepted))
    assert {ORDER_PROCESS_STATE_COMPLETED} == {it.state for it in settled}
    assert {1} == {step.attempts for it in settled for step in it.steps}
    for request in requests:
        assert 5 == len(system.roads.calls(request.customer_id))


async def test_a_caller_who_waits_is_told_to_come_again_and_finds_the_same_process(
    system: System,
) -> None:
    orchestrator, request = system.orchestrator, order()
    hold = system.roads.hold(HeldReply, request.customer_id, "CreatePayment")
    waiting = asyncio.ensure_future(orchestrator.place(request))
    await hold.reached()
    accepted = await orchestrator.accept(request)
    watch = orchestrator.processes.WatchOrderProcess(
        WatchOrderProcessRequest(process_id=accepted.process_id)
    )

    async def to_its_end() -> None:
        async for _ in watch:
            pass

    watching = asyncio.ensure_future(refusal(to_its_end()))
    orchestrator.process.send(signal.SIGTERM)
    assert (StatusCode.UNAVAILABLE, "DRAINING") == (await watching).told
    (told,) = await asyncio.gather(waiting, return_exceptions=True)
    if isinstance(told, grpc.aio.AioRpcError):
        assert (StatusCode.UNAVAILABLE, "DRAINING") == read(told).told
    else:
        assert isinstance(told, OrderProcess)
        assert accepted.process_id == told.process_id
    hold.release()
    assert 0 == await orchestrator.process.ended()
    await orchestrator.restart()

    again = await orchestrator.place(request)
    assert accepted.process_id == again.process_id
    assert ORDER_PROCESS_STATE_COMPLETED == again.state


async def test_a_process_that_waits_for_its_next_attempt_waits_through_a_restart(
    system: System,
) -> None:
    orchestrator = system.orchestrator
    await system.delivery.kill()
    accepted = await orchestrator.accept(order())
    failed = attempt_ended("process_delivery", code="UNAVAILABLE")
    await orchestrator.until_event(accepted, failed, times=2)
    assert 0 == await orchestrator.stop()
    await orchestrator.restart()
    await orchestrator.until_event(accepted, failed, times=4)
    await system.delivery.restart()
    settled = await orchestrator.until_settled(accepted)
    assert ORDER_PROCESS_STATE_COMPLETED == settled.state


async def test_a_call_that_outlasts_the_grace_is_given_up_and_made_again_after_the_restart(
    system: System,
) -> None:
    orchestrator, request = system.orchestrator, order()
    await orchestrator.stop()
    orchestrator.settings["OMS_DRAIN_GRACE_SECONDS"] = "0.1"
    await orchestrator.restart()
    hold = system.roads.hold(HeldReply, request.customer_id, "CreatePayment")
    accepted = await orchestrator.accept(request)
    await hold.reached()
    assert 0 == await orchestrator.stop()
    hold.lose()
    await orchestrator.restart()
    settled = await orchestrator.until_settled(accepted)
    assert ORDER_PROCESS_STATE_COMPLETED == settled.state
    assert 2 == system.roads.calls(request.customer_id).count("CreatePayment")
    assert 2_500 == system.balance(settled.payment_id).taken


@pytest.mark.parametrize("name", ["order", "payment", "delivery"])
async def test_a_participant_told_to_stop_ends_well(system: System, name: str) -> None:
    participant = system.participants[name]
    assert 0 == await participant.stop()
    await participant.restart()


async def test_a_second_orchestrator_on_the_same_file_is_told_so_and_stops(system: System) -> None:
    second = Orchestrator(
        folder=system.folder / "second",
        targets=system.roads.routes,
        settings={"OMS_ORCHESTRATOR_DATABASE_URL": f"sqlite:///{system.orchestrator.database}"},
    )
    second.folder.mkdir()
    try:
        process: Process = await second.spawn()
        assert CONFIGURATION == await process.ended()
        said = process.tail()
        assert "is in use by another orchestrator" in said
        assert str(system.orchestrator.process.pid) in said
        assert "Traceback" not in said
    finally:
        await second.close()
    # The first did not notice.
    placed = await system.orchestrator.place(order())
    assert ORDER_PROCESS_STATE_COMPLETED == placed.state
