"""A disk that fails under the saga log: who is told what, what is called, and what comes of it."""

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chassis.database import Database
from chassis.group_commit import BatchWriter, GroupCommit
from oms.common.v1.money_pb2 import Money
from oms.orchestrator.v1 import order_process_pb2 as process_pb
from oms.orchestrator.v1 import order_process_service_pb2 as pb
from oms.order.v1.order_pb2 import OrderItem
from orchestrator.saga_log.sql import SqlSagaLog
from orchestrator.saga_log.sql_writes import LogCommand, LogReply, LogWriter
from tests.chassis.storage.disk import Disk, Fault, HurriedTime
from tests.orchestrator.edge.harness.office import Office
from tests.orchestrator.edge.harness.refusal import refusal, told
from tests.orchestrator.edge.harness.scripted import Gate, ScriptedParticipants, create_payment

COMPLETED = process_pb.ORDER_PROCESS_STATE_COMPLETED
RUNNING = 3
# By the URL of the log that is on it.
DISKS: dict[str, Disk] = {}
# More than fits into what a full disk still has room for.
MANY = [
    OrderItem(
        sku=f"BOOK-{number}-{'X' * 100}",
        quantity=1,
        unit_price=Money(currency_code="USD", minor_units=1),
    )
    for number in range(1_000)
]


async def hurried(url: str) -> SqlSagaLog:
    """A log whose disk can fail, and whose writer loses no time over that."""
    database = Database.open(
        url, name="orchestrator", migrations="orchestrator.migrations", exclusive=True
    )
    DISKS[url] = Disk(database.engine, Path(url.removeprefix("sqlite:///")))
    time = HurriedTime()
    commits: GroupCommit[LogCommand, LogReply] = GroupCommit(
        database.engine,
        LogWriter(database.engine.dialect).apply,
        name="orchestrator",
        pause=time.pause,
        monotonic=time.monotonic,
    )
    await commits.start()
    return SqlSagaLog(database, commits)


def intents(folder: Path) -> int:
    """How many attempts are in the log, as another process reads it."""
    with contextlib.closing(sqlite3.connect(folder / "orchestrator.db")) as log:
        (count,) = log.execute(
            "SELECT count(*) FROM events WHERE kind = 'attempt_began' OR body LIKE ?",
            # It follows from one that went well.
            ('[%["attempt_began",%',),
        ).fetchone()
    return int(count)


async def held(office: Office, participants: ScriptedParticipants) -> tuple[list[str], Gate]:
    """Processes that were accepted, and whose payments are being created."""
    gate = Gate()
    participants.answers["CreatePayment"] = gate.before(create_payment)
    accepted = [await office.accept(f"running-{number}") for number in range(RUNNING)]
    await participants.called("CreatePayment", RUNNING)
    return [it.process_id for it in accepted], gate


@pytest.mark.parametrize("fault", Fault)
async def test_a_fault_of_the_disk_costs_nobody_a_process_and_no_call_leaves_without_its_intent(
    participants: ScriptedParticipants, tmp_path: Path, fault: Fault
) -> None:
    async with Office(tmp_path, participants.targets, open_log=hurried) as office:
        (store,) = office.log.stores
        disk = DISKS.pop(office.url)
        running, gate = await held(office, participants)

        disk.fail(fault)
        gate.opened.set()
        error = await refusal(office.start("turned-away", items=MANY))
        assert ("UNAVAILABLE", "LOG_UNAVAILABLE") == told(error)
        await disk.has_refused(5)
        assert len(participants.calls) <= intents(tmp_path)

        disk.heal()
        ended = [await office.reaches(process_id, COMPLETED) for process_id in running]
        first = await office.start("turned-away", items=MANY)
        again = await office.start("turned-away", items=MANY)
        listed = await office.service.ListOrderProcesses(pb.ListOrderProcessesRequest())

        assert first.process_id == again.process_id
        assert {first.process_id, *running} == {it.process_id for it in listed.processes}
        assert RUNNING + 1 == len(listed.processes)
        assert {COMPLETED} == {it.state for it in (first, *ended)}
        assert len(participants.calls) == intents(tmp_path)
        assert {} == store.health.troubles


async def test_a_log_that_acknowledges_before_it_commits_is_found_out(
    participants: ScriptedParticipants, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the test above asserts can fail: calls leave whose intents are nowhere."""

    def hasty(self: BatchWriter[Any, Any], commands: Sequence[Any]) -> Sequence[Any]:
        with self._engine.connect() as connection:
            transaction = connection.begin()
            replies = self._apply(connection, commands)
            with contextlib.suppress(Exception):
                transaction.commit()
        return replies

    async with Office(tmp_path, participants.targets, open_log=hurried) as office:
        disk = DISKS.pop(office.url)
        _, gate = await held(office, participants)
        assert len(participants.calls) == intents(tmp_path)
        monkeypatch.setattr(BatchWriter, "_once", hasty)
        disk.fail(Fault.INPUT_OUTPUT)
        gate.opened.set()
        await participants.called("ConfirmPayment")
        assert len(participants.calls) > intents(tmp_path)
        disk.heal()
