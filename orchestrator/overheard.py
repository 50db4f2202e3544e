"""What other replicas append to processes that are held here: a cancel, most of all.

Whoever waits for long does so in the log, where others find it (see `assembly.Pace`). A process
that is held for a participant stays here, because its turn comes here; so the log is asked about
all of them at once, as often as any of them would have been found there.

Invariant: a held process whose history has gone on, or which is somebody else's by now, is looked
at within one round, if the log answers. It must never touch a process itself; nor ask for anything
while nobody is held.
"""

from collections.abc import Mapping
from typing import Protocol

import structlog

from chassis import faults
from chassis.clock import Clock
from orchestrator.alarm import Alarm

_log = structlog.get_logger(__name__)


class Revisions(Protocol):
    """How far the histories are that an owner has."""

    async def revisions(self, owner: str) -> Mapping[str, int]:
        """All that is not at rest and belongs to an owner, by process.

        Raises:
            faults.Unavailable: The log does not answer.
        """
        ...


class Holder(Protocol):
    """Who runs processes here: the runner."""

    def held(self) -> Mapping[str, int]:
        """Those that are held, and at which revision."""
        ...

    def wake(self, process_id: str) -> None:
        """Has a process looked at."""
        ...


class Overheard:
    """Looks after the held processes of one owner."""

    def __init__(
        self,
        *,
        revisions: Revisions,
        owner: str,
        holder: Holder,
        clock: Clock,
        look_seconds: float,
    ) -> None:
        self._revisions = revisions
        self._owner = owner
        self._holder = holder
        self._look_seconds = look_seconds
        self._alarm = Alarm(clock)
        self._stopping = False

    async def run(self) -> None:
        """Looks until it is stopped."""
        while not self._stopping:
            await self._alarm.sleep(self._look_seconds)
            if not self._stopping:
                await self._look_again()

    def stop(self) -> None:
        """Has `run` return."""
        self._stopping = True
        self._alarm.ring()

    async def look(self) -> None:
        """Looks once.

        Raises:
            faults.Unavailable: The log does not answer.
        """
        if not self._holder.held():
            return
        there = await self._revisions.revisions(self._owner)
        # Asked again: what went on here meanwhile is not what is looked for.
        for process_id, revision in self._holder.held().items():
            if there.get(process_id, 0) != revision:
                self._holder.wake(process_id)

    async def _look_again(self) -> None:
        try:
            await self.look()
        except (faults.Unavailable, faults.Overloaded):
            # Whoever is held cannot go on without the log either, and others say that it is away.
            pass
        except Exception:  # noqa: BLE001 - whatever it is, the loop goes on
            _log.exception("overheard_failed")
