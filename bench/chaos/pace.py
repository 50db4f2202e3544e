"""How far the load is, so that blows fall in the midst of it and the load does not outrun them.

Invariant: neither waits for the other in a circle: a blow waits for accepted orders only, and at
most `ahead` orders are offered beyond the one at which the next blow is due. Must never: look at a
clock.
"""

import asyncio
from collections.abc import Sequence


class Pace:
    """Between the load and who strikes.

    `due_at`: after how many accepted orders each blow falls.
    """

    def __init__(self, due_at: Sequence[int], *, ahead: int) -> None:
        assert list(due_at) == sorted(due_at), "blows fall one after the other"
        assert ahead >= 1, "or the load would wait for the blow that waits for it"
        self._due_at = tuple(due_at)
        self._ahead = ahead
        self._moved = asyncio.Condition()
        self.accepted = 0
        self.struck = 0

    async def may_offer(self, number: int) -> None:
        """Waits until that order, counted from 0, may be offered."""
        async with self._moved:
            await self._moved.wait_for(lambda: number < self._offered_max())

    async def was_accepted(self) -> None:
        """One more order is accepted, or its caller has given up."""
        async with self._moved:
            self.accepted += 1
            self._moved.notify_all()

    async def accepted_by(self, count: int) -> None:
        """Waits until so many orders are accepted."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.accepted >= count)

    async def is_due(self) -> None:
        """Waits until the next blow is due."""
        await self.accepted_by(self._due_at[self.struck])

    async def was_struck(self) -> None:
        """The blow that was due has fallen."""
        async with self._moved:
            self.struck += 1
            self._moved.notify_all()

    def _offered_max(self) -> float:
        if self.struck == len(self._due_at):
            return float("inf")
        return self._due_at[self.struck] + self._ahead
