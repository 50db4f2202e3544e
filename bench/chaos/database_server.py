"""The PostgreSQL of a fleet, on an event loop.

Invariant: everything that is done to it is done in one thread, which lives as long as it: the
kernel ends the server with the thread that started it. Every time without it is written down. Must
never: hold up the loop.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bench.postgres import PostgresServer

T = TypeVar("T")


class DatabaseServer:
    """A server, started by `start` and ended by `close`."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="postgres")
        self._server: PostgresServer | None = None
        self.outages_us: list[tuple[int, int]] = []
        """From when to when it was away, in microseconds since 1970."""

    @property
    def outages_seconds(self) -> tuple[float, ...]:
        """How long it was away each time."""
        return tuple((over - began) / 1_000_000 for began, over in self.outages_us)

    async def start(self) -> str:
        """Starts it; the URL of its database."""
        server = self._server = await self._do(PostgresServer)
        await self._do(server.start)
        return server.url()

    async def restart(self) -> None:
        """Ends it as a crash would (`immediate`) and starts it again: it recovers."""
        assert self._server is not None, "it is started first"
        began_us = _now_us()
        await self._do(self._server.restart)
        self.outages_us.append((began_us, _now_us()))

    async def close(self) -> None:
        """Ends it and removes its files."""
        if self._server is not None:
            await self._do(self._server.close)
        self._thread.shutdown()

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _now_us() -> int:
    return time.time_ns() // 1_000
