"""The logs that the conformance suite is held against.

A log is opened empty, at a URL where there is nothing yet, and closed at the end of its test.
Another one joins with a line in LOGS.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

from orchestrator.saga_log.memory import MemorySagaLog
from orchestrator.saga_log.protocol import SagaLog
from orchestrator.saga_log.sql import SqlSagaLog

OpenLog: TypeAlias = Callable[[str], AbstractAsyncContextManager[SagaLog]]


@asynccontextmanager
async def memory(_: str) -> AsyncIterator[SagaLog]:
    log = MemorySagaLog()
    yield log
    await log.close()


@asynccontextmanager
async def sql(url: str) -> AsyncIterator[SagaLog]:
    log = await SqlSagaLog.open(url)
    yield log
    await log.close()


LOGS: Mapping[str, OpenLog] = {"memory": memory, "sqlite": sql, "postgres": sql}
