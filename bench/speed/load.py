"""The load generator: `python -m bench.speed.load`, a job on stdin, a report on stdout.

Invariant: so many calls are under way from the first moment to the last, and what was used is read
in the same turn of the loop as what was done is counted. Before it is measured as many calls have
ended as are under way at once, and as many end while it is measured: else a large load would be
measured while it is still in its first steps. Must never: take a call for good that was not.
"""

import asyncio
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

# Ten thousand calls begun in one turn on one connection: half of them would be cancelled.
_BEGUN_AT_ONCE: Final = 100
_BEGUN_EVERY_SECONDS: Final = 0.01
# A connection for so many calls.
_CALLS_A_CHANNEL: Final = 512


class Load:
    """Makes the calls of a job."""

    def __init__(self, job: Job, work: Work) -> None:
        self._job = job
        self._work = work
        self._made = 0
        self._ended = 0
        self._failures: Counter[str] = Counter()
        self._latencies: list[float] = []
        self._moved = asyncio.Event()
        self._stopping = False

    async def run(self) -> Report:
        """All of it; returns when nothing is under way any more."""
        async with asyncio.TaskGroup() as callers:
            for begun in range(1, self._job.in_flight + 1):
                callers.create_task(self._call())
                if begun % _BEGUN_AT_ONCE == 0:
                    await asyncio.sleep(_BEGUN_EVERY_SECONDS)
            await self._for(self._job.warm_up_seconds)
            self._latencies = []
            before, own_before = self._usage(), time.process_time()
            began = time.perf_counter()
            await self._for(self._job.measured_seconds)
            seconds = time.perf_counter() - began
            after, own_after = self._usage(), time.process_time()
            latencies, self._latencies = self._latencies, []
            self._stopping = True
        return Report(
            calls=len(latencies),
            seconds=seconds,
            p50_ms=1_000 * percentile(latencies, 50),
            p99_ms=1_000 * percentile(latencies, 99),
            failures=dict(self._failures),
            cpu_seconds={
                role: it.cpu_seconds - before[role].cpu_seconds for role, it in after.items()
            },
            memory_bytes_peak={role: it.memory_bytes_peak for role, it in after.items()},
            own_cpu_seconds=own_after - own_before,
        )

    async def _for(self, seconds: float) -> None:
        """So long, and until as many calls have ended as are under way at once."""
        goal = self._ended + self._job.in_flight
        await asyncio.sleep(seconds)
        while self._ended < goal:
            self._moved.clear()
            await self._moved.wait()

    async def _call(self) -> None:
        while not self._stopping:
            number = self._made
            self._made += 1
            began = time.perf_counter()
            wrong = await self._work.once(number)
            seconds = time.perf_counter() - began
            self._ended += 1
            if wrong:
                self._failures[wrong] += 1
            else:
                self._latencies.append(seconds)
            self._moved.set()

    def _usage(self) -> Mapping[str, Usage]:
        return {role: usage_of(pids) for role, pids in self._job.watched.items()}


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
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(perform(job))
    print(report.written())


if __name__ == "__main__":
    main()
