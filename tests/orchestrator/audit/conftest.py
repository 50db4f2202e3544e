"""A town of real participants and an orchestrator in front of it, new for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.orchestrator.edge.harness.office import Office
from tests.orchestrator.edge.harness.town import Town


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where every database of the test is."""
    return tmp_path


@pytest_asyncio.fixture(loop_scope="module")
async def town(folder: Path) -> AsyncIterator[Town]:
    async with Town(folder) as town:
        yield town


@pytest_asyncio.fixture(loop_scope="module")
async def office(folder: Path, town: Town) -> AsyncIterator[Office]:
    async with Office(folder, town.targets) as office:
        yield office
