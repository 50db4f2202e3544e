"""Room for so many calls at once: a bulkhead.

Invariant: no more places are taken than there are, and who waits for one is served in the order of
coming; nobody overtakes. A place that was handed to somebody who has left meanwhile goes to the
next. Must never: lose a place.

A semaphore of asyncio does the same, in coroutines: a free place is a comparison here.
"""

import asyncio
from collections import deque


class Room:
    """Counts places."""

    __slots__ = ("_free", "_waiting")

    def __init__(self, places: int) -> None:
        assert places >= 1, "nobody could ever enter"
        self._free = places
        self._waiting: deque[asyncio.Future[None]] = deque()

    def enter_at_once(self) -> bool:
        """Takes a place, if one is free and nobody waits for it."""
        if self._free > 0:
            self._free -= 1
            return True
        return False

    async def enter(self, within_seconds: float) -> bool:
        """Takes a place, if one comes free in time."""
        if self.enter_at_once():
            return True
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        timer = loop.call_later(within_seconds, turn.cancel)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                # The place was handed over, and this task was cancelled before it could go on.
                self.leave()
                raise
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return False
        finally:
            timer.cancel()
        return True

    def leave(self) -> None:
        """Gives a place back: to who has waited longest, if anybody does."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
