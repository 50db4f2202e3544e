"""Batches, each seen to its end: by a commit, by its failures one by one, or by giving up."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence

import pytest
import sqlalchemy as sa
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.pool import PoolProxiedConnection
from structlog.typing import EventDict

from chassis import faults
from chassis.database import Database
from chassis.group_commit import (
    MISSES_MAX,
    PAUSE_SECONDS_MAX,
    TRYING_SECONDS,
    BatchWriter,
    Missed,
)
from tests.chassis.words.word import WORDS, open_at, stored
from tests.chassis.words.writing import OwnFailure, insert

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


class FakeTime:
    """A clock that is moved on only by pausing."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def monotonic(self) -> float:
        return self.now


Apply = Callable[[sa.Connection, Sequence[str]], Sequence[str | Exception]]


class Writing:
    """A batch writer on a clock of its own."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.time = FakeTime()
        self.writers: dict[Apply, BatchWriter[str, str]] = {}

    def __call__(self, apply: Apply) -> BatchWriter[str, str]:
        if apply not in self.writers:
            self.writers[apply] = BatchWriter(
                self.engine,
                apply,
                name="word",
                pause=self.time.pause,
                monotonic=self.time.monotonic,
            )
        return self.writers[apply]


@pytest.fixture
def writing(database: Database) -> Iterator[Writing]:
    writing = Writing(database.engine)
    yield writing
    for writer in writing.writers.values():
        writer.close()


def shown(replies: Sequence[str | Exception]) -> list[object]:
    return [type(it) if isinstance(it, Exception) else it for it in replies]


def unavailable(reply: object) -> bool:
    return isinstance(reply, faults.Unavailable) and reply.reason == "STORE_UNAVAILABLE"


def test_every_command_gets_its_own_reply(writing: Writing) -> None:
    assert ["A", "B", "C"] == writing(insert).write(["a", "b", "c"])
    assert {"a", "b", "c"} == set(stored(writing.engine))


def test_a_commands_own_failure_is_its_own(writing: Writing) -> None:
    assert ["A", OwnFailure, "C"] == shown(writing(insert).write(["a", "own", "c"]))
    assert {"a", "c"} == set(stored(writing.engine))


@pytest.mark.parametrize("bad", ["poison", "defect", "\ud800"])
def test_a_poisoned_command_fails_alone(writing: Writing, bad: str) -> None:
    replies = writing(insert).write(["a", bad, "c"])
    assert ["A", faults.Defect, "C"] == shown(replies)
    assert {"a", "c"} == set(stored(writing.engine))


def test_a_text_that_cannot_be_encoded_is_not_in_the_log(
    writing: Writing, logged: list[EventDict]
) -> None:
    def apply(_connection: sa.Connection, texts: Sequence[str]) -> list[str | Exception]:
        "".join([*texts, "\ud800"]).encode()
        raise AssertionError("it cannot be encoded")

    assert [faults.Defect, faults.Defect] == shown(writing(apply).write(["a secret", "b"]))
    assert [] == [it for it in logged if "secret" in str(it.get("error"))]


def test_what_a_defect_said_is_logged_and_reaches_no_caller(
    writing: Writing, logged: list[EventDict]
) -> None:
    (reply,) = writing(insert).write(["poison"])
    assert "no_poison" in str(logged[-1]["exc_info"])
    assert isinstance(reply, faults.Defect)
    assert "no_poison" not in str(reply)
    assert reply.__cause__ is None


def test_a_fault_out_of_apply_is_the_answer_of_whoever_is_alone_with_it(writing: Writing) -> None:
    def apply(connection: sa.Connection, texts: Sequence[str]) -> list[str | Exception]:
        if "b" in texts:
            raise faults.Rejected("NOT_THIS_ONE", "not this one")
        return insert(connection, texts)

    assert ["A", faults.Rejected, "C"] == shown(writing(apply).write(["a", "b", "c"]))


def test_a_statement_that_is_wrong_is_no_trouble_of_the_database(writing: Writing) -> None:
    def apply(connection: sa.Connection, texts: Sequence[str]) -> list[str | Exception]:
        if "b" in texts:
            connection.exec_driver_sql("SELECT * FROM nowhere")
        return insert(connection, texts)

    assert ["A", faults.Defect, "C"] == shown(writing(apply).write(["a", "b", "c"]))
    assert [] == writing.time.pauses


def test_too_few_replies_are_a_defect_and_nothing_is_written(writing: Writing) -> None:
    def apply(connection: sa.Connection, texts: Sequence[str]) -> list[str | Exception]:
        return insert(connection, texts)[1:]

    assert [faults.Defect] * 2 == shown(writing(apply).write(["a", "b"]))
    assert {} == stored(writing.engine)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    batch=st.lists(
        st.sampled_from(["own", "poison", "defect"]) | st.integers(0, 99).map(str), max_size=12
    )
)
def test_neighbours_never_fail_for_one_another(writing: Writing, batch: list[str]) -> None:
    expected = {"own": OwnFailure, "poison": faults.Defect, "defect": faults.Defect}
    replies = writing(insert).write(batch) if batch else []
    assert [expected.get(text, text.upper()) for text in batch] == shown(replies)


class Commits:
    """Stands between SQLAlchemy and the driver's commit, and makes some of them fail."""

    def __init__(self, engine: sa.Engine) -> None:
        self._dialect = engine.dialect
        self._real = engine.dialect.do_commit
        self._trouble = engine.dialect.loaded_dbapi.OperationalError("disk I/O error")
        self.before = 0  # so many fail and had no effect
        self.after = 0  # so many had their effect, but the answer is lost
        # The seam is where SQLAlchemy meets the driver.
        vars(engine.dialect)["do_commit"] = self

    def __call__(self, connection: PoolProxiedConnection) -> None:
        if self.before:
            self.before -= 1
            raise self._trouble
        self._real(connection)
        if self.after:
            self.after -= 1
            raise self._trouble


