"""Time as a parameter.

Invariant: within one clock, time never goes back, whatever becomes of the machine's wall clock.
Must never: be read where a time was handed in; whoever decides is told the time.
"""

import asyncio
import time
from typing import Protocol

MICROSECONDS_PER_SECOND = 1_000_000


class Clock(Protocol):
    """Tells the time, and waits."""

    def now_us(self) -> int:
        """The time in microseconds since the Unix epoch, UTC. Never less than it was before."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns once `seconds` have passed; at once where they are not positive."""
        ...


class SystemClock:
    """Wall time as it was when this clock was made, moved on by the monotonic clock.

    A step of the wall clock (by hand, by NTP) is not seen until the process is started again.
    """

    __slots__ = ("_wall_minus_monotonic_ns",)

    def __init__(self) -> None:
        self._wall_minus_monotonic_ns = time.time_ns() - time.monotonic_ns()

    def now_us(self) -> int:
        """The time in microseconds since the Unix epoch, UTC."""
        return (self._wall_minus_monotonic_ns + time.monotonic_ns()) // 1_000

    async def sleep(self, seconds: float) -> None:
        """Returns once `seconds` have passed."""
        await asyncio.sleep(max(seconds, 0.0))
