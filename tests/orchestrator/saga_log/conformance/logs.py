"""The logs that the conformance suite is held against.

A log is opened empty in a folder of its own and closed at the end of its test. Another one joins
with a line in LOGS.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

from orchestrator.saga_log.memory import MemorySagaLog
from orchestrator.saga_log.protocol import SagaLog
from orchestrator.saga_log.sql import SqlSagaLog

OpenLog: TypeAlias = Callable[[Path], AbstractAsyncContextManager[SagaLog]]


@asynccontextmanager
async def memory(_: Path) -> AsyncIterator[SagaLog]:
    log = MemorySagaLog()
    yield log
    await log.close()


@asynccontextmanager
async def sqlite(folder: Path) -> AsyncIterator[SagaLog]:
    log = await SqlSagaLog.open(f"sqlite:///{folder}/orchestrator.db")
    yield log
    await log.close()


LOGS: Mapping[str, OpenLog] = {"memory": memory, "sqlite": sqlite}
