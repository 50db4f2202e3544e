"""One orchestrator in front of scripted participants, for each test module."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.orchestrator.edge.harness.office import Office
from tests.orchestrator.edge.harness.scripted import ScriptedParticipants


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[ScriptedParticipants]:
    async with ScriptedParticipants() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(
    server: ScriptedParticipants, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Office]:
    async with Office(tmp_path_factory.mktemp("office"), server.targets) as office:
        yield office


@pytest.fixture
def participants(server: ScriptedParticipants) -> ScriptedParticipants:
    """The server, with nothing asked of it yet and nothing to say but OK."""
    server.forget()
    return server


@pytest.fixture
def request_id(request: pytest.FixtureRequest) -> str:
    """An id that no other test uses."""
    name: str = request.node.name
    return "".join(it if it.isalnum() else "-" for it in name)[-120:]
