"""When an attempt that did not settle the matter is made again.

Invariant: every pause lies between the floor and the greater of the cap and what the participant
asked for, which is bounded too. Must never: draw the random fraction itself; a pause is recorded in
the log, never drawn twice.
"""

from dataclasses import dataclass
from typing import Final

MICROSECONDS_PER_SECOND: Final = 1_000_000
# A float holds no more doublings; every cap is reached long before.
_DOUBLINGS_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with full jitter, a floor and a cap."""

    floor_seconds: float
    cap_seconds: float
    asked_seconds_max: float = 300.0
    """However long a participant asks to be left alone, it is not left alone for longer."""

    def __post_init__(self) -> None:
        assert 0 < self.floor_seconds <= self.cap_seconds, "a pause is at least the floor"
        assert self.asked_seconds_max >= 0, "a pause is never negative"

    def pause_seconds(
        self, *, attempt: int, fraction: float, asked_seconds: float | None = None
    ) -> float:
        """How long to pause after this attempt.

        Args:
            attempt: Which attempt has ended, from 1 on.
            fraction: Drawn evenly from 0 to 1.
            asked_seconds: The participant's RetryInfo, where it sent one.
        """
        assert attempt >= 1, "attempts count from 1"
        assert 0.0 <= fraction <= 1.0, "a fraction lies between 0 and 1"
        doubled = self.floor_seconds * 2.0 ** min(attempt, _DOUBLINGS_MAX)
        pause = max(self.floor_seconds, fraction * min(self.cap_seconds, doubled))
        # A value that is no number compares as false, and asks for nothing.
        if asked_seconds is not None and asked_seconds > pause:
            return max(pause, min(asked_seconds, self.asked_seconds_max))
        return pause


def microseconds(seconds: float) -> int:
    """A duration in whole microseconds."""
    return round(seconds * MICROSECONDS_PER_SECOND)
