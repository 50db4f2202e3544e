"""A clock that stands still until it is told to move."""

import asyncio
import heapq

MICROSECONDS = 1_000_000
START_US = 1_700_000_000 * MICROSECONDS


class ManualClock:
    """Time as the test says. Whoever sleeps wakes when `advance` has come that far."""

    def __init__(self, now_us: int = START_US) -> None:
        self._now_us = now_us
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._naps = 0
        self._changed = asyncio.Condition()

    def now_us(self) -> int:
        return self._now_us

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        due_us = self._now_us + round(seconds * MICROSECONDS)
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._naps += 1
        heapq.heappush(self._sleepers, (due_us, self._naps, woken))
        async with self._changed:
            self._changed.notify_all()
        await woken

    def advance(self, seconds: float) -> None:
        """Moves on, and wakes whoever is due."""
        self._now_us += round(seconds * MICROSECONDS)
        while self._sleepers and self._sleepers[0][0] <= self._now_us:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)

    async def until_asleep(self, *, naps: int) -> None:
        """Waits until somebody has gone to sleep for the `naps`-th time, counted from the start."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._naps >= naps)

    @property
    def naps(self) -> int:
        """How often somebody has gone to sleep."""
        return self._naps
