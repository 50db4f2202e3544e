# ruff: noqa: ASYNC240 - nobody else runs in this loop: a small file is looked at where it stands
"""Files that were deleted, replaced or damaged: nothing is acknowledged that would be gone."""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import structlog

from chassis import faults
from chassis.database import Database
from chassis.group_commit import GroupCommit
from chassis.server import CannotStart, CannotStartYet
from chassis.storage_files import keep_a_log
from chassis.storage_health import StorageHealth
from tests.chassis.words.word import open_database, stored
from tests.chassis.words.writing import insert

TIMEOUT_SECONDS = 20
Commits = GroupCommit[str, str]


@pytest.fixture(autouse=True)
def logged() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "words.db"


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = open_database(tmp_path)
    yield database
    await database.close()


@pytest_asyncio.fixture
async def commits(database: Database) -> AsyncIterator[Commits]:
    commits: Commits = GroupCommit(database.engine, insert, name="word")
    await commits.start()
    yield commits
    await commits.close()


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def delete(path: Path) -> None:
    path.unlink()


def move(path: Path) -> None:
    path.rename(beside(path, ".moved"))


def replace(path: Path) -> None:
    copy = beside(path, ".copy")
    copy.write_bytes(path.read_bytes())
    copy.rename(path)


WAYS = pytest.mark.parametrize("way", [delete, move, replace])


def kept(folder: Path) -> set[str]:
    """What the next process finds."""
    database = open_database(folder)
    words = set(stored(database.engine))
    asyncio.run(database.close())
    return words


class Contended(sqlite3.Connection):
    """A new file that others have just opened, too."""

    times = 0

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql == "PRAGMA journal_mode=WAL" and self.times < 3:
            self.times += 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return super().execute(sql, *values)


def test_who_opens_a_new_file_together_with_others_waits_for_them(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "words.db", factory=Contended)
    with contextlib.closing(connection):
        keep_a_log(connection)
        assert 3 == connection.times
        assert ("wal",) == connection.execute("PRAGMA journal_mode").fetchone()


def test_what_is_wrong_otherwise_with_a_new_file_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "words.db"
    path.write_bytes(b"no database" * 1_000)
    with (
        contextlib.closing(sqlite3.connect(path)) as connection,
        pytest.raises(sqlite3.DatabaseError, match="not a database"),
    ):
        keep_a_log(connection)


@WAYS
@pytest.mark.parametrize("suffix", ["", "-wal"])
async def test_a_commit_to_files_that_are_gone_is_told_to_nobody(
    path: Path, commits: Commits, way: Callable[[Path], None], suffix: str
) -> None:
    await commits.submit("before")
    way(beside(path, suffix))
    with pytest.raises(faults.Unavailable):
        await commits.submit("after")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await commits.failed()
    with pytest.raises(faults.Unavailable):
        await commits.submit("later")


async def test_a_file_that_is_gone_before_the_first_commit_is_not_made_anew(
    path: Path, commits: Commits
) -> None:
    path.unlink()
    with pytest.raises(faults.Unavailable):
        await commits.submit("after")
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await commits.failed()
    assert not path.exists()


