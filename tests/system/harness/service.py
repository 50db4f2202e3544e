"""One of the four servers, as a process of its own.

Invariant: a restart is on the same port and the same files. Must never: sleep to wait for a server;
its health says when.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

from bench.chaos.port import Port
from tests.system.harness.process import PATIENCE_SECONDS, Process

HealthWatch = grpc.aio.UnaryStreamMultiCallable[
    health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
]

SERVICES = {
    "order": ("order_svc", ["oms.order.v1.OrderService"]),
    "payment": ("payment_svc", ["oms.payment.v1.PaymentService"]),
    "delivery": ("delivery_svc", ["oms.delivery.v1.DeliveryService"]),
    "orchestrator": (
        "orchestrator",
        [
            "oms.orchestrator.v1.OrderProcessService",
            "oms.orchestrator.v1.OrderProcessAdminService",
        ],
    ),
}


def dial(address: str) -> grpc.aio.Channel:
    """A channel that tries once per call and finds a restarted server quickly.

    Whoever dials closes it.
    """
    return grpc.aio.insecure_channel(
        address,
        options=[
            ("grpc.enable_retries", 0),
            ("grpc.enable_http_proxy", 0),
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 200),
            ("grpc.max_receive_message_length", 64 * 1024 * 1024),
            ("grpc.max_send_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1),
        ],
    )


class Service:
    """A server that can be stopped, killed and started again. `name` is a key of SERVICES."""

    def __init__(self, name: str, *, folder: Path, settings: Mapping[str, str]) -> None:
        self.name = name
        self.module, self.hosted = SERVICES[name]
        self.folder = folder
        # How a program of ours is started: by its module's name.
        self.launcher: tuple[str, ...] = ("-m",)
        self.port = Port()
        self.database = folder / f"{name}.db"
        self.listen_setting = f"OMS_{name.upper()}_LISTEN"
        self.settings = {
            self.listen_setting: self.address,
            f"OMS_{name.upper()}_DATABASE_URL": f"sqlite:///{self.database}",
            **settings,
        }
        self.channel = dial(self.address)
        self._process: Process | None = None

    @property
    def address(self) -> str:
        """Where it listens, whether it runs or not."""
        return self.port.address

    @property
    def process(self) -> Process:
        """The process that runs now, or ran last."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process

    @property
    def log(self) -> Path:
        """What every process of this service has said."""
        return self.folder / f"{self.name}.log"

    async def spawn(self, *flags: str) -> Process:
        """Starts the process and does not wait until it serves."""
        assert self._process is None or not self._process.running, f"{self.name} runs already"
        command = [sys.executable, *self.launcher, self.module, *flags]
        self._process = await Process.start(
            self.name, command, folder=self.folder, environment=self.settings
        )
        return self._process

    async def start(self) -> None:
        """Starts the process and waits until every service it hosts is SERVING."""
        process = await self.spawn()
        async with asyncio.timeout(PATIENCE_SECONDS):
            for hosted in ("", *self.hosted):
                await self._until(health_pb2.HealthCheckResponse.SERVING, hosted, process)

    async def until_not_serving(self) -> None:
        """Waits until it says that it no longer takes calls, or is gone."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._until(health_pb2.HealthCheckResponse.NOT_SERVING, "", None)

    async def stop(self) -> int:
        """SIGTERM, and waits for the end. Returns the exit code."""
        self.process.send(signal.SIGTERM)
        return await self.process.ended()

    async def kill(self) -> None:
        """kill -9."""
        await self.process.kill()

    async def restart(self) -> None:
        """Starts it again, on the same port and files."""
        await self.start()

    async def close(self) -> None:
        """Ends it, however it is."""
        await self.channel.close()
        if self._process is not None:
            await self._process.close()
        self.port.close()

    async def _until(self, wanted: int, hosted: str, process: Process | None) -> None:
        """Follows a hosted service's health until it is as wanted; fails where the process ends."""
        following = asyncio.create_task(self._follow(wanted, hosted))
        ended = None if process is None else asyncio.create_task(process.ended())
        waiting = {following} if ended is None else {following, ended}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                assert process is not None
                raise AssertionError(f"{self.name} ended while it started:\n{process.tail()}")
            await following
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _follow(self, wanted: int, hosted: str) -> None:
        while True:
            try:
                async with contextlib.aclosing(self._health(hosted)) as states:
                    async for state in states:
                        if state == wanted:
                            return
            except grpc.aio.AioRpcError:
                # Not up yet, or just gone: the next watch waits for the connection.
                if wanted == health_pb2.HealthCheckResponse.NOT_SERVING:
                    return

    async def _health(self, hosted: str) -> AsyncGenerator[int, None]:
        watch: HealthWatch = self.channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        call = watch(
            health_pb2.HealthCheckRequest(service=hosted),
            wait_for_ready=True,
            timeout=PATIENCE_SECONDS,
        )
        try:
            async for answer in call:
                yield answer.status
        finally:
            call.cancel()