def test_a_commit_that_failed_is_made_again(writing: Writing) -> None:
    Commits(writing.engine).before = 2
    assert ["A", "B"] == writing(insert).write(["a", "b"])
    assert {"a", "b"} == set(stored(writing.engine))


def test_a_commit_whose_answer_was_lost_is_answered_as_if_it_had_not_been(writing: Writing) -> None:
    Commits(writing.engine).after = 1
    assert ["A", "B"] == writing(insert).write(["a", "b"])
    assert {"a", "b"} == set(stored(writing.engine))


def test_what_is_not_idempotent_is_seen_to_be_applied_twice(writing: Writing) -> None:
    """The test above can fail: this one does without what it is about."""

    def apply(connection: sa.Connection, texts: Sequence[str]) -> list[str | Exception]:
        more = WORDS.update().values(uses=WORDS.c.uses + 1)
        connection.execute(more)
        return list(texts)

    writing(insert).write(["a"])
    Commits(writing.engine).after = 1
    writing(apply).write(["a"])
    assert 2 == stored(writing.engine)["a"].uses


def test_the_pauses_between_tries_grow_and_are_bounded(writing: Writing) -> None:
    Commits(writing.engine).before = 1_000
    assert all(unavailable(it) for it in writing(insert).write(["a", "b"]))
    pauses = writing.time.pauses
    assert sorted(pauses) == pauses
    assert PAUSE_SECONDS_MAX >= pauses[-1]
    assert TRYING_SECONDS >= sum(pauses)


def test_a_database_that_comes_back_is_written_to_again(writing: Writing) -> None:
    commits = Commits(writing.engine)
    commits.before = 1_000
    writer = writing(insert)
    assert unavailable(writer.write(["a"])[0])
    commits.before = 0
    assert ["A"] == writer.write(["a"])


def test_commands_run_alone_do_not_each_wait_for_a_database_that_is_away(writing: Writing) -> None:
    tried: list[str] = []

    def apply(_: sa.Connection, texts: Sequence[str]) -> list[str | Exception]:
        if len(texts) > 1:
            raise ValueError("somebody is at fault")
        tried.extend(set(texts) - set(tried))
        raise sa.exc.OperationalError("", None, sqlite3.OperationalError("locked"))

    replies = writing(apply).write(["a", "b", "c"])
    assert all(unavailable(it) for it in replies)
    assert ["a"] == tried


def test_what_missed_is_decided_again_alone_and_after_the_others(writing: Writing) -> None:
    runs: list[list[str]] = []

    def apply(connection: sa.Connection, texts: Sequence[str]) -> list[str | Exception]:
        runs.append(list(texts))
        replies = insert(connection, texts)
        if len(runs) == 1:
            raise Missed([1, 3])
        return replies

    assert ["A", "B", "C", "D"] == writing(apply).write(["a", "b", "c", "d"])
    assert [["a", "b", "c", "d"], ["a", "c"], ["b"], ["d"]] == runs


def test_whoever_misses_every_time_is_sent_away_with_nothing_written(writing: Writing) -> None:
    runs = 0

    def apply(connection: sa.Connection, texts: Sequence[str]) -> list[str | Exception]:
        nonlocal runs
        runs += 1
        insert(connection, texts)
        raise Missed([0])

    assert unavailable(writing(apply).write(["a"])[0])
    assert 1 + MISSES_MAX == runs
    assert {} == stored(writing.engine)
