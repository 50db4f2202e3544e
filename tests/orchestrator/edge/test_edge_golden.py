"""Histories of every release, in a real log, are driven to their ends by the real clients of the
participants: what was stored then is enough for the requests that are made of it now.
"""

from pathlib import Path

import pytest

from chassis.clock import SystemClock
from oms.orchestrator.v1 import order_process_pb2 as process_pb
from orchestrator.saga_log.sql import SqlSagaLog
from tests.orchestrator.edge.harness.office import Office
from tests.orchestrator.edge.harness.scripted import METHODS, ScriptedParticipants
from tests.orchestrator.golden.golden import goldens, released
from tests.orchestrator.golden.stored import store

COMPLETED = process_pb.ORDER_PROCESS_STATE_COMPLETED
CANCELLED = process_pb.ORDER_PROCESS_STATE_CANCELLED
# Together they make every call that there is.
LIVES = ("delivered", "undeliverable", "rejected-in-doubt")


class ClockOfThen(SystemClock):
    """Goes on from the time of the histories: their deadlines are not over."""

    def __init__(self, begin_us: int) -> None:
        super().__init__()
        self._behind_us = super().now_us() - begin_us

    def now_us(self) -> int:
        return super().now_us() - self._behind_us


@pytest.mark.parametrize("release", released())
async def test_what_a_release_left_half_done_is_done(
    release: str, participants: ScriptedParticipants, tmp_path: Path
) -> None:
    stored: list[str] = []

    async def open_log(url: str) -> SqlSagaLog:
        log = await SqlSagaLog.open(url)
        with log.stores[0].engine.begin() as connection:
            stored.extend(
                store(connection, golden, length)
                for golden in goldens(release)
                if golden.life in LIVES
                for length in range(1, len(golden.texts) + 1)
            )
        return log

    begin_us = max(it.row["update_time_us"] for it in goldens(release) if it.life in LIVES)
    async with Office(
        tmp_path, participants.targets, clock=ClockOfThen(begin_us), open_log=open_log
    ) as office:
        for process_id in stored:
            await office.reaches(process_id, COMPLETED, CANCELLED)

    assert set(METHODS) == set(participants.calls)
