"""How attempts come back to a target of which nothing is known yet, after a crash."""

import asyncio

from orchestrator.breaker import State
from orchestrator.ramp import TAKEOVER, Ramp
from tests.orchestrator.breaker.harness.target import Target
from tests.orchestrator.harness.virtual_time import play


def seconds_of_a_takeover(target: Target) -> float:
    """How long until two thousand calls are out again that take ten seconds each."""

    async def scenario() -> float:
        tasks = [asyncio.create_task(target.attempt(takes_seconds=10.0)) for _ in range(2_000)]
        await asyncio.gather(*tasks)
        return max(target.arrivals)

    return play(scenario())


def test_a_slow_target_has_soon_all_again_that_were_outstanding_before_a_crash() -> None:
    assert seconds_of_a_takeover(Target(window_max=20_000)) < 2.5


def begun_of_a_takeover(target: Target) -> int:
    """How many of four hundred have begun that were taken over, once it is known to be down."""

    async def scenario() -> int:
        target.up, target.asking_takes_seconds = False, 0.5
        tasks = [asyncio.create_task(target.attempt(takes_seconds=2.0)) for _ in range(400)]
        while target.breaker.state is not State.OPEN:
            await target.clock.sleep(0.1)
        begun = len(target.arrivals)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return begun

    return play(scenario())


def test_of_what_is_taken_over_few_find_out_that_the_target_is_down() -> None:
    """It went down before this orchestrator began: it has not noticed yet."""
    assert begun_of_a_takeover(Target()) < 100


def test_a_target_that_is_gone_is_asked_once_however_many_come() -> None:
    target = Target(up=False)

    async def scenario() -> None:
        tasks = [asyncio.create_task(target.attempt(takes_seconds=2.0)) for _ in range(400)]
        await target.clock.sleep(1.0)
        assert 1 == target.asked
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    play(scenario())


def test_without_a_sign_of_life_before_all_of_it_would_have_begun() -> None:
    """Removes the mechanism: the ramp of those whom a target answers, from the start."""
    assert begun_of_a_takeover(Target(ramp=TAKEOVER)) == 400


def test_a_sign_of_life_is_asked_for_only_where_somebody_waits() -> None:
    target = Target()

    async def scenario() -> None:
        for _ in range(10):
            await target.attempt()

    play(scenario())
    assert 0 == target.asked


def test_along_the_ramp_of_a_target_that_was_down_they_would_wait_for_long() -> None:
    """Removes the mechanism: the other ramp."""
    assert seconds_of_a_takeover(Target(window_max=20_000, takeover=Ramp())) > 10.0
