"""Two whole orchestrators over one PostgreSQL, in front of scripted participants."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest_asyncio

from tests.orchestrator.edge.harness.office import Office
from tests.orchestrator.edge.harness.scripted import ScriptedParticipants

MakeOffice = Callable[..., Office]


@pytest_asyncio.fixture
async def participants() -> AsyncIterator[ScriptedParticipants]:
    async with ScriptedParticipants() as server:
        yield server


@pytest_asyncio.fixture
async def make(participants: ScriptedParticipants, postgres_url: str) -> AsyncIterator[MakeOffice]:
    """An orchestrator more, closed with the test. `async with` opens it."""

    def one(**options: object) -> Office:
        return Office(None, participants.targets, url=postgres_url, **options)  # type: ignore[arg-type]  # passed through

    yield one


@pytest_asyncio.fixture
async def pair(make: MakeOffice) -> AsyncIterator[tuple[Office, Office]]:
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(make()),
            await stack.enter_async_context(make()),
        )
