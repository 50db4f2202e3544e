"""What keeps couriers safe, with and without: without it, its scenario goes wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.pool import PoolProxiedConnection

from chassis import faults
from chassis.database import Database
from delivery_svc import domain, store
from delivery_svc.couriers import COURIERS, CourierBook, OpenBook, OpenSqlBook, SqlCourierBook
from delivery_svc.domain import Delivery, Refused, State
from delivery_svc.requests import read_create
from tests.chassis.lost_answer import lost_answer
from tests.delivery_svc.harness.book import hire, loads
from tests.delivery_svc.harness.deliveries import create_request


def creation(delivery_id: str) -> store.Change:
    _, content = read_create(create_request(delivery_id))
    return store.Change(
        delivery_id=delivery_id,
        country_code="US",
        transition=lambda it, couriers: domain.create(it, delivery_id, content, couriers, 1),
    )


def cancellation(delivery_id: str) -> store.Change:
    return store.Change(
        delivery_id=delivery_id,
        country_code=None,
        transition=lambda it, couriers: domain.cancel(it, delivery_id, couriers, 2),
    )


def open_database(url: str) -> Database:
    return Database.open(url, name="delivery", migrations="delivery_svc.migrations")


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = open_database(database_url)
    yield database
    await database.close()


def employ(database: Database, *capacities: int) -> None:
    with database.engine.begin() as connection:
        hire(connection, "US", list(capacities))


async def answers(
    database: Database, *changes: store.Change, book: CourierBook | None = None
) -> list[State | BaseException | None]:
    """What each change is answered, all asked at once. None: there is no such delivery any more."""
    writer = store.open_writer(database.engine, store.table(), book or SqlCourierBook())
    await writer.start()
    try:
        told = await asyncio.gather(
            *(writer.submit(change) for change in changes), return_exceptions=True
        )
    finally:
        await writer.close()
    return [it.state if isinstance(it, Delivery) else it for it in told]


async def states(database: Database) -> dict[str, State]:
    query = "SELECT delivery_id, state FROM deliveries"
    rows = await database.read(lambda it: it.exec_driver_sql(query).all())
    return {row.delivery_id: State(row.state) for row in rows}


class OvertakenBook:
    """The first time it is opened it shows the couriers as they were before somebody else's commit.

    A database may do so that lets transactions read without taking a lock, as PostgreSQL does.
    """

    def __init__(self, before: sa.Connection) -> None:
        self._book = SqlCourierBook()
        self._before: sa.Connection | None = before

    def open(self, connection: sa.Connection, **needed: Any) -> OpenBook:
        before, self._before = self._before, None
        if before is None:
            return self._book.open(connection, **needed)
        # Who reads only cannot take a turn, nor wait for one.
        return self._book.open(before, **{**needed, "countries": ()})


class UnguardedBook(OvertakenBook):
    """Writes loads over whatever version there is."""

    def open(self, connection: sa.Connection, **needed: Any) -> OpenBook:
        opened = super().open(connection, **needed)
        assert isinstance(opened, OpenSqlBook)
        return Unguarded(opened)


class Unguarded:
    def __init__(self, opened: OpenSqlBook) -> None:
        self._opened = opened
        self._taken: list[str] = []

    def take(self, country_code: str) -> str | None:
        taken = self._opened.take(country_code)
        self._taken += [] if taken is None else [taken]
        return taken

    def free(self, courier_id: str) -> None:
        raise AssertionError(f"nobody frees {courier_id} here")

    def close(self, connection: sa.Connection) -> bool:
        for courier_id in self._taken:
            own = COURIERS.c.courier_id == courier_id
            connection.execute(COURIERS.update().where(own).values(load=1))
        return True


async def last_place(
    database: Database, book: Callable[[sa.Connection], CourierBook]
) -> list[State | BaseException | None]:
    """One process looks for a courier, another takes the last one, then the first goes on."""
    employ(database, 1)
    with database._read_engine.begin() as before:
        before.execute(sa.select(COURIERS)).all()
        assert [State.ASSIGNED] == await answers(database, creation("dlv_theirs"))
        return await answers(database, creation("dlv_ours"), book=book(before))


async def test_the_last_place_is_not_given_away_twice(database: Database) -> None:
    assert [State.REJECTED] == await last_place(database, OvertakenBook)
    assert {"crr_us_1": 1} == await loads(database, "US")


async def test_without_the_couriers_version_the_last_place_is_given_away_twice(
    database: Database,
) -> None:
    """Removes the mechanism: the test above would fail."""
    assert [State.ASSIGNED] == await last_place(database, UnguardedBook)


async def test_two_processes_on_one_book_never_overfill_a_courier(database_url: str) -> None:
    databases = [open_database(database_url) for _ in range(2)]
    employ(databases[0], 30, 20, 40)
    told = await asyncio.gather(
        *(
            answers(database, *(creation(f"dlv_{place}_{number}") for number in range(100)))
            for place, database in enumerate(databases)
        )
    )
    assert 90 == sum(each.count(State.ASSIGNED) for each in told)
    assert {"crr_us_1": 30, "crr_us_2": 20, "crr_us_3": 40} == await loads(databases[0], "US")
    for database in databases:
        await database.close()


class BrokenBook(SqlCourierBook):
    """Its loads cannot be written."""

    def open(self, connection: sa.Connection, **needed: Any) -> OpenSqlBook:
        opened = super().open(connection, **needed)
        opened.close = self.fail  # type: ignore[method-assign]
        return opened

    def fail(self, connection: sa.Connection) -> bool:
        raise ZeroDivisionError(connection)


async def test_a_delivery_is_not_written_without_the_load_of_its_courier(
    database: Database,
) -> None:
    employ(database, 5)
    told = await answers(database, creation("dlv_1"), creation("dlv_2"), book=BrokenBook())
    assert [faults.Defect, faults.Defect] == [type(it) for it in told]
    assert {} == await states(database)
    assert {"crr_us_1": 0} == await loads(database, "US")


async def test_a_commit_that_was_not_heard_of_takes_no_second_courier(database: Database) -> None:
    employ(database, 5, 5)
    real = database.engine.dialect.do_commit
    commits = 0

    def lose(connection: PoolProxiedConnection) -> None:
        nonlocal commits
        commits += 1
        real(connection)
        if commits == 1:
            raise lost_answer(connection)

    vars(database.engine.dialect)["do_commit"] = lose
    told = await answers(database, creation("dlv_1"), creation("dlv_2"))
    assert 2 == commits
    assert [State.ASSIGNED, State.ASSIGNED] == told
    assert {"crr_us_1": 1, "crr_us_2": 1} == await loads(database, "US")


async def test_in_one_batch_a_cancel_makes_room_for_what_comes_after_it(
    database: Database,
) -> None:
    employ(database, 1)
    await answers(database, creation("dlv_1"))
    told = await answers(
        database,
        creation("dlv_2"),
        cancellation("dlv_1"),
        creation("dlv_3"),
        cancellation("dlv_4"),
        creation("dlv_4"),
    )
    assert [State.REJECTED, State.CANCELLED, State.ASSIGNED, State.CANCELLED] == told[:4]
    assert isinstance(told[4], Refused)
    assert {"crr_us_1": 1} == await loads(database, "US")
