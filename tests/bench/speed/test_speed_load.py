"""The load generator."""

import asyncio
from dataclasses import replace

from bench.speed.job import Job, Report
from bench.speed.load import Load
from bench.speed.works import Channels, Work

IN_FLIGHT = 7


def job() -> Job:
    return Job(
        work="any",
        targets=[],
        prefix="p",
        in_flight=IN_FLIGHT,
        warm_up_seconds=0,
        measured_seconds=0,
    )


class Turn(Work):
    """A call that takes a turn of the loop. Every third is wrong, if so told."""

    def __init__(
        self, channels: Channels = (), job: Job | None = None, *, wrong: bool = False
    ) -> None:
        del channels, job
        self.numbers: list[int] = []
        self.running = 0
        self.running_most = 0
        self._wrong = wrong

    async def _ask(self, number: int) -> str:
        self.numbers.append(number)
        self.running += 1
        self.running_most = max(self.running_most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        return "UNAVAILABLE" if self._wrong and number % 3 == 0 else ""


class Stuck(Turn):
    """A call that does not end before so many are under way."""

    def __init__(self, *, until: int) -> None:
        super().__init__()
        self._until = until
        self._enough = asyncio.Event()

    async def _ask(self, number: int) -> str:
        self.numbers.append(number)
        self.running += 1
        self.running_most = max(self.running_most, self.running)
        if self.running >= self._until:
            self._enough.set()
        await self._enough.wait()
        self.running -= 1
        return ""


async def test_as_many_calls_are_under_way_as_the_job_says_and_none_is_left() -> None:
    work = Turn()
    await Load(job(), work).run()
    assert IN_FLIGHT == work.running_most
    assert 0 == work.running


async def test_every_call_has_a_number_of_its_own() -> None:
    work = Turn()
    await Load(job(), work).run()
    assert list(range(len(work.numbers))) == sorted(work.numbers)


async def test_as_many_calls_are_measured_as_are_under_way_at_once_after_as_many_to_warm_up() -> (
    None
):
    work = Turn()
    report = await Load(job(), work).run()
    assert report.calls >= IN_FLIGHT
    assert len(work.numbers) >= report.calls + IN_FLIGHT


async def test_a_job_of_so_many_calls_makes_so_many_and_measures_them_all() -> None:
    work = Turn()
    report = await Load(replace(job(), calls=100), work).run()
    assert 100 == len(work.numbers) == report.calls == sum(report.good_by_second)
    assert IN_FLIGHT == work.running_most


async def test_an_open_loop_begins_calls_whether_others_have_ended_or_not() -> None:
    work = Stuck(until=IN_FLIGHT + 1)
    await Load(replace(job(), per_second=1_000, measured_seconds=0.05), work).run()
    assert work.running_most > IN_FLIGHT
    assert 0 == work.running


async def test_a_call_that_is_wrong_is_a_failure_and_is_not_measured() -> None:
    work = Turn(wrong=True)
    report = await Load(job(), work).run()
    wrong = sum(it % 3 == 0 for it in work.numbers)
    assert {"UNAVAILABLE": wrong} == report.failures
    assert report.calls <= len(work.numbers) - wrong


def test_a_job_and_a_report_are_the_same_after_the_way_through_a_pipe() -> None:
    assert job() == Job.read(job().written())
    report = Report(
        calls=1,
        seconds=2.0,
        p50_ms=3.0,
        p99_ms=4.0,
        failures={"PARKED": 1},
        failures_measured={},
        failures_p99_ms=0.5,
        good_by_second=[1],
        cpu_seconds={"orchestrator": 0.5},
        memory_bytes_peak={"orchestrator": 5},
        own_cpu_seconds=0.1,
    )
    assert report == Report.read(report.written())