async def test_without_the_look_at_the_files_a_commit_would_be_told_and_gone(
    path: Path, commits: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: SQLite itself does not notice."""
    monkeypatch.setattr(StorageHealth, "look_at_files", lambda *_args, **_options: None)
    path.unlink()
    assert "AFTER" == await commits.submit("after")
    assert not path.exists()


@WAYS
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
async def test_an_idle_database_whose_files_are_gone_is_found_lost(
    path: Path, database: Database, way: Callable[[Path], None], suffix: str
) -> None:
    await database.look()
    assert database.health.lost is None
    way(beside(path, suffix))
    await database.look()
    assert "was deleted, moved or replaced" in str(database.health.lost)


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
async def test_what_a_log_held_that_is_gone_is_saved_into_the_database(
    tmp_path: Path, path: Path, database: Database, commits: Commits, suffix: str
) -> None:
    await commits.submit("before")
    beside(path, suffix).unlink()
    await database.look()
    assert "starting again is safe" in await database.rescue()
    beside(path, "-wal").unlink(missing_ok=True)
    beside(path, "-shm").unlink(missing_ok=True)
    assert {"before"} == await asyncio.to_thread(kept, tmp_path)


async def test_a_file_that_was_deleted_is_saved_and_not_begun_anew(
    tmp_path: Path, path: Path, database: Database, commits: Commits
) -> None:
    await commits.submit("before")
    path.unlink()
    await database.look()
    advice = await database.rescue()
    (rescued,) = tmp_path.glob("words.db.rescued-*")
    assert str(rescued) in advice
    with pytest.raises(CannotStartYet, match=r"is in .*rescued") as refused:
        open_database(tmp_path)
    assert str(beside(path, ".lost")) in str(refused.value)
    assert not path.exists()

    # As the advice says.
    for suffix in ("-wal", "-shm"):
        beside(path, suffix).unlink()
    rescued.rename(path)
    beside(path, ".lost").unlink()
    assert {"before"} == await asyncio.to_thread(kept, tmp_path)


async def test_a_file_that_took_the_place_of_another_is_not_taken_for_it(
    tmp_path: Path, path: Path, database: Database
) -> None:
    replace(path)
    await database.look()
    await database.rescue()
    with pytest.raises(CannotStartYet, match=r"words\.db\.lost"):
        open_database(tmp_path)


async def test_a_file_that_is_back_is_started_with_and_nobody_has_to_do_anything(
    tmp_path: Path, path: Path, database: Database, commits: Commits
) -> None:
    await commits.submit("before")
    move(path)
    await database.look()
    await database.rescue()
    with pytest.raises(CannotStartYet):
        open_database(tmp_path)
    beside(path, ".moved").rename(path)
    assert {"before"} == await asyncio.to_thread(kept, tmp_path)
    assert not beside(path, ".lost").exists()


async def test_a_log_that_cannot_be_saved_keeps_the_next_process_from_starting(
    tmp_path: Path, path: Path, database: Database, commits: Commits
) -> None:
    await commits.submit("before")
    beside(path, "-wal").unlink()
    await database.look()
    assert database._files is not None
    database._files._anchor.close()
    assert "could not be saved" in await database.rescue()
    with pytest.raises(CannotStartYet, match="could not be saved"):
        open_database(tmp_path)


async def test_a_database_that_is_lost_leaves_the_files_that_took_its_place_alone(
    tmp_path: Path, path: Path
) -> None:
    database = open_database(tmp_path)
    for suffix in ("", "-wal", "-shm"):
        beside(path, suffix).unlink()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA journal_mode=WAL")
    other.execute("CREATE TABLE theirs (x)")
    await database.look()
    await database.close()
    assert beside(path, "-wal").stat().st_size > 0
    other.close()


def test_a_file_that_is_missing_beside_its_log_is_not_begun_anew(
    tmp_path: Path, path: Path
) -> None:
    beside(path, "-wal").write_bytes(b"what was committed")
    with pytest.raises(CannotStartYet, match="is missing, though its log"):
        open_database(tmp_path)
    assert b"what was committed" == beside(path, "-wal").read_bytes()


async def test_whether_a_file_is_there_is_sometimes_not_known_and_then_nobody_is_told(
    database: Database, commits: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat, refused = os.stat, 2

    def fail(path: Path) -> os.stat_result:
        nonlocal refused
        if refused:
            refused -= 1
            raise OSError(5, "Input/output error")
        return stat(path)

    monkeypatch.setattr("chassis.storage_files.os.stat", fail)
    assert "A" == await commits.submit("a")
    assert 0 == refused
    assert database.health.lost is None


async def test_a_damaged_file_is_refused_and_named_and_left_as_it_is(
    tmp_path: Path, path: Path
) -> None:
    database = open_database(tmp_path)
    with database.engine.begin() as connection:
        insert(connection, [f"{number} {'word ' * 300}" for number in range(100)])
    await database.close()
    content = bytearray(path.read_bytes())
    content[8 * 4096 : 20 * 4096] = b"\xa5" * (12 * 4096)
    path.write_bytes(content)
    with pytest.raises(CannotStart, match=r"words\.db cannot be used: .*damaged.*restore") as no:
        open_database(tmp_path)
    assert not isinstance(no.value, CannotStartYet)
    assert bytes(content) == path.read_bytes()


async def test_a_long_look_for_damage_is_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_database(tmp_path)
    with database.engine.begin() as connection:
        insert(connection, [str(number) for number in range(300)])
    await database.close()
    monkeypatch.setattr("chassis.storage_files._CHECK_SECONDS_MAX", -1.0)
    monkeypatch.setattr("chassis.storage_files._CHECK_STEPS", 1)
    assert 300 == len(await asyncio.to_thread(kept, tmp_path))


def test_a_database_that_is_locked_as_it_is_opened_may_be_tried_again(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.sqlite_engine.BUSY_SECONDS", 0.0)
    asyncio.run(open_database(tmp_path).close())
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    with pytest.raises(CannotStartYet, match="database is locked"):
        open_database(tmp_path)
    locker.close()
