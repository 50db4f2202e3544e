"""Several delivery services on one PostgreSQL: they take turns on the couriers of a country."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from chassis.database import Database
from chassis.group_commit import BatchWriter
from delivery_svc import domain, store
from delivery_svc.couriers import COURIERS, OpenSqlBook, SqlCourierBook
from delivery_svc.domain import Delivery, State
from delivery_svc.requests import read_create
from tests.chassis.locks import until_one_waits
from tests.delivery_svc.harness.book import hire, loads
from tests.delivery_svc.harness.deliveries import create_request

COUNTRIES = ("DE", "FR", "US")


def open_database(url: str) -> Database:
    return Database.open(url, name="delivery", migrations="delivery_svc.migrations")


@asynccontextmanager
async def replicas(url: str, count: int) -> AsyncIterator[list[Database]]:
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(count):
            opened.append(open_database(url))
            stack.push_async_callback(opened[-1].close)
        yield opened


def creation(delivery_id: str, country_code: str) -> store.Change:
    _, content = read_create(create_request(delivery_id, country_code=country_code))
    return store.Change(
        delivery_id=delivery_id,
        country_code=country_code,
        transition=lambda it, couriers: domain.create(it, delivery_id, content, couriers, 1),
    )


def cancellation(delivery_id: str) -> store.Change:
    return store.Change(
        delivery_id=delivery_id,
        country_code=None,
        transition=lambda it, couriers: domain.cancel(it, delivery_id, couriers, 2),
    )


class Pushing(SqlCourierBook):
    """A book that nobody waits for: only the versions are left."""

    def _take_turn(self, connection: sa.Connection, countries: Sequence[str]) -> None:
        pass


def take_one(book: SqlCourierBook, connection: sa.Connection) -> tuple[OpenSqlBook, str | None]:
    opened = book.open(connection, countries={"US"}, wanted={"US": 1}, courier_ids=())
    return opened, opened.take("US")


async def second_of_two(url: str, book: SqlCourierBook) -> tuple[str | None, bool]:
    """Whom the second of two transactions takes that are open at once, and whether it is written.

    The first has taken somebody, and commits when the second cannot go on without that.
    """
    async with replicas(url, 2) as (one, other):
        with one.engine.begin() as connection:
            hire(connection, "US", [1, 1])

        def second() -> tuple[str | None, bool]:
            with other.engine.begin() as connection:
                opened, courier_id = take_one(book, connection)
                return courier_id, opened.close(connection)

        with one.engine.begin() as connection:
            opened, courier_id = take_one(book, connection)
            assert "crr_us_1" == courier_id
            assert opened.close(connection)
            waiting = asyncio.create_task(asyncio.to_thread(second))
            await until_one_waits(one.engine)
        return await waiting


async def test_who_waits_for_its_turn_reads_what_the_one_before_has_left(postgres_url: str) -> None:
    assert ("crr_us_2", True) == await second_of_two(postgres_url, SqlCourierBook())


async def test_without_turns_the_second_has_worked_in_vain(postgres_url: str) -> None:
    """Removes the mechanism: the test above would fail."""
    assert ("crr_us_1", False) == await second_of_two(postgres_url, Pushing())


async def test_a_turn_is_about_the_countries_of_a_batch_alone(postgres_url: str) -> None:
    async with replicas(postgres_url, 2) as (one, other):
        with one.engine.begin() as connection:
            for country_code in COUNTRIES:
                hire(connection, country_code, [1])
        with one.engine.begin() as connection, other.engine.begin() as beside:
            SqlCourierBook().open(connection, countries=("DE", "FR"), wanted={}, courier_ids=())
            opened, _ = take_one(SqlCourierBook(), beside)
            assert opened.close(beside)


class Watch:
    """Counts the transactions that were of no use."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.in_vain: Counter[str] = Counter()
        once = BatchWriter._once

        def watched(writer: BatchWriter[Any, Any], commands: Sequence[Any]) -> Any:
            try:
                return once(writer, commands)
            except Exception as error:
                self.in_vain[type(error).__name__] += 1
                raise

        monkeypatch.setattr(BatchWriter, "_once", watched)


