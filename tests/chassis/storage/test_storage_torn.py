"""The end of the write-ahead log after a crash: what was acknowledged is there, the rest is not.

What a kill leaves is what the files hold at that moment, so a copy of them is a crash. A commit was
synced before anybody was told of it; what may be torn is what came after the last of them.
"""

import asyncio
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from chassis.group_commit import BatchWriter
from tests.chassis.words.word import open_database, stored
from tests.chassis.words.writing import insert

FRAME = 24 + 4096
HEADER = 32
BATCHES = [[f"{batch}-{number}" for number in range(5)] for batch in range(6)]


@pytest.fixture(autouse=True)
def logged() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """The files of a process that was killed after the last batch was acknowledged.

    And how long the log was when each batch was acknowledged.
    """
    alive, dead = tmp_path_factory.mktemp("alive"), tmp_path_factory.mktemp("dead")
    with structlog.testing.capture_logs():
        database = open_database(alive)
    writer: BatchWriter[str, str] = BatchWriter(database.engine, insert, name="word")
    lengths = []
    for batch in BATCHES:
        assert [it.upper() for it in batch] == writer.write(batch)
        lengths.append((alive / "words.db-wal").stat().st_size)
    for name in ("words.db", "words.db-wal"):
        shutil.copy(alive / name, dead / name)
    writer.close()
    asyncio.run(database.close())
    return dead, lengths


def found(folder: Path) -> set[str]:
    database = open_database(folder)
    words = set(stored(database.engine))
    asyncio.run(database.close())
    return words


def words_of(batches: int) -> set[str]:
    return {text for batch in BATCHES[:batches] for text in batch}


def again(crashed: tuple[Path, list[int]], folder: Path) -> Path:
    for name in ("words.db", "words.db-wal"):
        shutil.copy(crashed[0] / name, folder / name)
    return folder / "words.db-wal"


def noise(log: bytes) -> bytes:
    return log + random.Random(7).randbytes(3 * FRAME + 100)  # noqa: S311 - noise, the same in each run


def part_of_a_frame(log: bytes) -> bytes:
    return log + log[-FRAME:][:1_000]


def header_without_a_page(log: bytes) -> bytes:
    return log + log[-FRAME:][:24]


def frames_of_another_time(log: bytes) -> bytes:
    return log + log[HEADER:]


def zeros(log: bytes) -> bytes:
    return log + bytes(5 * FRAME)


@pytest.mark.parametrize(
    "torn", [noise, part_of_a_frame, header_without_a_page, frames_of_another_time, zeros]
)
def test_a_torn_tail_of_what_was_not_acknowledged_costs_nothing(
    crashed: tuple[Path, list[int]], tmp_path: Path, torn: Callable[[bytes], bytes]
) -> None:
    log = again(crashed, tmp_path)
    log.write_bytes(torn(log.read_bytes()))
    assert words_of(len(BATCHES)) == found(tmp_path)


@pytest.mark.parametrize("batch", range(len(BATCHES)))
@pytest.mark.parametrize("way", ["cut", "garbled"])
def test_a_commit_that_did_not_get_to_the_disk_whole_is_not_there_and_those_before_are(
    crashed: tuple[Path, list[int]], tmp_path: Path, batch: int, way: str
) -> None:
    """As after a crash within a commit; also the most that a disk can take that lied of a sync."""
    lengths = crashed[1]
    log = again(crashed, tmp_path)
    content = log.read_bytes()
    last = lengths[batch] - 1_000
    log.write_bytes(content[:last] if way == "cut" else content[:last] + bytes(len(content) - last))
    assert words_of(batch) == found(tmp_path)


def test_what_was_acknowledged_is_in_the_files_at_that_moment(
    crashed: tuple[Path, list[int]], tmp_path: Path
) -> None:
    again(crashed, tmp_path)
    assert words_of(len(BATCHES)) == found(tmp_path)


def test_a_writer_that_acknowledges_before_it_commits_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail."""

    def hasty(self: BatchWriter[str, str], commands: list[str]) -> list[str | Exception]:
        if self._connection is None:
            self._connection = self._engine.connect()
            self._connection.begin()
        return list(self._apply(self._connection, commands))

    alive, dead = tmp_path / "alive", tmp_path / "dead"
    alive.mkdir()
    dead.mkdir()
    monkeypatch.setattr(BatchWriter, "_once", hasty)
    database = open_database(alive)
    writer: BatchWriter[str, str] = BatchWriter(database.engine, insert, name="word")
    assert ["A"] == writer.write(["a"])
    for name in ("words.db", "words.db-wal"):
        shutil.copy(alive / name, dead / name)
    writer.close()
    asyncio.run(database.close())
    assert set() == found(dead)
