"""What a replica leaves, another one goes on with; what was taken from it, it keeps out of."""

import asyncio
import itertools
from dataclasses import replace

import pytest
from sqlalchemy import Connection

from oms.orchestrator.v1 import order_process_pb2 as process_pb
from orchestrator.run import Run
from orchestrator.saga.events import AttemptEnded, Event
from orchestrator.saga.evolve import replay
from orchestrator.saga_log import sql_appends, sql_writes
from orchestrator.saga_log.protocol import NewProcess, ProcessRow, SagaLog
from orchestrator.saga_log.pulse import Pulse
from orchestrator.saga_log.sql import SqlSagaLog
from orchestrator.saga_log.sql_writes import AppendCommand
from orchestrator.saga_log.tables import REPLICAS
from tests.orchestrator.edge.harness.office import Office
from tests.orchestrator.edge.harness.scripted import Gate, ScriptedParticipants, create_payment
from tests.orchestrator.replicas.conftest import MakeOffice

COMPLETED = process_pb.ORDER_PROCESS_STATE_COMPLETED
COUNT = 20

Pair = tuple[Office, Office]


def lapse(office: Office) -> None:
    """Its heartbeat is as old as if it had stood still for long; and it does not know."""
    [database] = office.log.stores
    owner = office.orchestrator.runner._means.owner
    with database.engine.begin() as connection:
        mine = REPLICAS.c.owner == owner
        assert (
            1 == connection.execute(REPLICAS.update().where(mine).values(expire_time_us=1)).rowcount
        )


async def owner_and_epoch(log: SagaLog, process_id: str) -> tuple[str | None, int]:
    stored = await log.load(process_id)
    assert stored is not None
    return stored.row.owner, stored.row.epoch


async def events_of(log: SagaLog, process_id: str) -> tuple[Event, ...]:
    stored = await log.load(process_id)
    assert stored is not None
    return stored.events


async def test_what_a_replica_was_running_when_it_died_is_finished_by_another(
    make: MakeOffice, participants: ScriptedParticipants
) -> None:
    gate = Gate()
    participants.answers["CreatePayment"] = gate.before(create_payment)
    dying = make(lease_seconds=0.5)
    await dying.open()
    async with make() as survivor:
        processes = [await dying.accept(f"r{number}") for number in range(COUNT)]
        await participants.called("CreatePayment", COUNT)
        await dying.crash()
        gate.opened.set()
        for process in processes:
            assert COMPLETED == (await survivor.reaches(process.process_id, COMPLETED)).state
            owner, epoch = await owner_and_epoch(survivor.log, process.process_id)
            assert owner is None
            assert epoch > 1


class LateAnswers(SqlSagaLog):
    """Creates are answered when another replica has long taken the process over."""

    async def create(self, new: NewProcess) -> tuple[ProcessRow, bool]:
        _, created = await super().create(new)
        await self.beat("another", lease_seconds=600)
        await self.beat(new.owner, lease_seconds=0)
        self._pulse = Pulse()
        [taken] = await super().claim(owner="another", now_us=new.due_time_us, limit=1)
        assert new.process_id == taken.row.process_id
        return taken.row, created


async def test_a_process_that_was_taken_over_before_its_create_was_answered_is_left_alone(
    make: MakeOffice, participants: ScriptedParticipants
) -> None:
    async with make(open_log=LateAnswers.open) as late:
        process = await late.accept("r")
        assert not late.orchestrator.runner.runs(process.process_id)
        assert ("another", 2) == await owner_and_epoch(late.log, process.process_id)
    assert [] == participants.calls


async def test_what_a_draining_replica_gives_back_is_gone_on_with_at_once(
    make: MakeOffice, participants: ScriptedParticipants
) -> None:
    """Its lease has long to run: nobody waits for that."""
    gate = Gate()
    participants.answers["CreatePayment"] = gate.before(create_payment)
    async with make() as leaving, make() as staying:
        processes = [await leaving.accept(f"r{number}") for number in range(COUNT)]
        await participants.called("CreatePayment", COUNT)
        drained = asyncio.create_task(leaving.drain(0.0))
        await participants.called("CreatePayment", 2 * COUNT)
        gate.opened.set()
        await drained
        for process in processes:
            assert COMPLETED == (await staying.reaches(process.process_id, COMPLETED)).state


async def test_what_waits_in_the_log_when_its_replica_dies_is_claimed_when_it_is_due(
    make: MakeOffice,
) -> None:
    # It may have claimed the process once more before it dies.
    dying = make(lease_seconds=0.5)
    await dying.open()
    process = await dying.start("r")
    async with make() as survivor:
        await survivor.cancel(process.process_id)
        await dying.crash()
        cancelled = process_pb.ORDER_PROCESS_STATE_CANCELLED
        assert cancelled == (await survivor.reaches(process.process_id, cancelled)).state


async def stood_still(
    pair: Pair, participants: ScriptedParticipants
) -> tuple[tuple[Event, ...], tuple[Event, ...]]:
    """A replica stands still in the midst of a call, is taken for dead, and goes on.

    Returns:
        The history when the other one had taken over and was in the midst of the same call, and
        when the first had gone on with what it knew.
    """
    first, second, open_ = Gate(), Gate(), Gate()
    open_.opened.set()
    gates = itertools.chain((first, second), itertools.repeat(open_))

    async def hold(request: object, context: object) -> object:
        return await next(gates).before(create_payment)(request, context)  # type: ignore[arg-type]

    participants.answers["CreatePayment"] = hold  # type: ignore[assignment]
    stopped, other = pair
    process = await stopped.accept("r")
    await first.arrived.wait()
    lapse(stopped)
    await second.arrived.wait()
    assert 2 == (await owner_and_epoch(other.log, process.process_id))[1]
    before = await events_of(other.log, process.process_id)
    run_there = stopped.orchestrator.runner._tasks.copy()
    first.opened.set()
    await asyncio.wait(run_there)
    after = await events_of(other.log, process.process_id)
    second.opened.set()
    await other.reaches(process.process_id, COMPLETED)
    return before, after


async def test_a_replica_that_stood_still_writes_nothing_about_what_was_taken_from_it(
    pair: Pair, participants: ScriptedParticipants
) -> None:
    before, after = await stood_still(pair, participants)
    assert before == after


@pytest.fixture
def unfenced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody proves an epoch any more, neither where it is written nor where it is read again."""
    without = tuple(it for it in sql_appends.APPEND_GUARDS if "epoch" not in str(it))
    assert len(sql_appends.APPEND_GUARDS) - 1 == len(without)
    defaults = sql_writes.LogWriter.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "append_guards", without)
    why_missed = sql_writes._why_missed

    def by_sequence_alone(connection: Connection, command: AppendCommand) -> int | Exception:
        return why_missed(connection, replace(command, append=replace(command.append, epoch=None)))

    async def believing(self: Run, _outcome: AttemptEnded | None) -> AttemptEnded | None:
        self._moved = False
        stored = await self._means.log.load(self.process_id, after=self._state.revision)
        assert stored is not None
        self._state = replay(stored.events, self._state)
        return None

    monkeypatch.setattr(sql_writes, "_why_missed", by_sequence_alone)
    monkeypatch.setattr(Run, "_reload", believing)


@pytest.mark.usefixtures("unfenced")
async def test_without_the_epoch_it_writes_into_what_was_taken_from_it(
    pair: Pair, participants: ScriptedParticipants
) -> None:
    """Removes the mechanism: the test above would fail."""
    before, after = await stood_still(pair, participants)
    assert before != after
