from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.orchestrator.saga_log_sql.harness.troubled import TroubledLog, open_log


@pytest_asyncio.fixture
async def log(database_url: str) -> AsyncIterator[TroubledLog]:
    async with open_log(database_url) as log:
        yield log


@pytest_asyncio.fixture
async def on_sqlite(tmp_path: Path) -> AsyncIterator[TroubledLog]:
    async with open_log(f"sqlite:///{tmp_path}/orchestrator.db") as log:
        yield log
