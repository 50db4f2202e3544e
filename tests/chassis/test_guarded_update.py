"""Updates that tell which rows they hit, on both databases."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sqlalchemy as sa

from chassis.database import Database
from chassis.guarded_update import ANYWAY, GuardedUpdate
from chassis.statements import Insertion
from tests.chassis.words.word import WORDS, open_at, stored

SAYINGS = sa.Table(
    "sayings",
    sa.MetaData(),
    sa.Column("word_id", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True),
    sa.Column("saying", sa.Text, nullable=False),
)


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = open_at(database_url)
    with database.engine.begin() as connection:
        words = [(name, 1, "before", 0) for name in "abc"]
        Insertion(WORDS, database.engine.dialect).run(connection, words)
        SAYINGS.create(connection)
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
        along=SAYINGS,
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


def sayings(database: Database) -> list[tuple[str, int, str]]:
    with database.engine.connect() as connection:
        return sorted(tuple(row) for row in connection.execute(sa.select(SAYINGS)))


async def test_rows_go_along_with_those_that_hit(database: Database) -> None:
    rows = [("a", 1, "after"), ("b", 7, "never"), ("c", 1, "after")]
    along = [
        (0, [("a", 1, "one 'a' \\ \u00e9"), ("a", 2, "")]),
        (1, [("b", 1, "never")]),
        (2, []),
        (ANYWAY, [("z", 9, "anyway")]),
    ]
    with database.engine.begin() as connection:
        hits = update_of(database).hits(connection, rows, along)
    assert [True, False, True] == list(hits)
    assert [("a", 1, "one 'a' \\ \u00e9"), ("a", 2, ""), ("z", 9, "anyway")] == sayings(database)
    assert {"a": "after", "b": "before", "c": "after"} == texts(database)


async def test_what_goes_anyway_goes_where_nothing_is_hit(database: Database) -> None:
    with database.engine.begin() as connection:
        along = [(ANYWAY, [("z", 1, "anyway")]), (0, [("b", 1, "never")])]
        hits = update_of(database).hits(connection, [("b", 7, "never")], along)
    assert [False] == list(hits)
    assert [("z", 1, "anyway")] == sayings(database)


async def test_what_goes_anyway_goes_where_nothing_is_to_be_hit(database: Database) -> None:
    with database.engine.begin() as connection:
        along = [(ANYWAY, [("z", 1, "anyway")])]
        assert [] == list(update_of(database).hits(connection, [], along))
        assert [] == list(update_of(database).hits(connection, []))
    assert [("z", 1, "anyway")] == sayings(database)


async def test_what_is_there_already_does_not_go_along(database: Database) -> None:
    along = [(0, [("a", 1, "one")])]
    with database.engine.begin() as connection:
        update_of(database).hits(connection, [("a", 1, "after")], along)
    with pytest.raises(sa.exc.IntegrityError), database.engine.begin() as connection:
        update_of(database).hits(connection, [("a", 2, "later")], along)
    assert "after" == texts(database)["a"]
    assert [("a", 1, "one")] == sayings(database)
