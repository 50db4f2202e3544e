"""Participants that are right one call after another, and wrong when calls overlap or run out.

Invariant: each lets others in between reading and writing, and differs from the right one in one
thing, the promise that it breaks. The pause in between is what a database takes; without it calls
in one event loop would never meet.
"""

import asyncio
from collections import defaultdict
from typing import Any

from chassis.faults import Conflict
from tests.console.conformance.harness.memory import Kept, Memory, MemoryDelivery, MemoryOrder

PAUSE_SECONDS = 0.02


class ReadsThenWrites(Memory):
    """A Create that looks, lets others in, and writes."""

    async def begin(self, id_: str, content: Any) -> Any:
        if self.is_slow(content) or self.refusal(content):
            return await super().begin(id_, content)
        await asyncio.sleep(PAUSE_SECONDS)
        kept = self.kept.get(id_)
        if kept is not None and not self.writes_over(kept, content):
            return await self.again(id_, kept, content)
        return self.put(id_, content, self.kind.first_state).entity

    def writes_over(self, kept: Kept, content: Any) -> bool:
        del kept, content
        return False


class MakesOneForEachRepeat(ReadsThenWrites):
    breaks = "create-crowd"

    def writes_over(self, kept: Kept, content: Any) -> bool:
        return bool(kept.content == content) and self.state(kept) == self.kind.first_state


class LetsTheLastContentWin(ReadsThenWrites):
    breaks = "contents-crowd"

    def writes_over(self, kept: Kept, content: Any) -> bool:
        return kept.content is not None and bool(kept.content != content)


class WritesOverATombstone(ReadsThenWrites):
    breaks = "create-racing-cancel"

    def writes_over(self, kept: Kept, content: Any) -> bool:
        del content
        return kept.content is None


class DeliversOverATombstone(WritesOverATombstone, MemoryDelivery):
    pass


class ConfirmsOverACancel(MemoryOrder):
    breaks = "confirm-racing-cancel"

    async def confirm(self, id_: str) -> Any:
        kept = self.kept.get(id_)
        if kept is None or self.state(kept) != "PENDING":
            return await super().confirm(id_)
        await asyncio.sleep(PAUSE_SECONDS)
        return self.move(kept, "CONFIRMED")


class LeavesALockBehind(Memory):
    """A caller that leaves in the middle takes the key to the id along."""

    breaks = "short-deadlines"

    def __init__(self) -> None:
        super().__init__()
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def begin(self, id_: str, content: Any) -> Any:
        if self.is_slow(content):
            return await super().begin(id_, content)
        lock = self._locks[id_]
        await lock.acquire()
        await asyncio.sleep(2 * PAUSE_SECONDS)
        lock.release()
        kept = self.kept.get(id_)
        if kept is None:
            return await super().begin(id_, content)
        if kept.content not in (None, content):
            raise Conflict("PAYMENT_ID_REUSED", "the id has other content")
        return await self.again(id_, kept, content)


class WaitsForItsGatewayUnderALock(Memory):
    """Goes on waiting for the gateway when the caller has left, and lets nobody at the id."""

    breaks = "slow-calls-in-no-way"

    def __init__(self) -> None:
        super().__init__()
        self._waiting: set[str] = set()

    async def begin(self, id_: str, content: Any) -> Any:
        if self.is_slow(content):
            self._waiting.add(id_)
        return await super().begin(id_, content)

    async def get(self, id_: str) -> Any:
        if id_ in self._waiting:
            await asyncio.Event().wait()
        return await super().get(id_)


TIMES: tuple[type[Memory], ...] = (
    MakesOneForEachRepeat,
    LetsTheLastContentWin,
    WritesOverATombstone,
    DeliversOverATombstone,
    ConfirmsOverACancel,
    LeavesALockBehind,
    WaitsForItsGatewayUnderALock,
)
