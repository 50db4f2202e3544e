"""What is said of a PostgreSQL that cannot be used, in one line that holds no password."""

import contextlib
from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa

from bench.postgres import PostgresServer
from chassis import faults
from chassis.server import CannotStart, CannotStartYet
from chassis.storage_health import Side
from chassis.storage_trouble import Kind, kind_of
from tests.chassis.words.word import open_at

CONNECTIONS = 6
SECRET = "s3cret"


@pytest.fixture(scope="module")
def strict() -> Iterator[PostgresServer]:
    """Takes few connections, and from the role `poor` only with its password."""
    few = {"max_connections": str(CONNECTIONS), "superuser_reserved_connections": "0"}
    server = PostgresServer(durable=False, settings=few.items())
    server.start()
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE poor LOGIN PASSWORD '{SECRET}'")
        connection.execute("CREATE ROLE nobody_at_all NOLOGIN")
        (hba,) = connection.execute("SHOW hba_file").fetchone() or ("",)
        with open(hba, "w", encoding="ascii") as rules:  # noqa: PTH123 - as the server names it
            rules.write("host all oms,nobody_at_all 127.0.0.1/32 trust\n")
            rules.write("host all poor 127.0.0.1/32 scram-sha-256\n")
    server.restart()
    yield server
    server.close()


def refused(url: str) -> CannotStart:
    with pytest.raises(CannotStart) as raised:
        open_at(url)
    assert SECRET not in str(raised.value)
    assert "\n" not in str(raised.value)
    return raised.value


@pytest.mark.parametrize(
    ("user", "rest", "why", "to_do"),
    [
        ("oms", "/no_such", 'database "no_such" does not exist', "create it"),
        (f"poor:{SECRET}x", "/postgres", "authentication failed", "check the user"),
        ("poor", "/postgres", "no password supplied", "check the user"),
        ("poor", f"/postgres?password={SECRET}x", "authentication failed", "check the user"),
        (f"other:{SECRET}", "/postgres", "no pg_hba.conf entry", "let this user in"),
        ("nobody_at_all", "/postgres", "not permitted to log in", "check the user"),
        (f"poor:{SECRET}", "/postgres?schema=mine", "permission denied", "init.sql"),
        (f"poor:{SECRET}", "/postgres", "permission denied", "init.sql"),
        ("oms", "/postgres?sslmode=require", "does not support SSL", ""),
        ("oms", "/postgres?colour=red", "invalid connection option", "behind its ?"),
    ],
)
def test_what_will_not_pass_by_itself_is_not_tried_again(
    strict: PostgresServer, user: str, rest: str, why: str, to_do: str
) -> None:
    address = strict.url().partition("@")[2].partition("/")[0]
    error = refused(f"postgresql://{user}@{address}{rest}")
    assert not isinstance(error, CannotStartYet)
    assert why in str(error)
    assert to_do in str(error)


def test_a_server_that_has_no_connection_left_is_tried_again(strict: PostgresServer) -> None:
    taken = [psycopg.connect(strict.url()) for _ in range(CONNECTIONS)]
    try:
        error = refused(strict.url())
    finally:
        for it in taken:
            it.close()
    assert isinstance(error, CannotStartYet)
    assert "too many clients" in str(error)


async def test_who_finds_no_connection_left_is_told_and_finds_one_later(
    strict: PostgresServer,
) -> None:
    database = open_at(strict.url())
    with contextlib.ExitStack() as taken:
        with contextlib.suppress(psycopg.OperationalError):
            for _ in range(CONNECTIONS):
                taken.enter_context(contextlib.closing(psycopg.connect(strict.url())))
        with pytest.raises(faults.Unavailable):
            await database.read(lambda it: it.scalar(sa.select(1)))
        assert Side.READING in database.health.troubles
    # Whoever looks finds that it is over.
    while not database.health.well:
        await database.look()
    assert 1 == await database.read(lambda it: it.scalar(sa.select(1)))
    await database.close()


def test_a_server_that_only_reads_is_tried_again(strict: PostgresServer) -> None:
    """As a standby does; with several hosts in the URL the one that writes is found."""
    with psycopg.connect(strict.url(), autocommit=True) as connection:
        connection.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
        try:
            error = refused(strict.url())
        finally:
            connection.execute("ALTER DATABASE postgres RESET default_transaction_read_only")
    assert isinstance(error, CannotStartYet)
    assert "read-only" in str(error)


def test_a_name_that_stands_for_nothing_yet_may_later() -> None:
    error = psycopg.OperationalError("failed to resolve host 'db': Name or service not known")
    assert Kind.UNREACHABLE is kind_of(error)
