"""Statements that run straight on the driver, and raise what SQLAlchemy would."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sqlalchemy as sa

from chassis.database import Database
from chassis.statements import Insertion, Statement
from tests.chassis.words.word import WORDS, Word, open_at, stored

COLUMNS = WORDS.c.keys()
BY_ID = sa.select(WORDS).where(WORDS.c.word_id == sa.bindparam("id")).limit(3)


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = open_at(database_url)
    yield database
    await database.close()


def insert_into(database: Database) -> Statement:
    return Statement(WORDS.insert(), database.engine.dialect, COLUMNS)


async def test_rows_that_were_run_are_found_and_counted(database: Database) -> None:
    insert = insert_into(database)
    select = Statement(BY_ID, database.engine.dialect, ["unused", "id"])
    with database.engine.begin() as connection:
        assert 2 == insert.run_many(connection, [("a", 1, "one", 0), ("b", 1, "two", 0)])
        assert [("b", 1, "two", 0)] == list(select.select(connection, (None, "b")))
        assert [] == list(select.select(connection, (None, "c")))


async def test_rows_that_were_added_together_are_read_back_equal(database: Database) -> None:
    texts = [
        "",
        "null",
        'a "quoted" \\ one',
        "\x01\x1f\u2028\n",
        "\U0001f4e6 \u00e9",
        "[1, 2]",
        "1e3",
    ]
    numbers = [0, 1, -1, 2**63 - 1, -(2**63), 2**53 + 1, 10]
    rows = [
        (f"w{place}", 1, text, uses)
        for place, (text, uses) in enumerate(zip(texts, numbers, strict=True))
    ]
    with database.engine.begin() as connection:
        assert len(rows) == Insertion(WORDS, connection.dialect).run(connection, rows)
    expected = {it[0]: Word(word_id=it[0], version=1, text=it[2], uses=it[3]) for it in rows}
    assert expected == stored(database.engine)


@pytest.mark.parametrize("number", [0, 1, 15, 16, 17, 50])
async def test_as_many_rows_are_added_as_there_are(database: Database, number: int) -> None:
    rows = [(f"w{place:02}", 1, f"text {place}", place) for place in range(number)]
    with database.engine.begin() as connection:
        assert number == Insertion(WORDS, connection.dialect).run(connection, rows)
    assert [row[2:] for row in rows] == [
        (word.text, word.uses) for _, word in sorted(stored(database.engine).items())
    ]


async def test_rows_of_which_one_is_there_are_none_of_them_added(database: Database) -> None:
    # Rolled back: on a server there is nothing to commit after an error.
    with database.engine.connect() as connection:
        insertion = Insertion(WORDS, connection.dialect)
        with pytest.raises(sa.exc.IntegrityError) as raised:
            insertion.run(connection, [("a", 1, "one", 0), ("a", 1, "secret", 0)])
        assert "secret" not in str(raised.value)
    assert {} == stored(database.engine)


async def test_what_runs_outside_of_a_transaction_begins_one(database: Database) -> None:
    with database.engine.connect() as connection:
        insert_into(database).run_many(connection, [("a", 1, "one", 0)])
        assert connection.in_transaction()
    assert {} == stored(database.engine)


async def test_what_the_driver_raises_is_raised_as_by_sqlalchemy_without_the_values(
    database: Database,
) -> None:
    insert = insert_into(database)
    # Rolled back: on a server there is nothing to commit after an error.
    with database.engine.connect() as connection:
        with pytest.raises(sa.exc.IntegrityError) as raised:
            insert.run_many(connection, [("secret", 1, "poison", 0)])
        assert "secret" not in str(raised.value)
        assert insert.text in str(raised.value)


def test_a_database_with_named_parameters_gets_them_by_name() -> None:
    dialect = sa.make_url("postgresql+psycopg://host/words").get_dialect()()
    insert = Statement(WORDS.insert(), dialect, COLUMNS)
    bound = insert.bind(("a", 1, "one", 0))
    assert {"word_id": "a", "version": 1, "text": "one", "uses": 0} == bound
    assert all(f"%({name})s" in insert.text for name in bound)
