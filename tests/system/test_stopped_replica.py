"""A replica that stands still for longer than its lease (SIGSTOP), and then goes on.

Who wrote at which epoch is told by the database itself: a trigger notes it with every event.
"""

import asyncio
import signal
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from bench.postgres import PostgresServer
from oms.orchestrator.v1.order_process_pb2 import ORDER_PROCESS_STATE_COMPLETED, OrderProcess
from tests.system.harness.requests import order
from tests.system.harness.scripted import Scripted, Succeeds
from tests.system.harness.system import Orchestrator

LEASE_SECONDS = 1.0
COUNT = 12
POLL_SECONDS = 0.02

NOTE_WHO_WRITES = """
    CREATE TABLE writes (process_id text, epoch bigint, writer text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO writes
        SELECT process_id, epoch, current_setting('application_name')
        FROM processes WHERE process_id = NEW.process_id;
        RETURN NEW;
    END $$;
    CREATE TRIGGER note AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION note();
"""


class Pair:
    """Two orchestrators on one log, and the log itself."""

    def __init__(self, postgres: PostgresServer, scripted: Scripted, folder: Path) -> None:
        self.schema = "stopped_replica"
        self._postgres = postgres
        self.first, self.second = (
            Orchestrator(
                folder=folder / name,
                targets=scripted.targets,
                settings={
                    "OMS_ORCHESTRATOR_DATABASE_URL": (
                        f"{postgres.url()}?schema={self.schema}&application_name={name}"
                    ),
                    "OMS_LEASE_SECONDS": str(LEASE_SECONDS),
                    # What a stopped replica has asked is waited for, however long it is stopped.
                    "OMS_ATTEMPT_TIMEOUT_SECONDS": "60",
                },
            )
            for name in ("first", "second")
        )

    def connect(self) -> psycopg.Connection:
        options = f"-c search_path={self.schema}"
        return psycopg.connect(self._postgres.url(), autocommit=True, options=options)

    async def until(self, query: str, expected: object) -> None:
        """Until the log says so. It is asked, for it tells nobody."""
        async with asyncio.timeout(60):
            while await asyncio.to_thread(self.ask, query) != expected:  # noqa: ASYNC110 - as above
                await asyncio.sleep(POLL_SECONDS)

    def ask(self, query: str) -> object:
        with self.connect() as connection:
            [value] = connection.execute(query.encode()).fetchone() or [None]
            return value

    def writers(self) -> dict[tuple[str, int], set[str]]:
        """Who wrote, by process and epoch."""
        found: dict[tuple[str, int], set[str]] = defaultdict(set)
        with self.connect() as connection:
            for process_id, epoch, writer in connection.execute("SELECT * FROM writes"):
                found[process_id, epoch].add(writer)
        return found


@pytest.fixture
async def pair(postgres: PostgresServer, scripted: Scripted, tmp_path: Path) -> AsyncIterator[Pair]:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    pair = Pair(postgres, scripted, tmp_path)
    try:
        await pair.first.start()
        with pair.connect() as connection:
            connection.execute(NOTE_WHO_WRITES.encode())
        await pair.second.start()
        yield pair
    finally:
        if pair.first.process.running:
            pair.first.process.send(signal.SIGCONT)
        await asyncio.gather(pair.first.close(), pair.second.close())


async def test_of_what_was_claimed_from_it_a_stopped_replica_writes_nothing(
    pair: Pair, scripted: Scripted
) -> None:
    gate = asyncio.Event()
    accepted: list[OrderProcess] = []
    for _ in range(COUNT):
        request = order()
        held = Succeeds(gate=gate)
        scripted.script(request.customer_id, {"CreatePayment": [held, held]})
        accepted.append(await pair.first.accept(request))
    await pair.until("SELECT count(*) FROM events WHERE body LIKE '%process_payment%'", COUNT)
    pair.first.process.send(signal.SIGSTOP)
    await pair.until("SELECT count(*) FROM processes WHERE epoch = 2", COUNT)
    # Three leases since it last beat, by the clock that leases are measured by.
    await pair.until(
        "SELECT min(expire_time_us) < (extract(epoch FROM clock_timestamp()) - 2.0) * 1e6"
        " FROM replicas",
        True,
    )
    pair.first.process.send(signal.SIGCONT)
    gate.set()
    for process in accepted:
        settled = await pair.second.until_settled(process)
        assert ORDER_PROCESS_STATE_COMPLETED == settled.state
    # It drains: whatever it still wanted to say it has said then.
    assert 0 == await pair.first.stop()
    writers = pair.writers()
    for process in accepted:
        assert {"first"} == writers[process.process_id, 1]
        assert {"second"} == writers[process.process_id, 2]
    # Should the other one have been taken for dead as well, on a machine that is slow.
    assert {1} == {len(it) for it in writers.values()}
