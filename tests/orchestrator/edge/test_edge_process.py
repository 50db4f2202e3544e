"""The orchestrator as a real process."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.channels import open_channel
from oms.orchestrator.v1 import order_process_pb2 as process_pb
from oms.orchestrator.v1 import order_process_service_pb2_grpc
from tests.orchestrator.edge.harness.office import PATIENCE_SECONDS, Office, order
from tests.orchestrator.edge.harness.scripted import Gate, ScriptedParticipants, confirm_order

ROOT = Path(__file__).parents[3]


async def spawn(*arguments: str) -> asyncio.subprocess.Process:
    environment = {name: it for name, it in os.environ.items() if not name.startswith("OMS_")}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "orchestrator",
        *arguments,
        cwd=ROOT,
        env=environment | {"PYTHONPATH": f"{ROOT}:{ROOT / 'generated'}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def flags(folder: Path, participants: ScriptedParticipants) -> list[str]:
    return [
        "--orchestrator-listen=127.0.0.1:0",
        f"--orchestrator-database-url=sqlite:///{folder}/orchestrator.db",
        *(f"--{name}-target={target}" for name, target in participants.targets.items()),
    ]


@asynccontextmanager
async def running(
    folder: Path, participants: ScriptedParticipants
) -> AsyncIterator[tuple[asyncio.subprocess.Process, grpc.aio.Channel]]:
    """An orchestrator that serves, and a channel to it."""
    process = await spawn(*flags(folder, participants))
    try:
        async with open_channel(await address_of(process)) as channel:
            yield process, channel
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def address_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for line in process.stdout:
            told = json.loads(line)
            if told["event"] == "serving":
                return str(told["address"])
    raise AssertionError("it did not serve")


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_it_serves_and_says_so_and_stops_when_it_is_told_to(
    participants: ScriptedParticipants, tmp_path: Path
) -> None:
    async with running(tmp_path, participants) as (process, channel):
        health: Any = health_pb2_grpc.HealthStub(channel)
        for service in (
            "",
            "oms.orchestrator.v1.OrderProcessService",
            "oms.orchestrator.v1.OrderProcessAdminService",
        ):
            request = health_pb2.HealthCheckRequest(service=service)
            response = await health.Check(request, timeout=PATIENCE_SECONDS)
            assert health_pb2.HealthCheckResponse.SERVING == response.status
        process.send_signal(signal.SIGTERM)
        code, _, err = await ended(process)

    assert (0, "") == (code, err)


async def test_a_second_one_on_the_same_file_is_told_so_and_stops(
    participants: ScriptedParticipants, tmp_path: Path
) -> None:
    async with running(tmp_path, participants) as (first, _):
        second = await spawn(*flags(tmp_path, participants))
        code, _, err = await ended(second)

        assert 78 == code
        assert "in use by another orchestrator" in err
        assert str(first.pid) in err
        assert 1 == err.count("\n")
        assert first.returncode is None


async def test_it_takes_over_the_file_of_one_that_was_killed(
    participants: ScriptedParticipants, tmp_path: Path
) -> None:
    gate = Gate()
    participants.answers["ConfirmOrder"] = gate.before(confirm_order)
    async with running(tmp_path, participants) as (killed, channel):
        stub = order_process_service_pb2_grpc.OrderProcessServiceStub(channel)
        accepted = await stub.StartOrderProcess(
            order("r1", return_immediately=True), timeout=PATIENCE_SECONDS
        )
        await gate.arrived.wait()
        killed.kill()
        await killed.wait()
    gate.opened.set()

    async with Office(tmp_path, participants.targets) as office:
        process = await office.reaches(
            accepted.process.process_id, process_pb.ORDER_PROCESS_STATE_COMPLETED
        )

    assert [1, 1, 1, 2, 1] == [step.attempts for step in process.steps]


async def test_a_drain_hands_over_what_it_did_not_finish(
    participants: ScriptedParticipants, tmp_path: Path
) -> None:
    gate = Gate()
    participants.answers["ConfirmOrder"] = gate.before(confirm_order)
    async with running(tmp_path, participants) as (process, channel):
        stub = order_process_service_pb2_grpc.OrderProcessServiceStub(channel)
        waiting = asyncio.ensure_future(_answered(stub))
        await gate.arrived.wait()
        process.send_signal(signal.SIGTERM)
        answered = await waiting
        gate.opened.set()
        code, _, _ = await ended(process)

    assert 0 == code
    assert process_pb.ORDER_PROCESS_STATE_RUNNING == answered.state
    async with Office(tmp_path, participants.targets) as office:
        finished = await office.reaches(
            answered.process_id, process_pb.ORDER_PROCESS_STATE_COMPLETED
        )
    # The call under way was let to end, so none was made twice.
    assert [1, 1, 1, 1, 1] == [step.attempts for step in finished.steps]


async def test_help_lists_every_setting() -> None:
    code, out, _ = await ended(await spawn("--help"))

    assert 0 == code
    for name in (
        "ORCHESTRATOR_LISTEN",
        "ORCHESTRATOR_DATABASE_URL",
        "ORDER_TARGET",
        "PAYMENT_TARGET",
        "DELIVERY_TARGET",
        "ATTEMPT_TIMEOUT_SECONDS",
        "PROCESS_DEADLINE_SECONDS",
        "COMPENSATION_HORIZON_SECONDS",
        "IN_FLIGHT_MAX",
        "RETURN_WINDOW_SECONDS",
    ):
        assert f"OMS_{name}" in out
        assert f"--{name.lower().replace('_', '-')}" in out


async def test_a_setting_that_is_wrong_is_named() -> None:
    code, _, err = await ended(await spawn("--attempt-timeout-seconds=-1", "--in-flight-max=no"))

    assert 2 == code
    assert "OMS_ATTEMPT_TIMEOUT_SECONDS" in err
    assert "OMS_IN_FLIGHT_MAX" in err


async def _answered(
    stub: "order_process_service_pb2_grpc.OrderProcessServiceAsyncStub",
) -> process_pb.OrderProcess:
    return (await stub.StartOrderProcess(order("r1"))).process
