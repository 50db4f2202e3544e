"""One orchestrator: the product's own runner and recovery, on a log that can be disturbed.

Invariant: whatever of it touches the world passes a point before and after; once it is dead it
touches nothing. Must never: know what a fault is; the stage does.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from bench.simulator.faults import Place
from bench.simulator.shared_log import SharedLog
from chassis.clock import Clock
from chassis.faults import Unavailable
from orchestrator.feed import Feed
from orchestrator.interventions import Interventions
from orchestrator.recovery import Recovery
from orchestrator.runner import Runner
from orchestrator.saga_log.protocol import (
    Append,
    ListQuery,
    NewProcess,
    ProcessRow,
    StoredProcess,
)

T = TypeVar("T")


class Troubles(Protocol):
    """Who disturbs."""

    async def committed(
        self, node: "Node", place: Place, name: str, process_id: str, write: Callable[[], T]
    ) -> T:
        """Commits, with whatever comes in its way."""
        ...

    def read(self, node: "Node", name: str) -> str | None:
        """The fault of a read."""
        ...

    async def read_in_trouble(self, node: "Node", fault: str) -> None:
        """Lets a fault befall a read."""
        ...

    def wrote(self, process_id: str, owner: str, *, takes_over: bool) -> None:
        """Takes down who wrote."""
        ...


class Node:
    """A program that runs, or ran."""

    def __init__(self, name: str, clock: Clock, *, front: bool = False) -> None:
        """`front`: it only takes in what people ask for; it runs nothing."""
        self.name = name
        self.clock = clock
        self.front = front
        self.dead = False
        self.leaving = False
        """It takes on nothing more."""
        self.held: asyncio.Future[None] | None = None
        """While it is stopped: done when it goes on."""
        self.runner: Runner | None = None
        self.recovery: Recovery | None = None
        self.recovering: asyncio.Task[None] | None = None
        self.interventions: Interventions | None = None
        self.feed: Feed | None = None
        self.tasks: set[asyncio.Task[Any]] = set()
        """Besides those of the runner."""

    def wake(self, process_id: str) -> None:
        """Has a process looked at."""
        if self.runner is not None and self.recovery is not None:
            self.runner.wake(process_id)
            self.recovery.wake()

    def die(self) -> None:
        """All of it is gone, in the middle of what it was doing."""
        self.dead = True
        runner = self.runner._tasks if self.runner is not None else ()
        under_way = self.interventions._under_way if self.interventions is not None else ()
        for task in (*runner, *under_way, *self.tasks):
            task.cancel()

    async def passes(self) -> None:
        """Returns once it is allowed to touch the world; never, once it is dead."""
        while self.held is not None and not self.dead:
            await asyncio.shield(self.held)
        if self.dead:
            raise asyncio.CancelledError


class NodeLog:
    """The log that all share, as one node reaches it."""

    def __init__(self, shared: SharedLog, node: Node, troubles: Troubles) -> None:
        self._shared = shared
        self._node = node
        self._troubles = troubles

    async def create(self, new: NewProcess) -> tuple[ProcessRow, bool]:
        """Stores a process that begins."""

        def write() -> ProcessRow:
            row = self._shared.create_now(new)
            if row.process_id == new.process_id:
                self._troubles.wrote(new.process_id, self._node.name, takes_over=True)
            return row

        try:
            row = await self._commit("create", new.process_id, write)
        except Unavailable:
            self._shared.doubt(new.process_id)
            raise
        return row, row.process_id == new.process_id

    async def append(self, append: Append) -> int:
        """Moves a process on."""

        def write() -> int:
            before = self._shared.row(append.process_id)
            revision = self._shared.append_now(append)
            if before is not None and revision != before.revision:
                owner = "" if append.epoch is None else self._node.name
                self._troubles.wrote(append.process_id, owner, takes_over=False)
            return revision

        return await self._commit("append", append.process_id, write)

    async def release(self, *, process_id: str, epoch: int, due_time_us: int) -> None:
        """Gives a process back."""
        await self._commit(
            "release",
            process_id,
            lambda: self._shared.release_now(process_id, epoch, due_time_us),
        )

    async def claim(self, *, owner: str, now_us: int, limit: int) -> tuple[StoredProcess, ...]:
        """Takes over processes that nobody runs. Where there are none it is no point."""
        await self._node.passes()
        shared = self._shared
        if not any(shared.claimable(row, owner, now_us) for row in shared._rows()):
            return ()
        claimed: list[ProcessRow] = []

        def write() -> tuple[StoredProcess, ...]:
            found = shared.claim_now(owner, now_us, limit)
            claimed.extend(stored.row for stored in found)
            for stored in found:
                self._troubles.wrote(stored.row.process_id, owner, takes_over=True)
            return found

        try:
            return await self._commit("claim", "", write)
        except Unavailable:
            for row in claimed:
                shared.doubt(row.process_id, row.epoch)
            raise

    async def load(self, process_id: str, *, after: int = 0) -> StoredProcess | None:
        """Reads a process."""
        await self._read("load")
        return await self._shared.load(process_id, after=after)

    async def find(self, business_key: str) -> ProcessRow | None:
        """Reads the row of one business key."""
        await self._node.passes()
        return await self._shared.find(business_key)

    async def next_due_us(self, owner: str) -> int | None:
        """When `claim` will next find something."""
        await self._node.passes()
        return await self._shared.next_due_us(owner)

    async def list(self, query: ListQuery) -> tuple[StoredProcess, ...]:
        """Reads a page of processes."""
        await self._node.passes()
        return await self._shared.list(query)

    async def close(self) -> None:
        """There is nothing to let go of."""

    async def _commit(self, name: str, process_id: str, write: Callable[[], T]) -> T:
        if self._node.dead or self._node.held is not None:
            await self._node.passes()
        place = Place.FRONT if self._node.front else Place.LOG
        return await self._troubles.committed(self._node, place, name, process_id, write)

    async def _read(self, name: str) -> None:
        if self._node.dead or self._node.held is not None:
            await self._node.passes()
        fault = self._troubles.read(self._node, name)
        if fault is not None:
            await self._troubles.read_in_trouble(self._node, fault)
