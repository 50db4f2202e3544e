"""A sentinel beside a server: when the one thing that must not die dies, the server stops.

Invariant: a process whose writer died ends, with the exit code of a defect, so that whoever
supervises it starts it again and it recovers. It must never serve on as if nothing had happened.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from chassis.server import Server, serve


class WriterDied(Exception):  # noqa: N818 - named by what happened
    """The thread that writes ended by a defect. The log has it."""


async def serve_guarded(
    server: Server,
    *,
    failed: Callable[[], Awaitable[object]],
    on_drain: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Serves until it is told to stop, as `serve` does, or until `failed` returns.

    Raises:
        WriterDied: `failed` returned; the server has drained.
    """
    stop = asyncio.Event()
    died = False

    async def watch() -> None:
        nonlocal died
        await failed()
        died = True
        stop.set()

    sentinel = asyncio.create_task(watch())
    try:
        await serve(server, on_drain=on_drain, stop=stop)
    finally:
        sentinel.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sentinel
    if died:
        raise WriterDied
