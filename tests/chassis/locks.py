"""Who waits for a lock on a PostgreSQL."""

import asyncio
from typing import Final

import sqlalchemy as sa

TIMEOUT_SECONDS: Final = 20
_WAITING: Final = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")


async def until_one_waits(engine: sa.Engine) -> None:
    """Returns once somebody waits for a lock. SQLite does not tell: there it returns at once."""
    if engine.dialect.name == "sqlite":
        return
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not await asyncio.to_thread(_one_waits, engine):
            pass


def _one_waits(engine: sa.Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.scalar(_WAITING))
