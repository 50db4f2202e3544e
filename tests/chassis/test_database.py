"""A database is opened as it has to be, or refused with a sentence that says why."""

import asyncio
import contextlib
import os
import resource
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import sqlalchemy as sa

from chassis import database as database_module
from chassis import faults, migrations
from chassis.database import Database, DatabaseNewer
from chassis.migrations import version_table
from chassis.server import CannotStart
from tests.chassis.words.word import MIGRATIONS, WORDS, open_database

TIMEOUT_SECONDS = 20


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def open_at(url: str, *, exclusive: bool = False) -> Database:
    return Database.open(url, name="word", migrations=MIGRATIONS, exclusive=exclusive)


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = open_database(tmp_path)
    yield database
    await database.close()


def pragma(connection: sa.Connection, name: str) -> object:
    return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


def insert(word_id: str) -> sa.Insert:
    return WORDS.insert().values(word_id=word_id, version=1, text="t", uses=0)


def word_ids(connection: sa.Connection) -> list[str]:
    return list(connection.scalars(sa.select(WORDS.c.word_id).order_by(WORDS.c.word_id)))


async def test_the_folder_of_a_new_file_is_made(tmp_path: Path) -> None:
    database = open_at(url_of(tmp_path / "some" / "folder" / "words.db"))
    assert [] == await database.read(word_ids)
    await database.close()


async def test_a_commit_is_on_the_disk_and_readers_go_on_beside_it(database: Database) -> None:
    def told(connection: sa.Connection) -> list[object]:
        return [pragma(connection, it) for it in ("journal_mode", "synchronous", "foreign_keys")]

    assert ["wal", 2, 1] == await database.read(told)
    with database.engine.begin() as connection:
        assert ["wal", 2, 1] == told(connection)


