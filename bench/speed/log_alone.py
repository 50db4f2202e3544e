"""The saga log alone: `python -m bench.speed.log_alone`, a job on stdin, a report on stdout.

Invariant: so many processes wait at every moment, each for its own append, as runners do: an
outcome and the next intent in one. Must never: measure a log that answers before it is durable.
"""

import asyncio
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import uvloop

from bench.speed.child import told
from bench.speed.compare import Pace
from bench.speed.contenders import Store
from bench.speed.figures import Spread, percentile
from bench.speed.stage import Stage
from bench.speed.usage import usage_of
from chassis.telemetry import configure
from orchestrator.saga.code import Code
from orchestrator.saga.events import AttemptBegan, AttemptEnded, Started
from orchestrator.saga.state import Phase
from orchestrator.saga_log.protocol import Append, NewProcess
from orchestrator.saga_log.sql import SqlSagaLog, is_shared

WAITING: Final = (1, 16, 64, 256)
OWNER: Final = "bench"
_MINUTE_US: Final = 60_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogJob:
    """What is measured."""

    url: str
    waiting: int
    warm_up_seconds: float
    measured_seconds: float
    database_pid: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSlice:
    """What came of it."""

    store: str
    waiting: int
    round: int
    per_second: float
    cpu_ms: float
    """Of the process that holds the log, for each append."""
    database_cpu_ms: float
    p50_ms: float
    p99_ms: float


class LogLoad:
    """Appends to as many histories as wait."""

    def __init__(self, log: SqlSagaLog) -> None:
        self._log = log
        self.seconds: list[float] = []
        self._stopping = False

    async def run(self, job: LogJob) -> Mapping[str, float]:
        """The figures of a job."""
        async with asyncio.TaskGroup() as histories:
            for number in range(job.waiting):
                histories.create_task(self._history(f"prc_bench-{number}"))
            await asyncio.sleep(job.warm_up_seconds)
            self.seconds = []
            database = _database_seconds(job)
            cpu, began = time.process_time(), time.perf_counter()
            await asyncio.sleep(job.measured_seconds)
            seconds = time.perf_counter() - began
            cpu = time.process_time() - cpu
            database = _database_seconds(job) - database
            measured = self.seconds
            self._stopping = True
        appends = max(1, len(measured))
        return {
            "per_second": len(measured) / seconds,
            "cpu_ms": 1_000 * cpu / appends,
            "database_cpu_ms": 1_000 * database / appends,
            "p50_ms": 1_000 * percentile(measured, 50),
            "p99_ms": 1_000 * percentile(measured, 99),
        }

    async def _history(self, process_id: str) -> None:
        now = time.time_ns() // 1_000
        started = Started(
            definition="order_process",
            version=1,
            input={"customer_id": "customer-1", "payment_method": "pm_card_visa"},
            deadline_us=now + _MINUTE_US,
            time_us=now,
        )
        began = AttemptBegan(action="create_order", attempt=1, time_us=now)
        await self._log.create(
            NewProcess(
                process_id=process_id,
                business_key=process_id,
                fingerprint="f" * 64,
                subject="customer-1",
                owner=OWNER,
                events=(started, began),
                phase=Phase.RUNNING,
                due_time_us=now,
                create_time_us=now,
            )
        )
        revision = 2
        while not self._stopping:
            begun = time.perf_counter()
            revision = await self._log.append(_step(process_id, revision))
            self.seconds.append(time.perf_counter() - begun)


def _step(process_id: str, revision: int) -> Append:
    now = time.time_ns() // 1_000
    return Append(
        process_id=process_id,
        follows=revision,
        events=(
            AttemptEnded(action="create_order", attempt=1, code=Code.OK, result=None, time_us=now),
            AttemptBegan(action="process_payment", attempt=1, time_us=now),
        ),
        epoch=1,
        phase=Phase.RUNNING,
        due_time_us=now,
        time_us=now,
    )


def _database_seconds(job: LogJob) -> float:
    return 0.0 if job.database_pid is None else usage_of([job.database_pid]).cpu_seconds


async def measure_log(
    stage: Stage, pace: Pace, stores: Sequence[Store], say: Callable[[str], None]
) -> tuple[LogSlice, ...]:
    """Measures the log on each store, in a process of its own each time.

    Raises:
        WillNotRun: It failed.
    """
    found: list[LogSlice] = []
    command = (sys.executable, "-m", "bench.speed.log_alone")
    for number in range(1, pace.rounds + 1):
        for waiting in WAITING:
            for store in stores:
                with stage.log_url(store, f"{stage.new_prefix()}-log") as url:
                    job = LogJob(
                        url=url,
                        waiting=waiting,
                        warm_up_seconds=pace.warm_up_seconds,
                        measured_seconds=pace.measured_seconds,
                        database_pid=stage.postgres.pid if store is Store.POSTGRES else None,
                    )
                    text = json.dumps(dataclasses.asdict(job))
                    figures = json.loads(await told(command, text, folder=stage.folder))
                found.append(LogSlice(store=store, waiting=waiting, round=number, **figures))
                say(
                    f"round {number}/{pace.rounds}, log on {store}, {waiting} waiting: "
                    f"{found[-1].per_second:.0f}/s, {found[-1].cpu_ms:.3f} ms"
                )
    return tuple(found)


def log_table(slices: Sequence[LogSlice]) -> Iterator[str]:
    """What was measured, a line for each store and number waiting."""
    yield "the saga log alone, appends of two events (medians of the rounds)"
    yield (
        f"  {'store':<14}{'waiting':>8}{'appends/s':>11}{'CPU ms':>9}{'database ms':>13}"
        f"{'p50 ms':>9}{'p99 ms':>9}"
    )
    for store, waiting in dict.fromkeys((it.store, it.waiting) for it in slices):
        of = [it for it in slices if (it.store, it.waiting) == (store, waiting)]
        per_second, cpu, database, p50, p99 = (
            spread.median
            for name in ("per_second", "cpu_ms", "database_cpu_ms", "p50_ms", "p99_ms")
            if (spread := Spread.of(getattr(it, name) for it in of)) is not None
        )
        yield (
            f"  {store:<14}{waiting:>8}{per_second:>11.0f}{cpu:>9.3f}{database:>13.3f}"
            f"{p50:>9.2f}{p99:>9.2f}"
        )


async def _main(job: LogJob) -> Mapping[str, float]:
    log = await SqlSagaLog.open(job.url)
    try:
        if is_shared(job.url):
            await log.beat(OWNER, lease_seconds=3_600)
        return await LogLoad(log).run(job)
    finally:
        await log.close()


if __name__ == "__main__":
    configure(service="bench", level="error", format="json")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(_main(LogJob(**json.loads(sys.stdin.read()))))))
