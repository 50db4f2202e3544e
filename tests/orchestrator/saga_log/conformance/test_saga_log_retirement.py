"""Processes that were settled long ago: retired, purged, forgotten; and what is known of them."""

import asyncio
from dataclasses import replace

import pytest

from orchestrator.saga.events import Cancelled, CancelRequested, ResolvedByHand
from orchestrator.saga.state import Phase
from orchestrator.saga_log.protocol import ListQuery, Stale
from orchestrator.saga_log.retirement import RetiredProcess, RetiringLog
from tests.orchestrator.saga_log.conformance.processes import (
    BEGAN,
    COMPLETED,
    ENDED,
    ME,
    OTHER,
    SECOND,
    T0,
    append,
    claimed,
    new,
    stored,
)

LATER = T0 + 100 * SECOND


async def settled(
    log: RetiringLog, process_id: str = "prc_1", *, end_us: int = T0 + SECOND
) -> None:
    await log.create(new(process_id))
    end = append(ENDED, COMPLETED, process_id=process_id, phase=Phase.COMPLETED, time_us=end_us)
    await log.append(end)


async def retire(log: RetiringLog, *, before_us: int = LATER, limit: int = 100) -> int:
    return await log.retirement.retire(ended_before_us=before_us, now_us=LATER, limit=limit)


async def take_due(
    log: RetiringLog, *, now_us: int = LATER, again_us: int = LATER + SECOND, limit: int = 100
) -> list[str]:
    due = await log.retirement.take_due(now_us=now_us, again_us=again_us, limit=limit)
    return [it.process_id for it in due]


async def found(log: RetiringLog, process_id: str = "prc_1") -> RetiredProcess | None:
    return (await log.retirement.find([process_id, "prc_none"])).get(process_id)


async def test_a_settled_process_leaves_the_log_and_its_row_stays(log: RetiringLog) -> None:
    await settled(log)
    before = (await stored(log)).row
    assert 1 == await retire(log)
    assert await log.load("prc_1") is None
    assert () == await log.list(ListQuery(limit=10))
    retired = await found(log)
    assert retired is not None
    assert before == retired.row
    assert (LATER, LATER, frozenset()) == (
        retired.retire_time_us,
        retired.purge_due_us,
        retired.by_hand,
    )
    assert before == await log.find("key of prc_1")
    assert 0 == await retire(log)


async def test_only_what_was_settled_before_then_is_retired_the_oldest_first(
    log: RetiringLog,
) -> None:
    for number in (3, 1, 2):
        await settled(log, f"prc_{number}", end_us=T0 + number * SECOND)
    assert 1 == await retire(log, before_us=T0 + 3 * SECOND, limit=1)
    assert await found(log, "prc_1") is not None
    assert 1 == await retire(log, before_us=T0 + 3 * SECOND)
    assert await found(log, "prc_2") is not None
    assert await found(log, "prc_3") is None
    assert 4 == (await stored(log, "prc_3")).row.revision


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.COMPENSATING, Phase.PARKED])
async def test_a_process_that_is_not_settled_stays(log: RetiringLog, phase: Phase) -> None:
    await log.create(new())
    await log.append(append(ENDED, phase=phase))
    assert 0 == await retire(log)
    assert 3 == (await stored(log)).row.revision


async def test_a_process_that_was_taken_up_again_stays(log: RetiringLog) -> None:
    await settled(log)
    wish = CancelRequested(reason="", requested_by="", time_us=T0 + 2 * SECOND)
    await log.append(append(wish, follows=4, epoch=None, phase=Phase.COMPENSATING))
    assert 0 == await retire(log)
    assert 5 == (await stored(log)).row.revision


async def test_what_comes_for_a_retired_process_finds_nothing(log: RetiringLog) -> None:
    await settled(log)
    await retire(log)
    wish = CancelRequested(reason="", requested_by="", time_us=LATER)
    with pytest.raises(Stale):
        await log.append(append(wish, follows=4, epoch=None, phase=Phase.COMPENSATING))
    with pytest.raises(Stale):
        await log.append(append(BEGAN, follows=4))
    await log.release(process_id="prc_1", epoch=1, due_time_us=T0)
    assert [] == await claimed(log, owner=OTHER, now_us=LATER)
    assert await log.next_due_us(OTHER) is None


