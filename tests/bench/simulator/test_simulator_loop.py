import asyncio
import itertools

import pytest

from bench.simulator.loop import EPOCH_US, Livelock, VirtualClock, VirtualLoop, new_loop


def run_to_the_end(loop: VirtualLoop, seconds: float = 1_000_000.0) -> None:
    assert not loop.run(idle=lambda: False, until_seconds=seconds)


def test_time_passes_only_when_there_is_nothing_else_to_do() -> None:
    loop, seen = new_loop(), list[str]()

    async def nap(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append(f"{name} at {loop.time()}")

    tasks = [loop.create_task(nap(*given)) for given in (("b", 86_400.0), ("a", 1.5))]
    run_to_the_end(loop)
    assert ["a at 1.5", "b at 86400.0"] == seen
    assert all(task.done() for task in tasks)


def test_a_timeout_cuts_off_what_takes_longer() -> None:
    loop = new_loop()

    async def late() -> str:
        try:
            async with asyncio.timeout(2.0):
                await asyncio.sleep(3.0)
        except TimeoutError:
            return f"cut off at {loop.time()}"
        return "not cut off"

    task = loop.create_task(late())
    run_to_the_end(loop)
    assert "cut off at 2.0" == task.result()


def test_it_ends_when_whoever_is_asked_says_so() -> None:
    loop, asked = new_loop(), itertools.count()

    async def forever() -> None:
        while True:  # noqa: ASYNC110 - this very loop is what is tried
            await asyncio.sleep(1.0)

    task = loop.create_task(forever())
    assert loop.run(idle=lambda: next(asked) == 3, until_seconds=100.0)
    assert 3.0 == loop.time()
    task.cancel()
    loop.run_briefly()


def test_what_runs_and_runs_without_time_passing_is_a_livelock() -> None:
    loop = new_loop()

    async def spin() -> None:
        while True:  # noqa: ASYNC110 - this very loop is what is tried
            await asyncio.sleep(0)

    task = loop.create_task(spin())
    with pytest.raises(Livelock):
        run_to_the_end(loop)
    task.cancel()
    loop.run_briefly()


def test_tasks_in_a_set_are_in_the_order_of_their_making() -> None:
    loop = new_loop(ordered=True)

    async def nothing() -> None:
        return

    for _ in range(20):
        tasks = [loop.create_task(nothing()) for _ in range(5)]
        hashes = [hash(task) for task in tasks]
        assert hashes == list(range(hashes[0], hashes[0] + 5))
    run_to_the_end(loop)


def test_a_machine_may_have_a_clock_of_its_own() -> None:
    loop = new_loop()
    assert EPOCH_US == VirtualClock(loop).now_us()
    assert EPOCH_US - 7 == VirtualClock(loop, ahead_us=-7).now_us()


def test_an_exception_that_nobody_takes_is_complained_of() -> None:
    loop = new_loop()

    def broken() -> None:
        raise ValueError("broken")

    loop.call_soon(broken)
    run_to_the_end(loop)
    assert ["ValueError in a callback: broken"] == loop.complaints
