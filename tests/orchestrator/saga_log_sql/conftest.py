from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.orchestrator.saga_log_sql.harness.troubled import TroubledLog, open_log


@pytest_asyncio.fixture
async def log(tmp_path: Path) -> AsyncIterator[TroubledLog]:
    async with open_log(tmp_path) as log:
        yield log
