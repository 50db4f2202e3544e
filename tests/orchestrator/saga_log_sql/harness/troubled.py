"""A SQL log whose database can be made to fail, and whose writer loses no time over it."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa

from chassis.database import Database
from chassis.group_commit import TRYING_SECONDS, GroupCommit
from orchestrator.saga_log.sql import SqlSagaLog, is_shared
from orchestrator.saga_log.sql_appends import APPEND_GUARDS
from orchestrator.saga_log.sql_work import Work
from orchestrator.saga_log.sql_writes import LogCommand, LogReply, LogWriter


class Commits:
    """Stands between SQLAlchemy and the driver's commit, and makes some of them fail."""

    def __init__(self, engine: sa.Engine) -> None:
        self._real = engine.dialect.do_commit
        self._trouble = engine.dialect.loaded_dbapi.OperationalError("disk I/O error")
        self.before = 0
        """So many fail and have no effect."""
        self.after = 0
        """So many have their effect, but the answer is lost."""
        engine.dialect.do_commit = self  # type: ignore[method-assign, assignment]  # the seam is the driver

    def __call__(self, connection: Any) -> None:
        if self.before:
            self.before -= 1
            raise self._trouble
        self._real(connection)
        if self.after:
            self.after -= 1
            raise self._trouble

    def stay_away(self) -> None:
        """From now on nothing is committed, however often it is tried."""
        self.before = 1_000_000

    def come_back(self) -> None:
        self.before = self.after = 0


class HurriedTime:
    """What a writer waits for passes at once."""

    def __init__(self) -> None:
        self.now = 0.0
        self.before_offer: Callable[[], None] = lambda: None
        """Called when a pause is over, before the same commands are offered again."""

    def pause(self, seconds: float) -> None:
        self.now += seconds
        self.before_offer()

    def monotonic(self) -> float:
        return self.now


class TroubledLog(SqlSagaLog):
    """The log itself; only its surroundings are other than usual."""

    database: Database
    commits: Commits
    time: HurriedTime


@asynccontextmanager
async def open_log(
    url: str, *, guards: Sequence[sa.ColumnElement[bool]] = APPEND_GUARDS
) -> AsyncIterator[TroubledLog]:
    database = Database.open(
        url,
        name="orchestrator",
        migrations="orchestrator.migrations",
        exclusive=True,
    )
    time = HurriedTime()
    work = Work(shared=is_shared(url))
    writer = LogWriter(database.engine.dialect, work=work, append_guards=guards)
    group_commit: GroupCommit[LogCommand, LogReply] = GroupCommit(
        database.engine,
        writer.apply,
        name="orchestrator",
        pause=time.pause,
        monotonic=time.monotonic,
    )
    await group_commit.start()
    log = TroubledLog(database, group_commit, work)
    log.database, log.time = database, time
    log.commits = Commits(database.engine)
    try:
        yield log
    finally:
        log.commits.come_back()
        await log.close()


def lose_the_answer_for_good(log: TroubledLog) -> None:
    """The next commit takes effect; then the database stays away until the writer gives up."""
    given_up = log.time.now + TRYING_SECONDS

    def stay_away() -> None:
        log.commits.before = 1 if log.time.now < given_up else 0

    log.commits.after = 1
    log.time.before_offer = stay_away
