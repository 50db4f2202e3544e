"""Settled processes are taken leave of by the real services, killed in the midst and audited."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from oms.orchestrator.v1.order_process_pb2 import OrderProcess
from oms.orchestrator.v1.order_process_service_pb2 import StartOrderProcessRequest
from tests.system.harness.audit import Everything, everything
from tests.system.harness.command import oms
from tests.system.harness.refusal import refusal
from tests.system.harness.requests import order
from tests.system.harness.system import System

PATIENCE_SECONDS = 60.0
# A return is allowed for no time at all, so that there need be no long wait for anything.
AT_ONCE = {
    "OMS_RETURN_WINDOW_SECONDS": "0",
    "OMS_COMPENSATION_HORIZON_SECONDS": "0.001",
    "OMS_RETENTION_SECONDS": "0.01",
}
KINDS: tuple[dict[str, Any], ...] = (
    {},
    {"country_code": "AQ"},
    {"payment_method": "pm_card_chargeDeclined"},
    {"payment_method": "pm_sandbox_confirmDeclined"},
)


@pytest.fixture
async def own(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Four services of the test's own, for it changes what they are told."""
    whole = System(tmp_path_factory.mktemp("retained"), by_road=())
    try:
        yield await whole.start()
    finally:
        await whole.close()


async def strike(system: System, **settings: str) -> None:
    """kill -9 of the orchestrator; it comes back with other settings."""
    await system.orchestrator.kill()
    system.orchestrator.settings.update(settings)
    await system.orchestrator.restart()


async def audit_is_clean(system: System) -> None:
    finished = await oms("--target", system.orchestrator.address, "audit")
    assert 0 == finished.exit_code, finished.out + finished.err


def left(all_: Everything) -> int:
    return sum(map(len, (all_.processes, all_.orders, all_.payments, all_.deliveries)))


async def until_fewer_than(system: System, count: int) -> None:
    """Looks until so few are left of processes, orders, payments and deliveries."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while left(await everything(system)) >= count:
            pass


def without_history(process: OrderProcess) -> OrderProcess:
    shown = OrderProcess()
    shown.CopyFrom(process)
    for field in ("steps", "failure", "total", "deadline"):
        shown.ClearField(field)
    return shown


async def test_everything_goes_and_request_ids_stay_for_their_own_time(own: System) -> None:
    requests: list[StartOrderProcessRequest] = [
        order(**KINDS[number % len(KINDS)]) for number in range(120)
    ]
    placed = await asyncio.gather(*map(own.orchestrator.place, requests))
    before = left(await everything(own))
    assert before > 3 * len(placed)

    await strike(own, **AT_ONCE)
    await until_fewer_than(own, before)
    await strike(own)
    audits = asyncio.create_task(audit_is_clean(own))
    late = await asyncio.gather(*(own.orchestrator.place(order()) for _ in range(10)))
    await audits
    await until_fewer_than(own, 1)
    await audit_is_clean(own)

    nothing = await everything(own)
    assert 0 == left(nothing)
    assert {0} == set(nothing.loads.values())
    again = await asyncio.gather(*map(own.orchestrator.place, requests))
    assert list(map(without_history, placed)) == again
    reused = order(request_id=requests[0].request_id, quantity=9)
    assert "REQUEST_ID_REUSED" == (await refusal(own.orchestrator.place(reused))).reason
    closed = await refusal(own.orchestrator.cancel(late[0].process_id, "changed my mind"))
    assert "RETURN_WINDOW_CLOSED" == closed.reason

    old = placed[0]
    await strike(own, OMS_REQUEST_ID_RETENTION_SECONDS="1")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (new := await own.orchestrator.accept(requests[0])).process_id == old.process_id:
            pass
    assert old.process_id < new.process_id
    await until_fewer_than(own, 1)
    await audit_is_clean(own)


async def test_what_cannot_be_told_is_said_at_the_start(own: System) -> None:
    await own.orchestrator.kill()
    own.orchestrator.settings.update({"OMS_RETENTION_SECONDS": "60"})
    process = await own.orchestrator.spawn()
    assert 2 == await process.ended()
    assert "OMS_RETENTION_SECONDS" in process.tail()
    assert "more than the return window" in process.tail()
