"""Reads in groups: everything that waits is read at once.

Invariant: a read begins after it was asked for, so whoever asks after a commit sees it. What waits
while one read is under way is the next one. This module must never let one caller's leaving be
another's loss.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Wanted = TypeVar("Wanted")
Found = TypeVar("Found")


class GroupRead(Generic[Wanted, Found]):
    """Asks for many things as often as it could ask for one."""

    def __init__(
        self,
        read: Callable[[Sequence[Wanted]], Awaitable[Sequence[Found]]],
        *,
        batch_max: int = 100,
        gathering_seconds: float = 0.0,
    ) -> None:
        """`read` answers everything that it is asked for, in that order.

        Where the last read was of several, the next one is gathered for `gathering_seconds`.
        """
        self._read = read
        self._batch_max = batch_max
        self._gathering_seconds = gathering_seconds
        self._several = False
        self._waiting: list[tuple[Wanted, asyncio.Future[Found]]] = []
        self._reading: asyncio.Task[None] | None = None

    async def get(self, wanted: Wanted) -> Found:
        """Reads one thing, together with what others want."""
        future: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, future))
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_all())
        return await future

    async def _read_all(self) -> None:
        try:
            while self._waiting:
                if self._several and self._gathering_seconds:
                    await asyncio.sleep(self._gathering_seconds)
                batch = self._waiting[: self._batch_max]
                del self._waiting[: self._batch_max]
                self._several = len(batch) > 1
                await self._read_some([it for it in batch if not it[1].done()])
        finally:
            self._reading = None

    async def _read_some(self, batch: Sequence[tuple[Wanted, asyncio.Future[Found]]]) -> None:
        if not batch:
            return
        try:
            found = await self._read([wanted for wanted, _ in batch])
            assert len(found) == len(batch), "everything that was asked for is answered"
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the callers'
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), it in zip(batch, found, strict=True):
            if not future.done():
                future.set_result(it)
