"""Appends that are steps, which SQLite writes by a statement of their own."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection

from orchestrator.saga.state import Phase
from orchestrator.saga_log.protocol import Append
from orchestrator.saga_log.sql_appends import APPEND_GUARDS, AppendUpdate
from orchestrator.saga_log.tables import PROCESSES
from tests.orchestrator.saga_log.conformance.processes import ENDED, SECOND, T0, append, new
from tests.orchestrator.saga_log_sql.harness.troubled import TroubledLog

# Row and append, each as it may be; an append takes what it leaves out from the row of `new`.
ROWS: tuple[dict[str, Any], ...] = tuple(
    {"owner": owner, "due_time_us": due_time_us, "phase": phase}
    for owner, due_time_us, phase in product(
        ("me", None), (T0, T0 + 9 * SECOND, None), ("RUNNING", "COMPENSATING", "PARKED")
    )
)
PROOFS: tuple[dict[str, Any], ...] = ({}, {"epoch": None}, {"epoch": 2}, {"follows": 3})
APPENDS = tuple(
    append(
        ENDED,
        process_id=f"prc_{at:02}",
        phase=phase,
        due_time_us=due_time_us,
        release=release,
        **proof,
    )
    for at, (phase, due_time_us, release, proof) in enumerate(
        product(
            (Phase.RUNNING, Phase.COMPENSATING, Phase.PARKED, Phase.COMPLETED),
            (T0, T0 + 9 * SECOND),
            (False, True),
            PROOFS,
        )
    )
)


@pytest.fixture
def connection(on_sqlite: TroubledLog) -> Iterator[sa.Connection]:
    with on_sqlite.database.engine.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


def add(connection: sa.Connection, process_id: str, **named: Any) -> None:
    first = new(process_id)
    row = {
        "process_id": process_id,
        "business_key": first.business_key,
        "fingerprint": first.fingerprint,
        "subject": first.subject,
        "definition": "journey",
        "definition_version": 3,
        "phase": first.phase,
        "revision": 2,
        "epoch": 1,
        "owner": first.owner,
        "due_time_us": T0,
        "create_time_us": T0,
        "update_time_us": T0,
        "end_time_us": None,
    }
    connection.execute(PROCESSES.insert().values({**row, **named}))


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_row_comes_out_as_by_the_one_statement_for_all(
    connection: sa.Connection, row: dict[str, Any]
) -> None:
    update = AppendUpdate(connection.dialect, APPEND_GUARDS)
    outcomes = []
    for stepping in (True, False):
        if not stepping:
            update._step = None
        connection.execute(PROCESSES.delete())
        for it in APPENDS:
            add(connection, it.process_id, **row)
        hits = update.hits(connection, APPENDS)
        outcomes.append((list(hits), connection.execute(sa.select(PROCESSES)).fetchall()))
    assert outcomes[0] == outcomes[1]
    assert {True, False} == set(outcomes[0][0])


def updates(connection: sa.Connection, it: Append) -> list[set[str]]:
    """The opcodes of each UPDATE that an append takes."""
    run: list[str] = []
    driver: Any = connection.connection.driver_connection
    driver.set_trace_callback(run.append)
    AppendUpdate(connection.dialect, APPEND_GUARDS).hits(connection, [it])
    driver.set_trace_callback(None)
    return [opcodes(driver, text) for text in run if text.startswith("UPDATE")]


def opcodes(driver: DBAPIConnection, text: str) -> set[str]:
    cursor = driver.cursor()
    cursor.execute(f"EXPLAIN {text}")
    return {opcode for _, opcode, *_ in cursor.fetchall()}


def test_a_step_is_one_statement_that_tells_no_index(connection: sa.Connection) -> None:
    add(connection, "prc_1")
    [step] = updates(connection, append(ENDED))
    assert "IdxDelete" not in step


def test_an_end_is_one_statement_that_tells_the_indexes(connection: sa.Connection) -> None:
    add(connection, "prc_1")
    [end] = updates(connection, append(ENDED, phase=Phase.COMPLETED))
    assert "IdxDelete" in end
