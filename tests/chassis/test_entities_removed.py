"""Entities that are removed: never over what was not read; whoever comes after finds nothing."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio
import sqlalchemy as sa

from chassis.database import Database
from chassis.entities import EntityWriter, change_all
from chassis.group_commit import Missed
from chassis.rows import RowTable
from tests.chassis.words.word import WORDS, Word, create, open_at, stored, table, use


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = open_at(database_url)
    yield database
    await database.close()


@pytest_asyncio.fixture
async def writer(database: Database) -> AsyncIterator[EntityWriter[Word]]:
    writer = EntityWriter(database.engine, table(), name="word")
    await writer.start()
    yield writer
    await writer.close()


def forget(_: Word | None) -> Word | None:
    return None


def forget_unused(word: Word | None) -> Word | None:
    return word if word is not None and word.uses else None


async def test_what_is_removed_is_gone_and_its_id_is_new_again(
    database: Database, writer: EntityWriter[Word]
) -> None:
    await writer.change("a", create("a", "one"))
    assert await writer.remove("a", forget) is None
    assert {} == stored(database.engine)
    again = await writer.change("a", create("a", "two"))
    assert Word(word_id="a", text="two", uses=0, version=1) == again


async def test_removing_what_is_not_there_writes_nothing(
    database: Database, writer: EntityWriter[Word]
) -> None:
    assert await writer.remove("a", forget) is None
    assert {} == stored(database.engine)


async def test_a_removal_may_leave_the_entity_as_it_is(
    database: Database, writer: EntityWriter[Word]
) -> None:
    await writer.change("a", create("a", "one"))
    used = await writer.change("a", use)
    assert used == await writer.remove("a", forget_unused)
    assert {"a": used} == stored(database.engine)


async def test_an_entity_may_be_changed_and_removed_in_one_batch(database: Database) -> None:
    with database.engine.begin() as connection:
        change_all(table(), connection, [("a", create("a", "one")), ("b", create("b", "two"))])
    with database.engine.begin() as connection:
        change_all(table(), connection, [("a", use), ("b", use), ("a", use), ("a", forget)])
    assert {"b"} == set(stored(database.engine))


async def test_whoever_wants_it_again_in_the_same_batch_is_sent_to_the_next_one(
    database: Database,
) -> None:
    with database.engine.begin() as connection:
        change_all(table(), connection, [("a", create("a", "one"))])
    with database.engine.connect() as connection, pytest.raises(Missed) as missed:
        change_all(
            table(),
            connection,
            [("a", forget), ("b", create("b", "b")), ("a", create("a", "two")), ("a", use)],
        )
    assert {2, 3} == missed.value.indices


async def test_removed_and_wanted_again_at_once_ends_as_in_their_order(
    database: Database, writer: EntityWriter[Word]
) -> None:
    await writer.change("a", create("a", "one"))
    gone, again = await asyncio.gather(
        writer.remove("a", forget), writer.change("a", create("a", "two"))
    )
    assert (None, "two") == (gone, again.text)
    assert {"a": again} == stored(database.engine)


class Stale(RowTable[Word]):
    """Shows the first reader the rows as they were before somebody else's commit."""

    def __init__(self, before: dict[str, Word]) -> None:
        vars(self).update(vars(table()))
        self._before: dict[str, Word] | None = before

    def load(self, connection: sa.Connection, ids: Sequence[str]) -> dict[str, Word]:
        before, self._before = self._before, None
        return super().load(connection, ids) if before is None else before


class Unguarded(Stale):
    """What the guard is for: this one deletes whatever version there is."""

    def delete(self, connection: sa.Connection, entities: Sequence[Word]) -> int:
        for it in entities:
            connection.execute(WORDS.delete().where(WORDS.c.word_id == it.word_id))
        return len(entities)


async def overtaken_removal(database: Database, kind: type[Stale]) -> dict[str, Word]:
    """One writer reads an unused word, another uses it, then the first removes it."""
    with database.engine.begin() as connection:
        change_all(table(), connection, [("a", create("a", "one"))])
    before = stored(database.engine)
    with database.engine.begin() as connection:
        change_all(table(), connection, [("a", use)])
    writer = EntityWriter(database.engine, kind(before), name="word")
    await writer.start()
    await writer.remove("a", forget_unused)
    await writer.close()
    return stored(database.engine)


async def test_what_has_moved_on_is_read_and_decided_again(database: Database) -> None:
    used = Word(word_id="a", text="one", uses=1, version=2)
    assert {"a": used} == await overtaken_removal(database, Stale)


async def test_without_the_guard_what_has_moved_on_is_deleted(database: Database) -> None:
    """Removes the mechanism: the test above would fail."""
    assert {} == await overtaken_removal(database, Unguarded)
