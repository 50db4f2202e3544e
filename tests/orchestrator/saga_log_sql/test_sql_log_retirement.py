"""How processes leave the SQL log: whoever takes one up again wins, and size costs nothing."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from chassis.flight import Boarding, Landed, fly
from chassis.group_commit import Missed
from orchestrator.saga.events import Cancelled, CancelRequested, Started
from orchestrator.saga.state import Phase
from orchestrator.saga_log import sql_flight, sql_retirement, sql_writes
from orchestrator.saga_log.protocol import NewProcess, ProcessRow, Stale
from orchestrator.saga_log.sql_retirement import LEAVE_GUARDS, RetireCommand
from orchestrator.saga_log.sql_writes import CREATE_GUARDS, CreateCommand, LogWriter
from orchestrator.saga_log.tables import EVENTS, PROCESSES, RETIRED
from tests.chassis.locks import until_one_waits
from tests.orchestrator.saga_log.conformance.processes import (
    COMPLETED,
    ENDED,
    OTHER,
    SECOND,
    T0,
    append,
    new,
    stored,
)
from tests.orchestrator.saga_log.conformance.test_saga_log_retirement import retire, settled
from tests.orchestrator.saga_log_sql.harness.troubled import TroubledLog, open_log

LATER = T0 + 100 * SECOND
RETIRE = RetireCommand(ended_before_us=LATER, now_us=LATER, limit=100)
WISH = CancelRequested(reason="", requested_by="", time_us=T0 + 2 * SECOND)


async def taken_up_meanwhile(log: TroubledLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process is chosen as settled; then it is returned to the end, before anything is written.

    While it is being returned it has no end, and the table takes no retired process without one.
    """
    await settled(log)
    seen = sa.select(
        sa.literal("prc_1").label("process_id"),
        sa.literal(4).label("revision"),
        sa.literal("COMPLETED").label("phase"),
    )
    monkeypatch.setattr(sql_retirement, "_TO_BE_RETIRED", seen)
    await log.append(append(WISH, follows=4, epoch=None, phase=Phase.COMPENSATING))
    end = append(
        Cancelled(time_us=LATER), follows=5, epoch=None, phase=Phase.CANCELLED, time_us=LATER
    )
    await log.append(end)


