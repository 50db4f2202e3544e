"""What a crowd of order processes costs, in counts."""

import asyncio
import gc
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import make_url

from orchestrator.saga_log.sql import SqlSagaLog
from tests.counts.harness.crowd import CROWD, Crowd, open_crowd, play
from tests.counts.harness.python_calls import calls_here


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    database: str
    alone: Sequence[Sequence[str]]
    """The transactions of one process."""
    together: Sequence[Sequence[str]]
    """Those of CROWD processes at once."""
    messages: int
    """How often a server was waited for, for those."""
    reads: Sequence[str]
    event_rows: float
    """What a process of the crowd leaves in the table of events."""
    loop_calls: float
    """Of functions, for each process of the crowd; and which most."""
    most_loop_calls: str
    writer_calls: float
    most_writer_calls: str


def measured(url: str, folder: Path, *, log_type: type[SqlSagaLog] = SqlSagaLog) -> Measured:
    async def scenario() -> Measured:
        async with open_crowd(url, folder, log_type=log_type) as crowd:
            await crowd.run(1)
            alone = crowd.wrote.transactions()
            crowd.forget()
            crowd.writer_calls.begin()
            with calls_here() as calls:
                await crowd.run(CROWD)
            crowd.writer_calls.end()
            reads = crowd.read.statements()
            return Measured(
                database=make_url(url).get_backend_name(),
                alone=alone,
                together=crowd.wrote.transactions(),
                messages=crowd.wrote.messages(),
                reads=reads,
                event_rows=await crowd.event_rows() / crowd.placed,
                loop_calls=calls.total / CROWD,
                most_loop_calls=calls.most(CROWD),
                writer_calls=crowd.writer_calls.total / CROWD,
                most_writer_calls=crowd.writer_calls.most(CROWD),
            )

    return play(scenario())


def blocks_in_flight(
    url: str, folder: Path, *, log_type: type[SqlSagaLog] = SqlSagaLog, processes: int = CROWD
) -> float:
    """How many blocks of memory a process takes that waits for its last step, its caller gone."""

    async def held(crowd: Crowd, more: int, all_of_them: int) -> int:
        holding = asyncio.create_task(crowd.participants.hold("CreateDelivery", all_of_them))
        await asyncio.sleep(0)
        await crowd.start(more, return_immediately=True)
        await holding
        del holding
        gc.collect()
        return sys.getallocatedblocks()

    async def scenario() -> float:
        async with open_crowd(url, folder, log_type=log_type) as crowd:
            # These use up what lies ready.
            before = await held(crowd, processes, processes)
            after = await held(crowd, processes, 2 * processes)
            crowd.participants.open()
            await crowd.ended()
            return (after - before) / processes

    return play(scenario())
