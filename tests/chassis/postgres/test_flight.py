"""Statements that are sent to a PostgreSQL together: what each sees, and what is left of them."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sqlalchemy as sa

from chassis.database import Database
from chassis.flight import Passenger, fly
from chassis.statements import ROWS, sent_rows, to_json
from tests.chassis.words.word import WORDS, open_at, stored

COLUMNS = {it.name: it.type for it in WORDS.c}
ADD = Passenger(WORDS.insert().from_select(list(COLUMNS), sent_rows(COLUMNS)), [ROWS])
LOOK = Passenger(
    sa.select(WORDS.c.word_id)
    .where(WORDS.c.word_id > sa.cast(sa.bindparam("after"), sa.Text))
    .order_by(WORDS.c.word_id),
    ["after"],
)
SAY = Passenger(sa.select(sa.cast(sa.bindparam("what"), sa.Text)), ["what"])
END_MYSELF = Passenger(
    sa.select(
        sa.func.pg_terminate_backend(sa.func.pg_backend_pid()), sa.cast(sa.bindparam("a"), sa.Text)
    ),
    ["a"],
)


@pytest_asyncio.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    database = open_at(postgres_url)
    yield database
    await database.close()


def words(*ids: str) -> tuple[Passenger, list[str]]:
    return ADD, [to_json([(it, 1, "a text", 0) for it in ids])]


async def test_each_sees_what_those_before_it_did(database: Database) -> None:
    with database.engine.begin() as connection:
        landed = fly(connection, [words("b"), (LOOK, [""]), words("a", "c"), (LOOK, ["a"])])
    assert [[], [["b"]], [], [["b"], ["c"]]] == landed
    assert {"a", "b", "c"} == set(stored(database.engine))


async def test_they_are_part_of_the_transaction_that_their_caller_ends(database: Database) -> None:
    with database.engine.connect() as connection:
        with connection.begin() as transaction:
            fly(connection, [words("a")])
            fly(connection, [words("b")])
            transaction.rollback()
        assert {} == stored(database.engine)
        with connection.begin():
            fly(connection, [words("c")])
    assert {"c"} == set(stored(database.engine))


async def test_what_was_begun_by_others_goes_on(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(WORDS.insert().values(word_id="a", version=1, text="", uses=0))
        assert [[["a"]]] == fly(connection, [(LOOK, [""])])
        connection.execute(WORDS.insert().values(word_id="b", version=1, text="", uses=0))
    assert {"a", "b"} == set(stored(database.engine))


async def test_where_one_fails_nothing_is_left_and_the_connection_is_well(
    database: Database,
) -> None:
    with database.engine.connect() as connection:
        for _ in range(2):
            with pytest.raises(sa.exc.IntegrityError) as raised, connection.begin():
                fly(connection, [words("a"), words("secret", "secret"), words("b"), (SAY, [""])])
            assert "secret" not in str(raised.value)
            assert not raised.value.connection_invalidated
        assert {} == stored(database.engine)
        with connection.begin():
            assert [[], [["here"]]] == fly(connection, [words("a"), (SAY, ["here"])])
    assert {"a"} == set(stored(database.engine))


def prepare_and_roll_back(connection: sa.Connection) -> None:
    """The driver prepares what is run often, and has the server forget it all at a rollback."""
    for _ in range(10):
        connection.exec_driver_sql("SELECT %(a)s", {"a": 1})
    connection.rollback()
    prepared = connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar()
    connection.rollback()
    assert 0 == prepared


async def test_what_the_server_was_made_to_forget_is_prepared_again(database: Database) -> None:
    with database.engine.connect() as connection:
        for word in "abc":
            with connection.begin():
                assert [[], [[word]]] == fly(connection, [words(word), (SAY, [word])])
            prepare_and_roll_back(connection)
    assert {"a", "b", "c"} == set(stored(database.engine))


async def test_what_was_forgotten_in_part_is_prepared_again_and_run_once(
    database: Database,
) -> None:
    with database.engine.connect() as connection:
        with connection.begin():
            fly(connection, [words("a"), (LOOK, [""])])
        with connection.begin():
            connection.exec_driver_sql(f"DEALLOCATE flight_{LOOK.number}_0")
        with connection.begin():
            assert [[], [["a"], ["b"]]] == fly(connection, [words("b"), (LOOK, [""])])
    assert {"a", "b"} == set(stored(database.engine))


async def test_what_was_forgotten_fails_a_transaction_that_others_began_and_not_the_next(
    database: Database,
) -> None:
    with database.engine.connect() as connection:
        with connection.begin():
            fly(connection, [(SAY, [""])])
        prepare_and_roll_back(connection)
        connection.execute(WORDS.insert().values(word_id="a", version=1, text="", uses=0))
        with pytest.raises(sa.exc.DBAPIError):
            fly(connection, [(SAY, [""])])
        connection.rollback()
        with connection.begin():
            connection.execute(WORDS.insert().values(word_id="b", version=1, text="", uses=0))
            assert [[["here"]]] == fly(connection, [(SAY, ["here"])])
    assert {"b"} == set(stored(database.engine))


async def test_what_cannot_be_sent_leaves_the_connection_well(database: Database) -> None:
    with database.engine.connect() as connection:
        with pytest.raises(UnicodeEncodeError), connection.begin():
            fly(connection, [words("a"), (SAY, ["\ud800"])])
        with connection.begin():
            assert [[["here"]]] == fly(connection, [(SAY, ["here"])])
    assert {} == stored(database.engine)


async def test_both_ways_may_be_full(database: Database) -> None:
    """Far more than the system keeps for a connection, in either direction."""
    large = ["é" * 2_000_000, "b" * 4_000_000, "", "c" * 4_000_000]
    with database.engine.begin() as connection:
        landed = await asyncio.to_thread(fly, connection, [(SAY, [it]) for it in large])
    assert [[[it]] for it in large] == landed


async def test_a_connection_that_was_not_read_to_the_end_is_not_used_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise MemoryError

    with database.engine.connect() as connection:
        monkeypatch.setattr("chassis.flight._Flight._next", stumble)
        with pytest.raises(MemoryError):
            fly(connection, [words("a"), (SAY, ["of before"])])
        monkeypatch.undo()
        with pytest.raises(sa.exc.DBAPIError) as raised:
            fly(connection, [(SAY, ["here"])])
        assert raised.value.connection_invalidated
        connection.invalidate()
        connection.rollback()
    assert {} == stored(database.engine)


@pytest.mark.parametrize("before", [(), (words("a"),)])
async def test_a_session_that_ends_on_the_way_is_a_connection_that_is_gone(
    database: Database, before: tuple[tuple[Passenger, list[str]], ...]
) -> None:
    with database.engine.connect() as connection:
        for _ in range(2):
            with pytest.raises(sa.exc.DBAPIError) as raised:
                fly(connection, [*before, (END_MYSELF, [""]), words("b")])
            assert raised.value.connection_invalidated
            connection.invalidate()
            connection.rollback()
        # Another one knows nothing of what was prepared on the one before.
        assert [[["here"]]] == fly(connection, [(SAY, ["here"])])
    assert {} == stored(database.engine)
