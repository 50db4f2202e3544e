"""`oms up --replicas 2`: two of each on one PostgreSQL, of which one is killed."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from bench.postgres import PostgresServer
from oms.orchestrator.v1.order_process_service_pb2 import GetOrderProcessRequest
from oms.orchestrator.v1.order_process_service_pb2_grpc import OrderProcessServiceStub
from tests.system.harness.command import Finished, oms, start_oms
from tests.system.harness.process import PATIENCE_SECONDS, Process
from tests.system.harness.service import dial

ORDERS = 60
# Eight processes start at once, on a machine that may be busy.
START_SECONDS = 4 * PATIENCE_SECONDS
NAMES = {f"{name}-{n}" for name in ("orchestrator", "order", "payment", "delivery") for n in (1, 2)}
ORDER: dict[str, Any] = {
    "customer_id": "c1",
    "items": [
        {
            "sku": "BOOK",
            "quantity": 2,
            "unit_price": {"currency_code": "USD", "minor_units": 1250},
        }
    ],
    "payment_method": "pm_card_visa",
    "delivery_address": {
        "recipient": "Ada",
        "lines": ["1 Market St"],
        "locality": "San Francisco",
        "postal_code": "94105",
        "country_code": "US",
    },
}


class Up:
    """What is running, and what was heard of it."""

    def __init__(self, process: Process, folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.pids: dict[str, int] = {}
        self.addresses: dict[str, str] = {}
        self.target = ""

    async def heard(self, event: str, service: str = "") -> dict[str, Any]:
        """Listens until that happens."""
        while True:
            said: dict[str, Any] = json.loads(
                await self.process.line(patience_seconds=START_SECONDS)
            )
            if said["event"] == "started":
                self.pids[said["service"]] = said["pid"]
            if said["event"] == event and service in ("", said.get("service")):
                return said

    async def until_accepted(self, request_id: str) -> None:
        """Waits until an order is with the orchestrators."""
        request = GetOrderProcessRequest(request_id=request_id)
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            dial(self.addresses["orchestrator-2"]) as channel,
        ):
            get = OrderProcessServiceStub(channel).GetOrderProcess
            while True:
                try:
                    await get(request, timeout=PATIENCE_SECONDS)
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.NOT_FOUND:
                        raise
                    # It is with nobody yet, and nobody tells of its coming.
                    await asyncio.sleep(0.01)
                else:
                    return

    async def oms(self, *arguments: str) -> Finished:
        """A command that talks to all orchestrators."""
        return await oms("--target", self.target, *arguments, folder=self.folder)


@pytest.fixture
async def up(tmp_path: Path, postgres: PostgresServer) -> AsyncIterator[Up]:
    """Two of each, all SERVING."""
    url = postgres.create_database(f"up_{tmp_path.name}".replace("-", "_"))
    process = await start_oms(
        *("up", "--replicas", "2", "--database-url", url, "--free-ports"),
        *("--quiet-logs", "--json"),
        folder=tmp_path,
        heard=True,
    )
    try:
        it = Up(process, tmp_path)
        serving = await it.heard("all_serving")
        it.addresses, it.target = serving["addresses"], serving["targets"]["orchestrator"]
        yield it
    finally:
        await process.close()


async def test_orders_are_placed_while_an_orchestrator_and_a_participant_are_killed(up: Up) -> None:
    assert NAMES == set(up.pids) == set(up.addresses)
    before = dict(up.pids)
    (up.folder / "order.json").write_text(json.dumps(ORDER))
    (up.folder / "orders.jsonl").write_text(
        "".join(json.dumps(ORDER | {"key": str(key)}) + "\n" for key in range(ORDERS))
    )
    placed = await up.oms("order", "place", "--from-json", "order.json", "--json")
    assert "ORDER_PROCESS_STATE_COMPLETED" == placed.json["process"]["state"], placed.err

    importing = await start_oms(
        *("--target", up.target, "order", "import", "orders.jsonl", "--json"),
        folder=up.folder,
    )
    await up.until_accepted(f"orders/{ORDERS // 4}")
    for name in ("orchestrator-1", "payment-2"):
        os.kill(before[name], signal.SIGKILL)
        assert -signal.SIGKILL == (await up.heard("died", name))["code"]
        await up.heard("serving", name)
    try:
        assert 0 == await importing.ended(), importing.tail()
    finally:
        await importing.close()
    placed = await up.oms("order", "place", "--from-json", "order.json", "--json")
    assert "ORDER_PROCESS_STATE_COMPLETED" == placed.json["process"]["state"], placed.err

    audited = await up.oms("audit", "--json")
    assert 0 == audited.exit_code, audited.out
    # Nothing was started again but what died.
    assert {"orchestrator-1", "payment-2"} == {
        name for name, pid in up.pids.items() if pid != before[name]
    }

    up.process.send(signal.SIGTERM)
    await up.heard("stopped")
    assert 0 == await up.process.ended()
