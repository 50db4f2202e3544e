"""A service's database on a real PostgreSQL: its schema, its limits, and what it outlives."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import pytest_asyncio
import sqlalchemy as sa

from bench.postgres import PostgresServer, running
from chassis import faults
from chassis.database import Database
from chassis.group_commit import BatchWriter, GroupCommit
from chassis.server import CannotStart, CannotStartYet
from chassis.storage_health import Side
from chassis.storage_trouble import Kind
from tests.chassis.words.word import WORDS, open_at, stored
from tests.chassis.words.writing import insert

TIMEOUT_SECONDS = 20
Commits = GroupCommit[str, str]


@pytest_asyncio.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    database = open_at(postgres_url)
    yield database
    await database.close()


@pytest_asyncio.fixture
async def commits(database: Database) -> AsyncIterator[Commits]:
    commits: Commits = GroupCommit(database.engine, insert, name="word")
    await commits.start()
    yield commits
    await commits.close()


def trouble_of(database: Database) -> threading.Event:
    """Set once the database is in trouble."""
    in_trouble = threading.Event()

    def look() -> None:
        if not database.health.well:
            in_trouble.set()

    database.health.listen(look)
    return in_trouble


def shown(connection: sa.Connection, name: str) -> object:
    return connection.exec_driver_sql(f"SHOW {name}").scalar()


async def test_a_service_keeps_its_tables_in_the_schema_that_its_url_names(
    postgres: PostgresServer,
) -> None:
    first = open_at(f"{postgres.url()}?schema=first_of_two")
    second = open_at(f"{postgres.url()}?schema=second_of_two&connect_timeout=7")
    with first.engine.begin() as connection:
        insert(connection, ["a"])
    assert {"a"} == set(stored(first.engine))
    assert {} == stored(second.engine)
    for database in (first, second):
        await database.close()


@pytest.mark.parametrize("schema", ["Upper", 'a"b', "a-b", "1st", "a" * 64])
def test_what_is_no_name_for_a_schema_is_refused(postgres: PostgresServer, schema: str) -> None:
    with pytest.raises(CannotStart, match="is not a name for a schema"):
        open_at(f"{postgres.url()}?schema={schema}")


async def test_processes_that_start_together_migrate_once_between_them(postgres_url: str) -> None:
    together = threading.Barrier(4)

    def start() -> Database:
        together.wait(TIMEOUT_SECONDS)
        return open_at(postgres_url)

    with ThreadPoolExecutor(4) as starters:
        opened = [it.result() for it in [starters.submit(start) for _ in range(4)]]
    for database in opened:
        await database.close()


def test_a_server_that_does_not_answer_may_be_tried_again_and_no_password_is_told() -> None:
    with running(durable=False) as gone:
        url = gone.url().replace("oms@", "oms:s3cret@")
    with pytest.raises(CannotStartYet) as refused:
        open_at(url)
    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_database_that_is_not_there_is_not_waited_for(postgres: PostgresServer) -> None:
    with pytest.raises(CannotStart, match="does not exist") as refused:
        open_at(postgres.url("no_such_database"))
    assert not isinstance(refused.value, CannotStartYet)


async def test_what_reads_cannot_write_and_sees_one_state(database: Database) -> None:
    def look(connection: sa.Connection) -> tuple[list[str], list[str]]:
        ids = sa.select(WORDS.c.word_id)
        before = list(connection.scalars(ids))
        with database.engine.begin() as writing:
            insert(writing, ["meanwhile"])
        return before, list(connection.scalars(ids))

    assert ([], []) == await database.read(look)
    with pytest.raises(faults.Unavailable):
        await database.read(lambda connection: insert(connection, ["a"]))


async def test_a_commit_waits_for_the_disk_whatever_the_server_is_set_to(
    postgres_url: str,
) -> None:
    database = open_at(f"{postgres_url}&options=-csynchronous_commit%3Doff")
    with database.engine.begin() as connection:
        assert "on" == shown(connection, "synchronous_commit")
    await database.close()


async def test_reads_and_writes_go_on_after_the_server_was_restarted() -> None:
    with running(durable=False) as server:
        database = open_at(server.url())
        commits: Commits = GroupCommit(database.engine, insert, name="word")
        await commits.start()
        assert "A" == await commits.submit("a")
        await database.read(lambda connection: connection.scalar(sa.select(1)))
        server.restart()
        # The connections that were open are dead, and neither knows it yet.
        assert ["a"] == await database.read(
            lambda connection: list(connection.scalars(sa.select(WORDS.c.word_id)))
        )
        assert "B" == await commits.submit("b")
        assert database.health.well
        await commits.close()
        await database.close()


async def test_what_is_written_while_the_server_is_away_is_written_when_it_is_back() -> None:
    with running(durable=False) as server:
        database = open_at(server.url())
        in_trouble = trouble_of(database)
        commits: Commits = GroupCommit(database.engine, insert, name="word")
        await commits.start()
        server.stop()
        submitted = asyncio.ensure_future(commits.submit("a"))
        assert await asyncio.to_thread(in_trouble.wait, TIMEOUT_SECONDS)
        assert Kind.UNREACHABLE is database.health.troubles[Side.WRITING].kind
        server.start()
        assert "A" == await submitted
        assert {"a"} == set(stored(database.engine))
        await commits.close()
        await database.close()


async def test_a_commit_that_the_server_ended_in_the_midst_of_is_made_again(
    database: Database, commits: Commits, postgres: PostgresServer
) -> None:
    real, ended = database.engine.dialect.do_commit, 0

    def end_session_first(connection: sa.PoolProxiedConnection) -> None:
        nonlocal ended
        ended += 1
        if ended == 1:
            driver = connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            with psycopg.connect(postgres.url()) as other:
                other.execute("SELECT pg_terminate_backend(%s, 10000)", [driver.info.backend_pid])
        real(connection)

    vars(database.engine.dialect)["do_commit"] = end_session_first
    assert "A" == await commits.submit("a")
    assert 2 == ended
    assert {"a"} == set(stored(database.engine))


async def test_a_row_that_somebody_else_locks_is_not_waited_for_for_ever(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.postgres_engine.LOCK_SECONDS", 0.05)
    database = open_at(postgres_url)
    with database.engine.begin() as connection:
        insert(connection, ["a"])

    def use(connection: sa.Connection, commands: Sequence[str]) -> list[str | Exception]:
        connection.execute(WORDS.update().values(uses=1))
        return list(commands)

    locker = database.engine.connect()
    locker.execute(WORDS.update().values(uses=2))
    pauses: list[float] = []

    def let_go(seconds: float) -> None:
        pauses.append(seconds)
        assert Kind.LOCKED is database.health.troubles[Side.WRITING].kind
        locker.rollback()

    writer = BatchWriter(database.engine, use, name="word", pause=let_go)
    assert ["use"] == writer.write(["use"])
    assert 1 == len(pauses)
    assert database.health.well
    writer.close()
    locker.close()
    await database.close()


async def test_who_falls_silent_in_a_transaction_loses_its_locks(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.postgres_engine.SILENT_SECONDS", 0.05)
    silent, other = open_at(postgres_url), open_at(postgres_url)
    with other.engine.begin() as connection:
        insert(connection, ["a"])
    stopped = silent.engine.connect()
    stopped.execute(WORDS.update().values(uses=7))
    with other.engine.begin() as connection:
        # Waits until the server has ended the one that says nothing.
        connection.execute(WORDS.update().values(uses=1))
    with pytest.raises(sa.exc.DBAPIError):
        stopped.commit()
    assert 1 == stored(other.engine)["a"].uses
    stopped.close()
    for database in (silent, other):
        await database.close()


class Opposed:
    """Two writers that lock the same two rows, each beginning with another one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._both_hold_one = threading.Barrier(2)
        self.tries = 0

    def write(self, first: str, second: str) -> Sequence[str | Exception]:
        met = False

        def apply(connection: sa.Connection, commands: Sequence[str]) -> list[str | Exception]:
            nonlocal met
            self.tries += 1
            for word_id in (first, second):
                connection.execute(
                    WORDS.update().where(WORDS.c.word_id == word_id).values(uses=WORDS.c.uses + 1)
                )
                if not met:
                    met = True
                    self._both_hold_one.wait(TIMEOUT_SECONDS)
            return list(commands)

        writer = BatchWriter(self._database.engine, apply, name="word")
        try:
            return writer.write([first])
        finally:
            writer.close()


