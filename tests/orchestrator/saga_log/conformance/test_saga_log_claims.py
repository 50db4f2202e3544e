"""Who runs what: given back, due, claimed."""

import asyncio

import pytest

from orchestrator.saga.events import (
    CancelRequested,
)
from orchestrator.saga.state import Phase
from orchestrator.saga_log.protocol import (
    SagaLog,
    Stale,
)
from tests.orchestrator.saga_log.conformance.processes import (
    BEGAN,
    COMPLETED,
    ENDED,
    ME,
    OTHER,
    SECOND,
    STARTED,
    T0,
    append,
    claimed,
    new,
    stored,
)


async def test_an_append_may_give_the_process_back(log: SagaLog) -> None:
    await log.create(new())
    await log.append(append(ENDED, release=True, due_time_us=T0 + 5 * SECOND))
    row = (await stored(log)).row
    assert (None, T0 + 5 * SECOND, 1) == (row.owner, row.due_time_us, row.epoch)


async def test_an_append_without_events_gives_back_at_the_same_revision(log: SagaLog) -> None:
    await log.create(new())
    assert 2 == await log.append(append(release=True, due_time_us=T0 + 5 * SECOND, time_us=T0))
    row = (await stored(log)).row
    assert (2, None, T0 + 5 * SECOND, T0) == (
        row.revision,
        row.owner,
        row.due_time_us,
        row.update_time_us,
    )


async def test_an_append_without_events_is_stale_where_the_history_went_on(log: SagaLog) -> None:
    await log.create(new())
    wish = CancelRequested(reason="", requested_by="Ada", time_us=T0 + SECOND)
    await log.append(append(wish, epoch=None, due_time_us=T0 + SECOND))
    with pytest.raises(Stale):
        await log.append(append(release=True, due_time_us=T0 + 100 * SECOND))
    row = (await stored(log)).row
    assert (ME, T0) == (row.owner, row.due_time_us)


async def test_a_release_gives_back_whatever_was_appended(log: SagaLog) -> None:
    await log.create(new())
    await log.append(append(ENDED))
    await log.release(process_id="prc_1", epoch=1, due_time_us=T0 + 9 * SECOND)
    row = (await stored(log)).row
    assert (None, T0 + 9 * SECOND, 3) == (row.owner, row.due_time_us, row.revision)


async def test_a_release_at_another_epoch_does_nothing(log: SagaLog) -> None:
    await log.create(new())
    await claimed(log, owner=OTHER)
    before = await stored(log)
    await log.release(process_id="prc_1", epoch=1, due_time_us=T0 + 9 * SECOND)
    assert before == await stored(log)


async def test_a_release_of_what_rests_does_nothing(log: SagaLog) -> None:
    await log.create(new())
    await log.append(append(ENDED, COMPLETED, phase=Phase.COMPLETED))
    before = await stored(log)
    await log.release(process_id="prc_1", epoch=1, due_time_us=T0 + 9 * SECOND)
    assert before == await stored(log)


async def test_what_is_given_back_is_claimed_when_it_is_due_and_not_before(log: SagaLog) -> None:
    await log.create(new())
    await log.release(process_id="prc_1", epoch=1, due_time_us=T0 + 5 * SECOND)
    assert [] == await claimed(log, now_us=T0 + 5 * SECOND - 1)
    [process] = await log.claim(owner=ME, now_us=T0 + 5 * SECOND, limit=100)
    assert (STARTED, BEGAN) == process.events
    assert (ME, 2) == (process.row.owner, process.row.epoch)
    assert process == await stored(log)


async def test_what_the_dead_own_is_claimed_at_once_and_once(log: SagaLog) -> None:
    await log.create(new("prc_1", owner=OTHER))
    await log.create(new("prc_2", owner=OTHER))
    assert ["prc_1", "prc_2"] == await claimed(log, now_us=T0 - 1)
    assert [] == await claimed(log, now_us=T0 + 10**12)


async def test_what_one_owns_oneself_is_not_claimed(log: SagaLog) -> None:
    await log.create(new())
    assert [] == await claimed(log, now_us=T0 + 10**12)


async def test_no_more_is_claimed_than_was_asked_for(log: SagaLog) -> None:
    for number in range(5):
        await log.create(new(f"prc_{number}", owner=OTHER))
    for number in range(5, 10):
        await log.create(new(f"prc_{number}"))
        await log.release(process_id=f"prc_{number}", epoch=1, due_time_us=T0)
    found = [await claimed(log, limit=4) for _ in range(4)]
    assert [4, 4, 2, 0] == [len(ids) for ids in found]
    assert [f"prc_{number}" for number in range(10)] == sorted(id_ for ids in found for id_ in ids)


async def test_of_many_claims_at_once_each_process_goes_to_one(log: SagaLog) -> None:
    for number in range(20):
        await log.create(new(f"prc_{number}"))
        await log.release(process_id=f"prc_{number}", epoch=1, due_time_us=T0)
    found = await asyncio.gather(*(claimed(log, limit=7) for _ in range(6)))
    taken = [process_id for ids in found for process_id in ids]
    assert 20 == len(taken) == len(set(taken))


async def test_a_completed_process_that_is_cancelled_is_due_and_claimed(log: SagaLog) -> None:
    await log.create(new())
    await log.append(append(ENDED, COMPLETED, phase=Phase.COMPLETED))
    wish = CancelRequested(reason="", requested_by="Ada", time_us=T0 + 2 * SECOND)
    turned = append(
        wish, follows=4, epoch=None, phase=Phase.COMPENSATING, due_time_us=T0 + 2 * SECOND
    )
    await log.append(turned)
    row = (await stored(log)).row
    assert (Phase.COMPENSATING, None, None) == (row.phase, row.owner, row.end_time_us)
    [process] = await log.claim(owner=ME, now_us=T0 + 2 * SECOND, limit=100)
    assert (2, 5) == (process.row.epoch, process.row.revision)


async def test_the_next_due_time_is_the_earliest_of_what_was_given_back(log: SagaLog) -> None:
    assert await log.next_due_us(ME) is None
    for number in (3, 1, 2):
        await log.create(new(f"prc_{number}"))
        await log.release(process_id=f"prc_{number}", epoch=1, due_time_us=T0 + number * SECOND)
    assert T0 + SECOND == await log.next_due_us(ME)
    await claimed(log, now_us=T0 + SECOND)
    assert T0 + 2 * SECOND == await log.next_due_us(ME)
    await claimed(log, now_us=T0 + 3 * SECOND)
    assert await log.next_due_us(ME) is None
