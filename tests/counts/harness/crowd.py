"""Order processes that run in step: the real orchestrator and its real log, but no network.

Invariant: no clock decides anything. Every participant answers nobody before all have asked, and
then all in one turn of the loop; so each step of the whole crowd is one batch of the log's, however
fast or slow the machine is. Nothing times out.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import structlog
import uvloop
from sqlalchemy import func, select

from chassis.database import Database
from chassis.ids import IdSource
from oms.orchestrator.v1 import order_process_pb2 as process_pb
from orchestrator import chronicle, servicer
from orchestrator.admission import Admission
from orchestrator.feed import Feed
from orchestrator.interventions import Interventions
from orchestrator.order_process import ORDER_PROCESSES
from orchestrator.participants.delivery import DeliveryParticipant
from orchestrator.participants.order import OrderParticipant
from orchestrator.participants.payment import PaymentParticipant
from orchestrator.runner import Runner
from orchestrator.saga.definition import Policy
from orchestrator.saga_log.sql import SqlSagaLog, is_shared
from orchestrator.saga_log.sql_work import Work
from orchestrator.saga_log.sql_writes import LogWriter
from orchestrator.saga_log.tables import EVENTS
from orchestrator.servicer import OrderProcessServicer
from tests.counts.harness.python_calls import Calls, threads_begun_here
from tests.counts.harness.wire import Wire
from tests.orchestrator.edge.harness.office import order
from tests.orchestrator.edge.harness.scripted import METHODS

T = TypeVar("T")

CROWD = 64
NEVER_SECONDS = 86_400.0
POLICY = Policy(attempt_timeout_seconds=NEVER_SECONDS)
# Logs as much as a server does: nothing of what goes well.
SERVERS = structlog.wrap_logger(
    None, wrapper_class=structlog.make_filtering_bound_logger(logging.INFO)
).bind()


class StoppedClock:
    def now_us(self) -> int:
        return 1_700_000_000_000_000

    async def sleep(self, _seconds: float) -> None:
        raise AssertionError("where all goes well nobody pauses")


class Patient:
    """The context of a caller who waits for ever."""

    def time_remaining(self) -> None:
        return None


class InStep:
    """Stands in for the channels to the participants."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.crowd = 1
        """How many ask before any is answered."""
        self._waiting: list[asyncio.Future[None]] = []
        self._shut = ""
        self._held: list[asyncio.Future[None]] = []
        self._holds = 0
        self._all_held = asyncio.Event()

    def unary_unary(self, path: str, *_: Any, **__: Any) -> Callable[..., Awaitable[Any]]:
        method = path.rpartition("/")[2]

        async def call(request: Any, **named: Any) -> Any:
            assert NEVER_SECONDS == named["timeout"]
            self.calls[method] += 1
            answered = asyncio.get_running_loop().create_future()
            if method == self._shut:
                self._held.append(answered)
                if len(self._held) == self._holds:
                    self._all_held.set()
            else:
                self._waiting.append(answered)
                if len(self._waiting) == self.crowd:
                    self._waiting = _answered(self._waiting)
            await answered
            return METHODS[method][2](request)

        return call

    async def hold(self, method: str, calls: int) -> None:
        """Answers nobody at that method until `open`; returns once there are so many."""
        self._shut, self._holds = method, calls
        self._all_held.clear()
        await self._all_held.wait()

    def open(self) -> None:
        self._shut = ""
        self._held = _answered(self._held)


def _answered(waiting: Sequence[asyncio.Future[None]]) -> list[asyncio.Future[None]]:
    for it in waiting:
        it.set_result(None)
    return []


class Crowd:
    """An orchestrator, and what it says to its log's database."""

    def __init__(self, log: SqlSagaLog, wrote: Wire, read: Wire, writer_calls: Calls) -> None:
        self.wrote = wrote
        self.read = read
        self.writer_calls = writer_calls
        self.participants = InStep()
        clock, feed, rests = StoppedClock(), Feed(), Feed()
        versions = ORDER_PROCESSES.patient(POLICY)
        channel: Any = self.participants
        self.runner = Runner(
            definitions=versions.by_key,
            actions={
                **OrderParticipant(channel).actions(),
                **PaymentParticipant(channel).actions(),
                **DeliveryParticipant(channel).actions(),
            },
            log=log,
            clock=clock,
            random=lambda: 0.5,
            owner="me",
            feed=feed,
            rests=rests,
        )
        self._servicer = OrderProcessServicer(
            log=log,
            runner=self.runner,
            interventions=Interventions(log=log, feed=feed, clock=clock, wake=self.runner.wake),
            feed=feed,
            rests=rests,
            clock=clock,
            ids=IdSource(clock),
            definition=versions.current,
            process_deadline_seconds=NEVER_SECONDS,
            return_window_seconds=NEVER_SECONDS,
            admission=Admission(self.runner, most=10_000, clock=clock),
        )
        self.placed = 0
        """How many orders so far."""
        self._read = log._database.read

    async def event_rows(self) -> int:
        """What is in the table of events."""
        return await self._read(
            lambda connection: connection.scalar(select(func.count()).select_from(EVENTS)) or 0
        )

    def forget(self) -> None:
        """Nothing was said so far."""
        self.wrote.forget()
        self.read.forget()
        self.participants.calls.clear()

    async def run(self, size: int) -> None:
        """So many orders, from StartOrderProcess to its answer: delivered."""
        processes = await self.start(size)
        assert {process_pb.ORDER_PROCESS_STATE_COMPLETED} == {it.state for it in processes}
        await self.ended()

    async def ended(self) -> None:
        """Returns once none is in flight."""
        while self.runner._tasks:
            await asyncio.wait(self.runner._tasks)

    async def start(self, size: int, **changes: object) -> Sequence[process_pb.OrderProcess]:
        self.participants.crowd = size
        context: Any = Patient()
        requests = [order(f"r{self.placed + place}", **changes) for place in range(size)]
        self.placed += size
        answers = await asyncio.gather(
            *(self._servicer.StartOrderProcess(request, context) for request in requests)
        )
        return [it.process for it in answers]


@asynccontextmanager
async def open_crowd(
    url: str, folder: Path, *, log_type: type[SqlSagaLog] = SqlSagaLog
) -> AsyncIterator[Crowd]:
    database = Database.open(
        url, name="orchestrator", migrations="orchestrator.migrations", exclusive=True
    )
    wrote, read = Wire(database.engine, folder), Wire(database._read_engine, folder)
    work = Work(shared=is_shared(url))
    with threads_begun_here() as writer_calls:
        log = await log_type.over(database, LogWriter(database.engine.dialect, work=work), work)
    try:
        with (
            patch.object(servicer, "WAIT_LOOK_SECONDS", NEVER_SECONDS),
            patch.object(chronicle, "_log", SERVERS),
        ):
            crowd = Crowd(log, wrote, read, writer_calls)
            # What is made once, in each thread and for each size, is made now.
            await crowd.run(1)
            await crowd.run(CROWD)
            crowd.forget()
            yield crowd
    finally:
        await log.close()


def play(scenario: Coroutine[Any, Any, T]) -> T:
    """Runs a scenario on the loop that servers run on, none of which is written in Python."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(scenario)
