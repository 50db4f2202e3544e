"""A PostgreSQL in trouble while it is in use: what is told, and that it heals in place."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio

from bench.postgres import PostgresServer
from chassis.database import Database
from chassis.group_commit import GroupCommit
from chassis.storage_health import Side
from chassis.storage_trouble import Kind
from tests.chassis.words.word import open_at, stored
from tests.chassis.words.writing import insert

TIMEOUT_SECONDS = 20
Commits = GroupCommit[str, str]


@pytest_asyncio.fixture
async def database(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    monkeypatch.setattr("chassis.postgres_engine.WRITE_SECONDS", 0.2)
    database = open_at(postgres_url)
    yield database
    await database.close()


def trouble_of(database: Database) -> threading.Event:
    """Set once the database is in trouble."""
    in_trouble = threading.Event()

    def look() -> None:
        if not database.health.well:
            in_trouble.set()

    database.health.listen(look)
    return in_trouble


RAISE = """
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN {what}; RETURN NEW; END $$;
CREATE TRIGGER {name} BEFORE INSERT ON words EXECUTE FUNCTION {name}();
"""


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        ("RAISE disk_full", Kind.FULL),
        ("RAISE io_error", Kind.INPUT_OUTPUT),
        ("RAISE data_corrupted", Kind.INPUT_OUTPUT),
        ("RAISE too_many_connections", Kind.OTHER),
        ("RAISE out_of_memory", Kind.OTHER),
        ("RAISE admin_shutdown", Kind.UNREACHABLE),
        ("PERFORM pg_sleep(60)", Kind.SLOW),
    ],
)
async def test_what_a_server_says_of_itself_is_trouble_and_the_write_is_made_when_it_is_over(
    database: Database, what: str, kind: Kind
) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql(RAISE.format(name="ail", what=what))
    in_trouble = trouble_of(database)
    commits: Commits = GroupCommit(database.engine, insert, name="word")
    await commits.start()
    submitted = asyncio.ensure_future(commits.submit("a"))
    assert await asyncio.to_thread(in_trouble.wait, TIMEOUT_SECONDS)
    assert kind is database.health.troubles[Side.WRITING].kind
    with database.engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '10s'; DROP FUNCTION ail CASCADE")
    assert "A" == await submitted
    assert {"a"} == set(stored(database.engine))
    assert database.health.well
    await commits.close()


async def test_a_server_that_was_made_a_reader_is_trouble_until_it_writes_again(
    postgres: PostgresServer,
) -> None:
    url = postgres.create_database("made_a_reader")
    database = open_at(url)

    def only_reads(yes: bool) -> None:
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            value = "on" if yes else "off"
            connection.execute(
                f"ALTER DATABASE made_a_reader SET default_transaction_read_only = {value}"
            )
            connection.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                "WHERE datname = 'made_a_reader'"
            )

    in_trouble = trouble_of(database)
    commits: Commits = GroupCommit(database.engine, insert, name="word")
    await commits.start()
    assert "A" == await commits.submit("a")
    only_reads(True)
    submitted = asyncio.ensure_future(commits.submit("b"))
    assert await asyncio.to_thread(in_trouble.wait, TIMEOUT_SECONDS)
    only_reads(False)
    assert "B" == await submitted
    await commits.close()
    await database.close()


WAITS = """
SELECT 1 FROM pg_stat_activity
WHERE wait_event = 'SyncRep' AND clock_timestamp() - state_change > interval '0.5 s'
"""


async def test_a_commit_waits_for_its_standby_longer_than_any_statement_may_take(
    postgres: PostgresServer, database: Database
) -> None:
    commits: Commits = GroupCommit(database.engine, insert, name="word")
    await commits.start()
    with psycopg.connect(postgres.url(), autocommit=True) as watcher:

        def waits_for(standby: str) -> None:
            watcher.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{standby}'")
            watcher.execute("SELECT pg_reload_conf()")

        waits_for("nobody")
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                for number in itertools.count():
                    submitted = asyncio.ensure_future(commits.submit(f"w{number}"))
                    while not submitted.done() and not watcher.execute(WAITS).fetchone():  # noqa: ASYNC110 - asking is the only way
                        await asyncio.sleep(0.02)
                    # The server takes its time to be set up so: what came before did not wait.
                    if not submitted.done():
                        break
        finally:
            waits_for("")
    assert f"W{number}" == await submitted
    assert database.health.well
    await commits.close()
