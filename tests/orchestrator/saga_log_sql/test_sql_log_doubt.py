"""What the SQL log makes of commits whose answer it never gets."""

import asyncio

import pytest

from chassis.faults import Unavailable
from orchestrator.saga.events import CancelRequested
from orchestrator.saga_log.protocol import Fenced
from tests.orchestrator.saga_log.conformance.processes import (
    BEGAN,
    BEGAN_NEXT,
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
from tests.orchestrator.saga_log_sql.harness.troubled import (
    TroubledLog,
    lose_the_answer_for_good,
    open_log,
)


async def test_a_create_whose_answer_was_lost_is_created(log: TroubledLog) -> None:
    log.commits.after = 1

    row, created = await log.create(new())

    assert (True, 2, ME, 1) == (created, row.revision, row.owner, row.epoch)
    assert (STARTED, BEGAN) == (await stored(log)).events
    assert [] == await claimed(log)


async def test_an_append_whose_answer_was_lost_is_there_once(log: TroubledLog) -> None:
    await log.create(new())
    log.commits.after = 1

    assert 4 == await log.append(append(ENDED, BEGAN_NEXT))

    assert (STARTED, BEGAN, ENDED, BEGAN_NEXT) == (await stored(log)).events


async def test_an_append_by_sequence_alone_whose_answer_was_lost_is_there_once(
    log: TroubledLog,
) -> None:
    await log.create(new())
    wish = CancelRequested(reason="", requested_by="", time_us=T0 + SECOND)
    log.commits.after = 1

    assert 3 == await log.append(append(wish, epoch=None))

    assert (STARTED, BEGAN, wish) == (await stored(log)).events


async def test_a_claim_whose_answer_was_lost_still_tells_what_it_claimed(
    log: TroubledLog,
) -> None:
    await log.create(new("prc_1", owner=OTHER))
    await log.create(new("prc_2", owner=OTHER))
    log.commits.after = 1

    assert ["prc_1", "prc_2"] == await claimed(log)

    assert [] == await claimed(log)


async def test_a_claim_never_takes_more_than_its_limit_however_often_it_is_offered(
    log: TroubledLog,
) -> None:
    for number in range(10):
        await log.create(new(f"prc_{number}", owner=OTHER))
    log.commits.after = 3

    found = await log.claim(owner=ME, now_us=T0, limit=4)

    assert 4 == len(found)
    assert list(found) == [await stored(log, process.row.process_id) for process in found]


async def test_a_whole_batch_whose_answer_was_lost_is_there_once(log: TroubledLog) -> None:
    ids = [f"prc_{number}" for number in range(20)]
    await asyncio.gather(*(log.create(new(process_id)) for process_id in ids[:10]))
    log.commits.after = 1

    created, appended = await asyncio.gather(
        asyncio.gather(*(log.create(new(process_id)) for process_id in ids[10:])),
        asyncio.gather(*(log.append(append(ENDED, process_id=it)) for it in ids[:10])),
    )

    assert [True] * 10 == [it for _, it in created]
    assert [3] * 10 == list(appended)


async def test_a_commit_that_fails_is_made_again(log: TroubledLog) -> None:
    log.commits.before = 3

    _, created = await log.create(new())

    assert created
    assert (STARTED, BEGAN) == (await stored(log)).events


async def test_a_database_that_stays_away_is_unavailable(log: TroubledLog) -> None:
    log.commits.stay_away()

    with pytest.raises(Unavailable) as raised:
        await log.create(new())

    assert "LOG_UNAVAILABLE" == raised.value.reason


async def test_a_create_of_which_nobody_learned_is_claimed(log: TroubledLog) -> None:
    lose_the_answer_for_good(log)
    with pytest.raises(Unavailable):
        await log.create(new())

    due_us = await log.next_due_us(ME)
    [process] = await log.claim(owner=ME, now_us=T0, limit=100)

    assert 0 == due_us
    assert (ME, 2) == (process.row.owner, process.row.epoch)
    assert (STARTED, BEGAN) == process.events
    assert [] == await claimed(log)
    assert await log.next_due_us(ME) is None


async def test_what_was_in_doubt_and_is_claimed_fences_off_whoever_thought_he_owned_it(
    log: TroubledLog,
) -> None:
    lose_the_answer_for_good(log)
    with pytest.raises(Unavailable):
        await log.create(new())
    await claimed(log)

    with pytest.raises(Fenced):
        await log.append(append(ENDED, epoch=1))


async def test_a_create_that_was_never_stored_is_looked_for_once_and_forgotten(
    log: TroubledLog,
) -> None:
    log.commits.stay_away()
    with pytest.raises(Unavailable):
        await log.create(new())
    log.commits.come_back()

    assert 0 == await log.next_due_us(ME)
    assert [] == await claimed(log)
    assert await log.next_due_us(ME) is None


async def test_a_create_of_which_nobody_learned_may_be_offered_again(log: TroubledLog) -> None:
    lose_the_answer_for_good(log)
    with pytest.raises(Unavailable):
        await log.create(new())

    row, created = await log.create(new())

    assert (True, 1) == (created, row.epoch)


async def test_a_claim_of_which_nobody_learned_is_claimed_again(log: TroubledLog) -> None:
    await log.create(new("prc_1", owner=OTHER))
    lose_the_answer_for_good(log)
    with pytest.raises(Unavailable):
        await log.claim(owner=ME, now_us=T0, limit=100)

    [process] = await log.claim(owner=ME, now_us=T0, limit=100)

    assert (ME, 3) == (process.row.owner, process.row.epoch)


async def test_more_in_doubt_than_one_claim_takes_is_claimed_by_the_next_ones(
    log: TroubledLog,
) -> None:
    lose_the_answer_for_good(log)
    made = await asyncio.gather(
        *(log.create(new(f"prc_{number}")) for number in range(7)), return_exceptions=True
    )

    found = [await claimed(log, limit=3) for _ in range(4)]

    assert all(isinstance(it, Unavailable) for it in made)
    assert [f"prc_{number}" for number in range(7)] == sorted(it for ids in found for it in ids)


async def test_an_append_of_which_nobody_learned_may_be_offered_again(log: TroubledLog) -> None:
    await log.create(new())
    lose_the_answer_for_good(log)
    with pytest.raises(Unavailable):
        await log.append(append(ENDED))

    assert 3 == await log.append(append(ENDED))

    assert (STARTED, BEGAN, ENDED) == (await stored(log)).events


async def test_a_create_whose_caller_left_is_stored_and_claimed(log: TroubledLog) -> None:
    task = asyncio.ensure_future(log.create(new()))
    # One step of the loop: the create is submitted, and nobody has answered it yet.
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ["prc_1"] == await claimed(log)


async def test_a_server_that_ended_the_session_is_asked_again_on_another(postgres_url: str) -> None:
    async with open_log(postgres_url) as log:
        await log.create(new("prc_1"))
        with log.database.engine.begin() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND usename = current_user"
                " AND application_name = 'oms-orchestrator'"
            )
        created, revision = await asyncio.gather(
            log.create(new("prc_2")), log.append(append(ENDED))
        )
        assert (True, 3) == (created[1], revision)
        assert (STARTED, BEGAN, ENDED) == (await stored(log)).events
