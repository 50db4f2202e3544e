"""A replica of a service, kept running: whatever ends it, it is started again at once.

Invariant: every life is on the same port and the same files, and `close` leaves none; should this
process itself be killed, the kernel ends them. An end that nobody here brought about is remembered.
Must never: wait for a service by sleeping; its health says when it serves.

One that cannot start because its database is away says so, and is started again: that is no end of
its own where the database is struck as well.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import grpc.aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

import console.leash
from bench.chaos.port import Port
from chassis.server import EXIT_NOT_YET, EXIT_OK
from console.supervisor import CONFIGURATION_CODES

SERVING_SECONDS_MAX: Final = 60.0
# A service that ends so often without having been struck will not come to serve. One that says it
# cannot run as it is set up is not tried again at all.
OWN_ENDS_MAX: Final = 5
_LOOK_SECONDS: Final = 0.05
# What an orchestrator says before it serves.
_WHO_IT_IS: Final = b"heartbeat_begins"

HealthCheck = grpc.aio.UnaryUnaryMultiCallable[HealthCheckRequest, HealthCheckResponse]


class WillNotRun(Exception):  # noqa: N818 - named by what it means
    """The service does not come up, or does not stay up; the text holds the end of its log."""


class How(StrEnum):
    """How a life was ended."""

    KILLED = "killed"
    DRAINED = "drained"


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A life that was ended, when, and who it was in the saga log: "" where it is not in there."""

    replica: str
    how: How
    owner: str
    time_us: int


def dial(address: str) -> grpc.aio.Channel:
    """A channel that finds a restarted server quickly. Whoever dials closes it."""
    return grpc.aio.insecure_channel(
        address,
        options=[
            ("grpc.enable_retries", 0),
            ("grpc.enable_http_proxy", 0),
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 200),
            ("grpc.max_receive_message_length", 64 * 1024 * 1024),
            ("grpc.use_local_subchannel_pool", 1),
        ],
    )


