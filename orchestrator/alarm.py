"""A sleep that can be cut short.

Invariant: a ring is never lost: rung before the sleep, it ends the sleep at once. Must never: be
shared by two sleepers.
"""

import asyncio

from chassis.clock import Clock


class Alarm:
    """Wakes one sleeper, when its time has come or before."""

    __slots__ = ("_clock", "_nap", "_rung")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._nap: asyncio.Future[None] | None = None
        self._rung = False

    def ring(self) -> None:
        """Ends the present sleep, or else the next."""
        self._rung = True
        if self._nap is not None:
            self._nap.cancel()

    async def sleep(self, seconds: float) -> None:
        """Returns once `seconds` have passed, or it is rung."""
        if not self._rung:
            self._nap = asyncio.ensure_future(self._clock.sleep(seconds))
            try:
                await asyncio.wait((self._nap,))
            finally:
                self._nap.cancel()
                self._nap = None
        self._rung = False
