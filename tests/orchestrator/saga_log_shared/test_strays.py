"""What a replica owns without running it is found, and claimed like what the dead left."""

from collections.abc import Collection

from chassis.clock import SystemClock
from orchestrator.strays import Owned, Strays
from tests.orchestrator.saga_log.conformance.processes import ME, OTHER, T0, claimed, new
from tests.orchestrator.saga_log_sql.harness.troubled import TroubledLog


def strays_of(log: TroubledLog, run_here: Collection[Owned]) -> Strays:
    return Strays(
        possessions=log,
        owner=ME,
        runs=lambda process_id, epoch: (process_id, epoch) in run_here,
        clock=SystemClock(),
    )


async def filled(log: TroubledLog) -> None:
    """As after a create that came through when nobody waited for it any more."""
    await log.beat(ME, lease_seconds=600)
    await log.beat(OTHER, lease_seconds=600)
    for process_id, owner in (("prc_run", ME), ("prc_stray", ME), ("prc_theirs", OTHER)):
        await log.create(new(process_id, owner=owner))


async def test_what_nobody_runs_is_claimed_once_it_was_found_twice(one: TroubledLog) -> None:
    await filled(one)
    strays = strays_of(one, {("prc_run", 1)})
    await strays.look()
    assert [] == await claimed(one)
    await strays.look()
    assert 0 == await one.next_due_us(ME)
    assert ["prc_stray"] == await claimed(one)
    assert [] == await claimed(one)


async def test_what_is_just_being_begun_is_left_alone(one: TroubledLog) -> None:
    await filled(one)
    run_here = {("prc_run", 1)}
    strays = strays_of(one, run_here)
    await strays.look()
    run_here.add(("prc_stray", 1))
    await strays.look()
    assert [] == await claimed(one)


async def test_what_is_run_at_an_epoch_that_is_over_is_a_stray(one: TroubledLog) -> None:
    await filled(one)
    await one.release(process_id="prc_stray", epoch=1, due_time_us=T0)
    assert ["prc_stray"] == await claimed(one)
    strays = strays_of(one, {("prc_run", 1), ("prc_stray", 1)})
    for _ in range(2):
        await strays.look()
    assert ["prc_stray"] == await claimed(one)


async def test_without_looking_a_stray_stays_where_it_is(one: TroubledLog) -> None:
    """Removes the mechanism: the first test would fail."""
    await filled(one)
    assert await one.next_due_us(ME) is None
    assert [] == await claimed(one)
