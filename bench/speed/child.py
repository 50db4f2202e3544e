"""A process of a run: started, watched while it is measured, ended.

Invariant: it cannot outlive the run (the kernel ends it with us), and an end that nobody asked for
is told with its last words. Must never: be started again by itself: what crashed is not measured.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

import console.leash
from bench.chaos.port import Port
from bench.chaos.service import HealthCheck, WillNotRun, dial, environment_of

SERVING_SECONDS_MAX: Final = 120.0
STOP_SECONDS_MAX: Final = 20.0
ROOT: Final = Path(__file__).parents[2]
_LOOK_SECONDS: Final = 0.05
_TAIL_LINES: Final = 20
_SAID_MAX: Final = 4_000


class Child:
    """A server process on a port of its own. Its output goes to `<folder>/<name>.log`."""

    def __init__(self, name: str, command: Sequence[str], *, folder: Path) -> None:
        self.name = name
        self.port = Port()
        self._command = tuple(command)
        self._folder = folder
        self._log = folder / f"{name}.log"
        self._process: asyncio.subprocess.Process | None = None
        self._channel = dial(self.port.address)
        self._settings: Mapping[str, str] = {}
        self._check: HealthCheck = self._channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )

    @property
    def address(self) -> str:
        """Where it serves."""
        return self.port.address

    @property
    def pid(self) -> int:
        """Of the life that runs."""
        assert self._process is not None, "it is started first"
        return self._process.pid

    @property
    def channel(self) -> grpc.aio.Channel:
        """A channel to it, closed with it."""
        return self._channel

    async def start(self, settings: Mapping[str, str]) -> None:
        """Starts it, and waits until it serves.

        Raises:
            WillNotRun: It ended, or took too long.
        """
        await self.spawn(settings)
        await self.serving()

    async def spawn(self, settings: Mapping[str, str]) -> None:
        """Starts it."""
        assert self._process is None, "one life at a time"
        self._settings = settings
        self._process = await asyncio.create_subprocess_exec(
            *leashed(self._command),
            cwd=self._folder,
            env=environment(settings),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=(sink := self._log.open("ab")),
            stderr=sink,
            start_new_session=True,
        )
        sink.close()

    async def respawn(self) -> None:
        """Starts it again, as it was started before."""
        await self.spawn(self._settings)

    def tell(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        assert self._process is not None, "it is started first"
        self._process.send_signal(number)

    async def serving(self) -> None:
        """Waits until it serves.

        Raises:
            WillNotRun: It ended, or took too long.
        """
        assert self._process is not None, "it is started first"
        looking = asyncio.create_task(self._look())
        ending = asyncio.create_task(self._process.wait())
        try:
            await asyncio.wait(
                {looking, ending},
                timeout=SERVING_SECONDS_MAX,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not looking.done():
                raise WillNotRun(f"{self.name} does not serve:\n{self.tail()}")
            looking.result()
        finally:
            looking.cancel()
            ending.cancel()
            await asyncio.gather(looking, ending, return_exceptions=True)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends it; another life may be started then.

        Raises:
            WillNotRun: It had ended before.
        """
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is not None:
            raise WillNotRun(
                f"{self.name} ended by itself, exit code {process.returncode}:\n{self.tail()}"
            )
        process.send_signal(number)
        try:
            async with asyncio.timeout(STOP_SECONDS_MAX):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def close(self) -> None:
        """Ends it, however it is, and gives up its port."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()
        await self._channel.close()
        self.port.close()

    def tail(self) -> str:
        """The end of what it has said."""
        if not self._log.exists():
            return ""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])

    async def _look(self) -> None:
        while True:
            call = self._check(
                HealthCheckRequest(), timeout=SERVING_SECONDS_MAX, wait_for_ready=True
            )
            try:
                if (
                    await call.code() is grpc.StatusCode.OK
                    and (await call).status == HealthCheckResponse.SERVING
                ):
                    return
            finally:
                call.cancel()
            await asyncio.sleep(_LOOK_SECONDS)


async def told(command: Sequence[str], text: str, *, folder: Path) -> str:
    """Runs a program to its end with `text` on stdin; what it wrote on stdout.

    Raises:
        WillNotRun: It failed; the text holds what it wrote on stderr.
    """
    process = await asyncio.create_subprocess_exec(
        *leashed(command),
        cwd=folder,
        env=environment({}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = await process.communicate(text.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        said = (out + err).decode(errors="replace")[-_SAID_MAX:]
        raise WillNotRun(f"{' '.join(command[1:])} failed ({process.returncode}):\n{said}")
    return out.decode()


def leashed(command: Sequence[str]) -> tuple[str, ...]:
    """The command, tied to this process."""
    return (sys.executable, "-I", "-S", str(console.leash.__file__), str(os.getpid()), *command)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """What a process of a run is given: our code is found from whatever Python it is run by."""
    path = os.pathsep.join(str(it) for it in (ROOT, ROOT / "generated"))
    return environment_of({"PYTHONPATH": path, **settings}, os.environ)
