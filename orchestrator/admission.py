"""Admission: whose process begins now, who waits for a moment, and who is turned away.

Invariant: a process is let in only while fewer run than the limit, which follows how late the loop
is; and those that run and those who wait are never more than the bound that was set. Who waits is
let in in the order of coming. Who would wait for longer than he has patience is turned away at
once, as far as can be foreseen, and nobody waits for longer. Must never: turn anybody away because
participants are slow.
"""

import asyncio
from collections import deque
from typing import Final, Protocol

from chassis.clock import MICROSECONDS_PER_SECOND, Clock
from orchestrator.limit import OBSERVED_EVERY_SECONDS, Limit

PATIENCE_SHARE: Final = 1 / 3
"""Of the time that a caller gives: so much may go by before the process begins."""


class Running(Protocol):
    """Where the processes run."""

    @property
    def at_work(self) -> int:
        """How many run and take room from others."""
        ...


class Admission:
    """Lets processes begin."""

    def __init__(self, runner: Running, *, most: int, clock: Clock) -> None:
        """`most` is how many processes may run and wait to begin, together."""
        self._runner = runner
        self._most = most
        self._clock = clock
        self._limit = Limit(most)
        # In the order of coming. Who left is still there, until it is his turn.
        self._waiting: deque[asyncio.Future[bool]] = deque()
        # Let in, but not counted among those that run yet.
        self._on_their_way = 0
        self._begun = 0
        self._closed = False

    @property
    def _begins_at_once(self) -> bool:
        """Whether who comes now begins without waiting."""
        if self._waiting:
            # Places have become free since it was last looked at.
            self._let_in()
        running = self._runner.at_work + self._on_their_way
        return not self._closed and not self._waiting and running < self._most and self._room() > 0

    def turns_away(self, *, patience_seconds: float) -> bool:
        """Whether who comes now neither may begin nor may wait: `admits` would say so at once.

        So nothing has to be done for him first that would be done in vain.
        """
        if self._begins_at_once:
            return False
        running = self._runner.at_work + self._on_their_way
        if self._closed or running + len(self._waiting) >= self._most:
            return True
        return len(self._waiting) >= self._limit.waiting_max(patience_seconds)

    async def admits(self, *, patience_seconds: float) -> bool:
        """Whether a process may begin, and before the next turn of the loop; waits for its turn."""
        if self._begins_at_once:
            self._begun += 1
            return True
        if self.turns_away(patience_seconds=patience_seconds):
            return False
        loop = asyncio.get_running_loop()
        place: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(place)
        # The pace at which room is made may fall, to nothing.
        patience = loop.call_later(patience_seconds, _turn_away, place)
        try:
            # It may have been closed since the place was given.
            return await place and not self._closed
        finally:
            patience.cancel()
            if not place.cancelled() and place.result():
                self._on_their_way -= 1

    async def run(self) -> None:
        """Observes how late the loop is, and lets in who may; until it is cancelled."""
        then_us = self._clock.now_us()
        while True:
            await self._clock.sleep(OBSERVED_EVERY_SECONDS)
            now_us = self._clock.now_us()
            # A clock that did not move would say that all of it began at once.
            seconds = max((now_us - then_us) / MICROSECONDS_PER_SECOND, OBSERVED_EVERY_SECONDS)
            then_us = now_us
            begun, self._begun = self._begun, 0
            self._limit.observe(
                late_seconds=seconds - OBSERVED_EVERY_SECONDS,
                seconds=seconds,
                begun=begun,
                running=self._runner.at_work,
                waiting=len(self._waiting),
            )
            self._let_in()

    def close(self) -> None:
        """Admits nobody any more, nor who waits."""
        self._closed = True
        while self._waiting:
            _turn_away(self._waiting.popleft())

    def _let_in(self) -> None:
        room = self._room()
        while self._waiting and (room > 0 or self._waiting[0].done()):
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(True)
                self._begun += 1
                self._on_their_way += 1
                room -= 1

    def _room(self) -> int:
        """How many more may run than do."""
        return self._limit.running_max - self._runner.at_work - self._on_their_way


def _turn_away(place: asyncio.Future[bool]) -> None:
    if not place.done():
        place.set_result(False)
