"""What is written to a log: created, appended, fenced off."""

import asyncio
from dataclasses import replace

import pytest

from orchestrator.saga.code import Code
from orchestrator.saga.events import (
    CancelRequested,
    Parked,
)
from orchestrator.saga.state import Phase
from orchestrator.saga_log.protocol import (
    Fenced,
    ProcessRow,
    SagaLog,
    Stale,
    StoredProcess,
)
from tests.orchestrator.saga_log.conformance.processes import (
    BEGAN,
    BEGAN_NEXT,
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


async def test_what_is_created_is_there(log: SagaLog) -> None:
    row, created = await log.create(new())
    assert created
    expected = ProcessRow(
        process_id="prc_1",
        business_key="key of prc_1",
        fingerprint="f1",
        subject="Ada",
        phase=Phase.RUNNING,
        revision=2,
        epoch=1,
        owner=ME,
        due_time_us=T0,
        create_time_us=T0,
        update_time_us=T0,
        end_time_us=None,
    )
    assert expected == row
    assert StoredProcess(row=expected, events=(STARTED, BEGAN)) == await log.load("prc_1")
    assert expected == await log.find("key of prc_1")


async def test_what_is_not_there_is_not_found(log: SagaLog) -> None:
    assert await log.load("prc_1") is None
    assert await log.find("key of prc_1") is None


async def test_a_business_key_begins_one_process(log: SagaLog) -> None:
    first, _ = await log.create(new("prc_1", key="k"))
    again, created = await log.create(replace(new("prc_2", key="k"), fingerprint="f2"))
    assert not created
    assert first == again
    assert await log.load("prc_2") is None


async def test_a_create_offered_twice_is_created(log: SagaLog) -> None:
    await log.create(new())
    row, created = await log.create(new())
    assert created
    assert 2 == row.revision
    assert (STARTED, BEGAN) == (await stored(log)).events


async def test_of_many_creates_of_one_key_at_once_one_creates(log: SagaLog) -> None:
    made = await asyncio.gather(
        *(log.create(new(f"prc_{number}", key="k")) for number in range(50))
    )
    assert 1 == sum(created for _, created in made)
    assert 1 == len({row.process_id for row, _ in made})


async def test_an_append_moves_the_row_and_the_history_on(log: SagaLog) -> None:
    await log.create(new())
    assert 4 == await log.append(append(ENDED, BEGAN_NEXT))
    process = await stored(log)
    assert (STARTED, BEGAN, ENDED, BEGAN_NEXT) == process.events
    row = process.row
    assert (4, Phase.RUNNING, ME, 1) == (row.revision, row.phase, row.owner, row.epoch)
    assert (T0, T0 + SECOND) == (row.create_time_us, row.update_time_us)


async def test_what_is_run_from_step_to_step_stays_due_since_it_was(log: SagaLog) -> None:
    await log.create(new())
    await log.append(append(ENDED, due_time_us=T0 + SECOND))
    assert T0 == (await stored(log)).row.due_time_us
    await log.append(append(BEGAN_NEXT, follows=3, due_time_us=T0 + 9 * SECOND))
    assert T0 + 9 * SECOND == (await stored(log)).row.due_time_us
    late = T0 + 20 * SECOND
    await log.append(append(ENDED, follows=4, due_time_us=late, time_us=late))
    assert T0 + 9 * SECOND == (await stored(log)).row.due_time_us
    await log.append(append(ENDED, follows=5, release=True, due_time_us=T0 + SECOND))
    assert T0 + SECOND == (await stored(log)).row.due_time_us


async def test_an_append_that_follows_an_old_revision_is_stale(log: SagaLog) -> None:
    await log.create(new())
    await log.append(append(ENDED))
    before = await stored(log)
    with pytest.raises(Stale):
        await log.append(append(replace(ENDED, code=Code.ABORTED), BEGAN_NEXT))
    assert before == await stored(log)


async def test_an_append_that_follows_a_revision_to_come_is_stale(log: SagaLog) -> None:
    await log.create(new())
    with pytest.raises(Stale):
        await log.append(append(ENDED, follows=3))
    assert (STARTED, BEGAN) == (await stored(log)).events


async def test_an_append_to_a_process_that_is_not_there_is_stale(log: SagaLog) -> None:
    with pytest.raises(Stale):
        await log.append(append(ENDED))


async def test_an_append_offered_twice_is_there_once(log: SagaLog) -> None:
    await log.create(new())
    assert 4 == await log.append(append(ENDED, BEGAN_NEXT))
    assert 4 == await log.append(append(ENDED, BEGAN_NEXT))
    assert (STARTED, BEGAN, ENDED, BEGAN_NEXT) == (await stored(log)).events


async def test_an_append_offered_again_after_another_went_on_is_still_there(log: SagaLog) -> None:
    await log.create(new())
    await log.append(append(ENDED))
    await log.append(append(BEGAN_NEXT, follows=3))
    assert 3 == await log.append(append(ENDED))
    assert 4 == (await stored(log)).row.revision


async def test_an_append_offered_again_with_more_in_it_is_stale(log: SagaLog) -> None:
    await log.create(new())
    await log.append(append(ENDED))
    with pytest.raises(Stale):
        await log.append(append(ENDED, BEGAN_NEXT))


async def test_of_many_appends_that_follow_one_revision_one_is_written(log: SagaLog) -> None:
    await log.create(new())
    offers = [append(replace(ENDED, message=f"I am {number}")) for number in range(20)]
    replies = await asyncio.gather(*(log.append(offer) for offer in offers), return_exceptions=True)
    assert 1 == replies.count(3)
    assert 19 == sum(isinstance(reply, Stale) for reply in replies)
    assert 3 == len((await stored(log)).events)


async def test_appends_to_many_processes_at_once_do_not_disturb_one_another(log: SagaLog) -> None:
    ids = [f"prc_{number}" for number in range(30)]
    await asyncio.gather(*(log.create(new(process_id)) for process_id in ids))
    # Every third follows what is not there, every fifth comes from an owner of long ago.
    follows = {process_id: 9 if place % 3 == 0 else 2 for place, process_id in enumerate(ids)}
    epochs = {process_id: 7 if place % 5 == 0 else 1 for place, process_id in enumerate(ids)}
    replies = await asyncio.gather(
        *(
            log.append(
                append(
                    ENDED,
                    process_id=process_id,
                    follows=follows[process_id],
                    epoch=epochs[process_id],
                )
            )
            for process_id in ids
        ),
        return_exceptions=True,
    )
    expected = [
        Fenced if epochs[process_id] == 7 else Stale if follows[process_id] == 9 else int
        for process_id in ids
    ]
    assert expected == [type(reply) for reply in replies]
    revisions = [(await stored(log, process_id)).row.revision for process_id in ids]
    assert [3 if kind is int else 2 for kind in expected] == revisions


async def test_what_settles_is_owned_by_nobody_and_never_due(log: SagaLog) -> None:
    await log.create(new())
    await log.append(append(ENDED, COMPLETED, phase=Phase.COMPLETED))
    row = (await stored(log)).row
    assert (Phase.COMPLETED, None, None, T0 + SECOND) == (
        row.phase,
        row.owner,
        row.due_time_us,
        row.end_time_us,
    )
    assert [] == await claimed(log, owner=OTHER, now_us=T0 + 10**12)


async def test_what_is_parked_is_owned_by_nobody_never_due_and_not_at_its_end(log: SagaLog) -> None:
    await log.create(new())
    parked = Parked(
        action="", code_name="", reason="UNKNOWN_DEFINITION", message="", time_us=T0 + SECOND
    )
    await log.append(append(parked, phase=Phase.PARKED))
    row = (await stored(log)).row
    assert (Phase.PARKED, None, None, None) == (
        row.phase,
        row.owner,
        row.due_time_us,
        row.end_time_us,
    )
    assert [] == await claimed(log, owner=OTHER, now_us=T0 + 10**12)


async def test_who_proves_another_epoch_is_fenced_and_writes_nothing(log: SagaLog) -> None:
    await log.create(new())
    assert ["prc_1"] == await claimed(log, owner=OTHER)
    before = await stored(log)
    with pytest.raises(Fenced):
        await log.append(append(ENDED))
    with pytest.raises(Fenced):
        await log.append(append(ENDED, epoch=3))
    assert before == await stored(log)
    assert 3 == await log.append(append(ENDED, epoch=2))


async def test_who_is_both_fenced_and_stale_is_fenced(log: SagaLog) -> None:
    await log.create(new())
    await claimed(log, owner=OTHER)
    await log.append(append(ENDED, epoch=2))
    with pytest.raises(Fenced):
        await log.append(append(ENDED))


async def test_who_is_not_the_owner_appends_by_sequence_alone(log: SagaLog) -> None:
    await log.create(new())
    wish = CancelRequested(reason="", requested_by="Ada", time_us=T0 + SECOND)
    assert 3 == await log.append(append(wish, epoch=None))
    row = (await stored(log)).row
    assert (ME, 1) == (row.owner, row.epoch)
    with pytest.raises(Stale):
        await log.append(append(ENDED))
    with pytest.raises(Stale):
        await log.append(append(replace(wish, reason="another"), epoch=None))
