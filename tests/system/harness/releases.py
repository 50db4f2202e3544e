"""Two releases of all four services beside each other, on one PostgreSQL.

Invariant: whoever calls, and every orchestrator, knows the participants of both releases by one
target each. What was started is closed, in whatever state the test left it. Must never: reach into
a process; the log's own rows tell who runs what.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import psycopg

from bench.postgres import PostgresServer
from oms.orchestrator.v1.audit_pb2 import AUDIT_FINDING_KIND_PROCESS_OVERDUE
from oms.orchestrator.v1.order_process_admin_service_pb2 import AuditOrderProcessesRequest
from oms.orchestrator.v1.order_process_pb2 import (
    ORDER_PROCESS_STATE_CANCELLED,
    ORDER_PROCESS_STATE_COMPLETED,
    OrderProcess,
)
from tests.system.harness.command import Finished, oms
from tests.system.harness.process import PATIENCE_SECONDS
from tests.system.harness.requests import order
from tests.system.harness.service import Service
from tests.system.harness.system import PARTICIPANTS, Orchestrator

NEXT_RELEASE: Final = Path(__file__).with_name("next_release.py")
LEASE_SECONDS: Final = 2.0
POLL_SECONDS: Final = 0.02
CALLERS: Final = 3
SETTLED: Final = (ORDER_PROCESS_STATE_COMPLETED, ORDER_PROCESS_STATE_CANCELLED)


class Release:
    """The participants of one release, and its orchestrators by name."""

    def __init__(self, participants: dict[str, Service]) -> None:
        self.participants = participants
        self.orchestrators: list[Orchestrator] = []

    async def start(self) -> None:
        await asyncio.gather(*(it.start() for it in self.participants.values()))

    async def drain(self) -> None:
        """Orchestrators first, each as `kubectl rollout` does it."""
        for orchestrator in self.orchestrators:
            if orchestrator.process.running:
                assert 0 == await orchestrator.stop()
        for service in self.participants.values():
            if service.process.running:
                assert 0 == await service.stop()


class Releases:
    """This release and the next one."""

    def __init__(self, postgres: PostgresServer, folder: Path) -> None:
        self._url = postgres.create_database(f"releases_{folder.name}".replace("-", "_"))
        self._folder = folder
        self.old, self.new = (
            Release({name: self._service(kind, name) for name in PARTICIPANTS})
            for kind in ("old", "new")
        )
        for service in self.new.participants.values():
            service.launcher = ("-P", str(NEXT_RELEASE))

    def orchestrator(self, release: Release) -> Orchestrator:
        """One more of them, not started yet."""
        kind = "old" if release is self.old else "new"
        targets = {
            name: "ipv4:" + ",".join(it.participants[name].address for it in (self.old, self.new))
            for name in PARTICIPANTS
        }
        it = Orchestrator(
            folder=self._new_folder(kind, f"orchestrator-{len(release.orchestrators) + 1}"),
            targets=targets,
            settings=self._settings
            | {
                "OMS_LEASE_SECONDS": str(LEASE_SECONDS),
                # Whatever is away for a while: no process gives up, and none waits for long.
                "OMS_PROCESS_DEADLINE_SECONDS": "3600",
                "OMS_STEP_BACKOFF_SECONDS_MAX": "1",
            },
        )
        if release is self.new:
            it.launcher = ("-P", str(NEXT_RELEASE))
        release.orchestrators.append(it)
        return it

    async def ask(self, query: str) -> Sequence[tuple[Any, ...]]:
        """What the log's own rows say."""

        def read() -> Sequence[tuple[Any, ...]]:
            options = "-c search_path=oms_orchestrator"
            with psycopg.connect(self._url, autocommit=True, options=options) as connection:
                return connection.execute(query.encode()).fetchall()

        return await asyncio.to_thread(read)

    async def until(self, query: str, expected: object) -> None:
        """Until the log says so. It is asked, for it tells nobody."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self.ask(query) != [(expected,)]:  # noqa: ASYNC110 - as above
                await asyncio.sleep(POLL_SECONDS)

    async def audit(self, orchestrator: Orchestrator) -> Finished:
        """Whether everybody agrees, and nothing waits for longer than a second."""
        return await oms(
            *("--target", orchestrator.address, "audit", "--overdue", "1", "--json"),
            folder=self._folder,
        )

    async def until_overdue(self, orchestrator: Orchestrator, process_ids: Collection[str]) -> None:
        """Until an audit says of these processes, and of nothing else, that nobody runs them."""
        wanted = {(AUDIT_FINDING_KIND_PROCESS_OVERDUE, it) for it in process_ids}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                pages = orchestrator.admin.AuditOrderProcesses(
                    AuditOrderProcessesRequest(overdue_seconds=1), timeout=PATIENCE_SECONDS
                )
                found = {
                    (finding.kind, finding.process_id)
                    async for page in pages
                    for finding in page.findings
                }
                if found == wanted:
                    return
                await asyncio.sleep(POLL_SECONDS)

    async def close(self) -> None:
        await asyncio.gather(
            *(
                service.close()
                for release in (self.old, self.new)
                for service in (*release.participants.values(), *release.orchestrators)
            )
        )

    @property
    def _settings(self) -> dict[str, str]:
        schemas = ("orchestrator", "order", "payment", "delivery")
        urls = {f"OMS_{it.upper()}_DATABASE_URL": f"{self._url}?schema=oms_{it}" for it in schemas}
        return urls | {"OMS_PAYMENT_GATEWAY_DATABASE_URL": f"{self._url}?schema=oms_gateway"}

    def _service(self, kind: str, name: str) -> Service:
        return Service(name, folder=self._new_folder(kind, name), settings=self._settings)

    def _new_folder(self, *names: str) -> Path:
        folder = self._folder / "-".join(names)
        folder.mkdir()
        return folder


class Load:
    """A few callers who place one order after the other, each until it is told what became of it.

    They ask whoever serves, the same again until somebody answers.
    """

    def __init__(self, orchestrators: Callable[[], Sequence[Orchestrator]]) -> None:
        self._orchestrators = orchestrators
        self._stopping = False
        self._one_more = asyncio.Event()
        self.placed: list[tuple[str, OrderProcess]] = []
        """Request ids, and what was told of them."""
        self._callers = [asyncio.create_task(self._call(number)) for number in range(CALLERS)]

    async def goes_on(self, count: int = 2 * CALLERS) -> None:
        """Waits until so many orders more have gone through."""
        wanted = len(self.placed) + count
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.placed) < wanted:
                self._one_more.clear()
                await self._one_more.wait()

    async def stop(self) -> None:
        """Each caller ends with the order that it has under way."""
        self._stopping = True
        await asyncio.gather(*self._callers)

    def cut_off(self) -> None:
        for caller in self._callers:
            caller.cancel()

    async def _call(self, turn: int) -> None:
        while not self._stopping:
            request = order()
            while True:
                turn += 1
                serving = self._orchestrators()
                try:
                    process = await serving[turn % len(serving)].place(request)
                except grpc.aio.AioRpcError as error:
                    # Cut off in the midst of it, or asked one who has just gone.
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                else:
                    # One that drains answers with the process as it is, and others go on with it.
                    if process.state in SETTLED:
                        break
            self.placed.append((request.request_id, process))
            self._one_more.set()
