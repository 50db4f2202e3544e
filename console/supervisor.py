"""Keeping services running: started, waited for, restarted when they die, stopped in order.

Invariant: a service is either running, about to be started again, or stopped on purpose; and when
`run` returns none is left. A service that says it cannot run as it is set up (exit code 78, or 2
for a setting) is not started again: everything stops, with its message; only for a port that is in
use it is tried some times more, as a connection of somebody else's may hold it for a moment. This
module must never know what a service does, nor write to a terminal: it reports what happens.
"""

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import grpc.aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from console.channels import open_channel

CONFIGURATION_CODES: Final = frozenset({2, 78})
# As `chassis.server` words it.
_PORT_IN_USE: Final = re.compile(r"cannot listen on \S+: it is in use\b")
_LINE_BYTES_MAX: Final = 64 * 1024
_LAST_WORDS_MAX: Final = 20
_LAST_WORDS_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.1
_CHECK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One process to keep running."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    address: str
    stops_in_round: int = 0
    """Those of a lower round are told to stop first, and have ended when the next are told."""


class Kind(StrEnum):
    """What can happen."""

    STARTED = "started"
    SERVING = "serving"
    LINE = "line"
    DIED = "died"
    ALL_SERVING = "all_serving"
    STOPPING = "stopping"
    KILLED = "killed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something happened, to one service or, where the name is empty, to all."""

    kind: Kind
    name: str = ""
    text: str = ""
    pid: int = 0
    code: int = 0
    restart_in_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long things may take."""

    start_seconds: float = 60.0
    """Until all are SERVING for the first time."""
    stop_seconds: float = 20.0
    """Until a service that was told to stop is killed."""
    restart_floor_seconds: float = 0.2
    restart_cap_seconds: float = 10.0
    """The pause before a restart doubles from one to the other."""
    port_tries_max: int = 5
    """How often in a row a service is started again whose port is in use."""
    well_seconds: float = 30.0
    """A service that ran for so long was well: its next restart is a quick one."""


class CannotRun(Exception):  # noqa: N818 - named by what it means
    """The services cannot run; the message says which, and why."""


class Supervisor:
    """Runs services until it is told to stop."""

    def __init__(
        self,
        services: Sequence[Service],
        *,
        report: Callable[[Happening], None],
        patience: Patience | None = None,
    ) -> None:
        self._kept = [_Kept(service) for service in services]
        self._report = report
        self._patience = patience or Patience()
        self._all_serving_once = asyncio.Event()

    async def run(self, stop: asyncio.Event, kill: asyncio.Event) -> None:
        """Runs until `stop`, then stops in order; `kill` cuts that short. Raises `CannotRun`."""
        for kept in self._kept:
            kept.keeper = asyncio.create_task(self._keep(kept))
        keepers = [kept.keeper for kept in self._kept if kept.keeper is not None]
        waits: list[asyncio.Task[object]] = [
            asyncio.create_task(stop.wait()),
            asyncio.create_task(kill.wait()),
            asyncio.create_task(self._watch_start()),
        ]
        why = ""
        try:
            done, _ = await asyncio.wait([*keepers, *waits], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except CannotRun as problem:
            why = str(problem)
            raise
        finally:
            for wait in waits:
                wait.cancel()
            self._report(Happening(kind=Kind.STOPPING, text=why))
            await self._stop(kill)
            # A keeper's own error was raised above; here they only have to be over.
            await asyncio.gather(*keepers, *waits, return_exceptions=True)
            self._report(Happening(kind=Kind.STOPPED))

    async def all_serving(self) -> None:
        """Waits until every service has been SERVING."""
        await self._all_serving_once.wait()

    async def _keep(self, kept: "_Kept") -> None:
        """Starts a service, again and again, until it is to stop."""
        pause = self._patience.restart_floor_seconds
        without_port = 0
        while not kept.to_stop.is_set():
            began = time.monotonic()
            code = await self._run_once(kept)
            if kept.to_stop.is_set():
                return
            without_port = without_port + 1 if kept.found_its_port_in_use(code) else 0
            tried_enough = without_port > self._patience.port_tries_max
            if code in CONFIGURATION_CODES and (not without_port or tried_enough):
                raise CannotRun(f"{kept.service.name} cannot start: {kept.said(code)}")
            if time.monotonic() - began >= self._patience.well_seconds:
                pause = self._patience.restart_floor_seconds
            self._report(
                Happening(
                    kind=Kind.DIED,
                    name=kept.service.name,
                    code=code,
                    text=kept.said(code),
                    restart_in_seconds=pause,
                )
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(kept.to_stop.wait(), pause)
            pause = min(2 * pause, self._patience.restart_cap_seconds)

    async def _run_once(self, kept: "_Kept") -> int:
        """One life of a service; gives its exit code, negative for a signal."""
        process = await _spawn(kept.service)
        kept.process = process
        kept.last_words.clear()
        if kept.to_stop.is_set():
            kept.signal(signal.SIGTERM)
        self._report(Happening(kind=Kind.STARTED, name=kept.service.name, pid=process.pid))
        assert process.stdout is not None
        assert process.stderr is not None
        awaited = asyncio.create_task(self._await_serving(kept))
        passing = [
            asyncio.create_task(self._pass_on(kept, process.stdout, is_last_word=False)),
            asyncio.create_task(self._pass_on(kept, process.stderr, is_last_word=True)),
        ]
        try:
            code = await process.wait()
            # What it said last is still on its way; but who else holds its pipes does
            # not hold us up.
            await asyncio.wait(passing, timeout=_LAST_WORDS_SECONDS)
            return code
        finally:
            for task in (awaited, *passing):
                task.cancel()
            await asyncio.gather(awaited, *passing, return_exceptions=True)
            kept.serving = False
            kept.process = None

    async def _pass_on(
        self, kept: "_Kept", stream: asyncio.StreamReader, *, is_last_word: bool
    ) -> None:
        async for text in _lines(stream):
            if is_last_word:
                kept.last_words.append(text)
            self._report(Happening(kind=Kind.LINE, name=kept.service.name, text=text))

    async def _await_serving(self, kept: "_Kept") -> None:
        async with open_channel(kept.service.address) as channel:
            while True:
                if await _is_serving(channel):
                    break
                await asyncio.sleep(_LOOK_SECONDS)
        kept.serving = True
        self._report(Happening(kind=Kind.SERVING, name=kept.service.name))
        if all(it.serving for it in self._kept):
            self._all_serving_once.set()
            self._report(Happening(kind=Kind.ALL_SERVING))

    async def _watch_start(self) -> None:
        """Raises where the start takes too long; never ends otherwise."""
        try:
            await asyncio.wait_for(self.all_serving(), self._patience.start_seconds)
        except TimeoutError:
            late = ", ".join(it.service.name for it in self._kept if not it.serving)
            seconds = self._patience.start_seconds
            raise CannotRun(f"not SERVING after {seconds:g} s: {late}") from None
        await asyncio.Event().wait()

    async def _stop(self, kill: asyncio.Event) -> None:
        for number in sorted({it.service.stops_in_round for it in self._kept}):
            round_ = [it for it in self._kept if it.service.stops_in_round == number]
            for kept in round_:
                kept.to_stop.set()
                kept.signal(signal.SIGTERM)
            await asyncio.gather(*(self._end(kept, kill) for kept in round_))

    async def _end(self, kept: "_Kept", kill: asyncio.Event) -> None:
        """Waits for a service to end, and kills it where it takes too long."""
        assert kept.keeper is not None
        killed = asyncio.create_task(kill.wait())
        await asyncio.wait(
            {kept.keeper, killed},
            timeout=self._patience.stop_seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not kept.keeper.done():
            self._report(Happening(kind=Kind.KILLED, name=kept.service.name))
            kept.signal(signal.SIGKILL)
        killed.cancel()
        await asyncio.gather(kept.keeper, killed, return_exceptions=True)


class _Kept:
    """A service and the process that it is just now."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.process: Process | None = None
        self.keeper: asyncio.Task[None] | None = None
        self.serving = False
        self.to_stop = asyncio.Event()
        self.last_words: deque[str] = deque(maxlen=_LAST_WORDS_MAX)

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    def found_its_port_in_use(self, code: int) -> bool:
        """Whether it ended because it could not listen, and may be able to in a moment."""
        said = self.last_words[-1] if self.last_words else ""
        return code in CONFIGURATION_CODES and _PORT_IN_USE.search(said) is not None

    def said(self, code: int) -> str:
        """What it said before it ended, or what its exit code says."""
        if code == 0:
            return "drained"
        if self.last_words:
            return self.last_words[-1]
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


async def _spawn(service: Service) -> Process:
    leash = [sys.executable, "-I", "-S", str(Path(__file__).with_name("leash.py"))]
    return await asyncio.create_subprocess_exec(
        *leash,
        str(os.getpid()),
        *service.command,
        env=service.environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        limit=_LINE_BYTES_MAX,
        # A group of its own: Ctrl-C in a terminal is for the supervisor, which tells the
        # others in order.
        process_group=0,
    )


async def _is_serving(channel: grpc.aio.Channel) -> bool:
    # The package's own stub has types for blocking channels alone.
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )
    try:
        reply = await check(HealthCheckRequest(), timeout=_CHECK_SECONDS)
    except grpc.aio.AioRpcError:
        return False
    return reply.status == HealthCheckResponse.SERVING


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Lines as text, without their ends; one that is too long comes in pieces."""
    held = b""
    while chunk := await stream.read(_LINE_BYTES_MAX):
        *whole, held = (held + chunk).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace").rstrip("\r")
        if len(held) > _LINE_BYTES_MAX:
            yield held.decode("utf-8", "replace")
            held = b""
    if held:
        yield held.decode("utf-8", "replace")
