"""What the SQL log reads: rows of processes, their events, and pages of both.

Invariant: a process and its events are read as of one revision. Events beyond the row's own are
left out, so an append that commits between two statements is simply not seen yet.

This module must never write.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Select, bindparam, literal_column, select, tuple_

from chassis.key_select import KeySelect
from orchestrator.saga.state import Phase
from orchestrator.saga_log.event_rows import EventText, stored
from orchestrator.saga_log.protocol import ListQuery, ProcessRow, StoredProcess
from orchestrator.saga_log.tables import EVENTS, PROCESSES

ROWS: Select[Any] = select(
    PROCESSES.c.process_id,
    PROCESSES.c.business_key,
    PROCESSES.c.fingerprint,
    PROCESSES.c.subject,
    PROCESSES.c.phase,
    PROCESSES.c.revision,
    PROCESSES.c.epoch,
    PROCESSES.c.owner,
    PROCESSES.c.due_time_us,
    PROCESSES.c.create_time_us,
    PROCESSES.c.update_time_us,
    PROCESSES.c.end_time_us,
)
_ROWS_BY_ID = KeySelect(ROWS, PROCESSES.c.process_id)
_ROWS_BY_ID_LOCKED = (
    ROWS.where(PROCESSES.c.process_id.in_(bindparam("ids", expanding=True)))
    .order_by(PROCESSES.c.process_id)
    .with_for_update()
)
_ROWS_BY_KEY = KeySelect(ROWS, PROCESSES.c.business_key)
_OWNED = select(PROCESSES.c.process_id, PROCESSES.c.epoch).where(
    PROCESSES.c.due_time_us.is_not(None), PROCESSES.c.owner == bindparam("owner")
)
_REVISIONS = select(PROCESSES.c.process_id, PROCESSES.c.revision).where(
    PROCESSES.c.due_time_us.is_not(None), PROCESSES.c.owner == bindparam("owner")
)
_KEY = (PROCESSES.c.create_time_us, PROCESSES.c.process_id)
"""What lists are ordered by, the greatest first."""

_EVENTS_OF_ONE = (
    select(EVENTS.c.sequence, EVENTS.c.kind, EVENTS.c.time_us, EVENTS.c.body)
    .where(
        EVENTS.c.process_id == bindparam("process_id"),
        EVENTS.c.sequence >= bindparam("begin"),
        EVENTS.c.sequence <= bindparam("end"),
    )
    .order_by(EVENTS.c.sequence)
)
_BEGUN = KeySelect(
    select(EVENTS.c.process_id).where(EVENTS.c.sequence == literal_column("1")),
    EVENTS.c.process_id,
)
_EVENTS_OF_MANY = KeySelect(
    select(EVENTS.c.process_id, EVENTS.c.sequence, EVENTS.c.kind, EVENTS.c.time_us, EVENTS.c.body),
    EVENTS.c.process_id,
    order_by=("process_id", "sequence"),
)


def rows_by_key(connection: Connection, keys: Sequence[str]) -> dict[str, ProcessRow]:
    """The processes of these business keys, by key."""
    found = map(_process_row, _ROWS_BY_KEY.rows(connection, keys))
    return {row.business_key: row for row in found}


def rows_by_id(
    connection: Connection, ids: Sequence[str], *, lock: bool = False
) -> dict[str, ProcessRow]:
    """The processes of these ids, by id. With `lock`, nobody else changes them until the commit."""
    if lock:
        found = select_rows(connection, _ROWS_BY_ID_LOCKED, ids=list(ids))
    else:
        found = map(_process_row, _ROWS_BY_ID.rows(connection, ids))
    return {row.process_id: row for row in found}


def begun(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Which of these processes have a history."""
    return {row[0] for row in _BEGUN.rows(connection, ids)}


def owned(connection: Connection, owner: str) -> list[tuple[str, int]]:
    """What an owner has that is not at rest: ids and epochs."""
    found = connection.execute(_OWNED, {"owner": owner})
    return [(process_id, epoch) for process_id, epoch in found]


def revisions(connection: Connection, owner: str) -> dict[str, int]:
    """How far the histories are of what an owner has that is not at rest."""
    found = connection.execute(_REVISIONS, {"owner": owner})
    return {row.process_id: row.revision for row in found}


def texts_between(
    connection: Connection, process_id: str, *, begin: int, end: int
) -> list[EventText]:
    """The rows of events that begin at one of these sequences, the last one included."""
    parameters = {"process_id": process_id, "begin": begin, "end": end}
    return [tuple(found) for found in connection.execute(_EVENTS_OF_ONE, parameters)]


