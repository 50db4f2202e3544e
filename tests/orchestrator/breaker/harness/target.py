"""A target that is up or down as the test says, and those who come to it, in virtual time."""

import asyncio
from dataclasses import dataclass, field

from orchestrator.breaker import UNANSWERED_MIN, Breaker, State
from orchestrator.ramp import TAKEOVER, Ramp
from tests.orchestrator.harness.virtual_time import VirtualClock


@dataclass(slots=True, kw_only=True, eq=False)
class Target:
    """A target that is up or down, and the breaker before it."""

    up: bool = True
    asked: int = 0
    asking_takes_seconds: float = 0.0
    ramp: Ramp = field(default_factory=Ramp)
    takeover: Ramp = TAKEOVER
    window_max: int = 1_000
    clock: VirtualClock = field(default_factory=VirtualClock)
    breaker: Breaker = field(init=False)
    arrivals: list[float] = field(default_factory=list)
    """When attempts that had a turn began, in seconds."""
    trials: int = 0
    """How many of them in the last outage."""
    out: int = 0
    out_most: int = 0

    def __post_init__(self) -> None:
        self.breaker = Breaker(
            "shop",
            clock=self.clock,
            is_there=self._is_there,
            window_max=self.window_max,
            ramp=self.ramp,
            takeover=self.takeover,
        )

    async def _is_there(self) -> bool:
        self.asked += 1
        if self.asking_takes_seconds:
            await self.clock.sleep(self.asking_takes_seconds)
        return self.up

    async def unanswered(self, *, since: int | None = None, waited_seconds: float = 0.0) -> None:
        await self.breaker.unanswered(
            since=self.breaker.lives if since is None else since,
            waited_seconds=waited_seconds,
            seen="UNAVAILABLE",
        )

    async def goes_down(self) -> None:
        self.up = False
        for _ in range(UNANSWERED_MIN):
            await self.unanswered()
            await self.clock.sleep(0.2)
        assert State.OPEN is self.breaker.state

    async def attempt(self, *, takes_seconds: float = 0.01) -> None:
        """One that asks for its turn, as a run does."""
        rung = asyncio.Event()
        turn = self.breaker.queue(rung.set)
        try:
            if not turn.granted:
                await rung.wait()
            assert turn.granted
            await self._arrive(takes_seconds)
        finally:
            turn.give_back()

    async def _arrive(self, takes_seconds: float) -> None:
        self.arrivals.append(asyncio.get_running_loop().time())
        self.out += 1
        self.out_most = max(self.out_most, self.out)
        since = self.breaker.lives
        await self.clock.sleep(takes_seconds)
        self.out -= 1
        if self.up:
            self.breaker.answered()
        else:
            await self.unanswered(since=since)

    async def attempt_until_answered(self) -> None:
        answered = False
        while not answered:
            await self.attempt()
            answered = self.up

    def per_second(self, *, since: float) -> list[int]:
        counts: list[int] = []
        for it in self.arrivals:
            second = int(it - since)
            counts += [0] * (second + 1 - len(counts))
            if second >= 0:
                counts[second] += 1
        return counts