async def test_a_create_under_the_key_of_a_retired_process_is_answered_with_it(
    log: RetiringLog,
) -> None:
    await settled(log)
    row = (await stored(log)).row
    await retire(log)
    second = new("prc_2", key="key of prc_1", owner=OTHER)
    assert (row, False) == await log.create(second)
    # Not even the very process that was retired begins again.
    assert (row, False) == await log.create(new())
    assert await log.load("prc_1") is None
    assert await log.load("prc_2") is None


async def test_creates_at_once_under_old_keys_and_new_are_each_answered_rightly(
    log: RetiringLog,
) -> None:
    await settled(log)
    await retire(log)
    keys = ["key of prc_1", "new", "key of prc_1", "new", "other"]
    answers = await asyncio.gather(
        *(log.create(new(f"prc_1{number}", key=key)) for number, key in enumerate(keys))
    )
    assert ["prc_1", "prc_11", "prc_1", "prc_11", "prc_14"] == [
        row.process_id for row, _ in answers
    ]
    assert [False, True, False, False, True] == [created for _, created in answers]
    listed = await log.list(ListQuery(limit=10))
    assert ["prc_11", "prc_14"] == sorted(it.row.process_id for it in listed)
    assert all(2 == len(it.events) for it in listed)


async def test_what_a_person_has_done_is_remembered(log: RetiringLog) -> None:
    await log.create(new())
    resolved = ResolvedByHand(
        action="cancel_room", reason="by phone", requested_by="Bo", time_us=T0 + SECOND
    )
    cancelled = Cancelled(time_us=T0 + SECOND)
    await log.append(append(ENDED, resolved, cancelled, phase=Phase.CANCELLED))
    await settled(log, "prc_2")
    assert 2 == await retire(log)
    by_hand = await log.retirement.find(["prc_1", "prc_2"])
    assert {"prc_1": {"cancel_room"}, "prc_2": set()} == {
        process_id: set(it.by_hand) for process_id, it in by_hand.items()
    }


async def test_what_is_due_is_taken_by_one_until_it_is_due_again(log: RetiringLog) -> None:
    for number in (1, 2, 3):
        await settled(log, f"prc_{number}")
    await retire(log)
    assert ["prc_1", "prc_2"] == await take_due(log, limit=2)
    assert ["prc_3"] == await take_due(log)
    assert [] == await take_due(log)
    assert 3 == len(await take_due(log, now_us=LATER + SECOND, again_us=LATER + 2 * SECOND))


async def test_what_is_purged_is_never_due_again(log: RetiringLog) -> None:
    await settled(log)
    await settled(log, "prc_2")
    await retire(log)
    await log.retirement.purged(["prc_1"])
    await log.retirement.put_off(["prc_1", "prc_2"], due_us=LATER + 50 * SECOND)
    assert [] == await take_due(log, now_us=LATER + 49 * SECOND)
    assert ["prc_2"] == await take_due(log, now_us=LATER + 50 * SECOND)
    retired = await found(log)
    assert retired is not None
    assert retired.purge_due_us is None


async def test_only_what_is_purged_and_old_enough_is_forgotten(log: RetiringLog) -> None:
    for number in (1, 2, 3):
        await settled(log, f"prc_{number}", end_us=T0 + number * SECOND)
    await retire(log)
    await log.retirement.purged(["prc_1", "prc_3"])
    forget = log.retirement.forget
    assert 1 == await forget(ended_before_us=T0 + 3 * SECOND, limit=10)
    assert {"prc_2", "prc_3"} == set(await log.retirement.find(["prc_1", "prc_2", "prc_3"]))
    await log.retirement.purged(["prc_2"])
    assert 1 == await forget(ended_before_us=LATER, limit=1)
    assert {"prc_3"} == set(await log.retirement.find(["prc_1", "prc_2", "prc_3"]))


async def test_a_key_that_is_forgotten_begins_a_new_process(log: RetiringLog) -> None:
    await settled(log)
    await retire(log)
    await log.retirement.purged(["prc_1"])
    await log.retirement.forget(ended_before_us=LATER, limit=10)
    assert await log.find("key of prc_1") is None
    again = replace(new("prc_2", key="key of prc_1"), owner=ME)
    row, created = await log.create(again)
    assert ("prc_2", True) == (row.process_id, created)


async def test_many_who_retire_at_once_retire_each_process_once(log: RetiringLog) -> None:
    for number in range(20):
        await settled(log, f"prc_{number:02}")
    counts = await asyncio.gather(*(retire(log, limit=7) for _ in range(4)))
    assert 20 == sum(counts)
    assert 20 == len(await log.retirement.find([f"prc_{number:02}" for number in range(20)]))
