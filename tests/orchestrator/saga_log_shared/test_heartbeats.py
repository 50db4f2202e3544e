"""Who is alive keeps what it owns; time is the database's."""

from collections.abc import Sequence

import pytest
import sqlalchemy as sa

from orchestrator.saga_log.pulse import Pulse
from orchestrator.saga_log.sql import SqlSagaLog
from orchestrator.saga_log.tables import REPLICAS
from tests.orchestrator.saga_log.conformance.processes import ME, OTHER, T0, claimed, new
from tests.orchestrator.saga_log_sql.harness.troubled import TroubledLog

LONG_SECONDS = 600.0
FAR_US = T0 + 10**15


def lapse(log: TroubledLog, owner: str) -> None:
    """The lease of an owner is over, as if that much time had passed."""
    with log.database.engine.begin() as connection:
        hit = connection.execute(
            REPLICAS.update().where(REPLICAS.c.owner == owner).values(expire_time_us=1)
        )
        assert 1 == hit.rowcount


async def test_what_somebody_alive_owns_is_not_claimed_however_long_it_is_due(
    one: TroubledLog, other: TroubledLog
) -> None:
    await one.beat(ME, lease_seconds=LONG_SECONDS)
    await one.create(new())
    assert [] == await claimed(other, owner=OTHER, now_us=FAR_US)
    assert await other.next_due_us(OTHER) is None


async def test_what_the_dead_owned_is_claimed_under_a_new_epoch(
    one: TroubledLog, other: TroubledLog
) -> None:
    await one.beat(ME, lease_seconds=LONG_SECONDS)
    await one.create(new())
    lapse(one, ME)
    assert 0 == await other.next_due_us(OTHER)
    [process] = await other.claim(owner=OTHER, now_us=T0, limit=10)
    assert (OTHER, 2) == (process.row.owner, process.row.epoch)


async def test_who_takes_its_heartbeat_back_is_dead_at_once(
    one: TroubledLog, other: TroubledLog
) -> None:
    await one.beat(ME, lease_seconds=LONG_SECONDS)
    await one.create(new())
    await one.beat(ME, lease_seconds=0)
    assert ["prc_1"] == await claimed(other, owner=OTHER)


async def test_who_was_taken_for_dead_and_comes_back_keeps_what_nobody_claimed(
    one: TroubledLog, other: TroubledLog
) -> None:
    await one.beat(ME, lease_seconds=LONG_SECONDS)
    await one.create(new())
    lapse(one, ME)
    await one.beat(ME, lease_seconds=LONG_SECONDS)
    assert [] == await claimed(other, owner=OTHER)


class MovableTime:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def back_after_an_outage(
    one: TroubledLog, other: TroubledLog, time: MovableTime
) -> list[list[str]]:
    """Everybody's lease has lapsed, and one is there first; what it claims then and later."""
    other._pulse = Pulse(time)
    await one.beat(ME, lease_seconds=LONG_SECONDS)
    await other.beat(OTHER, lease_seconds=LONG_SECONDS)
    await one.create(new())
    for owner in (ME, OTHER):
        lapse(one, owner)
    time.now += LONG_SECONDS + 1
    found = [await claimed(other, owner=OTHER)]
    for _ in range(2):
        await other.beat(OTHER, lease_seconds=LONG_SECONDS)
        found.append(await claimed(other, owner=OTHER))
        time.now += LONG_SECONDS - 1
    await other.beat(OTHER, lease_seconds=LONG_SECONDS)
    return [*found, await claimed(other, owner=OTHER)]


async def test_who_is_back_first_after_an_outage_gives_the_others_a_lease_to_come_back(
    one: TroubledLog, other: TroubledLog
) -> None:
    assert [[], [], [], ["prc_1"]] == await back_after_an_outage(one, other, MovableTime())


async def test_without_that_the_living_lose_what_they_run(
    one: TroubledLog, other: TroubledLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removes the mechanism: the test above would fail."""
    monkeypatch.setattr(Pulse, "steady", True)
    found = await back_after_an_outage(one, other, MovableTime())
    assert ["prc_1"] == found[0]


async def test_what_nobody_owns_is_claimed_in_the_meantime(
    one: TroubledLog, other: TroubledLog
) -> None:
    time = MovableTime()
    other._pulse = Pulse(time)
    await other.beat(OTHER, lease_seconds=LONG_SECONDS)
    await one.create(new())
    await one.release(process_id="prc_1", epoch=1, due_time_us=T0)
    time.now += LONG_SECONDS + 1
    assert T0 == await other.next_due_us(OTHER)
    assert ["prc_1"] == await claimed(other, owner=OTHER)


async def test_a_lease_is_measured_by_the_clock_of_the_database(
    one: TroubledLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a replica believes the time to be does not come into it.
    monkeypatch.setattr("time.time", lambda: 0.0)
    monkeypatch.setattr("time.time_ns", lambda: 0)
    await one.beat(ME, lease_seconds=7)
    with one.database.engine.connect() as connection:
        [(begin_us, expire_us)] = connection.execute(
            sa.select(REPLICAS.c.begin_time_us, REPLICAS.c.expire_time_us)
        )
    assert 7_000_000 <= expire_us - begin_us < 8_000_000
    assert begin_us > T0


async def test_a_replica_has_one_row_however_often_it_beats_and_old_ones_are_forgotten(
    one: TroubledLog,
) -> None:
    await one.beat("long gone", lease_seconds=1)
    lapse(one, "long gone")
    for _ in range(3):
        await one.beat(ME, lease_seconds=LONG_SECONDS)
    with one.database.engine.connect() as connection:
        assert [ME] == list(connection.scalars(sa.select(REPLICAS.c.owner)))


async def test_of_many_owners_only_the_dead_are_looked_through(
    one: TroubledLog, other: TroubledLog
) -> None:
    owners = [f"orc_{number}" for number in range(6)]
    for number, owner in enumerate(owners):
        await one.beat(owner, lease_seconds=LONG_SECONDS)
        for copy in range(3):
            await one.create(new(f"prc_{number}_{copy}", owner=owner))
    for owner in (owners[1], owners[4]):
        lapse(one, owner)
    found: list[str] = []
    while ids := await claimed(other, owner="survivor", limit=4):
        found += ids
    assert sorted(f"prc_{number}_{copy}" for number in (1, 4) for copy in range(3)) == sorted(found)


@pytest.mark.parametrize(
    ("newest", "expected"),
    [
        ({"journey": 3}, ["prc_1"]),
        ({"journey": 4}, ["prc_1"]),
        ({"journey": 2}, []),
        ({"voyage": 9}, []),
        ({"voyage": 9, "journey": 3}, ["prc_1"]),
    ],
)
async def test_what_runs_on_a_definition_not_known_here_is_left_to_those_who_know_it(
    one: TroubledLog, postgres_url: str, newest: dict[str, int], expected: Sequence[str]
) -> None:
    await one.create(new(owner="dead"))
    await one.create(new("prc_2"))
    await one.release(process_id="prc_2", epoch=1, due_time_us=T0)
    older = await SqlSagaLog.open(postgres_url, newest=newest)
    due = await older.next_due_us(OTHER)
    found = await claimed(older, owner=OTHER)
    await older.close()
    assert [*expected, "prc_2"] == found if expected else found == []
    assert (0 if expected else None) == due
