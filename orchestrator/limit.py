"""How many processes may run at once, by how late this orchestrator is itself.

Invariant: a pure function of what was observed. The limit falls only while the loop is late, which
is while there is more to do here than can be done: that participants are slow, or that thousands
wait for them, makes nobody late here. It stays between `LEAST` and the most that there may ever be,
or at the latter where that is less. Must never: hold a clock, or know what runs.

Beyond what keeps the processor busy, more at once is no more done: each turn of the loop only takes
longer, for everybody, and calls that have arrived are accepted one in several turns.
"""

from typing import Final

LEAST: Final = 384
"""So many keep the processor busy, and leave enough to every commit."""
FIRST: Final = 512
"""So many may run before anything was observed."""
LATE_SECONDS: Final = 0.006
"""So late the loop may be on average."""
OBSERVED_EVERY_SECONDS: Final = 0.05
WAITING_LEAST: Final = 32
"""So many may wait, however slowly they are let in."""

# One turn that takes long is no overload: it counts for no more than so much.
_LATE_SECONDS_MAX: Final = 0.1
# What the newest observation counts: lateness is remembered for half a second, the pace for one.
_LATENESS_SHARE: Final = 0.1
_PACE_SHARE: Final = 0.05
# From one observation to the next, at the most: fourfold in a second, or down to a third.
_GROWTH: Final = 0.07
_CUT: Final = 0.05
# Until something was observed.
_FIRST_PER_SECOND: Final = 100.0


class Limit:
    """Follows what is observed, every `OBSERVED_EVERY_SECONDS`."""

    __slots__ = (
        "_begun_per_second",
        "_ended_per_second",
        "_late_seconds",
        "_limit",
        "_most",
        "_running",
    )

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(min(FIRST, most))
        self._late_seconds = 0.0
        self._begun_per_second = _FIRST_PER_SECOND
        self._ended_per_second = _FIRST_PER_SECOND
        self._running = 0

    @property
    def running_max(self) -> int:
        """How many may run."""
        return int(self._limit)

    def waiting_max(self, patience_seconds: float) -> int:
        """How many may wait before one of such a patience: at the pace at which room is made."""
        per_second = max(self._begun_per_second, self._ended_per_second)
        return max(WAITING_LEAST, int(patience_seconds * per_second))

    def observe(
        self, *, late_seconds: float, seconds: float, begun: int, running: int, waiting: int
    ) -> None:
        """What happened since the last time.

        Args:
            late_seconds: How much later than it was asked to the loop came back.
            seconds: How long ago the last time was.
            begun: How many processes began to run since then.
            running: How many run now.
            waiting: How many wait to be let in.
        """
        late_seconds = min(late_seconds, _LATE_SECONDS_MAX)
        self._late_seconds += _LATENESS_SHARE * (late_seconds - self._late_seconds)
        # While more run than may, nobody begins, and yet room is made for those who wait. They are
        # compared once each is an average: the greater of two that only vary is more than either.
        ended = max(0, begun + self._running - running)
        self._running = running
        self._begun_per_second += _PACE_SHARE * (begun / seconds - self._begun_per_second)
        self._ended_per_second += _PACE_SHARE * (ended / seconds - self._ended_per_second)
        share = self._late_seconds / LATE_SECONDS
        if share > 1:
            # A limit that nobody reached is not what made it late: it falls from what runs.
            reached = min(self._limit, running)
            self._limit = reached * (1 - _CUT * min(share - 1, 1))
        elif waiting or running > self._limit / 2:
            self._limit *= 1 + _GROWTH * (1 - share)
        self._limit = min(max(self._limit, LEAST), self._most)
