"""Replicas that share one log: each with connections of its own, as in a process of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest_asyncio

from tests.orchestrator.saga_log_sql.harness.troubled import TroubledLog, open_log

OpenReplica = Callable[[], Awaitable[TroubledLog]]


@pytest_asyncio.fixture
async def replica(postgres_url: str) -> AsyncIterator[OpenReplica]:
    """Opens the log once more."""
    async with AsyncExitStack() as stack:

        async def opened() -> TroubledLog:
            return await stack.enter_async_context(open_log(postgres_url))

        yield opened


@pytest_asyncio.fixture
async def one(replica: OpenReplica) -> TroubledLog:
    return await replica()


@pytest_asyncio.fixture
async def other(replica: OpenReplica) -> TroubledLog:
    return await replica()
