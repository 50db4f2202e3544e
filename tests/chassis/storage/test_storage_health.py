"""A database in trouble: what its writers and callers are told, and how it becomes well again."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import sqlalchemy as sa
import structlog

from chassis import faults
from chassis.database import Database
from chassis.group_commit import GroupCommit
from chassis.storage_health import Side, StorageHealth, StorageLost, health_of
from chassis.storage_probe import PROBES
from chassis.storage_trouble import Kind, kind_of
from tests.chassis.storage.disk import Disk, Fault, HurriedTime
from tests.chassis.words.word import open_database, stored
from tests.chassis.words.writing import insert

# More than fits into the pages that are there.
LONG = "long " * 20_000


@pytest.fixture(autouse=True)
def logged() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = open_database(tmp_path)
    yield database
    await database.close()


@pytest.fixture
def disk(database: Database, tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(database.engine, tmp_path / "words.db")
    yield disk
    disk.heal()


@pytest_asyncio.fixture
async def commits(database: Database) -> AsyncIterator[GroupCommit[str, str]]:
    time = HurriedTime()
    commits: GroupCommit[str, str] = GroupCommit(
        database.engine, insert, name="word", pause=time.pause, monotonic=time.monotonic
    )
    await commits.start()
    yield commits
    await commits.close()


Commits = GroupCommit[str, str]


@pytest.mark.parametrize("fault", Fault)
async def test_a_write_that_meets_a_fault_is_unavailable_and_the_database_not_well(
    database: Database, disk: Disk, commits: Commits, fault: Fault
) -> None:
    await commits.submit("before")
    disk.fail(fault)
    with pytest.raises(faults.Unavailable) as unavailable:
        await commits.submit(LONG)
    assert "STORE_UNAVAILABLE" == unavailable.value.reason
    assert not database.health.well
    assert Kind(fault.value) is database.health.troubles[Side.WRITING].kind
    disk.heal()
    assert {"before"} == set(stored(database.engine))


@pytest.mark.parametrize("fault", Fault)
async def test_an_idle_database_is_found_well_by_a_probe_once_it_is_and_not_before(
    database: Database, disk: Disk, commits: Commits, fault: Fault
) -> None:
    disk.fail(fault)
    with pytest.raises(faults.Unavailable):
        await commits.submit(LONG)
    await database.look()
    assert not database.health.well
    disk.heal()
    await database.look()
    assert {} == database.health.troubles
    assert LONG.upper() == await commits.submit(LONG)


@pytest.mark.parametrize("fault", Fault)
async def test_a_write_that_succeeds_says_that_the_trouble_is_over(
    database: Database, disk: Disk, commits: Commits, fault: Fault
) -> None:
    disk.fail(fault)
    with pytest.raises(faults.Unavailable):
        await commits.submit(LONG)
    disk.heal()
    assert LONG.upper() == await commits.submit(LONG)
    assert {} == database.health.troubles


async def test_callers_are_told_at_once_while_the_trouble_lasts(
    disk: Disk, commits: Commits
) -> None:
    disk.fail(Fault.INPUT_OUTPUT)
    with pytest.raises(faults.Unavailable):
        await commits.submit("a")
    before = disk.refused
    with pytest.raises(faults.Unavailable):
        await commits.submit("b")
    assert before + 1 == disk.refused
    disk.heal()
    await commits.submit("c")
    disk.fail(Fault.INPUT_OUTPUT)
    with pytest.raises(faults.Unavailable):
        await commits.submit("d")
    assert disk.refused > 1  # a new trouble is given time again


async def test_a_probe_leaves_nothing(database: Database, disk: Disk, commits: Commits) -> None:
    disk.fail(Fault.READ_ONLY)
    with pytest.raises(faults.Unavailable):
        await commits.submit("a")
    disk.heal()
    await database.look()
    assert [] == await database.read(lambda it: list(it.execute(sa.select(PROBES))))


async def test_a_database_that_is_well_is_not_probed(database: Database) -> None:
    await database.look()
    assert PROBES.name not in await database.read(lambda it: sa.inspect(it).get_table_names())


async def test_reads_go_on_while_nothing_can_be_written(
    database: Database, disk: Disk, commits: Commits
) -> None:
    await commits.submit("a")
    disk.fail(Fault.READ_ONLY)
    with pytest.raises(faults.Unavailable):
        await commits.submit("b")
    assert 1 == await database.read(lambda it: it.exec_driver_sql("SELECT 1").scalar())
    assert not database.health.well


async def test_a_read_that_fails_is_trouble_until_one_succeeds(database: Database) -> None:
    def fail(_: sa.Connection) -> None:
        raise sa.exc.OperationalError("", None, sqlite3.OperationalError("disk I/O error"))

    with pytest.raises(faults.Unavailable):
        await database.read(fail)
    assert Kind.INPUT_OUTPUT is database.health.troubles[Side.READING].kind
    await database.read(lambda it: it.exec_driver_sql("SELECT 1").scalar())
    assert {} == database.health.troubles


async def test_that_no_connection_came_free_is_no_trouble_of_the_storage(
    database: Database,
) -> None:
    def fail(_: sa.Connection) -> None:
        raise sa.exc.TimeoutError("no connection")

    with pytest.raises(faults.Unavailable):
        await database.read(fail)
    assert {} == database.health.troubles


async def test_a_damaged_page_ends_the_writer_and_is_no_commands_own_failure(
    database: Database, commits: Commits
) -> None:
    @sa.event.listens_for(database.engine, "commit")
    def damaged(_: sa.Connection) -> None:
        told = sqlite3.DatabaseError("database disk image is malformed")
        raise sa.exc.DatabaseError("", None, told)

    with pytest.raises(faults.Unavailable):
        await commits.submit("a")
    async with asyncio.timeout(20):
        await commits.failed()
    assert "is damaged" in str(database.health.lost)


async def test_a_damaged_page_that_a_reader_finds_is_a_loss(database: Database) -> None:
    def damaged(_: sa.Connection) -> None:
        told = sqlite3.DatabaseError("database disk image is malformed")
        raise sa.exc.DatabaseError("", None, told)

    with pytest.raises(faults.Unavailable):
        await database.read(damaged)
    assert database.health.lost is not None
    with pytest.raises(StorageLost):
        database.health.committed()


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ("database or disk is full", Kind.FULL),
        ("disk I/O error", Kind.INPUT_OUTPUT),
        ("attempt to write a readonly database", Kind.READ_ONLY),
        ("database is locked", Kind.LOCKED),
        ("database table is locked", Kind.LOCKED),
        ("unable to open database file", Kind.CANNOT_OPEN),
        ("database disk image is malformed", Kind.DAMAGED),
        ("file is not a database", Kind.DAMAGED),
        ("something else", Kind.OTHER),
    ],
)
def test_every_error_is_of_a_kind(told: str, kind: Kind) -> None:
    error = sqlite3.OperationalError(told)
    assert kind is kind_of(error)
    assert kind is kind_of(sa.exc.OperationalError("", None, error))


def test_the_drivers_code_counts_for_more_than_its_words(tmp_path: Path) -> None:
    path = tmp_path / "no.db"
    path.write_text("Dear diary, " * 100)
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.DatabaseError) as refused:
        connection.execute("SELECT * FROM sqlite_master")
    connection.close()
    refused.value.args = ("database is locked",)
    assert Kind.DAMAGED is kind_of(refused.value)


def test_an_engine_that_nobody_gave_a_health_has_one_of_its_own() -> None:
    engine = sa.create_engine("sqlite://")
    assert health_of(engine).well
    engine.dispose()


def test_whoever_listens_hears_of_each_change_once() -> None:
    health, heard = StorageHealth("word"), list[bool]()
    health.listen(lambda: heard.append(health.well))
    health.went_well(Side.WRITING)
    for _ in range(3):
        health.troubled(Side.WRITING, sqlite3.OperationalError("disk I/O error"))
    health.went_well(Side.WRITING)
    health.went_well(Side.WRITING)
    assert [False, True] == heard


async def test_a_transaction_that_was_half_begun_is_in_nobodys_way(
    database: Database, commits: Commits
) -> None:
    await commits.submit("before")
    failing = True

    def fail(_: sa.Connection) -> None:
        nonlocal failing
        if failing:
            failing = False
            raise RuntimeError("after it was begun")

    sa.event.listen(database.engine, "begin", fail)
    assert "A" == await commits.submit("a")
    assert {"before", "a"} == set(stored(database.engine))
