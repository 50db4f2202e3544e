"""How histories lie in the table of events: a step that goes well is one row."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from orchestrator.saga.code import Code
from orchestrator.saga.events import (
    AttemptBegan,
    AttemptEnded,
    Cancelled,
    CancelRequested,
    CompensationBegan,
    Completed,
    Event,
)
from orchestrator.saga_log import codec
from orchestrator.saga_log.event_rows import rows_of
from orchestrator.saga_log.tables import EVENTS
from tests.orchestrator.saga_log.conformance.processes import T0, append, new, stored
from tests.orchestrator.saga_log_sql.harness.troubled import TroubledLog, open_log

ENDED = AttemptEnded(action="a", attempt=1, code=Code.OK, result={"id": "x"}, time_us=T0 + 1)
BEGAN = AttemptBegan(action="b", attempt=1, time_us=T0 + 3)
FAILED = AttemptEnded(action="a", attempt=1, code=Code.NOT_FOUND, time_us=T0 + 1)
TURNS_BACK = CompensationBegan(
    step="a", code_name="NOT_FOUND", reason="", message="", time_us=T0 + 2
)
WISH = CancelRequested(reason="r", requested_by="", time_us=T0 + 2)


@pytest.mark.parametrize(
    "follows", [BEGAN, Completed(time_us=T0 + 2), Cancelled(time_us=T0 + 2)], ids=str
)
def test_a_step_that_goes_well_is_one_row_with_what_follows_from_it(follows: Event) -> None:
    [(process_id, sequence, kind, time_us, body)] = rows_of("prc_1", [ENDED, follows], follows=4)

    assert ("prc_1", 5, "together", T0 + 1) == (process_id, sequence, kind, time_us)
    assert '{"id":"x"}' in body


@pytest.mark.parametrize(
    "events",
    [
        (ENDED,),
        (BEGAN,),
        (FAILED, BEGAN),
        (FAILED, TURNS_BACK, BEGAN),
        (ENDED, WISH),
        (WISH, BEGAN),
    ],
    ids=str,
)
def test_all_else_is_a_row_for_each_event(events: Sequence[Event]) -> None:
    rows = rows_of("prc_1", events, follows=4)

    assert [(at, it.time_us) for at, it in enumerate(events, 5)] == [it[1:4:2] for it in rows]
    assert "together" not in {it[2] for it in rows}


async def test_a_history_is_read_from_each_of_its_revisions(log: TroubledLog) -> None:
    first = new("prc_1")
    await log.create(first)
    begun = len(first.events)
    assert begun + 2 == await log.append(append(ENDED, BEGAN, process_id="prc_1", follows=begun))
    assert begun + 3 == await log.append(append(WISH, process_id="prc_1", follows=begun + 2))
    whole = (*first.events, ENDED, BEGAN, WISH)

    assert begun + 2 == len(rows_in(log))
    for after in range(len(whole) + 1):
        found = await log.load("prc_1", after=after)
        assert found is not None
        assert ("", whole[after:]) == (found.unreadable, found.events)


async def test_a_step_that_is_offered_again_is_there_once(log: TroubledLog) -> None:
    first = new("prc_1")
    await log.create(first)
    step = append(ENDED, BEGAN, process_id="prc_1", follows=len(first.events))

    assert await log.append(step) == await log.append(step)
    assert (*first.events, ENDED, BEGAN) == (await stored(log, "prc_1")).events


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM events WHERE kind = 'together'",
        "UPDATE events SET body = '[]' WHERE kind = 'together'",
        "UPDATE events SET body = '[' WHERE kind = 'together'",
        "UPDATE events SET kind = 'of_tomorrow' WHERE kind = 'together'",
    ],
)
async def test_what_a_row_lacks_makes_the_history_unreadable(log: TroubledLog, damage: str) -> None:
    first = new("prc_1")
    await log.create(first)
    step = append(ENDED, BEGAN, process_id="prc_1", follows=len(first.events))
    await log.append(step)
    with log.database.engine.begin() as connection:
        connection.exec_driver_sql(damage)

    for after in (0, len(first.events)):
        found = await log.load("prc_1", after=after)
        assert found is not None
        assert () == found.events
        assert found.unreadable


async def test_on_sqlite_a_file_of_the_release_before_is_laid_down_anew(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/orchestrator.db"
    async with open_log(url) as log:
        await log.create(new("prc_1"))
        await log.create(new("prc_2"))
        before = rows_in(log)
        with log.database.engine.begin() as connection:
            for statement in BACK_TO_0004:
                connection.exec_driver_sql(statement)

    async with open_log(url) as log:
        assert before == rows_in(log)
        assert "WITHOUT ROWID" not in made(log, "events")
        with log.database.engine.begin() as connection:
            assert [] == connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            assert (
                []
                == connection.exec_driver_sql(
                    "SELECT name FROM sqlite_master WHERE name LIKE '%by_key%'"
                ).all()
            )
        follows = len(new("prc_1").events)
        await log.append(append(ENDED, BEGAN, process_id="prc_1", follows=follows))


BACK_TO_0004 = (
    "ALTER TABLE events RENAME TO events_anew",
    """CREATE TABLE events (
        process_id TEXT NOT NULL,
        sequence BIGINT NOT NULL,
        kind TEXT NOT NULL,
        time_us BIGINT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (process_id, sequence),
        FOREIGN KEY(process_id) REFERENCES processes (process_id)
    ) WITHOUT ROWID""",
    "INSERT INTO events SELECT process_id, sequence, kind, time_us, body FROM events_anew",
    "DROP TABLE events_anew",
    "UPDATE orchestrator_schema_version SET version_num = '0004'",
    "DELETE FROM orchestrator_schema_promise WHERE revision > '0004'",
)


def rows_in(log: TroubledLog) -> Sequence[sa.Row[tuple[object, ...]]]:
    with log.database.engine.begin() as connection:
        return connection.execute(
            sa.select(EVENTS).order_by(EVENTS.c.process_id, EVENTS.c.sequence)
        ).all()


def made(log: TroubledLog, table: str) -> str:
    with log.database.engine.begin() as connection:
        statement = sa.text("SELECT sql FROM sqlite_master WHERE name = :name")
        return str(connection.scalar(statement, {"name": table}))


# By removal.


@pytest.mark.parametrize(
    "reader",
    [
        # Takes each row for one event.
        lambda events: events[:1],
        # Loses what follows.
        lambda events: events[:-1] or events,
    ],
)
async def test_a_reader_that_parts_a_row_wrongly_is_seen(
    log: TroubledLog,
    reader: Callable[[tuple[Event, ...]], tuple[Event, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = new("prc_1")
    await log.create(first)
    await log.append(append(ENDED, BEGAN, process_id="prc_1", follows=len(first.events)))
    read = codec.decode_all
    monkeypatch.setattr(codec, "decode_all", lambda *text: reader(read(*text)))

    assert (await stored(log, "prc_1")).unreadable
