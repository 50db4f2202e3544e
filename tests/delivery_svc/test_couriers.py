"""The courier book: who is taken, who is freed, and who is in it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.database import Database
from chassis.validation import country_codes
from delivery_svc.couriers import (
    COURIERS,
    PER_COUNTRY,
    Courier,
    OpenSqlBook,
    SqlCourierBook,
    made_up_couriers,
)
from tests.chassis.locks import until_one_waits
from tests.delivery_svc.harness.book import hire, loads


@pytest_asyncio.fixture
async def empty(database_url: str) -> AsyncIterator[Database]:
    """A database whose courier book was never filled."""
    database = Database.open(database_url, name="delivery", migrations="delivery_svc.migrations")
    yield database
    await database.close()


def fill(database: Database, capacity: int = 5) -> bool:
    with database.engine.begin() as connection:
        return SqlCourierBook().fill(connection, capacity=capacity, now_us=1)


def couriers_of(connection: sa.Connection) -> list[Courier]:
    rows = connection.execute(sa.select(COURIERS).order_by(COURIERS.c.courier_id))
    return [Courier(**row) for row in rows.mappings()]


async def test_every_country_but_antarctica_has_couriers(empty: Database) -> None:
    assert fill(empty, capacity=7)
    couriers = await empty.read(couriers_of)
    countries = Counter(it.country_code for it in couriers)
    assert dict.fromkeys(country_codes() - {"AQ"}, PER_COUNTRY) == countries
    assert {(7, 0, 1)} == {(it.capacity, it.load, it.version) for it in couriers}
    assert sorted(made_up_couriers(7), key=lambda it: it.courier_id) == couriers


async def test_the_book_is_filled_once(empty: Database) -> None:
    assert fill(empty, capacity=7)
    with empty.engine.begin() as connection:
        hire(connection, "US", [3])
        connection.execute(COURIERS.delete().where(COURIERS.c.country_code == "DE"))
    before = await empty.read(couriers_of)
    assert not fill(empty, capacity=9)
    assert before == await empty.read(couriers_of)


async def test_of_processes_that_start_together_one_fills_the_book(
    empty: Database, database_url: str
) -> None:
    other = Database.open(database_url, name="delivery", migrations="delivery_svc.migrations")
    with empty.engine.begin() as connection:
        assert SqlCourierBook().fill(connection, capacity=7, now_us=1)
        second = asyncio.create_task(asyncio.to_thread(fill, other, 9))
        # It has looked and found nothing, or waits for its turn to look; either way it is told.
        await until_one_waits(other.engine)
    assert not await second
    assert {7} == {it.capacity for it in await other.read(couriers_of)}
    await other.close()


async def test_a_book_that_was_emptied_stays_empty(empty: Database) -> None:
    fill(empty)
    with empty.engine.begin() as connection:
        connection.execute(COURIERS.delete())
    assert not fill(empty)
    assert [] == await empty.read(couriers_of)


async def test_the_least_loaded_is_taken_and_of_equals_the_first_by_id(database: Database) -> None:
    with database.engine.begin() as connection:
        hire(connection, "FR", [3, 1, 2])
        book = SqlCourierBook().open(connection, countries=(), wanted={"FR": 9}, courier_ids=())
        taken = [book.take("FR") for _ in range(8)]
        assert book.close(connection)
    order = [1, 2, 3, 1, 3, 1]
    assert [*(f"crr_fr_{number}" for number in order), None, None] == taken
    assert {"crr_fr_1": 3, "crr_fr_2": 1, "crr_fr_3": 2} == await loads(database, "FR")


async def test_who_is_freed_can_be_taken_again_in_the_same_batch(database: Database) -> None:
    with database.engine.begin() as connection:
        hire(connection, "IT", [1, 1], load=1)
        book = SqlCourierBook().open(
            connection, countries=(), wanted={"IT": 3}, courier_ids={"crr_it_2"}
        )
        assert book.take("IT") is None
        book.free("crr_it_2")
        assert "crr_it_2" == book.take("IT")
        assert book.take("IT") is None
        assert book.close(connection)
    assert {"crr_it_1": 1, "crr_it_2": 1} == await loads(database, "IT")


async def test_no_more_couriers_are_read_than_can_be_taken(database: Database) -> None:
    with database.engine.begin() as connection:
        hire(connection, "ES", [5] * 40)
        book = SqlCourierBook().open(connection, countries=(), wanted={"ES": 2}, courier_ids=())
        assert isinstance(book, OpenSqlBook)
        assert 2 == len(book)
        assert ["crr_es_1", "crr_es_10"] == [book.take("ES"), book.take("ES")]


async def test_nobody_is_taken_abroad(database: Database) -> None:
    with database.engine.begin() as connection:
        book = SqlCourierBook().open(
            connection, countries=(), wanted={"AQ": 1, "US": 1}, courier_ids=()
        )
        assert book.take("AQ") is None
        assert book.take("DE") is None
        assert "crr_us_1" == book.take("US")


async def test_who_left_the_book_needs_no_freeing(database: Database) -> None:
    with database.engine.begin() as connection:
        book = SqlCourierBook().open(connection, countries=(), wanted={}, courier_ids={"crr_gone"})
        book.free("crr_gone")
        assert book.close(connection)


async def test_a_book_that_was_written_meanwhile_does_not_close(database: Database) -> None:
    with database.engine.begin() as connection:
        hire(connection, "PT", [5])
        book = SqlCourierBook().open(connection, countries=(), wanted={"PT": 1}, courier_ids=())
        book.take("PT")
        other = SqlCourierBook().open(connection, countries=(), wanted={"PT": 1}, courier_ids=())
        other.take("PT")
        assert other.close(connection)
        assert not book.close(connection)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    capacities=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    steps=st.lists(st.booleans(), max_size=30),
)
async def test_taking_and_freeing_is_as_in_a_book_of_paper(
    database: Database, capacities: list[int], steps: list[bool]
) -> None:
    paper = {f"crr_nl_{number}": 0 for number in range(1, len(capacities) + 1)}
    room = dict(zip(paper, capacities, strict=True))
    with database.engine.connect() as connection:  # rolled back, for the next example
        connection.begin()
        hire(connection, "NL", capacities)
        book = SqlCourierBook().open(
            connection, countries=(), wanted={"NL": len(steps) or 1}, courier_ids=()
        )
        out: list[str] = []
        for take in steps:
            if take:
                free = [it for it in paper if paper[it] < room[it]]
                expected = min(free, key=lambda it: (paper[it], it)) if free else None
                assert expected == book.take("NL")
                if expected is not None:
                    paper[expected] += 1
                    out.append(expected)
            elif out:
                back = out.pop(len(out) // 2)
                paper[back] -= 1
                book.free(back)
        assert book.close(connection)
        stored = connection.execute(
            sa.select(COURIERS.c.courier_id, COURIERS.c.load).where(COURIERS.c.country_code == "NL")
        )
        assert paper == {row.courier_id: row.load for row in stored}


def test_names_are_made_up_but_every_courier_has_one() -> None:
    couriers = list(made_up_couriers(1))
    assert len(couriers) == len({it.courier_id for it in couriers})
    assert all(2 == len(it.name.split()) for it in couriers)
    assert couriers == list(made_up_couriers(1))


@pytest.mark.parametrize("load", [-1, 6])
async def test_the_database_itself_refuses_a_load_that_cannot_be(
    database: Database, load: int
) -> None:
    with database.engine.connect() as connection, pytest.raises(sa.exc.IntegrityError):
        connection.execute(
            COURIERS.update()
            .where(COURIERS.c.courier_id == "crr_us_1")
            .values(load=load, capacity=5)
        )