async def submit_all(
    databases: Sequence[Database], changes: Sequence[Sequence[store.Change]]
) -> list[Delivery]:
    """Each replica is asked for its share, all at once."""
    writers = [store.open_writer(it.engine, store.table(), SqlCourierBook()) for it in databases]
    for writer in writers:
        await writer.start()
    told = await asyncio.gather(
        *(
            writer.submit(change)
            for writer, share in zip(writers, changes, strict=True)
            for change in share
        )
    )
    for writer in writers:
        await writer.close()
    return [it for it in told if it is not None]


def assigned(deliveries: Collection[Delivery]) -> Counter[str]:
    return Counter(it.courier_id for it in deliveries if it.courier_id is not None)


async def all_loads(database: Database) -> dict[str, int]:
    return {
        courier_id: load
        for country_code in COUNTRIES
        for courier_id, load in (await loads(database, country_code)).items()
    }


async def test_thousands_at_once_on_three_replicas_add_up_and_none_is_decided_twice(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, random = Watch(monkeypatch), Random(7)  # noqa: S311 - the same in every run
    async with replicas(postgres_url, 3) as databases:
        with databases[0].engine.begin() as connection:
            for country_code in COUNTRIES:
                hire(connection, country_code, [10_000] * 4)
        ids = [[f"dlv_{place}_{number}" for number in range(800)] for place in range(3)]
        made = await submit_all(
            databases, [[creation(it, random.choice(COUNTRIES)) for it in share] for share in ids]
        )
        assert assigned(made) == await all_loads(databases[0])
        for country_code in COUNTRIES:
            of_country = (await loads(databases[0], country_code)).values()
            assert max(of_country) - min(of_country) <= 1, "always the least loaded"

        # Each cancels what others have made, and makes more meanwhile.
        gone = {it for share in ids for it in share[::2]}
        changes = [
            [cancellation(it) for it in share[::2]]
            + [creation(f"{it}_more", random.choice(COUNTRIES)) for it in share[::4]]
            for share in (*ids[1:], ids[0])
        ]
        for share in changes:
            random.shuffle(share)
        more = [it for it in await submit_all(databases, changes) if it.delivery_id not in gone]
        left = [it for it in made if it.delivery_id not in gone]
        assert assigned([*left, *more]) == await all_loads(databases[0])
    assert Counter() == watch.in_vain


async def test_with_room_for_few_exactly_those_are_assigned(postgres_url: str) -> None:
    async with replicas(postgres_url, 3) as databases:
        with databases[0].engine.begin() as connection:
            hire(connection, "US", [30, 20, 40])
        made = await submit_all(
            databases,
            [[creation(f"dlv_{place}_{it}", "US") for it in range(100)] for place in range(3)],
        )
        expected = {"crr_us_1": 30, "crr_us_2": 20, "crr_us_3": 40}
        assert expected == assigned(made)
        assert expected == await loads(databases[0], "US")


def occupy(connection: sa.Connection, courier_id: str) -> None:
    connection.execute(
        COURIERS.update().where(COURIERS.c.courier_id == courier_id).values(load=1, version=2)
    )


async def test_a_book_that_is_edited_meanwhile_is_read_again(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who edits by hand takes no turn: the versions are there for that."""
    watch = Watch(monkeypatch)
    async with replicas(postgres_url, 1) as (database,):
        with database.engine.begin() as connection:
            hire(connection, "US", [1, 1])
            occupy(connection, "crr_us_1")
        read, edited = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        class Overtaken(SqlCourierBook):
            def open(self, connection: sa.Connection, **needed: Any) -> OpenSqlBook:
                opened = super().open(connection, **needed)
                if not read.is_set():
                    loop.call_soon_threadsafe(read.set)
                    asyncio.run_coroutine_threadsafe(edited.wait(), loop).result()
                return opened

        writer = store.open_writer(database.engine, store.table(), Overtaken())
        await writer.start()
        creating = asyncio.ensure_future(writer.submit(creation("dlv_1", "US")))
        await read.wait()
        with database.engine.begin() as connection:
            # Not the first one: who takes a turn holds that.
            occupy(connection, "crr_us_2")
        edited.set()
        made = await creating
        await writer.close()
        assert made is not None
        assert State.REJECTED is made.state
    assert Counter(Missed=1) == watch.in_vain
