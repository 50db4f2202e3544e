"""How long to wait before a call is made again, and until when.

Invariant: pauses grow from a floor to a cap, are drawn at random below that (full jitter), and
are never shorter than the server asked for. This module must never wait itself.
"""

import random
import time
from collections.abc import Callable
from typing import Final

_FLOOR_SECONDS: Final = 0.05
_CAP_SECONDS: Final = 5.0
_DOUBLINGS_MAX: Final = 10


class Backoff:
    """The pauses between the attempts at one thing."""

    def __init__(self, *, draw: Callable[[], float] = random.random) -> None:
        self._draw = draw
        self.failures = 0

    def pause_seconds(self, *, asked_seconds: float | None = None) -> float:
        """How long to wait after one more failure; `asked_seconds` is what the server asked for."""
        doubled: int = 2 ** min(self.failures, _DOUBLINGS_MAX)
        most = min(_CAP_SECONDS, _FLOOR_SECONDS * doubled)
        self.failures += 1
        drawn = _FLOOR_SECONDS + self._draw() * (most - _FLOOR_SECONDS)
        # What is asked of everybody at once is not obeyed by everybody at once.
        return drawn if asked_seconds is None else asked_seconds + drawn

    def reset(self) -> None:
        """Something went well: the next pause is a short one."""
        self.failures = 0


class Until:
    """A moment some seconds from now; None: never."""

    def __init__(
        self, seconds: float | None, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._monotonic = monotonic
        self._end = None if seconds is None else monotonic() + seconds

    @property
    def left_seconds(self) -> float:
        """How long it is until then; infinity where it is never."""
        return float("inf") if self._end is None else self._end - self._monotonic()

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        return self.left_seconds <= 0
