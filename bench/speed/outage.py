"""One participant away for a while under load: what fails for it, and how the load comes back.

Invariant: the payment service is killed and started again on the same port and files, or stands
still and goes on; orders come in all the while, at a third of the peak, and their callers wait.
Arrivals at it are counted from the moment of its return. Must never: end before every process has.
"""

import asyncio
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from bench.speed.books import audited, until_settled
from bench.speed.compare import Pace
from bench.speed.contenders import CONTENDERS, OURS_SQLITE
from bench.speed.gated import COUNT, arrivals
from bench.speed.job import Job
from bench.speed.stage import MODULES, Stage

AWAY: Final = "payment"
AWAY_SECONDS: Final = 30.0
SHARE_OF_PEAK: Final = 1 / 3
SETTLED_SECONDS_MAX: Final = 300.0
SHOWN_SECONDS: Final = 20
SHOWN_QUARTERS: Final = 20
# Before it goes, and after it is back, under load.
_AROUND_SECONDS: Final = 10.0
_BACK_SECONDS: Final = 30.0
# Longer than a process may take: every caller learns how it ended.
_DEADLINE_SECONDS: Final = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What came of it."""

    away_seconds: float
    """From the kill until it served again."""
    offered_per_second: float
    processes: int
    """How many were COMPLETED."""
    failed: Mapping[str, int]
    """How else processes ended, and how often."""
    good_by_second: tuple[int, ...]
    """How many were COMPLETED in each second of the run."""
    arrivals_by_second: tuple[int, ...]
    """How many calls came to it in each second since the first after it was back."""
    arrivals_by_quarter: tuple[int, ...]
    """In each quarter of a second since then, for a shorter time."""
    settled_seconds: float | None
    audit: str

    @property
    def first_second_of_most(self) -> float:
        """Arrivals in the first second, as a share of those in the second with the most."""
        most = max(self.arrivals_by_second, default=0)
        return self.arrivals_by_second[0] / most if most else 0.0

    @property
    def steepest(self) -> float:
        """Arrivals in a second, against those in the one before: the most, on the way up."""
        counts = self.arrivals_by_second
        up = counts[: counts.index(max(counts)) + 1] if counts else ()
        return max(
            (after / before if before else math.inf for before, after in pairwise(up)), default=1.0
        )

    @property
    def failures(self) -> dict[str, int]:
        """What did not end as it should."""
        found = dict(self.failed)
        if self.settled_seconds is None:
            found["not settled"] = 1
        if self.audit:
            found[f"oms audit: {self.audit}"] = 1
        return found


async def measure_outage(
    pace: Pace,
    say: Callable[[str], None],
    *,
    away_seconds: float = AWAY_SECONDS,
    stands_still: bool = False,
) -> Outage:
    """Does all of it, on a stage of its own. `stands_still`: it is stopped, not killed.

    Raises:
        WillNotRun: A process does not come up, or ended by itself.
    """
    async with Stage.built(()) as stage:
        await stage.start_participants(gated=True)
        async with stage.orchestrators(CONTENDERS[OURS_SQLITE]) as (orchestrator,):
            peak = await stage.load(
                Job(
                    work="process",
                    targets=[orchestrator.address],
                    prefix=stage.new_prefix(),
                    in_flight=64,
                    warm_up_seconds=pace.warm_up_seconds,
                    measured_seconds=pace.measured_seconds,
                )
            )
            rate = SHARE_OF_PEAK * peak.calls / peak.seconds
            job = Job(
                work="process",
                targets=[orchestrator.address],
                prefix=stage.new_prefix(),
                in_flight=1,
                per_second=rate,
                deadline_seconds=_DEADLINE_SECONDS,
                warm_up_seconds=0,
                measured_seconds=_AROUND_SECONDS + away_seconds + _BACK_SECONDS,
            )
            say(f"outage: {rate:.0f} orders/s, the {AWAY} service goes for {away_seconds:g} s")
            async with asyncio.TaskGroup() as parts:
                loading = parts.create_task(stage.load(job))
                going = parts.create_task(
                    (_stand_still if stands_still else _go)(stage, away_seconds)
                )
            report = loading.result()
            settled = await until_settled(orchestrator, SETTLED_SECONDS_MAX)
            came = arrivals(MODULES[AWAY], stage.folder)
            return Outage(
                away_seconds=going.result(),
                offered_per_second=rate,
                processes=sum(report.good_by_second),
                failed=report.failures,
                good_by_second=tuple(report.good_by_second),
                arrivals_by_second=counted(came, seconds=1.0, shown=SHOWN_SECONDS),
                arrivals_by_quarter=counted(came, seconds=0.25, shown=SHOWN_QUARTERS),
                settled_seconds=settled,
                audit=await audited(stage, orchestrator),
            )


async def _go(stage: Stage, away_seconds: float) -> float:
    """How long it was away."""
    participant = stage.participants[AWAY]
    await asyncio.sleep(_AROUND_SECONDS)
    went = time.time()
    await participant.stop(signal.SIGKILL)
    await asyncio.sleep(away_seconds)
    # So that it counts from its first call on.
    (stage.folder / f"{MODULES[AWAY]}.arrivals").touch()
    await participant.respawn()
    await participant.serving()
    return time.time() - went


async def _stand_still(stage: Stage, seconds: float) -> float:
    """How long it stood still."""
    participant = stage.participants[AWAY]
    await asyncio.sleep(_AROUND_SECONDS)
    stopped = time.time()
    participant.tell(signal.SIGSTOP)
    await asyncio.sleep(seconds)
    # Taken note of when it goes on.
    participant.tell(COUNT)
    participant.tell(signal.SIGCONT)
    await participant.serving()
    return time.time() - stopped


def counted(times: Sequence[float], *, seconds: float, shown: int) -> tuple[int, ...]:
    """How many in each span of so many seconds, from the first on."""
    counts = [0] * shown
    for it in times:
        span = int((it - times[0]) / seconds)
        if 0 <= span < shown:
            counts[span] += 1
    return tuple(counts)


def outage_table(it: Outage) -> Iterator[str]:
    """What was measured."""
    yield (
        f"the {AWAY} service away for {it.away_seconds:.1f} s under "
        f"{it.offered_per_second:.0f} orders/s, SQLite"
    )
    yield f"  COMPLETED {it.processes:,}; audit: {it.audit or 'clean'}"
    yield from (f"  {n:,} x {what}" for what, n in it.failed.items())
    yield f"  COMPLETED in each second of the run: {_listed(it.good_by_second)}"
    yield f"  calls to it in each second after it was back: {_listed(it.arrivals_by_second)}"
    yield f"  in each quarter of a second: {_listed(it.arrivals_by_quarter)}"


def _listed(counts: tuple[int, ...]) -> str:
    return " ".join(str(it) for it in counts)
