"""The log under test: each of LOGS in turn, empty."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.saga_log.protocol import SagaLog
from tests.orchestrator.saga_log.conformance.logs import LOGS


@pytest.fixture(params=sorted(LOGS))
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SagaLog]:
    url = f"sqlite:///{tmp_path}/orchestrator.db"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    async with LOGS[request.param](url) as opened:
        yield opened
