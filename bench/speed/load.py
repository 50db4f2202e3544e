"""The load generator: `python -m bench.speed.load`, a job on stdin, a report on stdout.

Invariant: so many calls are under way from the first moment to the last, and what was used is read
in the same turn of the loop as what was done is counted. Before it is measured as many calls have
ended as are under way at once, and as many end while it is measured: else a large load would be
measured while it is still in its first steps. Must never: take a call for good that was not.
"""

import asyncio
import gc
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

import grpc.aio
import uvloop

from bench.speed.figures import percentile
from bench.speed.job import Job, Report
from bench.speed.usage import Usage, usage_of
from bench.speed.works import WORKS, Work

# Not all at once, or they would go through their steps in one wave. The callers begin a thousand a
# second; from then on as many calls begin as end.
_BEGUN_AT_ONCE: Final = 20
_BEGUN_EVERY_SECONDS: Final = 0.02
_OFFERED_EVERY_SECONDS: Final = 0.01
# So many more objects than there were have the collector look at those that are new.
_COLLECTED_EVERY: Final = 20_000
# A connection for so many calls.
_CALLS_A_CHANNEL: Final = 512


class Load:
    """Makes the calls of a job."""

    def __init__(self, job: Job, work: Work) -> None:
        self._job = job
        self._work = work
        self._begun = 0
        self._made = 0
        self._ended = 0
        self._failures: Counter[str] = Counter()
        self._measured = Tally()
        self._good_by_second: Counter[int] = Counter()
        self._moved = asyncio.Event()
        self._stopping = False
        self._began = time.perf_counter()

    async def run(self) -> Report:
        """All of it; returns when nothing is under way any more."""
        async with asyncio.TaskGroup() as calls:
            if self._job.per_second:
                load = calls.create_task(self._begin_steadily(calls))
            else:
                load = calls.create_task(self._begin_callers(calls))
            if not self._job.calls:
                await self._for(self._job.warm_up_seconds)
            measured = self._measured = Tally()
            before, own_before = self._usage(), time.process_time()
            began = time.perf_counter()
            await self._for(self._job.measured_seconds)
            seconds = time.perf_counter() - began
            after, own_after = self._usage(), time.process_time()
            self._measured = Tally()
            self._stopping = True
            await load
        return Report(
            calls=len(measured.good),
            seconds=seconds,
            p50_ms=1_000 * percentile(measured.good, 50),
            p99_ms=1_000 * percentile(measured.good, 99),
            failures=dict(self._failures),
            failures_measured=dict(measured.failures),
            failures_p99_ms=1_000 * percentile(measured.bad, 99),
            good_by_second=[
                self._good_by_second[it] for it in range(max(self._good_by_second, default=-1) + 1)
            ],
            cpu_seconds={
                role: it.cpu_seconds - before[role].cpu_seconds for role, it in after.items()
            },
            memory_bytes_peak={role: it.memory_bytes_peak for role, it in after.items()},
            own_cpu_seconds=own_after - own_before,
        )

    async def _for(self, seconds: float) -> None:
        """So long, and until enough have ended."""
        goal = self._job.calls or self._ended + self._job.in_flight
        if not self._job.calls:
            await asyncio.sleep(seconds)
        while not self._job.per_second and self._ended < goal:
            self._moved.clear()
            await self._moved.wait()

    async def _begin_callers(self, calls: asyncio.TaskGroup) -> None:
        for begun in range(1, self._job.in_flight + 1):
            calls.create_task(self._call_on())
            if begun % _BEGUN_AT_ONCE == 0:
                await asyncio.sleep(_BEGUN_EVERY_SECONDS)

    async def _begin_steadily(self, calls: asyncio.TaskGroup) -> None:
        while not self._stopping:
            due = int((time.perf_counter() - self._began) * self._job.per_second)
            for _ in range(self._begun, due):
                self._begun += 1
                calls.create_task(self._call())
            await asyncio.sleep(_OFFERED_EVERY_SECONDS)

    async def _call_on(self) -> None:
        while not self._stopping and (not self._job.calls or self._made < self._job.calls):
            await self._call()

    async def _call(self) -> None:
        number = self._made
        self._made += 1
        began = time.perf_counter()
        wrong = await self._work.once(number)
        ended = time.perf_counter()
        self._ended += 1
        if wrong:
            self._failures[wrong] += 1
            self._measured.failures[wrong] += 1
            self._measured.bad.append(ended - began)
        else:
            self._good_by_second[int(ended - self._began)] += 1
            self._measured.good.append(ended - began)
        self._moved.set()

    def _usage(self) -> Mapping[str, Usage]:
        return {role: usage_of(pids) for role, pids in self._job.watched.items()}


class Tally:
    """What ended in a stretch of time: how long each took, in seconds."""

    def __init__(self) -> None:
        self.good: list[float] = []
        self.bad: list[float] = []
        self.failures: Counter[str] = Counter()


async def perform(job: Job) -> Report:
    """Does a job."""
    channels = [
        grpc.aio.insecure_channel(
            target,
            options=[
                ("grpc.enable_retries", 0),
                ("grpc.enable_http_proxy", 0),
                ("grpc.use_local_subchannel_pool", 1),
            ],
        )
        for _ in range(0, job.in_flight, _CALLS_A_CHANNEL * len(job.targets))
        for target in job.targets
    ]
    try:
        return await Load(job, WORKS[job.work](channels, job)).run()
    finally:
        for channel in channels:
            await channel.close()


def main() -> None:
    """Reads the job, does it, writes the report."""
    job = Job.read(sys.stdin.read())
    # As in the servers: the collector would go through all that waits again and again.
    gc.freeze()
    gc.set_threshold(_COLLECTED_EVERY)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(perform(job))
    print(report.written())


if __name__ == "__main__":
    main()
