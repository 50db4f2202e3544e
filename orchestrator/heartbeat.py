"""One replica's heartbeat: says again and again that it is alive, for as long as it runs anything.

Invariant: while the log answers, a heartbeat is renewed several times within its lease, and it is
taken back when nothing runs here any more. It must never decide anything: that others take this
replica for dead only has them claim; the epoch is what keeps things right.
"""

from typing import Final, Protocol

import structlog

from chassis import faults
from chassis.clock import Clock
from orchestrator.alarm import Alarm

BEATS: Final = 5
"""How often within a lease it is renewed."""

_log = structlog.get_logger(__name__)


class Replicas(Protocol):
    """Where heartbeats are kept; their time is told there, too."""

    async def beat(self, owner: str, *, lease_seconds: float) -> None:
        """An owner is alive for so long from now on. Zero: it is not, any more.

        Raises:
            faults.Unavailable: It may have been noted or not.
        """
        ...


class Heartbeat:
    """Renews the heartbeat of one owner."""

    def __init__(
        self, *, replicas: Replicas, owner: str, lease_seconds: float, clock: Clock
    ) -> None:
        self._replicas = replicas
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._alarm = Alarm(clock)
        self._stopping = False
        self._missed = False

    async def run(self) -> None:
        """Beats until it is stopped, then takes the heartbeat back."""
        # Before anything is served: so whoever finds this owner in the log knows where it ran.
        _log.info("heartbeat_begins", owner=self._owner, lease_seconds=self._lease_seconds)
        while not self._stopping:
            await self._beat(self._lease_seconds)
            if not self._stopping:
                await self._alarm.sleep(self._lease_seconds / BEATS)
        await self._beat(0)

    def stop(self) -> None:
        """Has `run` return: nothing runs here any more."""
        self._stopping = True
        self._alarm.ring()

    async def _beat(self, lease_seconds: float) -> None:
        try:
            await self._replicas.beat(self._owner, lease_seconds=lease_seconds)
        except (faults.Unavailable, faults.Overloaded) as fault:
            if not self._missed:
                _log.error("heartbeat_missed", owner=self._owner, reason=fault.reason)
            self._missed = True
        except Exception:  # noqa: BLE001 - whatever it is, the next beat may get through
            _log.exception("heartbeat_failed", owner=self._owner)
        else:
            if self._missed:
                _log.info("heartbeat_noted_again", owner=self._owner)
            self._missed = False