@contextlib.contextmanager
def no_file_can_be_opened() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(os.devnull, os.O_RDONLY)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(taken[0], 64) + 1, limits[1]))
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(taken[0]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for it in taken:
            os.close(it)


async def test_a_statement_of_many_rows_opens_no_file(database: Database) -> None:
    def rows(numbers: range) -> list[dict[str, object]]:
        return [{"word_id": f"{it:0200}", "version": 1, "text": "t", "uses": 0} for it in numbers]

    with database.engine.connect() as connection:
        with connection.begin():
            connection.execute(WORDS.insert(), rows(range(0, 4_000, 2)))
        # It writes to a hundred pages of the index, and may have to take all of that back.
        statement = WORDS.insert().values(rows(range(1, 4_000, 20)))
        with no_file_can_be_opened(), connection.begin():
            connection.execute(statement)
    assert 2_200 == len(await database.read(word_ids))


def test_what_a_migration_sorts_is_not_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []

    def migrate(connection: sa.Connection, **named: str) -> None:
        told.append(pragma(connection, "temp_store"))
        migrations.migrate(connection, **named)

    monkeypatch.setattr(database_module, "migrate", migrate)
    database = open_database(tmp_path)
    with database.engine.begin() as connection:
        told.append(pragma(connection, "temp_store"))
    asyncio.run(database.close())
    in_a_file, in_memory = 0, 2
    assert [in_a_file, in_memory] == told


async def test_a_database_is_migrated_once(tmp_path: Path, database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(insert("a"))
    again = open_database(tmp_path)
    assert ["a"] == await again.read(word_ids)
    await again.close()


def test_processes_that_start_together_migrate_once_between_them(tmp_path: Path) -> None:
    opened: list[Database] = []
    threads = [
        threading.Thread(target=lambda: opened.append(open_database(tmp_path))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_SECONDS)
    assert 4 == len(opened)
    for database in opened:
        asyncio.run(database.close())


async def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    with database.engine.begin() as connection:
        revision = sa.table(version_table("word"), sa.column("version_num"))
        connection.execute(revision.update().values(version_num="0009"))
    await database.close()
    with pytest.raises(DatabaseNewer) as refused:
        open_database(tmp_path)
    assert str(refused.value) == (
        "word database is at revision 0009, which this release does not know; "
        "start the release that wrote it, or restore a backup"
    )
    rest = sqlite3.connect(tmp_path / "words.db")
    assert [("0009",)] == rest.execute("SELECT * FROM word_schema_version").fetchall()
    rest.close()


async def test_a_migration_that_fails_half_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = tmp_path / "broken_schema" / "versions"
    versions.mkdir(parents=True)
    (versions.parent / "__init__.py").write_text("")
    (versions / "0001_broken.py").write_text(
        "from alembic import op\n"
        "revision = '0001'\n"
        "down_revision = None\n"
        "def upgrade():\n"
        "    op.execute('CREATE TABLE half (way INTEGER)')\n"
        "    op.execute('CREATE TABLE half (way INTEGER)')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(CannotStart, match="half"):
        Database.open(url_of(tmp_path / "words.db"), name="word", migrations="broken_schema")
    database = open_database(tmp_path)
    assert "half" not in await database.read(lambda it: sa.inspect(it).get_table_names())
    await database.close()


async def test_two_services_may_share_one_file(tmp_path: Path, database: Database) -> None:
    other = Database.open(
        url_of(tmp_path / "words.db"), name="order", migrations="order_svc.migrations"
    )
    tables = await other.read(lambda it: sa.inspect(it).get_table_names())
    assert {"words", "orders"} <= set(tables)
    await other.close()
    await database.read(word_ids)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "words.db"
    path.write_text("Dear diary, " * 100)
    with pytest.raises(CannotStart, match=r"words\.db cannot be used: file is not a database"):
        open_at(url_of(path))
    assert path.read_text().startswith("Dear diary")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStart, match="cannot be made: "):
        open_at(url_of(tmp_path / "file" / "words.db"))


def test_a_folder_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Who runs as root may write anywhere, so it is the operating system's answer that is replaced.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(CannotStart, match="is not writable"):
        open_at(url_of(tmp_path / "words.db"))


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="is a folder, not a file"):
        open_at(url_of(tmp_path))


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_that_would_not_last_is_refused(url: str) -> None:
    with pytest.raises(CannotStart, match="SQLite needs a file"):
        open_at(url)


@pytest.mark.parametrize("url", ["words.db", "", "nosuchthing://x/y"])
def test_what_is_no_database_url_is_refused(url: str) -> None:
    with pytest.raises(CannotStart, match="is not a database URL"):
        open_at(url)


def test_a_password_in_what_is_no_database_url_is_not_shown() -> None:
    with pytest.raises(CannotStart, match="is not a database URL") as caught:
        open_at("postgresql+nosuchdriver://user:s3cret@host/words")
    assert "s3cret" not in str(caught.value)


def test_a_database_whose_driver_is_not_installed_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(CannotStart, match="the driver psycopg is not installed") as caught:
        open_at("postgresql+psycopg://user:s3cret@host/words")
    assert "s3cret" not in str(caught.value)


async def test_a_reader_neither_waits_for_a_writer_nor_sees_what_is_not_committed(
    database: Database,
) -> None:
    with database.engine.begin() as connection:
        connection.execute(insert("a"))
        assert [] == await database.read(word_ids)
    assert ["a"] == await database.read(word_ids)


async def test_a_reader_sees_one_state_throughout(database: Database) -> None:
    loop = asyncio.get_running_loop()
    reading, written = asyncio.Event(), threading.Event()

    def twice(connection: sa.Connection) -> list[list[str]]:
        before = word_ids(connection)
        loop.call_soon_threadsafe(reading.set)
        assert written.wait(TIMEOUT_SECONDS)
        return [before, word_ids(connection)]

    both = asyncio.create_task(database.read(twice))
    await reading.wait()
    with database.engine.begin() as connection:
        connection.execute(insert("a"))
    written.set()
    assert [[], []] == await both


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(faults.Unavailable):
        await database.read(lambda it: it.execute(insert("a")))
    assert [] == await database.read(word_ids)


async def test_a_writer_holds_the_lock_from_its_first_read_on(
    tmp_path: Path, database: Database
) -> None:
    with database.engine.begin():
        rival = sqlite3.connect(tmp_path / "words.db", timeout=0, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            rival.execute("BEGIN IMMEDIATE")
        rival.close()


async def test_a_database_that_cannot_be_read_is_unavailable_without_its_own_words(
    database: Database,
) -> None:
    def fail(_: sa.Connection) -> None:
        told = sqlite3.OperationalError("disk I/O error: secret")
        raise sa.exc.OperationalError("SELECT secret", None, told)

    with pytest.raises(faults.Unavailable) as unavailable:
        await database.read(fail)
    assert "STORE_UNAVAILABLE" == unavailable.value.reason
    assert "secret" not in str(unavailable.value)


@pytest.mark.parametrize("sql", ["SELECT * FROM nowhere", "SELECT nothing()", "SELEKT"])
async def test_a_defect_of_a_query_is_not_taken_for_trouble(database: Database, sql: str) -> None:
    with pytest.raises(sa.exc.OperationalError):
        await database.read(lambda it: it.exec_driver_sql(sql).all())
    with pytest.raises(ZeroDivisionError):
        await database.read(lambda _: 1 // 0)


async def test_an_exclusive_database_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    url = url_of(tmp_path / "words.db")
    first = open_at(url, exclusive=True)
    with pytest.raises(CannotStart, match=rf"in use by another word \(pid {os.getpid()}\)"):
        open_at(url, exclusive=True)
    await first.close()
    second = open_at(url, exclusive=True)
    await second.close()


async def test_an_exclusive_database_that_could_not_be_opened_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "words.db"
    path.write_text("Dear diary, " * 100)
    with pytest.raises(CannotStart):
        open_at(url_of(path), exclusive=True)
    path.unlink()
    database = open_at(url_of(path), exclusive=True)
    await database.close()
