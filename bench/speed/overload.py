"""Twice what it can do: whether what it does stays the same while the rest is turned away.

Invariant: the peak and the overload are measured on one orchestrator with its default settings, one
right after the other, and the load does not wait for answers: it offers twice the peak whatever
becomes of it. Only what was COMPLETED in time counts as good. Must never: try again what was turned
away.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bench.speed.books import audited, until_settled
from bench.speed.compare import Pace
from bench.speed.contenders import CONTENDERS, OURS_SQLITE
from bench.speed.job import Job
from bench.speed.stage import Stage

PEAK_IN_FLIGHT: Final = 256
TIMES: Final = 2.0
# A caller's patience.
DEADLINE_SECONDS: Final = 10.0
SETTLED_SECONDS_MAX: Final = 300.0
# Longer than a slice: it takes a while until as much is in flight as may be.
_SECONDS_MAX: Final = 15.0
_SHED: Final = "RESOURCE_EXHAUSTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """One round."""

    round: int
    peak_per_second: float
    offered_per_second: float
    good_per_second: float
    shed_per_second: float
    other: Mapping[str, int]
    """What was neither good nor turned away, and how often: RUNNING is an answer that came too late
    for its caller."""
    p50_ms: float
    p99_ms: float
    shed_p99_ms: float
    settled_seconds: float | None
    audit: str
    """What `oms audit` had to say against it."""

    @property
    def kept(self) -> float:
        """How much of the peak."""
        return self.good_per_second / self.peak_per_second

    @property
    def failures(self) -> dict[str, int]:
        """What did not end as it should. That not all are good is what it is about."""
        found = {}
        if self.settled_seconds is None:
            found["not settled"] = 1
        if self.audit:
            found[f"oms audit: {self.audit}"] = 1
        return found


async def measure_overload(pace: Pace, say: Callable[[str], None]) -> tuple[Overload, ...]:
    """Each round on a stage of its own.

    Raises:
        WillNotRun: A process does not come up, or ended by itself.
    """
    found = []
    for number in range(1, pace.rounds + 1):
        async with Stage.built(()) as stage:
            found.append(await _round(stage, number, pace))
        say(
            f"round {number}/{pace.rounds}, overload: {found[-1].good_per_second:.0f}/s of "
            f"{found[-1].peak_per_second:.0f}/s, {found[-1].shed_per_second:.0f}/s turned away"
        )
    return tuple(found)


async def _round(stage: Stage, number: int, pace: Pace) -> Overload:
    async with stage.orchestrators(CONTENDERS[OURS_SQLITE]) as (orchestrator,):
        peak = await stage.load(
            Job(
                work="process",
                targets=[orchestrator.address],
                prefix=stage.new_prefix(),
                in_flight=PEAK_IN_FLIGHT,
                warm_up_seconds=pace.warm_up_seconds,
                measured_seconds=pace.measured_seconds,
            )
        )
        peak_per_second = peak.calls / peak.seconds
        seconds = min(_SECONDS_MAX, 3 * pace.measured_seconds)
        report = await stage.load(
            Job(
                work="process",
                targets=[orchestrator.address],
                prefix=stage.new_prefix(),
                in_flight=PEAK_IN_FLIGHT,
                per_second=TIMES * peak_per_second,
                deadline_seconds=DEADLINE_SECONDS,
                warm_up_seconds=seconds,
                measured_seconds=seconds,
            )
        )
        shed = sum(n for it, n in report.failures_measured.items() if it.startswith(_SHED))
        return Overload(
            round=number,
            peak_per_second=peak_per_second,
            offered_per_second=TIMES * peak_per_second,
            good_per_second=report.calls / report.seconds,
            shed_per_second=shed / report.seconds,
            other={it: n for it, n in report.failures_measured.items() if not it.startswith(_SHED)},
            p50_ms=report.p50_ms,
            p99_ms=report.p99_ms,
            shed_p99_ms=report.failures_p99_ms,
            settled_seconds=await until_settled(orchestrator, SETTLED_SECONDS_MAX),
            audit=await audited(stage, orchestrator),
        )


def overload_table(rounds: tuple[Overload, ...]) -> Iterator[str]:
    """A line for each round."""
    yield f"{TIMES:g} times the peak offered, SQLite; callers wait {DEADLINE_SECONDS:g} s at most"
    yield (
        f"  {'round':>5}{'peak/s':>9}{'offered/s':>11}{'good/s':>9}{'of peak':>9}{'shed/s':>9}"
        f"{'p50 ms':>9}{'p99 ms':>9}{'not good, p99 ms':>18}  audit"
    )
    for it in rounds:
        yield (
            f"  {it.round:>5}{it.peak_per_second:>9.0f}{it.offered_per_second:>11.0f}"
            f"{it.good_per_second:>9.0f}{it.kept:>9.2f}{it.shed_per_second:>9.0f}"
            f"{it.p50_ms:>9.0f}{it.p99_ms:>9.0f}{it.shed_p99_ms:>18.0f}  {it.audit or 'clean'}"
        )
        yield from (f"        {n:,} x {what}" for what, n in it.other.items())
