"""`oms demo` and `oms up`: the whole system as a person starts it."""

import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from oms.orchestrator.v1.order_process_pb2 import ORDER_PROCESS_STATE_COMPLETED
from oms.orchestrator.v1.order_process_service_pb2_grpc import OrderProcessServiceStub
from tests.system.harness.command import oms, start_oms
from tests.system.harness.process import Process
from tests.system.harness.requests import order
from tests.system.harness.service import dial


async def test_the_demonstration_shows_three_timelines_and_how_everybody_ended() -> None:
    shown = await oms("demo")
    assert 0 == shown.exit_code, shown.err
    delivered, declined, undeliverable = (
        shown.out.index("create_order"),
        shown.out.index("create_order", shown.out.index("create_order") + 1),
        shown.out.rindex("create_order"),
    )
    assert "COMPLETED" in shown.out[:declined]
    for state in ("CONFIRMED", "ASSIGNED"):
        assert state in shown.out[delivered:declined]
    assert "CANCELLED" in shown.out[declined:undeliverable]
    last = shown.out[undeliverable:]
    assert last.index("cancel_payment") < last.index("cancel_order")
    assert "REFUNDED" in last.upper()


async def heard(up: Process, event: str, **also: object) -> dict[str, Any]:
    """Listens to `oms up --json` until that happens."""
    while True:
        said: dict[str, Any] = json.loads(await up.line())
        if said["event"] == event and also.items() <= said.items():
            return said


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Process]:
    process = await start_oms(
        *("up", "--free-ports", "--data-dir", str(tmp_path / "var"), "--quiet-logs", "--json"),
        folder=tmp_path,
        heard=True,
    )
    try:
        yield process
    finally:
        await process.close()


async def test_a_service_that_is_killed_is_started_again_and_nothing_is_left_at_the_end(
    up: Process,
) -> None:
    pids: dict[str, int] = {}
    while len(pids) < 4:
        started = await heard(up, "started")
        pids[started["service"]] = started["pid"]
    addresses = (await heard(up, "all_serving"))["addresses"]
    os.kill(pids["payment"], signal.SIGKILL)
    assert -signal.SIGKILL == (await heard(up, "died", service="payment"))["code"]
    again = await heard(up, "started", service="payment")
    assert again["pid"] != pids["payment"]
    await heard(up, "serving", service="payment")

    async with dial(addresses["orchestrator"]) as channel:
        placed = await OrderProcessServiceStub(channel).StartOrderProcess(order(), timeout=60)
    assert ORDER_PROCESS_STATE_COMPLETED == placed.process.state

    up.send(signal.SIGTERM)
    await heard(up, "stopped")
    assert 0 == await up.ended()
    for pid in {**pids, "payment": again["pid"]}.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
