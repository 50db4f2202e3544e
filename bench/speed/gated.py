"""A participant behind a gate: `python -m bench.speed.gated order_svc`, then the service's flags.

Invariant: the service is the real one, and every call reaches it: at once, or once the gate opens,
or some seconds late. SIGUSR1 leads from one to the next: `open`, `held`, `slow` (2 to 10 seconds
each), and `open` again; which of them it is, once it is so, is in `<folder>/<service>.gate`.
SIGUSR2 begins a count of arrivals anew, which is written to `<folder>/<service>.arrivals`, a time
in seconds for each, as they come; where that file is there already, they are counted from the
start.

Must never: gate the calls about the server itself.
"""

import asyncio
import random
import runpy
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import grpc.aio

NEXT: Final = signal.SIGUSR1
COUNT: Final = signal.SIGUSR2
OPEN, HELD, SLOW = "open", "held", "slow"
SLOW_SECONDS: Final = (2.0, 10.0)
_ABOUT_THE_SERVER: Final = "/grpc."

_Handler = Any


class Gate(grpc.aio.ServerInterceptor):
    """Lets calls through."""

    def __init__(self, service: str, folder: Path) -> None:
        self._path = folder / f"{service}.arrivals"
        self._state_path = folder / f"{service}.gate"
        self._seconds = random.Random(service)
        self._held: asyncio.Event | None = None
        self._slow = False
        self._counts = False
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(NEXT, self._next)
        loop.add_signal_handler(COUNT, self._count)
        if self._path.exists():
            self._count()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """Waits, then goes on."""
        if not handler_call_details.method.startswith(_ABOUT_THE_SERVER):
            if self._counts:
                with self._path.open("a") as arrived:
                    arrived.write(f"{time.time():.3f}\n")
            if self._held is not None:
                await self._held.wait()
            if self._slow:
                await asyncio.sleep(self._seconds.uniform(*SLOW_SECONDS))
        return await continuation(handler_call_details)

    def _next(self) -> None:
        if self._slow:
            self._slow = False
            state = OPEN
        elif self._held is None:
            self._held = asyncio.Event()
            state = HELD
        else:
            self._slow = True
            self._held.set()
            self._held = None
            state = SLOW
        self._state_path.write_text(state)

    def _count(self) -> None:
        self._path.write_text("")
        self._counts = True


def is_now(service: str, folder: Path, state: str) -> bool:
    """Whether a gate that was told to go on is `OPEN`, `HELD` or `SLOW` now."""
    path = folder / f"{service}.gate"
    return path.exists() and path.read_text() == state


def arrivals(service: str, folder: Path) -> list[float]:
    """When calls arrived since they are counted, in seconds of the wall clock."""
    path = folder / f"{service}.arrivals"
    if not path.exists():
        return []
    # The last line may be half written.
    return [float(it) for it in path.read_text().split("\n")[:-1]]


def main(service: str) -> None:
    """Becomes the service, with a gate before the handlers of its server."""
    make = grpc.aio.server

    def gated(*, interceptors: Any = (), **named: Any) -> grpc.aio.Server:  # noqa: ANN401 - handed on
        gate = Gate(service, Path.cwd())
        return make(interceptors=[*interceptors, gate], **named)

    grpc.aio.server = gated  # type: ignore[assignment]
    runpy.run_module(service, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    service = sys.argv.pop(1)
    main(service)
