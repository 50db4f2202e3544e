"""Updates that tell which rows they hit, on both databases."""

from collections.abc import AsyncIterator

import pytest_asyncio
import sqlalchemy as sa

from chassis.database import Database
from chassis.guarded_update import GuardedUpdate
from chassis.statements import Insertion
from tests.chassis.words.word import WORDS, open_at, stored


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = open_at(database_url)
    with database.engine.begin() as connection:
        words = [(name, 1, "before", 0) for name in "abc"]
        Insertion(WORDS, database.engine.dialect).run(connection, words)
    yield database
    await database.close()


def update_of(database: Database) -> GuardedUpdate:
    return GuardedUpdate(
        WORDS,
        guards=(
            WORDS.c.word_id == sa.bindparam("id_is"),
            WORDS.c.version == sa.bindparam("version_is"),
        ),
        changes={"version": WORDS.c.version + 1, "text": sa.bindparam("to_text")},
        places={"id_is": sa.Text(), "version_is": sa.BigInteger(), "to_text": sa.Text()},
        dialect=database.engine.dialect,
    )


def texts(database: Database) -> dict[str, str]:
    return {name: word.text for name, word in stored(database.engine).items()}


async def test_all_that_are_as_they_were_seen_are_hit(database: Database) -> None:
    rows = [("a", 1, "after"), ("b", 1, "after 'b' \\ \u00e9"), ("c", 1, "")]
    with database.engine.begin() as connection:
        assert [True, True, True] == list(update_of(database).hits(connection, rows))
    assert {"a": "after", "b": "after 'b' \\ \u00e9", "c": ""} == texts(database)


async def test_those_that_moved_on_are_told_and_the_others_are_written(database: Database) -> None:
    rows = [("a", 1, "after"), ("b", 7, "never"), ("c", 1, "after"), ("d", 1, "never")]
    with database.engine.begin() as connection:
        hits = update_of(database).hits(connection, rows)
    assert [True, False, True, False] == list(hits)
    assert {"a": "after", "b": "before", "c": "after"} == texts(database)


async def test_of_two_about_the_same_row_one_is_hit(database: Database) -> None:
    rows = [("a", 1, "one"), ("a", 1, "two"), ("b", 1, "after")]
    with database.engine.begin() as connection:
        hits = list(update_of(database).hits(connection, rows))
    assert [1, True] == [hits[:2].count(True), hits[2]]
    assert ("one", "two")[hits.index(True)] == texts(database)["a"]


async def test_a_count_is_how_many_were_hit(database: Database) -> None:
    with database.engine.begin() as connection:
        assert 1 == update_of(database).count(connection, [("a", 1, "after"), ("b", 2, "never")])


async def test_what_else_the_transaction_did_stays(database: Database) -> None:
    with database.engine.begin() as connection:
        Insertion(WORDS, database.engine.dialect).run(connection, [("e", 1, "new", 0)])
        update_of(database).hits(connection, [("a", 1, "after"), ("b", 2, "never")])
    assert {"a": "after", "b": "before", "c": "before", "e": "new"} == texts(database)
