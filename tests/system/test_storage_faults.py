"""Disks that fill, lock, lose and damage files under the real processes.

No accepted process is lost, nobody pays for it, and who can mend does so without a restart.
"""

import asyncio
import contextlib
import resource
import sqlite3
import sys
from collections.abc import AsyncIterator, Collection, Iterator

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse

from oms.orchestrator.v1.order_process_pb2 import ORDER_PROCESS_STATE_COMPLETED, OrderProcess
from oms.orchestrator.v1.order_process_service_pb2 import ListOrderProcessesRequest
from payment_svc.sandbox.ledger import Balance
from tests.system.harness.audit import contradictions, everything
from tests.system.harness.events import attempt_ended
from tests.system.harness.process import PATIENCE_SECONDS
from tests.system.harness.refusal import refusal
from tests.system.harness.requests import order
from tests.system.harness.service import Service
from tests.system.harness.system import System

DEFECT, NOT_YET, CONFIGURATION = 1, 75, 78
PROCESSES = 5


@pytest.fixture(scope="module")
def by_road() -> Collection[str]:
    """No proxy answers in the participants' place."""
    return ()


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Pauses are short so that the tests are."""
    return {"OMS_STEP_BACKOFF_SECONDS_MAX": "1"}


@pytest.fixture(autouse=True)
async def agreed(system: System) -> AsyncIterator[None]:
    """After each test every process is settled, and nobody's books say otherwise."""
    yield
    processes = await system.orchestrator.processes.ListOrderProcesses(ListOrderProcessesRequest())
    await asyncio.gather(*map(system.orchestrator.until_settled, processes.processes))
    assert [] == contradictions(await everything(system))


async def all_say(service: Service, wanted: int) -> None:
    """Waits until every name of a server is as wanted."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        for hosted in ("", *service.hosted):
            await service._until(wanted, hosted, service.process)


@contextlib.contextmanager
def no_room(service: Service) -> Iterator[None]:
    """Whatever the process writes to a file is refused, as by a disk that takes no more."""
    pid, (_, hard) = service.process.pid, resource.getrlimit(resource.RLIMIT_FSIZE)
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def locked(service: Service) -> Iterator[None]:
    """Another process than the service, this one, holds the write lock."""
    locker = sqlite3.connect(service.database, isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        locker.close()


async def settled(system: System, processes: list[OrderProcess]) -> None:
    ended = await asyncio.gather(*map(system.orchestrator.until_settled, processes))
    assert {ORDER_PROCESS_STATE_COMPLETED} == {it.state for it in ended}


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are Linux's")
async def test_an_orchestrator_whose_disk_takes_nothing_turns_away_and_heals(
    system: System,
) -> None:
    running = [await system.orchestrator.accept(order()) for _ in range(PROCESSES)]
    turned_away = order()
    with no_room(system.orchestrator):
        error = await refusal(system.orchestrator.accept(turned_away))
        assert (grpc.StatusCode.UNAVAILABLE, "LOG_UNAVAILABLE") == (error.code, error.reason)
        await all_say(system.orchestrator, HealthCheckResponse.NOT_SERVING)
    # Nobody asks for anything: a probe finds out.
    await all_say(system.orchestrator, HealthCheckResponse.SERVING)
    first, again = [await system.orchestrator.place(turned_away) for _ in range(2)]
    assert first.process_id == again.process_id
    listed = await system.orchestrator.processes.ListOrderProcesses(
        ListOrderProcessesRequest(customer_id=turned_away.customer_id)
    )
    assert [first.process_id] == [it.process_id for it in listed.processes]
    await settled(system, [*running, first])


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are Linux's")
@pytest.mark.parametrize(
    ("name", "step"), [("order", "create_order"), ("delivery", "process_delivery")]
)
async def test_a_participant_whose_disk_takes_nothing_is_waited_for(
    system: System, name: str, step: str
) -> None:
    service = system.participants[name]
    with no_room(service):
        process = await system.orchestrator.accept(order())
        await all_say(service, HealthCheckResponse.NOT_SERVING)
        await system.orchestrator.until_event(process, attempt_ended(step))
    await all_say(service, HealthCheckResponse.SERVING)
    await settled(system, [process])


async def test_a_gateway_is_not_asked_by_a_payment_service_whose_database_is_locked(
    system: System,
) -> None:
    with locked(system.payment):
        process = await system.orchestrator.accept(order())
        await all_say(system.payment, HealthCheckResponse.NOT_SERVING)
        assert Balance(held=0, captured=0, released=0) == system.balance(process.payment_id)
    await all_say(system.payment, HealthCheckResponse.SERVING)
    await settled(system, [process])


async def test_a_log_with_a_torn_end_has_every_process_that_was_accepted(system: System) -> None:
    accepted = await asyncio.gather(
        *(system.orchestrator.accept(order()) for _ in range(4 * PROCESSES))
    )
    await system.orchestrator.kill()
    log = system.orchestrator.database.with_name("orchestrator.db-wal")
    with log.open("ab") as torn:
        torn.write(log.read_bytes()[-4_120:][:3_000])
    await system.orchestrator.restart()
    await settled(system, list(accepted))


async def deleted(service: Service) -> None:
    """The file is deleted under the process, and what was rescued put in its place."""
    path, process = service.database, service.process
    path.unlink()
    assert DEFECT == await process.ended()
    assert f"{path} was deleted" in process.tail(lines_max=1)
    refused = await service.spawn()
    assert NOT_YET == await refused.ended()
    assert f"{path}.lost" in refused.tail(lines_max=1)
    assert not path.exists()

    (rescued,) = path.parent.glob(f"{path.name}.rescued-*")
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink()
    rescued.rename(path)
    path.with_name(path.name + ".lost").unlink()
    await service.start()


async def gone_and_back(service: Service) -> None:
    """The file is moved away under the process, and back; nobody has to do more."""
    path, process = service.database, service.process
    away = path.with_name("away.db")
    path.rename(away)
    assert DEFECT == await process.ended()
    refused = await service.spawn()
    assert NOT_YET == await refused.ended()
    away.rename(path)
    await service.start()


async def damaged(service: Service) -> None:
    """The file is damaged between two starts, and a backup restored."""
    path = service.database
    assert 0 == await service.stop()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + bytes(len(content) - 4096))
    refused = await service.spawn()
    assert CONFIGURATION == await refused.ended()
    assert f"{path} cannot be used" in refused.tail(lines_max=1)
    assert "restore a backup" in refused.tail(lines_max=1)
    path.write_bytes(content)
    await service.start()


async def test_files_that_are_lost_are_named_and_once_they_are_back_nothing_is(
    system: System,
) -> None:
    accepted = [await system.orchestrator.accept(order()) for _ in range(PROCESSES)]
    await asyncio.gather(
        deleted(system.orchestrator), gone_and_back(system.payment), damaged(system.delivery)
    )
    await settled(system, accepted)
