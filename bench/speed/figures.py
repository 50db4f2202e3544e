"""The arithmetic: percentiles, medians, and ratios within a round.

Invariant: a ratio compares two slices of one round and one load, so that what slowed the machine
down slowed both; what is reported of several rounds is the median, with the least and the most.
Must never: average ratios, nor leave out a round that ran.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One contender under one load in one round."""

    contender: str
    in_flight: int
    round: int
    processes: int
    """How many ended, as they should, while it was measured."""
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_ms: Mapping[str, float]
    """Of each role, for each process: orchestrator, participants, database."""
    memory_mib: float
    """The orchestrators' peak."""
    generator_busy: float
    """How much of one processor the load generator took: near 1 it is what was measured."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """What did not end as it should, and how often, in the warm-up too."""

    @property
    def per_second(self) -> float:
        """Processes a second."""
        return self.processes / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The median of several, the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread | None":
        """None, if there are none."""
        ordered = sorted(values)
        if not ordered:
            return None
        return cls(median=statistics.median(ordered), least=ordered[0], most=ordered[-1])


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that so many percent do not exceed. Not a number, if there are none."""
    assert 0 < percent <= 100, "a percentile is of something"
    if not values:
        return math.nan
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def medians(
    slices: Sequence[Slice], of: Callable[[Slice], float]
) -> Mapping[tuple[str, int], float]:
    """By contender and load, the median over the rounds."""
    found: dict[tuple[str, int], list[float]] = {}
    for it in slices:
        found.setdefault((it.contender, it.in_flight), []).append(of(it))
    return {key: statistics.median(values) for key, values in found.items()}


def ratio(
    slices: Sequence[Slice],
    of: Callable[[Slice], float],
    *,
    contender: str,
    against: str,
    in_flight: int,
    against_in_flight: int | None = None,
) -> Spread | None:
    """How much more one contender has than another, in each round in which both ran.

    Args:
        slices: All that was measured.
        of: What is compared.
        contender: What stands above the line.
        against: What stands below it.
        in_flight: The load of both.
        against_in_flight: The load of the second, if it is another one.
    """
    below = in_flight if against_in_flight is None else against_in_flight
    by_round = {
        it.round: of(it) for it in slices if (it.contender, it.in_flight) == (against, below)
    }
    return Spread.of(
        of(it) / by_round[it.round]
        for it in slices
        if (it.contender, it.in_flight) == (contender, in_flight) and by_round.get(it.round)
    )


def per_second(it: Slice) -> float:
    return it.per_second


def p50_ms(it: Slice) -> float:
    return it.p50_ms


def orchestrator_cpu_ms(it: Slice) -> float:
    return it.cpu_ms["orchestrator"]
