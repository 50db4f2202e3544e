"""Writes in groups: who is answered, with what, and after what."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest
import pytest_asyncio
import sqlalchemy as sa
import structlog
from structlog.typing import EventDict

from chassis import faults
from chassis.database import Database
from chassis.group_commit import GroupCommit
from tests.chassis.words.word import WORDS, open_at, stored
from tests.chassis.words.writing import insert

TIMEOUT_SECONDS = 20


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[EventDict]]:
    """What is logged; nothing is printed."""
    with structlog.testing.capture_logs() as logged:
        yield logged


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = open_at(database_url)
    yield database
    asyncio.run(database.close())


class Gate:
    """An apply that waits in the writer thread until it is let through, and keeps the batches."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.entered = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self.opened = threading.Event()

    def __call__(self, connection: sa.Connection, texts: Sequence[str]) -> list[str | Exception]:
        self.batches.append(list(texts))
        self.loop.call_soon_threadsafe(self.entered.set)
        assert self.opened.wait(TIMEOUT_SECONDS)
        if "die" in texts:
            raise SystemExit
        return insert(connection, texts)


@pytest_asyncio.fixture
async def gate() -> AsyncIterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


@pytest_asyncio.fixture
async def commits(database: Database, gate: Gate) -> AsyncIterator[GroupCommit[str, str]]:
    commits: GroupCommit[str, str] = GroupCommit(
        database.engine, gate, name="word", batch_max=50, waiting_max=120
    )
    await commits.start()
    yield commits
    gate.opened.set()
    await commits.close()


Commit = GroupCommit[str, str]


async def held(commits: Commit, gate: Gate, texts: Sequence[str]) -> list[asyncio.Task[str]]:
    """The first of `texts` is with the writer, which is held; the others wait."""
    first = asyncio.ensure_future(commits.submit(texts[0]))
    await gate.entered.wait()
    tasks = [first, *(asyncio.ensure_future(commits.submit(text)) for text in texts[1:])]
    await asyncio.sleep(0)  # each has submitted
    return tasks


async def test_all_that_waits_is_written_together(commits: Commit, gate: Gate) -> None:
    tasks = await held(commits, gate, [str(number) for number in range(30)])
    gate.opened.set()
    assert [str(number) for number in range(30)] == await asyncio.gather(*tasks)
    assert [1, 29] == [len(batch) for batch in gate.batches]


async def test_what_is_submitted_in_one_turn_of_the_loop_is_written_together(
    commits: Commit, gate: Gate
) -> None:
    gate.opened.set()
    await asyncio.gather(*(commits.submit(str(number)) for number in range(30)))
    assert [30] == [len(batch) for batch in gate.batches]


async def test_a_batch_is_bounded(commits: Commit, gate: Gate) -> None:
    tasks = await held(commits, gate, [str(number) for number in range(106)])
    gate.opened.set()
    await asyncio.gather(*tasks)
    assert [1, 50, 50, 5] == [len(batch) for batch in gate.batches]


def count(connection: sa.Connection) -> int:
    return len(connection.execute(sa.select(WORDS)).all())


async def test_a_caller_is_answered_after_the_commit(
    commits: Commit, gate: Gate, database: Database
) -> None:
    (task,) = await held(commits, gate, ["a"])
    assert not task.done()
    assert 0 == await database.read(count)
    gate.opened.set()
    assert "A" == await task
    assert {"a"} == set(stored(database.engine))


async def test_a_caller_that_leaves_does_not_take_its_command_back(
    commits: Commit, gate: Gate, database: Database
) -> None:
    tasks = await held(commits, gate, ["a", "b", "c"])
    for task in tasks[:2]:
        task.cancel()
    gate.opened.set()
    assert "C" == await tasks[2]
    assert {"a", "b", "c"} == set(stored(database.engine))


async def test_more_than_may_wait_are_turned_away_untaken(
    commits: Commit, gate: Gate, database: Database
) -> None:
    tasks = await held(commits, gate, [str(number) for number in range(121)])
    with pytest.raises(faults.Overloaded) as turned_away:
        await commits.submit("one too many")
    assert 0 < turned_away.value.retry_after_seconds
    gate.opened.set()
    await asyncio.gather(*tasks)
    assert "one too many" not in stored(database.engine)


async def test_closing_writes_what_was_submitted_and_takes_no_more(
    commits: Commit, gate: Gate, database: Database
) -> None:
    tasks = await held(commits, gate, [str(number) for number in range(60)])
    closing = asyncio.create_task(commits.close())
    await asyncio.sleep(0)
    with pytest.raises(faults.Unavailable):
        await commits.submit("late")
    gate.opened.set()
    await closing
    assert all(task.done() for task in tasks)
    assert 60 == len(stored(database.engine))


async def test_closing_what_never_wrote_ends(database: Database) -> None:
    commits: Commit = GroupCommit(database.engine, insert, name="word")
    await commits.close()
    await commits.start()
    await commits.close()
    await commits.close()


async def test_a_writer_that_dies_takes_nobody_with_it_unheard(
    commits: Commit, gate: Gate, database: Database
) -> None:
    tasks = await held(commits, gate, ["die", "waiting"])
    gate.opened.set()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await commits.failed()
        for task in tasks:
            with pytest.raises(faults.Unavailable):
                await task
        with pytest.raises(faults.Unavailable):
            await commits.submit("later")
        await commits.close()
    assert {} == stored(database.engine)
