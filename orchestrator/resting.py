"""A saga log that says when a process is found at rest.

Invariant: whoever subscribed to a process is told after the commit that brings it to rest, if that
happens in this program. Where another one does it nobody is told: look into the log now and then.
This module must never change what the log is told, or what it answers.
"""

import builtins

from orchestrator.feed import Feed
from orchestrator.saga_log.protocol import (
    Append,
    ListQuery,
    NewProcess,
    ProcessRow,
    StoredProcess,
)
from orchestrator.saga_log.retirement import Retirement, RetiringLog


class RestingLog:
    """Passes everything on to a log, and notices of processes at rest to a feed.

    A process makes a dozen appends and comes to rest once. Who only waits for that need not be
    woken by the others, nor read the log each time.
    """

    def __init__(self, log: RetiringLog, rests: Feed) -> None:
        self._log = log
        self._rests = rests

    async def create(self, new: NewProcess) -> tuple[ProcessRow, bool]:
        """As the log does."""
        return await self._log.create(new)

    async def append(self, append: Append) -> int:
        """As the log does."""
        revision = await self._log.append(append)
        if append.phase.at_rest:
            self._rests.notify(append.process_id)
        return revision

    async def load(self, process_id: str, *, after: int = 0) -> StoredProcess | None:
        """As the log does. So a runner that only finds out now that its append was there tells."""
        stored = await self._log.load(process_id, after=after)
        if stored is not None and stored.row.phase.at_rest:
            self._rests.notify(process_id)
        return stored

    async def find(self, business_key: str) -> ProcessRow | None:
        """As the log does."""
        return await self._log.find(business_key)

    async def claim(self, *, owner: str, now_us: int, limit: int) -> tuple[StoredProcess, ...]:
        """As the log does."""
        return await self._log.claim(owner=owner, now_us=now_us, limit=limit)

    async def next_due_us(self, owner: str) -> int | None:
        """As the log does."""
        return await self._log.next_due_us(owner)

    async def release(self, *, process_id: str, epoch: int, due_time_us: int) -> None:
        """As the log does."""
        await self._log.release(process_id=process_id, epoch=epoch, due_time_us=due_time_us)

    async def list(self, query: ListQuery) -> builtins.tuple[StoredProcess, ...]:
        """As the log does."""
        return await self._log.list(query)

    @property
    def retirement(self) -> Retirement:
        """As the log's."""
        return self._log.retirement

    async def close(self) -> None:
        """As the log does."""
        await self._log.close()
