"""A sleep that can be cut short."""

import asyncio

from orchestrator.alarm import Alarm
from tests.orchestrator.harness.virtual_time import VirtualClock, play


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_sleep_lasts_its_time() -> None:
    async def scenario() -> float:
        await Alarm(VirtualClock()).sleep(5.0)
        return now()

    assert 5.0 == play(scenario())


def test_a_ring_ends_the_sleep() -> None:
    async def scenario() -> float:
        alarm = Alarm(VirtualClock())
        asyncio.get_running_loop().call_later(2.0, alarm.ring)
        await alarm.sleep(5.0)
        return now()

    assert 2.0 == play(scenario())


def test_a_ring_before_the_sleep_is_not_lost_and_counts_once() -> None:
    async def scenario() -> list[float]:
        alarm = Alarm(VirtualClock())
        alarm.ring()
        alarm.ring()
        await alarm.sleep(5.0)
        first = now()
        await alarm.sleep(5.0)
        return [first, now()]

    assert [0.0, 5.0] == play(scenario())


def test_a_sleeper_that_is_cancelled_leaves_nothing_behind() -> None:
    async def scenario() -> set[asyncio.Task[None]]:
        sleeper = asyncio.create_task(Alarm(VirtualClock()).sleep(5.0))
        await asyncio.sleep(1.0)
        sleeper.cancel()
        await asyncio.gather(sleeper, return_exceptions=True)
        await asyncio.sleep(0.0)
        this = asyncio.current_task()
        return {task for task in asyncio.all_tasks() if task is not this}

    assert set() == play(scenario())
