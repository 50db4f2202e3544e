"""Entities: changed by transitions, and never written over what was not read."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.pool import PoolProxiedConnection

from chassis import faults
from chassis.database import Database
from chassis.entities import EntityTable, EntityWriter, change_all
from chassis.group_commit import Missed
from chassis.key_select import KEYS_MAX
from chassis.rows import RowTable
from tests.chassis.words.word import (
    WORDS,
    Word,
    create,
    open_at,
    open_database,
    rename,
    stored,
    table,
    use,
)


class NotToday(Exception):  # noqa: N818 - a transition's refusal
    pass


def refuse(_: Word | None) -> Word:
    raise NotToday


def unchanged(word: Word | None) -> Word:
    assert word is not None
    return word


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = open_at(database_url)
    yield database
    await database.close()


@asynccontextmanager
async def writing(
    database: Database, words: EntityTable[Word]
) -> AsyncIterator[EntityWriter[Word]]:
    writer = EntityWriter(database.engine, words, name="word")
    await writer.start()
    try:
        yield writer
    finally:
        await writer.close()


@pytest_asyncio.fixture
async def writer(database: Database) -> AsyncIterator[EntityWriter[Word]]:
    async with writing(database, table()) as writer:
        yield writer


Changes = Sequence[tuple[str, Callable[[Word | None], Word | None]]]


def change(database: Database, changes: Changes) -> list[Word | Exception | None]:
    with database.engine.begin() as connection:
        return change_all(table(), connection, changes)


async def test_what_was_written_is_read_back_equal(
    database: Database, writer: EntityWriter[Word]
) -> None:
    word = await writer.change("a", create("a", "né\n\U0001f600 'x'"))
    assert {"a": word} == stored(database.engine)


async def test_changes_of_one_id_in_one_batch_see_each_other_in_order(database: Database) -> None:
    replies = change(
        database, [("a", create("a", "one")), ("a", rename("two")), ("a", use), ("a", use)]
    )
    assert [1, 2, 3, 4] == [it.version for it in replies if isinstance(it, Word)]
    last = Word(word_id="a", text="two", uses=2, version=4)
    assert {"a": last} == stored(database.engine)


async def test_changes_of_many_ids_interleaved_are_each_in_order(database: Database) -> None:
    ids = [f"w{number}" for number in range(20)]
    change(database, [(id_, create(id_, id_)) for id_ in ids])
    change(
        database, [(id_, step) for step in (use, rename("x"), use) for id_ in ids] + [("w3", use)]
    )
    found = stored(database.engine)
    assert {4} == {found[id_].version for id_ in ids if id_ != "w3"}
    assert (3, 5) == (found["w3"].uses, found["w3"].version)


async def test_a_transition_that_refuses_changes_nothing_for_itself_alone(
    database: Database,
) -> None:
    replies = change(
        database, [("a", create("a", "one")), ("a", refuse), ("b", refuse), ("a", use)]
    )
    assert [Word, NotToday, NotToday, Word] == [type(it) for it in replies]
    assert {"a": Word(word_id="a", text="one", uses=1, version=2)} == stored(database.engine)


async def test_what_does_not_change_is_not_written(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    change(database, [("a", create("a", "one"))])
    written: list[str] = []

    def watch(connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(written.append)

    with database.engine.begin() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        watch(driver)
        change_all(table(), connection, [("a", create("a", "other")), ("a", unchanged)])
        driver.set_trace_callback(None)
    assert ["SELECT"] == [text.split()[0] for text in written]
    await database.close()


async def test_a_batch_of_any_length_is_loaded(database: Database) -> None:
    ids = [f"w{number}" for number in range(KEYS_MAX + 7)]
    change(database, [(id_, create(id_, id_)) for id_ in ids])
    words = table()
    for count in (0, 1, 2, 3, 5, KEYS_MAX, len(ids)):
        found = await database.read(partial(words.load, ids=ids[:count]))
        assert set(ids[:count]) == set(found)


async def test_a_refusal_reaches_its_caller_and_no_other(writer: EntityWriter[Word]) -> None:
    good, bad = await asyncio.gather(
        writer.change("a", create("a", "one")), writer.change("b", refuse), return_exceptions=True
    )
    assert isinstance(good, Word)
    assert isinstance(bad, NotToday)


async def test_a_poisoned_entity_fails_alone(
    database: Database, writer: EntityWriter[Word]
) -> None:
    replies = await asyncio.gather(
        *(writer.change(text, create(text, text)) for text in ("a", "poison", "c")),
        return_exceptions=True,
    )
    assert [Word, faults.Defect, Word] == [type(it) for it in replies]
    assert {"a", "c"} == set(stored(database.engine))


@pytest.mark.parametrize("applied", [False, True])
async def test_a_lost_commit_gives_the_same_answer_when_it_is_made_again(
    database: Database, writer: EntityWriter[Word], applied: bool
) -> None:
    real = database.engine.dialect.do_commit
    lost = 0

    def lose(connection: PoolProxiedConnection) -> None:
        nonlocal lost
        lost += 1
        if lost > 1 or applied:
            real(connection)
        if lost == 1:
            raise database.engine.dialect.loaded_dbapi.OperationalError("disk I/O error")

    vars(database.engine.dialect)["do_commit"] = lose
    word = await writer.change("a", create("a", "one"))
    assert 2 == lost
    assert Word(word_id="a", text="one", uses=0, version=1) == word
    assert {"a": word} == stored(database.engine)


async def test_two_writers_on_one_database_lose_no_change(database_url: str) -> None:
    first, second = open_at(database_url), open_at(database_url)
    async with writing(first, table()) as one, writing(second, table()) as other:
        await one.change("a", create("a", "one"))
        await asyncio.gather(*(each.change("a", use) for _ in range(100) for each in (one, other)))
    assert 200 == stored(first.engine)["a"].uses
    await first.close()
    await second.close()


class Stale(RowTable[Word]):
    """Shows the first reader the rows as they were before somebody else's commit.

    A database may do so that lets transactions read without taking a lock, as PostgreSQL does.
    """

    def __init__(self, before: dict[str, Word]) -> None:
        vars(self).update(vars(table()))
        self._before: dict[str, Word] | None = before

    def load(self, connection: sa.Connection, ids: Sequence[str]) -> dict[str, Word]:
        before, self._before = self._before, None
        return super().load(connection, ids) if before is None else before


class Unguarded(Stale):
    """What the guard is for: this one writes over whatever version there is."""

    def update(self, connection: sa.Connection, entities: Sequence[Word]) -> int:
        for it in entities:
            connection.execute(
                WORDS.update()
                .where(WORDS.c.word_id == it.word_id)
                .values(text=it.text, uses=it.uses, version=it.version)
            )
        return len(entities)

    def insert(self, connection: sa.Connection, entities: Sequence[Word]) -> None:
        for it in entities:
            connection.execute(WORDS.delete().where(WORDS.c.word_id == it.word_id))
            super().insert(connection, [it])


async def overtaken_update(database: Database, kind: type[Stale]) -> Word:
    """One writer reads a word, another changes it, then the first writes."""
    change(database, [("a", create("a", "one"))])
    before = stored(database.engine)
    change(database, [("a", rename("theirs"))])
    async with writing(database, kind(before)) as writer:
        await writer.change("a", use)
    return stored(database.engine)["a"]


async def overtaken_insert(database: Database, kind: type[Stale]) -> tuple[Word, Word]:
    """One writer looks for a word, another creates it, then the first does: its answer, the row."""
    change(database, [("a", create("a", "theirs"))])
    async with writing(database, kind({})) as writer:
        answer = await writer.change("a", create("a", "ours"))
    return answer, stored(database.engine)["a"]


async def test_a_row_that_has_moved_on_is_read_and_decided_again(database: Database) -> None:
    expected = Word(word_id="a", text="theirs", uses=1, version=3)
    assert expected == await overtaken_update(database, Stale)


async def test_a_row_that_was_not_there_is_read_and_decided_again(database: Database) -> None:
    theirs = Word(word_id="a", text="theirs", uses=0, version=1)
    assert (theirs, theirs) == await overtaken_insert(database, Stale)


async def test_without_the_guard_the_others_change_is_lost(database: Database) -> None:
    """Removes the mechanism: the two tests above would fail."""
    assert "one" == (await overtaken_update(database, Unguarded)).text


async def test_without_the_key_the_others_row_is_lost(database: Database) -> None:
    """Removes the mechanism, as above."""
    _, row = await overtaken_insert(database, Unguarded)
    assert "ours" == row.text


async def test_only_what_went_over_a_row_is_decided_again(database: Database) -> None:
    change(database, [("a", create("a", "one"))])
    before = stored(database.engine)
    change(database, [("a", use)])
    with database.engine.connect() as connection, pytest.raises(Missed) as missed:
        change_all(
            Stale(before),
            connection,
            [("new", create("new", "n")), ("a", use), ("b", refuse), ("a", use)],
        )
    assert {1, 3} == missed.value.indices
