"""How attempts come back to a target that was away: few at first, then more and more.

Invariant: a pure function of the time since then. It always goes on, whatever the target makes of
it, so nobody is held back for good: after `length_seconds` it bounds nothing that was not bounded
before. Must never: hold a clock, or a count.

Two bounds, because either alone lets a herd through. The rate is what a quick target sees: without
it, thirty at a time that take two milliseconds each are fifteen thousand a second. The window is
what a slow one sees: without it, whatever comes faster than it is answered heaps up until it times
out. The rate doubles every second; the window grows more slowly, for once a target has all it can
do, a wider one only makes everybody wait for longer.
"""

import math
from dataclasses import dataclass
from typing import Final

_LN_2: Final = math.log(2)
# More is no bound any more, and soon no float either.
_DOUBLINGS_MAX: Final = 64.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """The bounds, by how long the target has been back."""

    per_second: float = 100.0
    """How many attempts may begin in a second, at first."""
    rate_doubles_seconds: float = 1.0
    window: int = 32
    """How many may be out at once, at first."""
    window_doubles_seconds: float = 3.0
    length_seconds: float = 15.0

    def begun_max(self, seconds: float) -> float:
        """How many may have begun by then: the area under a rate that doubles, and the first."""
        doublings = seconds / self.rate_doubles_seconds
        return 1.0 + self._scale * (math.exp2(min(doublings, _DOUBLINGS_MAX)) - 1.0)

    def seconds_until(self, begun: int) -> float:
        """When so many may have begun."""
        return self.rate_doubles_seconds * math.log2(1.0 + max(begun - 1, 0) / self._scale)

    def out_max(self, seconds: float) -> int:
        """How many may be out then."""
        doublings = seconds / self.window_doubles_seconds
        return int(self.window * math.exp2(min(doublings, _DOUBLINGS_MAX)))

    @property
    def _scale(self) -> float:
        return self.per_second * self.rate_doubles_seconds / _LN_2


TAKEOVER: Final = Ramp(
    per_second=500.0, window=1_000, window_doubles_seconds=1.0, length_seconds=5.0
)
"""For what is taken over from an orchestrator that died, once the target has given a sign of
life. Most of it was outstanding there a moment ago, so the window is what a target is given anyway;
ten thousand have begun after four seconds, however slow it is."""
