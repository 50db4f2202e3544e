"""What happens to the calls on a road by chance, drawn from a seed.

Invariant: the n-th call on a road has the same weather for the same seed; and every fault that
struck is counted by its kind. Must never: outlast `calm`, but for what is on its way already.
"""

import random
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, assert_never

import grpc

from bench.chaos.snags import Cut, Delayed, Doubled, Echoed, Late, LostReply, Passage, Snag


class Fault(StrEnum):
    """What can happen to a call."""

    LOST_REPLY = "reply lost after the effect"
    CUT = "cut before the server"
    DELAYED = "delayed"
    DOUBLED = "doubled at once"
    ECHOED = "doubled, the second late"
    LATE = "given up, delivered late"


SHARES: Final[Mapping[Fault, float]] = MappingProxyType(
    {
        Fault.LOST_REPLY: 0.05,
        Fault.CUT: 0.03,
        Fault.DELAYED: 0.03,
        Fault.DOUBLED: 0.02,
        Fault.ECHOED: 0.02,
        Fault.LATE: 0.02,
    }
)
# Longer than an attempt of the runs may take: some calls arrive when they were given up and undone.
DELAY_SECONDS_MAX: Final = 3.0
# Long enough that a process is mostly over, or undone, when what is left of its calls arrives.
LATE_SECONDS_MAX: Final = 12.0
# What a caller may be told of a call that was carried out: all of them leave it in the dark.
LOST_CODES: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
)


class Weather:
    """Gives each call of one road what happens to it; None: nothing."""

    def __init__(
        self,
        seed: int,
        road: str,
        *,
        shares: Mapping[Fault, float] = SHARES,
    ) -> None:
        assert sum(shares.values()) <= 1, "more faults than calls"
        self._random = random.Random(f"{seed}/{road}")
        self._shares = dict(shares)
        self._calm = False
        self.struck: Counter[Fault] = Counter()

    def __call__(self, passage: Passage) -> Snag | None:
        """Draws what happens to the next call."""
        del passage
        # Both are drawn for every call, so that what one call got does not move the next one's.
        drawn, measure = self._random.random(), self._random.random()
        if self._calm:
            return None
        for fault, share in self._shares.items():
            drawn -= share
            if drawn < 0:
                self.struck[fault] += 1
                return self._snag(fault, measure)
        return None

    def calm(self) -> None:
        """No call is disturbed from now on."""
        self._calm = True

    def _snag(self, fault: Fault, measure: float) -> Snag:
        match fault:
            case Fault.LOST_REPLY:
                return LostReply(code=LOST_CODES[int(measure * len(LOST_CODES))])
            case Fault.CUT:
                return Cut()
            case Fault.DELAYED:
                return Delayed(seconds=measure * DELAY_SECONDS_MAX)
            case Fault.DOUBLED:
                return Doubled()
            case Fault.ECHOED:
                return Echoed(seconds=measure * LATE_SECONDS_MAX)
            case Fault.LATE:
                return Late(seconds=measure * LATE_SECONDS_MAX)
            case _:
                assert_never(fault)