async def test_of_two_that_wait_for_each_other_both_are_done_and_nothing_was_in_trouble(
    database: Database,
) -> None:
    changes: list[bool] = []
    database.health.listen(lambda: changes.append(database.health.well))
    with database.engine.begin() as connection:
        insert(connection, ["a", "b"])
    opposed = Opposed(database)
    replies = await asyncio.gather(
        asyncio.to_thread(opposed.write, "a", "b"), asyncio.to_thread(opposed.write, "b", "a")
    )
    assert [["a"], ["b"]] == [list(it) for it in replies]
    assert opposed.tries > 2
    assert [2, 2] == [it.uses for it in stored(database.engine).values()]
    assert [] == changes


async def test_a_contest_that_is_taken_for_trouble_shows_in_the_health(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removes the mechanism: the test above would fail."""
    monkeypatch.setattr("chassis.group_commit.is_contended", lambda _: False)
    changes: list[bool] = []
    database.health.listen(lambda: changes.append(database.health.well))
    with database.engine.begin() as connection:
        insert(connection, ["a", "b"])
    opposed = Opposed(database)
    await asyncio.gather(
        asyncio.to_thread(opposed.write, "a", "b"), asyncio.to_thread(opposed.write, "b", "a")
    )
    # Not what it was told: the other may have written by the time a listener looks.
    assert changes


async def test_a_server_that_only_reads_is_trouble(database: Database, commits: Commits) -> None:
    in_trouble = trouble_of(database)
    only_reads = True

    def begin(connection: sa.Connection) -> None:
        if only_reads:
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")

    sa.event.listen(database.engine, "begin", begin)
    submitted = asyncio.ensure_future(commits.submit("a"))
    assert await asyncio.to_thread(in_trouble.wait, TIMEOUT_SECONDS)
    assert Kind.READ_ONLY is database.health.troubles[Side.WRITING].kind
    only_reads = False
    assert "A" == await submitted
