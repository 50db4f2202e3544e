"""Histories of every release, in a real log, are driven to their ends by the real clients of the
participants: what was stored then is enough for the requests that are made of it now.
"""

from pathlib import Path

import pytest
from sqlalchemy import Connection

from chassis.clock import SystemClock
from oms.orchestrator.v1 import order_process_pb2 as process_pb
from orchestrator.saga.evolve import replay
from orchestrator.saga_log.sql import SqlSagaLog
from orchestrator.saga_log.tables import EVENTS, PROCESSES
from tests.orchestrator.edge.harness.office import Office
from tests.orchestrator.edge.harness.scripted import METHODS, ScriptedParticipants
from tests.orchestrator.golden.golden import Golden, goldens, released

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


def store(connection: Connection, golden: Golden, length: int) -> str:
    """A history as far as that, as its release left it when it was killed."""
    state = replay(golden.events[:length])
    process_id = f"{golden.row['process_id']}_{length}"
    name, version = golden.definition
    row = {
        **golden.row,
        "process_id": process_id,
        "business_key": process_id,
        "definition": name,
        "definition_version": version,
        "phase": state.phase.value,
        "revision": length,
        "epoch": 1,
        "owner": None if state.phase.at_rest else "the release before",
        "due_time_us": None if state.phase.at_rest else state.update_time_us,
        "update_time_us": state.update_time_us,
        "end_time_us": state.end_time_us,
    }
    texts = [
        {
            "process_id": process_id,
            "sequence": sequence,
            "kind": kind,
            "time_us": time_us,
            "body": body,
        }
        for sequence, (kind, time_us, body) in enumerate(golden.texts[:length], start=1)
    ]
    connection.execute(PROCESSES.insert(), row)
    connection.execute(EVENTS.insert(), texts)
    return process_id


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
