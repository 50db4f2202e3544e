"""The contenders, round after round, each load in turn.

Invariant: within a round one load is put on every contender, one right after the other, before the
next load begins; so what a ratio compares was measured within a minute. A slice with failures is
kept, and told. Must never: measure two at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.speed.contenders import Contender
from bench.speed.figures import Slice
from bench.speed.job import ORCHESTRATOR, Job
from bench.speed.stage import Stage

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long is measured."""

    rounds: int
    warm_up_seconds: float
    measured_seconds: float
    loads: tuple[int, ...] = ()
    """These alone; empty: all that a contender has."""


async def compare(
    stage: Stage, contenders: Sequence[Contender], pace: Pace, say: Callable[[str], None]
) -> tuple[Slice, ...]:
    """Measures all of it.

    Raises:
        WillNotRun: A process does not come up, or ended by itself.
    """
    found: list[Slice] = []
    loads = sorted({load for it in contenders for load in it.loads})
    for number in range(1, pace.rounds + 1):
        for load in loads:
            for contender in contenders:
                if load in contender.loads and (not pace.loads or load in pace.loads):
                    found.append(await measure(stage, contender, load, number, pace))
                    say(_news(found[-1], pace))
    return tuple(found)


async def measure(
    stage: Stage, contender: Contender, in_flight: int, number: int, pace: Pace
) -> Slice:
    """One slice, on an orchestrator of its own."""
    async with stage.orchestrators(contender) as orchestrators:
        report = await stage.load(
            Job(
                work="process",
                targets=[it.address for it in orchestrators],
                prefix=stage.new_prefix(),
                in_flight=in_flight,
                warm_up_seconds=pace.warm_up_seconds,
                measured_seconds=pace.measured_seconds,
                watched=stage.watched(orchestrators, contender.store),
            )
        )
    each = max(1, report.calls)
    return Slice(
        contender=contender.name,
        in_flight=in_flight,
        round=number,
        processes=report.calls,
        seconds=report.seconds,
        p50_ms=report.p50_ms,
        p99_ms=report.p99_ms,
        cpu_ms={role: 1_000 * seconds / each for role, seconds in report.cpu_seconds.items()},
        memory_mib=report.memory_bytes_peak[ORCHESTRATOR] / _MIB,
        generator_busy=report.own_cpu_seconds / report.seconds,
        failures=report.failures,
    )


def _news(it: Slice, pace: Pace) -> str:
    failed = f", FAILED {dict(it.failures)}" if it.failures else ""
    return (
        f"round {it.round}/{pace.rounds}, {it.in_flight:,} in flight, {it.contender}: "
        f"{it.per_second:.0f}/s, orchestrator {it.cpu_ms[ORCHESTRATOR]:.2f} ms, "
        f"p50 {it.p50_ms:.1f} ms{failed}"
    )