class Service:
    """A replica and its lives. Its output is appended to `<folder>/<name>.log`."""

    def __init__(self, name: str, module: str, *, folder: Path, may_wait: bool = False) -> None:
        """`may_wait`: its database may be away for a while when it starts."""
        self.name = name
        self.own_ends: list[int] = []
        self.ends: list[End] = []
        self.away_us: list[tuple[int, int]] = []
        """From when to when it did not serve, or was stopped, in microseconds since 1970."""
        self.pauses = 0
        self.port = Port()
        self.channel = dial(self.port.address)
        self._command = (sys.executable, "-m", module)
        self._folder = folder
        self._log = folder / f"{name}.log"
        # Where in it the present life begins.
        self._log_bytes = 0
        self._ended_us = _now_us()
        self._child: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._may_wait = may_wait
        self._struck: set[int] = set()
        self._told_to_end: set[int] = set()
        self._closing = asyncio.Event()
        self._serving = asyncio.Event()
        self._check: HealthCheck = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )

    def start(self, environment: Mapping[str, str]) -> None:
        """Begins to keep it running."""
        assert self._keeper is None, "a service is started once"
        self._keeper = asyncio.create_task(self._keep(environment))

    async def serving(self) -> None:
        """Waits until its present life serves.

        Raises:
            WillNotRun: It takes too long, or it ends again and again.
        """
        assert self._keeper is not None, "a service is started first"
        serving = asyncio.create_task(self._serving.wait())
        try:
            await asyncio.wait(
                {serving, self._keeper},
                timeout=SERVING_SECONDS_MAX,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if self._keeper.done():
                # A defect of ours says so itself.
                self._keeper.result()
            if not serving.done():
                raise WillNotRun(f"{self.name} does not serve:\n{self.tail()}")
        finally:
            serving.cancel()

    async def kill(self) -> None:
        """Sends a kill -9 to the life that runs now, stopped or not; the next begins at once."""
        child = self._child
        assert child is not None, "there is a life to take"
        self._serving.clear()
        self._struck.add(child.pid)
        owner, time_us = self._owner(), _now_us()
        _send(child, signal.SIGKILL)
        await child.wait()
        self.ends.append(End(replica=self.name, how=How.KILLED, owner=owner, time_us=time_us))

    async def drain(self) -> None:
        """Sends SIGTERM and waits until this life has ended; the next begins then.

        Raises:
            WillNotRun: It does not end.
        """
        child = self._child
        assert child is not None, "there is a life to end"
        self._serving.clear()
        self._told_to_end.add(child.pid)
        owner, time_us = self._owner(), _now_us()
        _send(child, signal.SIGTERM)
        try:
            async with asyncio.timeout(SERVING_SECONDS_MAX):
                await child.wait()
        except TimeoutError:
            raise WillNotRun(f"{self.name} does not drain:\n{self.tail()}") from None
        self.ends.append(End(replica=self.name, how=How.DRAINED, owner=owner, time_us=time_us))

    def ended(self, how: How) -> int:
        """How many lives were ended so."""
        return sum(it.how is how for it in self.ends)

    async def pause(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT so much later."""
        child = self._child
        assert child is not None, "there is a life to stop"
        self.pauses += 1
        began_us = _now_us()
        _send(child, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            _send(child, signal.SIGCONT)
            self.away_us.append((began_us, _now_us()))

    async def close(self) -> None:
        """Ends it, however it is."""
        self._closing.set()
        if self._child is not None:
            _send(self._child, signal.SIGKILL)
        if self._keeper is not None:
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self.channel.close()
        self.port.close()

    def tail(self, *, lines_max: int = 20) -> str:
        """The end of what its lives have said."""
        if not self._log.exists():
            return ""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines_max:])

    async def _keep(self, environment: Mapping[str, str]) -> None:
        while not self._closing.is_set() and len(self.own_ends) < OWN_ENDS_MAX:
            child = self._child = await self._spawn(environment)
            if self._closing.is_set():
                _send(child, signal.SIGKILL)
            looking = asyncio.create_task(self._look())
            try:
                code = await child.wait()
            finally:
                self._ended_us = _now_us()
                _send(child, signal.SIGKILL)
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)
                self._serving.clear()
            if not self._closing.is_set() and self._is_own(child.pid, code):
                self.own_ends.append(code)
                if code in CONFIGURATION_CODES:
                    return

    def _is_own(self, pid: int, code: int) -> bool:
        """Whether nobody here brought that end about."""
        return not (
            pid in self._struck
            or (pid in self._told_to_end and code == EXIT_OK)
            or (self._may_wait and code == EXIT_NOT_YET)
        )

    def _owner(self) -> str:
        """Who the present life is in the saga log, as it has said."""
        with self._log.open("rb") as lines:
            lines.seek(self._log_bytes)
            said = next((line for line in lines if _WHO_IT_IS in line), None)
        return "" if said is None else str(json.loads(said)["owner"])

    async def _spawn(self, environment: Mapping[str, str]) -> asyncio.subprocess.Process:
        # From the main thread, for the kernel ties a child to the thread that made it.
        leash = [sys.executable, "-I", "-S", str(console.leash.__file__), str(os.getpid())]
        with self._log.open("ab") as sink:
            self._log_bytes = sink.tell()
            return await asyncio.create_subprocess_exec(
                *leash,
                *self._command,
                cwd=self._folder,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                # Ctrl-C in a terminal is for us alone.
                start_new_session=True,
            )

    async def _look(self) -> None:
        """Asks for its health until it serves."""
        while True:
            call = self._check(
                HealthCheckRequest(), timeout=SERVING_SECONDS_MAX, wait_for_ready=True
            )
            try:
                if (
                    await call.code() is grpc.StatusCode.OK
                    and (await call).status == HealthCheckResponse.SERVING
                ):
                    self.away_us.append((self._ended_us, _now_us()))
                    self._serving.set()
                    return
            finally:
                call.cancel()
            await asyncio.sleep(_LOOK_SECONDS)


def environment_of(settings: Mapping[str, str], inherited: Mapping[str, str]) -> dict[str, str]:
    """What a service is given: all but our own variables, and those of `settings`."""
    others = {name: value for name, value in inherited.items() if not name.startswith("OMS_")}
    return others | {"PYTHONUNBUFFERED": "1", **settings}


async def all_serving(services: Sequence[Service]) -> None:
    """Waits until each of them serves."""
    await asyncio.gather(*(it.serving() for it in services))


def _now_us() -> int:
    return time.time_ns() // 1_000


def _send(child: asyncio.subprocess.Process, number: signal.Signals) -> None:
    # Sent by the child's own handle, which knows when there is nobody to send it to any more.
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(number)