async def test_a_process_that_is_taken_up_again_meanwhile_is_not_retired(
    log: TroubledLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await taken_up_meanwhile(log, monkeypatch)
    writer = LogWriter(log.database.engine.dialect)
    with pytest.raises(Missed), log.database.engine.begin() as connection:
        writer.apply(connection, [RETIRE])
    assert 6 == len((await stored(log)).events)


async def test_without_the_guards_a_return_is_lost(
    log: TroubledLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removes the mechanism: the test above would fail."""
    await taken_up_meanwhile(log, monkeypatch)
    writer = LogWriter(log.database.engine.dialect, leave_guards=LEAVE_GUARDS[:1])
    with log.database.engine.begin() as connection:
        writer.apply(connection, [RETIRE])
    assert await log.load("prc_1") is None


async def test_returns_and_retirement_at_once_leave_each_process_in_one_place(
    database_url: str,
) -> None:
    async with open_log(database_url) as log:
        ids = [f"prc_{number:02}" for number in range(60)]
        for process_id in ids:
            await settled(log, process_id)

        async def give_back(process_id: str) -> bool:
            wish = append(
                WISH, process_id=process_id, follows=4, epoch=None, phase=Phase.COMPENSATING
            )
            try:
                await log.append(wish)
            except Stale:
                return False
            return True

        returned, _ = await asyncio.gather(
            asyncio.gather(*map(give_back, ids)),
            asyncio.gather(*(retire(log, limit=5) for _ in range(12))),
        )
        retired = await log.retirement.find(ids)
        for process_id, was_returned in zip(ids, returned, strict=True):
            in_log = await log.load(process_id)
            assert was_returned == (in_log is not None) != (process_id in retired)


async def test_two_replicas_retire_and_return_at_once(postgres_url: str) -> None:
    async with open_log(postgres_url) as one, open_log(postgres_url) as other:
        ids = [f"prc_{number:02}" for number in range(40)]
        for process_id in ids:
            await settled(one, process_id)

        async def give_back(process_id: str) -> bool:
            wish = append(
                WISH, process_id=process_id, follows=4, epoch=None, phase=Phase.COMPENSATING
            )
            try:
                await other.append(wish)
            except Stale:
                return False
            return True

        _, returned = await asyncio.gather(
            asyncio.gather(*(retire(it, limit=3) for it in (one, other) for _ in range(8))),
            asyncio.gather(*map(give_back, ids)),
        )
        retired = await one.retirement.find(ids)
        for process_id, was_returned in zip(ids, returned, strict=True):
            assert was_returned != (process_id in retired)
            assert was_returned == (await one.load(process_id) is not None)


def creation(process_id: str, key: str) -> CreateCommand:
    begun: NewProcess = new(process_id, key=key, owner=OTHER)
    started = begun.events[0]
    assert isinstance(started, Started)
    return CreateCommand(
        new=begun,
        definition=started.definition,
        definition_version=started.version,
        event_rows=[(process_id, 1, "started", T0, "{}")],
    )


@pytest.mark.parametrize(
    ("guards", "answer"),
    [
        pytest.param(CREATE_GUARDS, ("prc_1", False), id="as it is"),
        pytest.param((sa.true(),), ("prc_2", True), id="removed: the request runs twice"),
    ],
)
async def test_in_a_file_the_guard_keeps_a_request_of_a_retired_process_from_running_twice(
    on_sqlite: TroubledLog,
    guards: Sequence[sa.ColumnElement[bool]],
    answer: tuple[str, bool],
) -> None:
    await settled(on_sqlite)
    await retire(on_sqlite)
    engine = on_sqlite.database.engine
    writer = LogWriter(engine.dialect, create_guards=guards)
    with engine.begin() as connection:
        [reply] = writer.apply(connection, [creation("prc_2", "key of prc_1")])
    assert isinstance(reply, tuple)
    row, created = reply
    assert isinstance(row, ProcessRow)
    assert answer == (row.process_id, created)
    assert created == (await on_sqlite.load("prc_2") is not None)


async def create_overtaken(url: str) -> tuple[Any, list[str], int]:
    """A replica retires a process, and before that is committed another one creates one of its key:
    what the latter is answered, the processes that are in the log, and how many events.
    """
    async with open_log(url) as log:
        engine = log.database.engine
        with engine.begin() as connection:
            LogWriter(engine.dialect).apply(connection, [creation("prc_theirs", "the key")])
            settle = PROCESSES.update().values(
                phase="COMPLETED", owner=None, due_time_us=None, end_time_us=T0
            )
            connection.execute(settle)
        writer = LogWriter(engine.dialect)

        def create() -> Any:
            with engine.begin() as ours:
                return writer.apply(ours, [creation("prc_ours", "the key")])[0]

        with engine.begin() as theirs:
            assert [1] == LogWriter(engine.dialect).apply(theirs, [RETIRE])
            creating = asyncio.create_task(asyncio.to_thread(create))
            await until_one_waits(engine)
        answer = await creating
        with engine.connect() as connection:
            processes = list(connection.scalars(sa.select(PROCESSES.c.process_id)))
            events = connection.scalar(sa.select(sa.func.count()).select_from(EVENTS)) or 0
        return answer, processes, events


async def test_a_create_that_waited_for_a_retirement_is_answered_with_the_retired_process(
    postgres_url: str,
) -> None:
    (row, created), processes, events = await create_overtaken(postgres_url)
    assert isinstance(row, ProcessRow)
    assert ("prc_theirs", False) == (row.process_id, created)
    assert ([], 0) == (processes, events)


def looks_first(connection: sa.Connection, boarding: Boarding) -> Sequence[Landed]:
    create, look, *rest = boarding
    looked, created, *landed = fly(connection, [look, create, *rest])
    return [created, looked, *landed]


def looks_never(connection: sa.Connection, boarding: Boarding) -> Sequence[Landed]:
    created, _, *landed = fly(connection, boarding)
    return [created, [], *landed]


@pytest.mark.parametrize("otherwise", [looks_first, looks_never])
async def test_without_a_look_at_the_retired_after_adding_a_request_runs_twice(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, otherwise: Callable[..., Any]
) -> None:
    """Removes the mechanism: the test above would fail."""
    monkeypatch.setattr(sql_flight, "fly", otherwise)
    (row, created), processes, _ = await create_overtaken(postgres_url)
    assert ("prc_ours", True, ["prc_ours"]) == (row.process_id, created, processes)


async def test_a_create_whose_retired_process_is_forgotten_meanwhile_creates(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look among the retired and the reading of what was found there."""
    async with open_log(postgres_url) as log:
        await settled(log)
        await retire(log)

        def forgotten(*_: object) -> dict[str, ProcessRow]:
            with log.database.engine.begin() as connection:
                connection.execute(RETIRED.delete())
            return {}

        monkeypatch.setattr(sql_writes, "retired_rows_by_key", forgotten)
        row, created = await log.create(new("prc_2", key="key of prc_1", owner=OTHER))
        assert ("prc_2", True) == (row.process_id, created)
        assert 2 == len((await stored(log, "prc_2")).events)


async def test_a_commit_whose_answer_is_lost_retires_everything_once(log: TroubledLog) -> None:
    for number in range(3):
        await settled(log, f"prc_{number}")
    log.commits.after = 1
    await retire(log)
    assert 3 == len(await log.retirement.find([f"prc_{number}" for number in range(3)]))
    with log.database.engine.connect() as connection:
        assert 0 == connection.scalar(sa.select(sa.func.count()).select_from(EVENTS))


async def test_what_ends_while_it_is_retired_ends_in_the_log(log: TroubledLog) -> None:
    """An append that ends a process, and the retirement of all that ended, in one batch."""
    await log.create(new())
    end = append(ENDED, COMPLETED, phase=Phase.COMPLETED)
    await asyncio.gather(log.append(end), retire(log))
    assert (await log.load("prc_1") is None) == bool(await log.retirement.find(["prc_1"]))


STATEMENTS = {
    "what may be retired": (
        sql_retirement._TO_BE_RETIRED,
        {"before_us": LATER, "limit": 100},
        "processes_settled",
    ),
    "what is to be purged": (sql_retirement._DUE, {"now_us": LATER, "limit": 100}, "retired_due"),
    "what may be forgotten": (
        sql_retirement._TO_BE_FORGOTTEN,
        {"before_us": LATER, "limit": 100},
        "retired_purged",
    ),
}


@pytest.mark.parametrize("name", STATEMENTS)
async def test_retention_goes_along_its_index_and_sorts_nothing(
    on_sqlite: TroubledLog, name: str
) -> None:
    statement, values, index = STATEMENTS[name]
    with on_sqlite.database.engine.connect() as connection:
        asked = statement.params(values).compile(
            connection, compile_kwargs={"render_postcompile": True}
        )
        places = tuple(asked.params[it] for it in asked.positiontup or ())
        steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}", places).all()
    assert [True] == [index in step.detail for step in steps]
    assert not any("TEMP B-TREE" in step.detail for step in steps)


FILL = """
INSERT INTO processes (process_id, business_key, fingerprint, subject, definition,
    definition_version, phase, revision, epoch, owner, due_time_us, create_time_us,
    update_time_us, end_time_us)
SELECT 'prc_' || lpad(n::text, 9, '0'), 'key ' || n, 'f', 's', 'd', 1, 'COMPLETED', 4, 1, NULL,
    NULL, {base} + n, {base} + n, {base} + n
FROM generate_series({first}, {last}) AS n
"""
FILL_RETIRED = """
INSERT INTO retired (process_id, business_key, fingerprint, subject, phase, revision, epoch,
    by_hand, create_time_us, end_time_us, retire_time_us, purge_due_us)
SELECT 'prc_r' || lpad(n::text, 9, '0'), 'rkey ' || n, 'f', 's', 'COMPLETED', 4, 1, '',
    {base} + n, {base} + n, {base} + n, CASE mod(n, 2) WHEN 0 THEN {base} + n END
FROM generate_series({first}, {last}) AS n
"""


async def test_however_much_there_is_a_batch_touches_no_more_pages(postgres_url: str) -> None:
    touched: dict[str, list[int]] = {name: [] for name in STATEMENTS}
    async with open_log(postgres_url) as log:
        first = 1
        for last in (1_000, 40_000):
            with log.database.engine.begin() as connection:
                for fill in (FILL, FILL_RETIRED):
                    connection.exec_driver_sql(fill.format(base=T0, first=first, last=last))
                connection.exec_driver_sql("ANALYZE processes")
                connection.exec_driver_sql("ANALYZE retired")
            first = last + 1
            for name, (statement, values, index) in STATEMENTS.items():
                plan = explained(log.database.engine, statement, values)
                assert index in json.dumps(plan), (name, last)
                touched[name].append(pages(plan))
    for name, (few, many) in touched.items():
        # One level more of the index, and the rows spread over a page or two more.
        assert many <= few + 10, (name, few, many)


@pytest.mark.parametrize("rows", [0, 2_000])
async def test_what_is_planned_once_for_all_batches_walks_no_table(
    postgres_url: str, rows: int
) -> None:
    """However little is known of the tables when the plan is made."""
    async with open_log(postgres_url) as log:
        flight = LogWriter(log.database.engine.dialect)._flight
        assert flight is not None
        move, _ = flight._append.passenger([], [])
        with log.database.engine.begin() as connection:
            for fill in (FILL, FILL_RETIRED):
                connection.exec_driver_sql(fill.format(base=T0, first=1, last=rows))
            plans = {
                name: connection.exec_driver_sql(f"EXPLAIN (GENERIC_PLAN) {it.text}")
                .scalars()
                .all()
                for name, it in (
                    ("create", flight._create),
                    ("look", flight._look),
                    ("move", move),
                )
            }
    assert not any("Seq Scan" in line for plan in plans.values() for line in plan), plans
    for name, key in (("look", "business_key"), ("move", "process_id")):
        assert any(f"Index Cond: ({key} = " in line for line in plans[name]), plans[name]


def explained(
    engine: sa.Engine, statement: sa.Select[Any], values: Mapping[str, int]
) -> Mapping[str, Any]:
    with engine.connect() as connection:
        text = statement.compile(connection).string
        explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text}"
        # The first run may set hint bits.
        connection.exec_driver_sql(explain, dict(values)).scalar_one()
        [plan] = connection.exec_driver_sql(explain, dict(values)).scalar_one()
        connection.rollback()
        found: Mapping[str, Any] = plan["Plan"]
        return found


def pages(plan: Mapping[str, Any]) -> int:
    """How many pages the search touches, the locking of what it found aside."""
    search = plan
    while search["Node Type"] in {"Limit", "LockRows"}:
        [search] = search["Plans"]
    return int(search["Shared Hit Blocks"]) + int(search["Shared Read Blocks"])
