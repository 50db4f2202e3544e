"""Whether this replica may take others for dead: only while its own heartbeat beats.

While a shared database is away nobody's heartbeat is noted, and when it is back every lease has
lapsed. Whoever is first there would claim what the living run. So a replica whose own heartbeat was
interrupted gives the others a lease to come back in.

Invariant: judged by this replica's own clock, which only moves forward, and from when a beat was
sent; so it never believes its lease to be longer than others do. It must never delay what nobody
owns.
"""

import time
from collections.abc import Callable


def since_boot() -> float:
    """Seconds that only ever grow; on Linux also those that the machine slept."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Pulse:
    """The heartbeat as its sender knows it."""

    def __init__(self, monotonic: Callable[[], float] | None = None) -> None:
        """`monotonic` goes on while the machine is suspended, as the leases of others see it."""
        self._monotonic = monotonic or since_boot
        self._lease_ends: float | None = None
        self._wary_until = 0.0

    def now(self) -> float:
        """The time, for `noted`."""
        return self._monotonic()

    def noted(self, *, sent: float, lease_seconds: float) -> None:
        """A beat that was sent then has been noted."""
        if self._lease_ends is not None and self._lease_ends < self._monotonic():
            self._wary_until = self._monotonic() + lease_seconds
        self._lease_ends = sent + lease_seconds

    @property
    def steady(self) -> bool:
        """Whether who seems to be dead is. One that never beat has nothing to go by: yes."""
        if self._lease_ends is None:
            return True
        now = self._monotonic()
        return now < self._lease_ends and now >= self._wary_until
