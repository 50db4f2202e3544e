"""What callers are told when the log is in trouble, and what becomes of their processes."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from chassis.database import Database
from chassis.group_commit import GroupCommit
from oms.orchestrator.v1 import order_process_pb2 as process_pb
from oms.orchestrator.v1 import order_process_service_pb2 as pb
from orchestrator import servicer
from orchestrator.saga_log.protocol import Append
from orchestrator.saga_log.sql import SqlSagaLog
from orchestrator.saga_log.sql_writes import CreateCommand, LogCommand, LogReply, LogWriter
from tests.orchestrator.edge.harness.office import PATIENCE_SECONDS, Office
from tests.orchestrator.edge.harness.refusal import refusal, told
from tests.orchestrator.edge.harness.scripted import ScriptedParticipants
from tests.orchestrator.saga_log_sql.harness.troubled import Commits, HurriedTime

COMPLETED = process_pb.ORDER_PROCESS_STATE_COMPLETED


class ForgetfulWriter(LogWriter):
    """Commits the creates of one request, and never gets the answer."""

    commits: Commits
    offered = 0

    def apply(
        self, connection: sa.Connection, commands: Sequence[LogCommand]
    ) -> list[LogReply | Exception]:
        replies = super().apply(connection, commands)
        if any(isinstance(it, CreateCommand) and it.new.business_key == "lost" for it in commands):
            self.offered += 1
            if self.offered == 1:
                self.commits.after = 1
            else:
                self.commits.before = 1
        return replies


async def forgetful(url: str) -> SqlSagaLog:
    database = Database.open(
        url, name="orchestrator", migrations="orchestrator.migrations", exclusive=True
    )
    writer = ForgetfulWriter(database.engine.dialect)
    writer.commits = Commits(database.engine)
    time = HurriedTime()
    group_commit: GroupCommit[LogCommand, LogReply] = GroupCommit(
        database.engine,
        writer.apply,
        name="orchestrator",
        pause=time.pause,
        monotonic=time.monotonic,
    )
    await group_commit.start()
    return SqlSagaLog(database, group_commit)


async def test_a_start_of_which_nobody_learned_is_unavailable_and_its_process_goes_on(
    participants: ScriptedParticipants, tmp_path: Path
) -> None:
    async with Office(tmp_path, participants.targets, open_log=forgetful) as office:
        error = await refusal(office.start("lost"))
        assert ("UNAVAILABLE", "LOG_UNAVAILABLE") == told(error)

        found = await office.service.GetOrderProcess(
            pb.GetOrderProcessRequest(request_id="lost"), timeout=PATIENCE_SECONDS
        )
        # Nobody asks for it any more, and it is run all the same.
        process = await office.reaches(found.process.process_id, COMPLETED)

    assert "lost" == process.request_id


async def test_a_history_that_cannot_be_read_spoils_nothing_else(
    participants: ScriptedParticipants, tmp_path: Path
) -> None:
    async with Office(tmp_path, participants.targets) as office:
        damaged = await office.start("damaged")
        fine = await office.start("fine")
        with office.log._database.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE events SET body = '?' WHERE sequence = 3 AND process_id = ?",
                (damaged.process_id,),
            )

        shown = await office.get(damaged.process_id)
        listed = await office.service.ListOrderProcesses(pb.ListOrderProcessesRequest())
        watch = office.service.WatchOrderProcess(
            pb.WatchOrderProcessRequest(process_id=damaged.process_id)
        )
        not_watched = await refusal(watch.read())
        not_cancelled = await refusal(office.cancel(damaged.process_id))

    assert (damaged.process_id, damaged.order_id, COMPLETED, damaged.end_time) == (
        shown.process_id,
        shown.order_id,
        shown.state,
        shown.end_time,
    )
    assert 0 == len(shown.steps)
    assert [fine, shown] == list(listed.processes)
    assert "INTERNAL" == not_watched.code.name == not_cancelled.code.name


async def test_it_answers_what_the_log_says_where_the_run_is_told_later(
    office: Office,
    participants: ScriptedParticipants,
    request_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    let_go = asyncio.Event()
    append = SqlSagaLog.append

    async def told_later(self: SqlSagaLog, moved: Append) -> int:
        revision = await append(self, moved)
        if moved.phase.at_rest:
            await let_go.wait()
        return revision

    monkeypatch.setattr(SqlSagaLog, "append", told_later)
    monkeypatch.setattr(servicer, "WAIT_LOOK_SECONDS", 0.01)
    process = await office.start(request_id)
    let_go.set()

    assert COMPLETED == process.state
    assert "CreateDelivery" == participants.calls[-1]
