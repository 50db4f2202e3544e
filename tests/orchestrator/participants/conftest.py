from collections.abc import AsyncIterator

import grpc.aio
import pytest
import pytest_asyncio

from chassis.channels import open_channel
from tests.orchestrator.edge.harness.scripted import ScriptedParticipants


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[ScriptedParticipants]:
    async with ScriptedParticipants() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def channel(server: ScriptedParticipants) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(server.address) as channel:
        yield channel


@pytest.fixture
def participants(server: ScriptedParticipants) -> ScriptedParticipants:
    """The server, with nothing asked of it yet and nothing to say but OK."""
    server.forget()
    return server
