"""Two replicas reach for the same thing at the same moment."""

import asyncio
import threading
from typing import Any

import pytest
import sqlalchemy as sa

from chassis.storage_trouble import is_contended
from orchestrator.saga.events import CancelRequested
from orchestrator.saga_log.protocol import Fenced, Stale
from orchestrator.saga_log.sql_appends import APPEND_GUARDS
from orchestrator.saga_log.sql_flight import Flown, LogFlight
from orchestrator.saga_log.tables import PROCESSES
from tests.chassis.locks import until_one_waits
from tests.orchestrator.saga_log.conformance.processes import (
    BEGAN_NEXT,
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
from tests.orchestrator.saga_log_shared.conftest import OpenReplica
from tests.orchestrator.saga_log_sql.harness.troubled import TroubledLog, open_log

TIMEOUT_SECONDS = 20
WISH = CancelRequested(reason="", requested_by="", time_us=T0 + SECOND)


async def test_one_business_key_that_is_sent_to_both_is_one_process(
    one: TroubledLog, other: TroubledLog
) -> None:
    for number in range(20):
        key = f"request {number}"
        mine, theirs = new(f"prc_m{number}", key=key), new(f"prc_t{number}", key=key, owner=OTHER)
        (row, first), (again, second) = await asyncio.gather(one.create(mine), other.create(theirs))
        assert row == again
        assert [False, True] == sorted([first, second])


async def test_a_create_that_meets_another_one_in_the_midst_of_it_answers_with_that_one(
    one: TroubledLog, other: TroubledLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row of the one is there and not committed when the other adds its own: made certain."""
    added, met = threading.Event(), threading.Event()
    real = LogFlight.run

    def run(flight: LogFlight, *batch: Any) -> Flown:
        flown = real(flight, *batch)
        if not added.is_set():
            added.set()
            assert met.wait(TIMEOUT_SECONDS), "nobody came"
        return flown

    monkeypatch.setattr(LogFlight, "run", run)
    mine = asyncio.create_task(one.create(new("prc_m", key="k")))
    assert await asyncio.to_thread(added.wait, TIMEOUT_SECONDS)
    theirs = asyncio.create_task(other.create(new("prc_t", key="k", owner=OTHER)))
    await until_one_waits(one.database.engine)
    met.set()
    (row, is_new), (again, is_new_again) = await mine, await theirs
    assert ("prc_m", "prc_m") == (row.process_id, again.process_id)
    assert (True, False) == (is_new, is_new_again)
    assert 1 == len(await claimed(one, owner="survivor"))


async def test_of_claims_at_the_same_moment_each_process_goes_to_one(
    one: TroubledLog, other: TroubledLog
) -> None:
    await one.beat(ME, lease_seconds=600)
    await other.beat(OTHER, lease_seconds=600)
    for number in range(60):
        await one.create(new(f"prc_{number}", owner="dead"))
    found = await asyncio.gather(
        *(claimed(log, owner=owner, limit=7) for log, owner in ((one, ME), (other, OTHER)) * 5)
    )
    for log, owner in ((one, ME), (other, OTHER)):
        found.append(await claimed(log, owner=owner))
    taken = [process_id for ids in found for process_id in ids]
    assert 60 == len(taken) == len(set(taken))


async def test_a_claim_passes_over_what_somebody_holds_and_waits_for_nobody(
    one: TroubledLog, other: TroubledLog
) -> None:
    for process_id in ("prc_1", "prc_2"):
        await one.create(new(process_id, owner="dead"))
    with other.database.engine.connect() as holder:
        held = PROCESSES.c.process_id == "prc_1"
        holder.execute(sa.select(PROCESSES).where(held).with_for_update())
        assert ["prc_2"] == await claimed(one)
    assert ["prc_1"] == await claimed(one)


async def test_an_append_that_waited_for_a_claim_is_fenced(
    one: TroubledLog, other: TroubledLog
) -> None:
    """The owner is about to write when it is taken for dead: the claim commits first."""
    await one.create(new())
    with other.database.engine.begin() as claiming:
        claiming.execute(PROCESSES.update().values(owner=OTHER, epoch=PROCESSES.c.epoch + 1))
        writing = asyncio.create_task(one.append(append(ENDED, BEGAN_NEXT)))
        await asyncio.to_thread(until_somebody_waits_for_a_lock, other)
    with pytest.raises(Fenced):
        await writing
    assert 2 == (await stored(one)).row.revision


async def test_without_the_epoch_in_the_statement_the_append_gets_through(
    other: TroubledLog, postgres_url: str
) -> None:
    """Removes the mechanism: the test above would fail."""
    without = [guard for guard in APPEND_GUARDS if "epoch" not in str(guard)]
    assert len(APPEND_GUARDS) - 1 == len(without)
    async with open_log(postgres_url, guards=without) as unfenced:
        await unfenced.create(new())
        with other.database.engine.begin() as claiming:
            claiming.execute(PROCESSES.update().values(owner=OTHER, epoch=PROCESSES.c.epoch + 1))
            writing = asyncio.create_task(unfenced.append(append(ENDED, BEGAN_NEXT)))
            await asyncio.to_thread(until_somebody_waits_for_a_lock, other)
        assert 4 == await writing


async def test_a_cancel_by_another_replica_makes_the_owner_look_again(
    one: TroubledLog, other: TroubledLog
) -> None:
    await one.create(new())
    assert 3 == await other.append(append(WISH, epoch=None))
    with pytest.raises(Stale):
        await one.append(append(ENDED, BEGAN_NEXT))
    seen = await one.load("prc_1", after=2)
    assert seen is not None
    assert (WISH,) == seen.events


async def test_appends_and_cancels_across_each_other_never_wait_in_a_circle(
    replica: OpenReplica,
) -> None:
    """Each replica writes to its own processes and cancels those of the other, in one batch."""
    logs = [await replica(), await replica()]
    for number in range(40):
        await logs[number % 2].create(new(f"prc_{number:02}", owner=f"orc_{number % 2}"))

    async def busy(mine: int) -> list[int | BaseException]:
        log = logs[mine]
        return await asyncio.gather(
            *(
                log.append(append(ENDED, BEGAN_NEXT, process_id=f"prc_{number:02}"))
                if number % 2 == mine
                else log.append(append(WISH, epoch=None, process_id=f"prc_{number:02}"))
                # Each goes about it from the other end.
                for number in (range(40) if mine else reversed(range(40)))
            ),
            return_exceptions=True,
        )

    replies = [it for each in await asyncio.gather(busy(0), busy(1)) for it in each]
    assert 40 == sum(isinstance(it, int) for it in replies)
    assert 40 == sum(isinstance(it, Stale) for it in replies)
    assert all(log.database.health.well for log in logs)


async def test_one_miss_in_a_batch_has_nobody_wait_in_a_circle(
    one: TroubledLog, other: TroubledLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one of them misses, all go one by one: in the same order as all at once."""
    contests: list[bool] = []

    def contended(error: BaseException) -> bool:
        contests.append(is_contended(error))
        return contests[-1]

    monkeypatch.setattr("chassis.group_commit.is_contended", contended)
    ids = [f"prc_{number:02}" for number in range(40)]
    await asyncio.gather(*(one.create(new(process_id)) for process_id in (*ids, "prc_stale")))

    async def wishes(log: TroubledLog, in_order: list[str]) -> list[int | BaseException]:
        return await asyncio.gather(
            *(
                log.append(append(WISH, epoch=None, process_id=it, follows=1 if "s" in it else 2))
                for it in in_order
            ),
            return_exceptions=True,
        )

    replies = await asyncio.gather(
        wishes(one, [*ids, "prc_stale"]), wishes(other, ["prc_stale", *reversed(ids)])
    )
    # What both say word for word is there once, and a success to both.
    assert 80 == sum(isinstance(it, int) for each in replies for it in each)
    assert [] == [it for it in contests if it]


async def test_a_claim_offered_again_may_find_more_than_it_wanted_and_forgets_nothing(
    one: TroubledLog, other: TroubledLog
) -> None:
    """Its answer is lost, and meanwhile a create of which nobody had learned becomes visible."""
    await one.beat(ME, lease_seconds=600)
    await other.create(new("prc_dead", owner="dead"))
    one.doubt([("prc_late", 1)])
    loop = asyncio.get_running_loop()

    def appear() -> None:
        created = asyncio.run_coroutine_threadsafe(other.create(new("prc_late")), loop)
        created.result(TIMEOUT_SECONDS)

    one.commits.after = 1
    one.time.before_offer = appear
    assert ["prc_dead", "prc_late"] == await claimed(one, limit=1)


def until_somebody_waits_for_a_lock(log: TroubledLog) -> None:
    waiting = sa.text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    with log.database.engine.connect() as connection:
        while connection.scalar(waiting) == 0:
            connection.rollback()
