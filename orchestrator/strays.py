"""Looks for strays: processes that this replica owns in the log, and that nobody runs here.

A commit whose answer was lost may take effect later than anybody waits for it: a server whose
standby is away has it durable, and shows it only once the standby is back. What was looked for
meanwhile, and not found, is then owned by a replica that knows nothing of it. On a database that
answers for itself there is no such thing.

Invariant: what is found twice in a row is claimed like what the dead left, under a new epoch. So
what is just being begun is left alone; and were it not, no harm would come of it. It must never
touch a process itself.
"""

from collections.abc import Callable, Collection
from typing import Final, Protocol

import structlog

from chassis import faults
from chassis.clock import Clock
from orchestrator.alarm import Alarm

LOOK_SECONDS: Final = 30.0

_log = structlog.get_logger(__name__)

Owned = tuple[str, int]
"""A process, and the epoch at which it is owned."""


class Possessions(Protocol):
    """What the log says an owner has."""

    async def owned(self, owner: str) -> Collection[Owned]:
        """All that is not at rest and belongs to an owner.

        Raises:
            faults.Unavailable: The log does not answer.
        """
        ...

    def doubt(self, owned: Collection[Owned]) -> None:
        """The owner does not know that it owns these: the next claim is to look."""
        ...


class Strays:
    """Finds the strays of one owner."""

    def __init__(
        self,
        *,
        possessions: Possessions,
        owner: str,
        runs: Callable[[str, int], bool],
        clock: Clock,
    ) -> None:
        """`runs` tells whether a process is run here at an epoch, or a later one."""
        self._possessions = possessions
        self._owner = owner
        self._runs = runs
        self._alarm = Alarm(clock)
        self._stopping = False
        self._suspects: frozenset[Owned] = frozenset()

    async def run(self) -> None:
        """Looks until it is stopped."""
        while not self._stopping:
            await self._alarm.sleep(LOOK_SECONDS)
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
        owned = await self._possessions.owned(self._owner)
        idle = frozenset(it for it in owned if not self._runs(*it))
        if strays := idle & self._suspects:
            _log.warning("strays_found", count=len(strays), process_ids=sorted(strays)[:10])
            self._possessions.doubt(strays)
        self._suspects = idle

    async def _look_again(self) -> None:
        try:
            await self.look()
        except (faults.Unavailable, faults.Overloaded) as fault:
            _log.warning("strays_not_looked_for", reason=fault.reason)
        except Exception:  # noqa: BLE001 - whatever it is, the loop goes on
            _log.exception("strays_failed")
