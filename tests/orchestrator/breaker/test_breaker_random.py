"""Whatever happens in whatever order: nobody is let through who may not be, and no turn is lost."""

import asyncio
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.breaker import UNANSWERED_MIN, Breaker, State
from orchestrator.ramp import Ramp
from tests.orchestrator.harness.virtual_time import VirtualClock, play

RAMP = Ramp(per_second=20.0, window=4)
WINDOW_MAX = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """The target goes up or down, some come, and time passes."""

    up: bool
    come: int
    takes_seconds: float
    leave_after_seconds: float
    passes_seconds: float


DEEDS = st.lists(
    st.builds(
        Deed,
        up=st.booleans(),
        come=st.integers(0, 12),
        takes_seconds=st.sampled_from([0.0, 0.01, 0.5, 2.0]),
        leave_after_seconds=st.sampled_from([1_000.0, 3.0, 0.05, 0.0]),
        passes_seconds=st.sampled_from([0.001, 0.1, 0.7, 5.0, 20.0]),
    ),
    min_size=5,
    max_size=25,
)


@dataclass(slots=True, kw_only=True, eq=False)
class Play:
    """A breaker, a target, and those who come."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    up: bool = True
    out: int = 0
    came: int = 0
    granted: list[int] = field(default_factory=list)
    opened: int = 0
    breaker: Breaker = field(init=False)

    def __post_init__(self) -> None:
        self.breaker = Breaker(
            "shop",
            clock=self.clock,
            is_there=self.is_there,
            window_max=WINDOW_MAX,
            ramp=RAMP,
        )

    async def is_there(self) -> bool:
        return self.up

    async def goes_down(self) -> None:
        self.up = False
        for _ in range(UNANSWERED_MIN):
            await self.tries(0.2)
        assert State.OPEN is self.breaker.state

    async def comes(self, takes_seconds: float, leaves_after_seconds: float) -> None:
        number = self.came
        self.came += 1
        rung = asyncio.Event()
        turn = self.breaker.queue(rung.set) if self.breaker.shut else None
        try:
            async with asyncio.timeout(leaves_after_seconds):
                if turn is None:
                    await self.tries(takes_seconds)
                    return
                if not turn.granted:
                    await rung.wait()
                self.through(number)
                try:
                    await self.tries(takes_seconds)
                finally:
                    self.out -= 1
        except TimeoutError:
            pass
        finally:
            if turn is not None:
                turn.give_back()

    async def tries(self, takes_seconds: float) -> None:
        since = self.breaker.lives
        await self.clock.sleep(takes_seconds)
        if self.up:
            self.breaker.answered()
        else:
            await self.breaker.unanswered(since=since, waited_seconds=0.0, seen="")
        self.opened += self.breaker.state is State.OPEN

    def through(self, number: int) -> None:
        self.out += 1
        self.granted.append(number)
        assert self.out <= WINDOW_MAX
        if self.breaker.state is State.OPEN:
            assert 1 == self.out, "one at a time tries"


@settings(max_examples=60, deadline=None)
@given(DEEDS)
def test_turns_are_bounded_in_order_and_never_lost(deeds: list[Deed]) -> None:
    it = Play()

    async def scenario() -> None:
        # Most of what can go wrong does so while somebody is held.
        await it.goes_down()
        async with asyncio.TaskGroup() as those_who_came:
            for deed in deeds:
                it.up = deed.up
                for _ in range(deed.come):
                    those_who_came.create_task(
                        it.comes(deed.takes_seconds, deed.leave_after_seconds)
                    )
                await it.clock.sleep(deed.passes_seconds)
            it.up = True
        # Whoever comes now gets through: so the turns of all the others are free again.
        async with asyncio.timeout(60.0):
            async with asyncio.TaskGroup() as those_who_come:
                for _ in range(2 * WINDOW_MAX):
                    those_who_come.create_task(it.comes(0.1, 1_000.0))
        assert State.CLOSED is it.breaker.state
        assert (0, 0) == (it.out, it.breaker.held)
        await it.clock.sleep(0.01)
        assert 1 == len(asyncio.all_tasks()), "nothing paces where nobody waits"

    play(scenario())
    assert sorted(it.granted) == it.granted