def processes(
    connection: Connection, wanted: Sequence[tuple[str, int]]
) -> list[StoredProcess | None]:
    """These processes, each with its events after a revision; None where there is none."""
    rows = rows_by_id(connection, list({process_id for process_id, _ in wanted}))
    whole = {process_id for process_id, after in wanted if after == 0 and process_id in rows}
    texts = _texts_of_many(connection, [rows[process_id] for process_id in whole])
    found: list[StoredProcess | None] = []
    for process_id, after in wanted:
        row = rows.get(process_id)
        if row is None:
            found.append(None)
        elif after == 0:
            found.append(stored(row, texts[process_id]))
        elif after >= row.revision:
            found.append(StoredProcess(row=row, events=()))
        else:
            # What begins at that revision may hold the next event, too.
            later = texts_between(connection, process_id, begin=after, end=row.revision)
            found.append(stored(row, later, after=after))
    return found


def with_events(connection: Connection, rows: Sequence[ProcessRow]) -> tuple[StoredProcess, ...]:
    """These processes with all their events, in the order given."""
    texts = _texts_of_many(connection, rows)
    return tuple(stored(row, texts[row.process_id]) for row in rows)


def page(connection: Connection, query: ListQuery) -> tuple[StoredProcess, ...]:
    """Processes that a query lets through, newest first.

    Asked for some phases, it asks for the newest of each and merges: each of these reads stops
    after the limit, where one read over all of them would walk past every process in another phase.
    """
    if not query.phases:
        along = PROCESSES.c.subject if query.subject else None
        statement = _newest(query, along, query.subject)
        return with_events(connection, list(select_rows(connection, statement)))
    found: list[ProcessRow] = []
    for phase in sorted(query.phases):
        if query.subject:
            # Which of the two is rarer only the database can tell.
            statement = _newest(query).where(
                PROCESSES.c.subject == query.subject, PROCESSES.c.phase == phase.value
            )
        else:
            statement = _newest(query, PROCESSES.c.phase, phase.value)
        found.extend(select_rows(connection, statement))
    newest = sorted(found, key=lambda row: (row.create_time_us, row.process_id), reverse=True)
    return with_events(connection, newest[: query.limit])


def _newest(query: ListQuery, along: Column[str] | None = None, value: str = "") -> Select[Any]:
    """The newest that a query lets through, of those whose column `along` has that value.

    The order begins with that column, and the column is enclosed from both sides, not compared: so
    only the index that begins with it gives that order. Compared, it would be no part of the order,
    and the index by time would give it, too: past every process of another value, for as long as
    statistics, or a plan made once for all values, promise one of the right value soon.
    """
    columns = (*(() if along is None else (along,)), *_KEY)
    first = () if along is None else (value,)
    statement = ROWS
    after_us, before_us = query.create_time_after_us, query.create_time_before_us
    if after_us is not None:
        statement = statement.where(_row(columns[:-1]) >= _row((*first, after_us)))
    elif along is not None:
        statement = statement.where(along >= value)
    # One bound from above is enough: the narrower one.
    if query.before is not None and (before_us is None or query.before[0] < before_us):
        statement = statement.where(_row(columns) < _row((*first, *query.before)))
    elif before_us is not None:
        statement = statement.where(_row(columns[:-1]) < _row((*first, before_us)))
    elif along is not None:
        statement = statement.where(along <= value)
    return statement.order_by(*(column.desc() for column in columns)).limit(query.limit)


def _row(parts: Sequence[Any]) -> Any:  # noqa: ANN401 - a column, a value, or a row of either
    """What is compared as a whole, the first part first."""
    return tuple_(*parts) if len(parts) > 1 else parts[0]


def _texts_of_many(
    connection: Connection, rows: Sequence[ProcessRow]
) -> dict[str, list[EventText]]:
    texts: dict[str, list[EventText]] = {row.process_id: [] for row in rows}
    revisions = {row.process_id: row.revision for row in rows}
    for process_id, sequence, kind, time_us, body in _EVENTS_OF_MANY.rows(connection, list(texts)):
        if sequence <= revisions[process_id]:
            texts[process_id].append((sequence, kind, time_us, body))
    return texts


def select_rows(
    connection: Connection, statement: Select[Any], **parameters: object
) -> Iterator[ProcessRow]:
    """The processes that a selection from `ROWS` finds."""
    for found in connection.execute(statement, parameters):
        yield _process_row(found)


def _process_row(found: Sequence[Any]) -> ProcessRow:
    """A row of what `ROWS` selects."""
    return ProcessRow(
        process_id=found[0],
        business_key=found[1],
        fingerprint=found[2],
        subject=found[3],
        phase=Phase(found[4]),
        revision=found[5],
        epoch=found[6],
        owner=found[7],
        due_time_us=found[8],
        create_time_us=found[9],
        update_time_us=found[10],
        end_time_us=found[11],
    )
