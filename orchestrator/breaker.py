"""A circuit breaker: holds attempts at a target that is down, and lets them back along a ramp.

Invariant: a target is down when several attempts in a row went unanswered, nobody else was answered
since the first of them began, and then the target itself, asked for nothing but a sign of life,
gives none. One that is slow, or refuses, is not. While it is down one attempt at a time is let
through, as a trial; whatever answers begins the ramp. Turns are granted in the order in which they
were asked for, and each is granted or given back in the end. Must never: have a target that answers
waited for for good; the ramp always goes on.

Closed it costs an attempt two numbers: `lives` is read before it and raised when it is answered.
That an attempt found nobody says something only if no other one was answered while it was under
way; what began before the last sign of life says nothing about now.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import structlog

from chassis.clock import MICROSECONDS_PER_SECOND, Clock
from orchestrator.alarm import Alarm
from orchestrator.ramp import TAKEOVER, Ramp

UNANSWERED_MIN: Final = 5
"""So many attempts in a row are more than an accident."""
UNANSWERED_SECONDS_MIN: Final = 0.5
"""So long since the first of them began, at the least: a connection that breaks, or a server that
is started again at once, takes all that is under way with it in a moment."""
TRIAL_PAUSE_SECONDS_MIN: Final = 0.1
TRIAL_PAUSE_SECONDS_MAX: Final = 1.0
"""How long after a trial that failed the next one begins: it doubles from the one to the other."""

_PACE_SECONDS_MIN: Final = 0.005
# Until somebody rings.
_IDLE_SECONDS: Final = 3_600.0

_log = structlog.get_logger(__name__)


class State(StrEnum):
    """Of a breaker."""

    CLOSED = "closed"
    """Attempts need not ask. Those that do are let through along a ramp."""
    OPEN = "open"
    """The target is down."""
    HALF_OPEN = "half open"
    """It is back, and so is not everybody."""


class Sign(StrEnum):
    """What moves it."""

    NO_LIFE = "no sign of life"
    AN_ANSWER = "an answer"
    NOBODY_HELD = "nobody is held, or the ramp is over"


MOVES: Final[Mapping[tuple[State, Sign], State]] = MappingProxyType(
    {
        (State.CLOSED, Sign.NO_LIFE): State.OPEN,
        (State.OPEN, Sign.AN_ANSWER): State.HALF_OPEN,
        (State.HALF_OPEN, Sign.NO_LIFE): State.OPEN,
        (State.HALF_OPEN, Sign.NOBODY_HELD): State.CLOSED,
    }
)


@dataclass(slots=True, kw_only=True)
class _Incident:
    """From when the target was found to be down until nobody is held for it any more."""

    began_us: int
    back_us: int = 0
    held: int = 0


class _Turn:
    """A place in the queue, then among those who are out."""

    __slots__ = ("_over", "gate", "granted", "ring", "trial")

    def __init__(self, gate: "Breaker", ring: Callable[[], None]) -> None:
        self.gate = gate
        self.ring = ring
        self.granted = False
        self.trial = False
        self._over = False

    def give_back(self) -> None:
        if not self._over:
            self._over = True
            self.gate.given_back(self)


class Breaker:
    """Of one target."""

    def __init__(
        self,
        name: str,
        *,
        clock: Clock,
        is_there: Callable[[], Awaitable[bool]],
        window_max: int,
        ramp: Ramp | None = None,
        takeover: Ramp = TAKEOVER,
    ) -> None:
        """`name` is what the log calls the target, `window_max` how many may ever be out at once.

        `ramp` is the way back from having been down, `takeover` that of what was taken over, once
        it has given a sign of life. `is_there` asks the target for one, in a fraction of a second;
        it never raises.
        """
        self.shut = False
        self.lives = 0
        """How many attempts were answered."""
        self._name = name
        self._clock = clock
        self._is_there = is_there
        self._window_max = window_max
        self._takeover = takeover
        self._comeback = Ramp() if ramp is None else ramp
        self._ramp = self._comeback
        self._state = State.CLOSED
        self._incident: _Incident | None = None
        # Attempts that went unanswered since the last one that was not.
        self._unanswered = 0
        self._unanswered_since_us = 0
        self._asking = False
        self._trial_us = 0
        self._trial_pause_seconds = TRIAL_PAUSE_SECONDS_MIN
        self._ramp_us = 0
        # How many had been answered when a take-over began. None: there is none, or there was a
        # sign of life since.
        self._lives_before: int | None = None
        self._begun = 0
        self._out = 0
        # In the order in which they came.
        self._queue: dict[_Turn, None] = {}
        self._alarm = Alarm(clock)
        self._pacing: asyncio.Task[None] | None = None
        self._greeted = False
        self._greeting: asyncio.Task[None] | None = None

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._state

    @property
    def held(self) -> int:
        """How many wait for their turn."""
        return len(self._queue)

    # What attempts came to.

    def answered(self) -> None:
        """The target answered, whatever it said."""
        self.lives += 1
        if self._unanswered or self.shut:
            self._unanswered = 0
            if self._state is State.OPEN:
                self._comes_back()

    async def unanswered(self, *, since: int, waited_seconds: float, seen: str) -> None:
        """An attempt found nobody, or was told by somebody that nobody is there.

        Args:
            since: What `lives` was when it began.
            waited_seconds: For how long it waited for an answer.
            seen: What it ended with, for a person to read.
        """
        if since != self.lives:
            return
        now_us = self._clock.now_us()
        began_us = now_us - round(waited_seconds * MICROSECONDS_PER_SECOND)
        if not self._unanswered or began_us < self._unanswered_since_us:
            self._unanswered_since_us = began_us
        self._unanswered += 1
        if self._asking or not self._is_suspect(now_us):
            return
        self._asking = True
        try:
            there = await self._is_there()
        finally:
            self._asking = False
        if there:
            self.answered()
        elif since == self.lives and self._state is not State.OPEN:
            self._goes_down(seen)

    def _is_suspect(self, now_us: int) -> bool:
        """Whether it is time to ask the target for a sign of life."""
        return self.shut or (
            self._unanswered >= UNANSWERED_MIN
            and self._seconds(self._unanswered_since_us, now_us) >= UNANSWERED_SECONDS_MIN
        )

    # Turns.

    def queue(self, ring: Callable[[], None]) -> _Turn:
        """As a gate does."""
        turn = _Turn(self, ring)
        if self._state is State.CLOSED and not self._queue and not self._out:
            # It may be down, and nobody have noticed yet: then few are to find out.
            self._begin_ramp(self._comeback, takes_over=True)
        self._look_for_life()
        if not self._queue and self._seconds_to_next() == 0:
            self._grant(turn)
            return turn
        self._queue[turn] = None
        if self._incident is not None:
            self._incident.held += 1
        if self._pacing is None:
            self._pacing = asyncio.create_task(self._pace())
        if self._lives_before is not None and not self._greeted:
            self._greeted = True
            self._greeting = asyncio.create_task(self._greet())
        return turn

    def given_back(self, turn: _Turn) -> None:
        """A turn is over; called by it, once."""
        if turn in self._queue:
            del self._queue[turn]
        elif turn.granted:
            self._out -= 1
        if turn.trial and self._state is State.OPEN:
            self._put_trial_off()
        self._alarm.ring()
        self._close_if_it_may()

    def _grant(self, turn: _Turn) -> None:
        turn.granted = True
        turn.trial = self._state is State.OPEN
        self._out += 1
        self._begun += 1

    def _look_for_life(self) -> None:
        """Lets what is taken over come faster, once somebody was answered."""
        if self._lives_before is not None and self._lives_before != self.lives:
            self._begin_ramp(self._takeover)

    async def _greet(self) -> None:
        """Asks for a sign of life where many wait: one that is slow answers none of them for long.

        Once for all that is taken over: that there is none is no proof, attempts will tell.
        """
        try:
            if await self._is_there() and self._lives_before is not None:
                self._begin_ramp(self._takeover)
                self._alarm.ring()
        finally:
            self._greeting = None

    async def _pace(self) -> None:
        """Lets through who waits, for as long as somebody does."""
        try:
            while self._queue:
                await self._alarm.sleep(self._let_through())
                self._close_if_it_may()
        finally:
            self._pacing = None

    def _let_through(self) -> float:
        """Grants all turns that may be granted now.

        Returns:
            For how many seconds there will be no other, unless something happens.
        """
        self._look_for_life()
        while self._queue:
            seconds = self._seconds_to_next()
            if seconds is None:
                return _IDLE_SECONDS
            if seconds > 0:
                return max(seconds, _PACE_SECONDS_MIN)
            turn = next(iter(self._queue))
            del self._queue[turn]
            self._grant(turn)
            turn.ring()
        return 0.0

    def _seconds_to_next(self) -> float | None:
        """When the next turn may be granted. None: not before one is given back, or answered."""
        if self._lives_before is not None and (self._asking or self._out >= self._ramp.window):
            return None
        now_us = self._clock.now_us()
        if self._state is State.OPEN:
            return None if self._out else max(0.0, self._seconds(now_us, self._trial_us))
        seconds = self._seconds(self._ramp_us, now_us)
        if self._out >= min(self._ramp.out_max(seconds), self._window_max):
            return None
        if self._begun + 1 <= self._ramp.begun_max(seconds):
            return 0.0
        return max(self._ramp.seconds_until(self._begun + 1) - seconds, _PACE_SECONDS_MIN)

    # From state to state.

    def _goes_down(self, seen: str) -> None:
        now_us = self._clock.now_us()
        self._move(Sign.NO_LIFE)
        self._lives_before = None
        self._trial_us = now_us
        self._put_trial_off()
        if self._incident is not None:
            return
        self._incident = _Incident(began_us=self._unanswered_since_us, held=self.held)
        # Said of the target, and not of the process whose attempt was the last straw.
        contextvars.Context().run(self._tell_down, seen, now_us)

    def _comes_back(self) -> None:
        assert self._incident is not None, "what is open was found to be down"
        self._move(Sign.AN_ANSWER)
        self._begin_ramp(self._comeback)
        self._incident.back_us = self._ramp_us
        self._alarm.ring()
        self._close_if_it_may()

    def _close_if_it_may(self) -> None:
        """Closes once nobody is held, or the ramp bounds nobody any more."""
        if self._state is not State.HALF_OPEN:
            return
        now_us = self._clock.now_us()
        if self._queue and self._seconds(self._ramp_us, now_us) < self._ramp.length_seconds:
            return
        self._move(Sign.NOBODY_HELD)
        self._trial_pause_seconds = TRIAL_PAUSE_SECONDS_MIN
        incident, self._incident = self._incident, None
        assert incident is not None, "what is half open was found to be down"
        contextvars.Context().run(self._tell_back, incident, now_us)

    def _move(self, sign: Sign) -> None:
        self._state = MOVES[self._state, sign]
        self.shut = self._state is not State.CLOSED

    def _begin_ramp(self, ramp: Ramp, *, takes_over: bool = False) -> None:
        self._ramp = ramp
        self._lives_before = self.lives if takes_over else None
        self._greeted = False
        self._ramp_us = self._clock.now_us()
        self._begun = 0

    def _put_trial_off(self) -> None:
        pause_us = round(self._trial_pause_seconds * MICROSECONDS_PER_SECOND)
        self._trial_us = self._clock.now_us() + pause_us
        self._trial_pause_seconds = min(2 * self._trial_pause_seconds, TRIAL_PAUSE_SECONDS_MAX)

    @staticmethod
    def _seconds(from_us: int, until_us: int) -> float:
        return (until_us - from_us) / MICROSECONDS_PER_SECOND

    def _tell_down(self, seen: str, now_us: int) -> None:
        _log.error(
            "participant_down",
            participant=self._name,
            seen=seen,
            unanswered=self._unanswered,
            seconds=round(self._seconds(self._unanswered_since_us, now_us), 3),
            held=self.held,
        )

    def _tell_back(self, incident: _Incident, now_us: int) -> None:
        _log.info(
            "participant_back",
            participant=self._name,
            seconds=round(self._seconds(incident.began_us, incident.back_us), 3),
            ramp_seconds=round(self._seconds(incident.back_us, now_us), 3),
            held=incident.held,
        )
