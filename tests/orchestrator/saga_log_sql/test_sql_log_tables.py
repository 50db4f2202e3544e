"""The tables of the SQL log: as the migrations make them, as the statements use them."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from chassis.faults import Defect
from orchestrator.saga.state import Phase
from orchestrator.saga_log import sql_reads
from orchestrator.saga_log.protocol import ListQuery
from orchestrator.saga_log.sql_work import Work
from orchestrator.saga_log.tables import METADATA
from tests.orchestrator.saga_log.conformance.processes import (
    ENDED,
    ME,
    OTHER,
    T0,
    append,
    claimed,
    new,
    stored,
)
from tests.orchestrator.saga_log_sql.harness.troubled import TroubledLog


async def test_the_migrations_make_the_tables_that_the_statements_are_written_for(
    log: TroubledLog,
) -> None:
    with log.database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": "orchestrator_schema_version",
                "include_name": lambda name, *_: name != "orchestrator_schema_promise",
            },
        )
        assert [] == compare_metadata(context, METADATA)


def plans(log: TroubledLog, read: Callable[[sa.Connection], Any]) -> list[str]:
    """How the database goes about what a read asks."""
    asked: list[tuple[str, Any]] = []

    def take_down(*call: Any) -> None:
        _, _, statement, parameters, _, _ = call
        asked.append((statement, parameters))

    with log.database.engine.connect() as connection:
        sa.event.listen(log.database.engine, "before_cursor_execute", take_down)
        read(connection)
        sa.event.remove(log.database.engine, "before_cursor_execute", take_down)
        return [
            step.detail
            for statement, parameters in asked
            for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]


def page(**query: Any) -> Callable[[sa.Connection], Any]:
    return partial(sql_reads.page, query=ListQuery(limit=10, before=(T0, "prc_9"), **query))


WORK = Work(shared=False)

READS: dict[str, tuple[Callable[[sa.Connection], Any], str]] = {
    "all of them": (page(), "processes_by_time"),
    "of some phases": (
        page(phases=frozenset({Phase.PARKED, Phase.RUNNING})),
        "processes_by_phase",
    ),
    "of one subject": (page(subject="Ada"), "processes_by_subject"),
    "since a time": (page(create_time_after_us=T0), "processes_by_time"),
    "what is due": (
        partial(WORK.released_due, now_us=T0, limit=10),
        "processes_due",
    ),
    "what the dead own": (partial(WORK.orphaned, owner=ME, limit=10), "processes_due"),
    "what is due next": (partial(WORK.next_due_us, owner=ME), "processes_due"),
}


@pytest.mark.parametrize("name", READS)
async def test_a_read_goes_along_its_index_and_sorts_nothing(
    on_sqlite: TroubledLog, name: str
) -> None:
    read, index = READS[name]

    steps = plans(on_sqlite, read)

    of_the_table = [step for step in steps if "processes" in step]
    assert of_the_table
    assert all(index in step for step in of_the_table)
    assert not any("TEMP B-TREE" in step or step.startswith("SCAN processes") for step in steps)


async def test_the_index_for_work_holds_only_what_is_not_at_rest(on_sqlite: TroubledLog) -> None:
    [plan] = plans(on_sqlite, partial(WORK.released_due, now_us=T0, limit=10))
    with on_sqlite.database.engine.connect() as connection:
        sql = connection.exec_driver_sql(
            "SELECT sql FROM sqlite_master WHERE name = 'processes_due'"
        ).scalar_one()

    assert "processes_due" in plan
    assert "WHERE due_time_us IS NOT NULL" in sql


async def test_a_page_holds_more_processes_than_one_statement_names(log: TroubledLog) -> None:
    ids = [f"prc_{number:04}" for number in range(1_001)]
    await asyncio.gather(*(log.create(new(process_id)) for process_id in ids))

    found = await log.list(ListQuery(limit=1_001))

    assert ids[::-1] == [process.row.process_id for process in found]
    assert {2} == {len(process.events) for process in found}


async def test_one_create_that_cannot_be_stored_fails_alone(log: TroubledLog) -> None:
    news = [new(f"prc_{number}") for number in range(10)]
    news[4] = replace(news[4], subject="\ud800")

    made = await asyncio.gather(*(log.create(it) for it in news), return_exceptions=True)

    assert [4] == [place for place, it in enumerate(made) if isinstance(it, Defect)]
    assert 9 == len(await log.list(ListQuery(limit=100)))


async def test_a_damaged_history_is_shown_as_such_and_spoils_no_page(log: TroubledLog) -> None:
    await log.create(new("prc_1"))
    await log.create(new("prc_2"))
    await log.create(new("prc_3"))
    with log.database.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE events SET body = '{' WHERE process_id = 'prc_1' AND sequence = 2"
        )
        connection.exec_driver_sql("DELETE FROM events WHERE process_id = 'prc_2' AND sequence = 1")

    found = {it.row.process_id: it for it in await log.list(ListQuery(limit=100))}

    assert ["prc_1", "prc_2"] == sorted(key for key, it in found.items() if it.unreadable)
    assert () == found["prc_1"].events == found["prc_2"].events
    assert (await stored(log, "prc_2")).unreadable
    assert 2 == len(found["prc_3"].events)


async def test_a_damaged_history_is_claimed_with_the_others(log: TroubledLog) -> None:
    await log.create(new("prc_1", owner=OTHER))
    await log.create(new("prc_2", owner=OTHER))
    with log.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE events SET kind = 'new' WHERE process_id = 'prc_1'")

    assert ["prc_1", "prc_2"] == await claimed(log)


async def test_a_writer_that_dies_is_told(log: TroubledLog, monkeypatch: Any) -> None:
    def die(*_: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(log._commits._writer, "write", die)
    with pytest.raises(Exception, match="LOG_UNAVAILABLE"):
        await log.create(new())

    async with asyncio.timeout(10):
        await log.failed()


async def test_everything_that_was_submitted_is_written_before_the_log_is_closed(
    log: TroubledLog,
) -> None:
    await log.create(new())
    writing = asyncio.ensure_future(log.append(append(ENDED)))
    # One step of the loop, in which it is submitted.
    await asyncio.sleep(0)

    await log.close()

    assert 3 == await writing
