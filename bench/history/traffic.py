"""Traffic on a log that nobody vacuums: what is over leaves its entries in the index for work.

Invariant: it goes through the product's own log, as many replicas would send it: many at once, with
a claim now and then. Must never: depend on how fast it goes.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from bench.history.deeds import CLAIMED_MAX, KNOWN, Where
from bench.history.touches import Explainer, Touches
from orchestrator.saga.events import AttemptBegan, Completed, Started
from orchestrator.saga.state import Phase
from orchestrator.saga_log.protocol import Append, NewProcess
from orchestrator.saga_log.sql import SqlSagaLog

OWNER: Final = "orc_busy"
APPENDS: Final = 6
AT_ONCE: Final = 200
LEASE_SECONDS: Final = 3_600.0


async def claims_under_traffic(
    where: Where, explainer: Explainer, *, processes: int
) -> Mapping[str, Touches]:
    """What a claim that finds nothing touches: before, after so many processes, and vacuumed."""
    found: dict[str, Touches] = {}
    log = await SqlSagaLog.open(where.log_url, newest=KNOWN)
    try:
        await log.beat(OWNER, lease_seconds=LEASE_SECONDS)
        while await _claim(log, where):
            pass
        with explainer.listening():
            with explainer.touches() as found["a claim before traffic"]:
                await _claim(log, where)
            for first in range(0, processes, AT_ONCE):
                numbers = range(first, min(first + AT_ONCE, processes))
                await asyncio.gather(*(_live(log, where, number) for number in numbers))
                await _claim(log, where)
            with explainer.touches() as found["a claim after traffic"]:
                await _claim(log, where)
            with where.connect() as connection:
                connection.execute("VACUUM ANALYZE")
            with explainer.touches() as found["a claim once it is vacuumed"]:
                await _claim(log, where)
    finally:
        await log.close()
    return found


def in_place(where: Where) -> float:
    """Of all changes to a row of a process, the share that no index was told of."""
    with where.connect() as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        [[share]] = connection.execute(
            "SELECT n_tup_hot_upd::float / greatest(n_tup_upd, 1) FROM pg_stat_user_tables"
            " WHERE relname = 'processes' AND schemaname = current_schema()"
        ).fetchall()
    assert isinstance(share, float)
    return share


IN_PLACE_MIN: Final = 0.7
"""Five of six changes can be; the sixth settles the process."""


def grew(claims: Mapping[str, Touches]) -> bool:
    """Whether a claim had to walk past what is over."""
    before, after, _ = (touches.pages for touches in claims.values())
    return after > 2 * before + 10


async def _claim(log: SqlSagaLog, where: Where) -> int:
    return len(await log.claim(owner="orc_other", now_us=where.now_us, limit=CLAIMED_MAX))


async def _live(log: SqlSagaLog, where: Where, number: int) -> None:
    """From the first event of a process to its last."""
    process_id, now_us = f"prc_traffic_{number:015}", where.now_us + number
    started = Started(
        definition="order_process", version=1, input={}, deadline_us=now_us, time_us=now_us
    )
    began = AttemptBegan(action="create_order", attempt=1, time_us=now_us)
    new = NewProcess(
        process_id=process_id,
        business_key=f"traffic {number}",
        fingerprint="f",
        subject="cus_traffic",
        owner=OWNER,
        events=(started, began),
        phase=Phase.RUNNING,
        due_time_us=now_us,
        create_time_us=now_us,
    )
    await log.create(new)
    step = Append(
        process_id=process_id,
        follows=2,
        events=(began,),
        epoch=1,
        phase=Phase.RUNNING,
        due_time_us=now_us,
        time_us=now_us,
    )
    for place in range(1, APPENDS + 1):
        time_us = now_us + place * 1_000
        step = replace(step, follows=1 + place, due_time_us=time_us, time_us=time_us)
        if place == APPENDS:
            ended = (Completed(time_us=time_us),)
            step = replace(step, events=ended, phase=Phase.COMPLETED, due_time_us=None)
        await log.append(step)
