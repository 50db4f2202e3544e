"""A sentinel beside a server: watches what the server cannot do without.

Invariant: a process whose writer died, or whose database is lost, ends with the exit code of a
defect, so that whoever supervises it starts it again and it recovers; and while a database is in
trouble the server says NOT_SERVING. It must never serve on as if nothing had happened.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import structlog

from chassis.server import CannotGoOn, Server, serve
from chassis.storage_health import StorageHealth

# How often a database is looked after: its files, and, while it is in trouble, whether it works.
LOOK_SECONDS: Final = 0.5
# How long a server goes on whose store is lost. Nothing that runs can be stored any more; this is
# for the answers that say so.
LOST_SECONDS: Final = 0.5

_log = structlog.get_logger(__name__)


class WriterDied(Exception):  # noqa: N818 - named by what happened
    """The thread that writes ended by a defect. The log has it."""


class Store(Protocol):
    """What is watched: see chassis.database.Database."""

    @property
    def health(self) -> StorageHealth:
        """How it is."""
        ...

    async def look(self) -> None:
        """Finds out how it is."""
        ...

    async def rescue(self) -> str:
        """Saves what can be saved of it, once it is lost; says what is to be done."""
        ...


async def serve_guarded(
    server: Server,
    *,
    failed: Callable[[], Awaitable[object]],
    stores: Sequence[Store] = (),
    on_drain: Callable[[], Awaitable[None]] | None = None,
    look_seconds: float = LOOK_SECONDS,
) -> None:
    """Serves until it is told to stop, as `serve` does, or until it cannot go on.

    Calls are taken while a store is in trouble: each is told UNAVAILABLE by whoever needs the store
    for it.

    Raises:
        WriterDied: `failed` returned; the server has drained.
        CannotGoOn: A store is lost; the server has stopped, without waiting for what runs.
    """
    stop, at_once = asyncio.Event(), asyncio.Event()
    died = False

    async def watch_writer() -> None:
        nonlocal died
        await failed()
        died = True
        stop.set()

    rescues = _Rescues(stores)
    watches = [
        asyncio.create_task(watch_writer()),
        asyncio.create_task(_tell(server, stores, rescues, stop, at_once)),
        *(asyncio.create_task(_tend(store, look_seconds)) for store in stores),
    ]
    try:
        await serve(server, on_drain=on_drain, stop=stop, stop_at_once=at_once)
    finally:
        await _end(watches)
        advice = await rescues.ended()
    if advice:
        raise CannotGoOn(" / ".join(advice))
    if died:
        raise WriterDied


class _Rescues:
    """The stores that were lost. Each is rescued once, and at once: before the drain, not after."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self._stores = stores
        self._begun: dict[int, asyncio.Task[str]] = {}

    def begin(self) -> bool:
        """Begins what is to be rescued; says whether there is anything."""
        for index, store in enumerate(self._stores):
            if store.health.lost is not None and index not in self._begun:
                self._begun[index] = asyncio.create_task(store.rescue())
        return bool(self._begun)

    async def ended(self) -> list[str]:
        """Waits for the rescues; what happened to each store, and what is to be done."""
        self.begin()
        return [
            f"{self._stores[index].health.lost}; {await rescue}"
            for index, rescue in self._begun.items()
        ]


async def _tell(
    server: Server,
    stores: Sequence[Store],
    rescues: _Rescues,
    stop: asyncio.Event,
    at_once: asyncio.Event,
) -> None:
    """Has the server's health follow the stores', and stops it when one of them is lost."""
    changed = asyncio.Event()
    _listen(stores, changed)
    await server.started.wait()
    while True:
        changed.clear()
        if rescues.begin() and not stop.is_set():
            stop.set()
            asyncio.get_running_loop().call_later(LOST_SECONDS, at_once.set)
        server.set_serving(all(it.health.well for it in stores))
        await changed.wait()


def _listen(stores: Sequence[Store], changed: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def tell() -> None:
        # A loop that is closed has nobody left to tell.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(changed.set)

    for store in stores:
        store.health.listen(tell)


async def _tend(store: Store, look_seconds: float) -> None:
    while True:
        await asyncio.sleep(look_seconds)
        try:
            await store.look()
        except Exception:  # noqa: BLE001 - whatever it is, the next look may find out more
            _log.exception("storage_not_looked_at")


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
