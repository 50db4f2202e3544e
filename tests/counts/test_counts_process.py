"""What an order process costs: transactions, statements, calls of functions, and no reads at all.

The last tests plant what the first would have to see.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest
import sqlalchemy as sa

from chassis.database import Database
from chassis.flight import Boarding, Landed, fly
from chassis.group_commit import GroupCommit
from chassis.guarded_update import Along
from chassis.statements import Row, Statement
from orchestrator.saga import evolve as evolving
from orchestrator.saga.state import Phase
from orchestrator.saga_log import event_rows
from orchestrator.saga_log.protocol import Append
from orchestrator.saga_log.sql import SqlSagaLog
from orchestrator.saga_log.sql_flight import Flown, LogFlight
from orchestrator.saga_log.sql_work import Work
from orchestrator.saga_log.sql_writes import LogCommand, LogReply, LogWriter
from orchestrator.servicer import OrderProcessServicer
from tests.counts.bounds import check, over
from tests.counts.harness.crowd import CROWD
from tests.counts.harness.measured import Measured, measured
from tests.counts.harness.python_calls import of_this_python

Statements = Sequence[Sequence[str]]


@pytest.fixture(scope="module")
def cost(new_database_url: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return measured(new_database_url(), tmp_path_factory.mktemp("cost"))


def of_kind(transactions: Statements, first: str) -> list[int]:
    """How many statements each transaction has that begins so, BEGIN and COMMIT included."""
    writes = [each[1] for each in transactions]
    found = [len(each) for each, write in zip(transactions, writes, strict=True) if write == first]
    assert found, f"nothing begins with {first}: {transactions}"
    return found


def creates(transactions: Statements) -> int:
    return max(of_kind(transactions, "INSERT processes"))


def appends(transactions: Statements) -> int:
    return max(of_kind(transactions, "UPDATE processes"))


def test_a_process_is_six_commits(cost: Measured) -> None:
    check("commits for one process", len(cost.alone), cost.alone)


def test_processes_that_run_at_once_share_their_commits(cost: Measured) -> None:
    check(f"commits for {CROWD} processes at once", len(cost.together), cost.together)


def test_processes_that_begin_at_once_take_a_few_statements_whatever_their_number(
    cost: Measured,
) -> None:
    name = f"statements for {CROWD} creates, {cost.database}"
    check(name, creates(cost.together), cost.together)


def test_steps_that_end_at_once_take_a_few_statements_whatever_their_number(
    cost: Measured,
) -> None:
    name = f"statements for {CROWD} appends, {cost.database}"
    check(name, appends(cost.together), cost.together)


def test_a_server_is_waited_for_twice_for_each_batch(cost: Measured) -> None:
    name = f"messages to a server for {CROWD} processes at once, {cost.database}"
    check(name, cost.messages, cost.together)


def test_a_step_that_ends_alone_takes_no_more_than_it_needs(cost: Measured) -> None:
    check(f"statements for one append, {cost.database}", appends(cost.alone), cost.alone)


def test_a_process_that_runs_to_its_end_is_never_read(cost: Measured) -> None:
    check(f"reads of the log for {CROWD} processes", len(cost.reads), cost.reads)


def test_a_step_that_goes_well_leaves_one_row(cost: Measured) -> None:
    check("rows of events for one process", cost.event_rows)


@of_this_python
def test_the_loop_does_little_for_a_process(cost: Measured) -> None:
    name = "function calls: a process in the loop's thread"
    check(name, cost.loop_calls, cost.most_loop_calls)


@of_this_python
def test_the_writer_does_little_for_a_process(cost: Measured) -> None:
    name = f"function calls: a process in the writer's thread, {cost.database}"
    check(name, cost.writer_calls, cost.most_writer_calls)


class TwoAppends(SqlSagaLog):
    """Writes an outcome by itself, and then what follows from it."""

    async def append(self, append: Append) -> int:
        follows = append.follows
        for event in append.events:
            at_end = event is append.events[-1]
            follows = await super().append(
                replace(
                    append,
                    follows=follows,
                    events=(event,),
                    phase=append.phase if at_end else Phase.RUNNING,
                    due_time_us=append.due_time_us if at_end else append.time_us,
                )
            )
        return follows


class InSmallBatches(SqlSagaLog):
    """Has a few share a commit."""

    @classmethod
    async def over(cls, database: Database, writer: LogWriter, work: Work) -> Self:
        commits: GroupCommit[LogCommand, LogReply] = GroupCommit(
            database.engine, writer.apply, name="orchestrator", batch_max=CROWD // 4
        )
        await commits.start()
        return cls(database, commits, work)


@pytest.fixture
def planted(tmp_path: Path) -> Callable[..., Measured]:
    return lambda **named: measured(f"sqlite:///{tmp_path}/log.db", tmp_path, **named)


def test_two_appends_for_a_step_are_seen(planted: Callable[..., Measured]) -> None:
    cost = planted(log_type=TwoAppends)
    assert over("commits for one process", len(cost.alone))
    assert over(f"commits for {CROWD} processes at once", len(cost.together))


def test_a_row_for_each_event_is_seen(
    planted: Callable[..., Measured], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_rows, "goes_well", lambda _events: False)
    assert over("rows of events for one process", planted().event_rows)


def test_commits_that_too_few_share_are_seen(planted: Callable[..., Measured]) -> None:
    cost = planted(log_type=InSmallBatches)
    assert not over("commits for one process", len(cost.alone))
    assert over(f"commits for {CROWD} processes at once", len(cost.together))


def test_a_read_before_the_answer_is_seen(
    planted: Callable[..., Measured], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OrderProcessServicer, "_known", lambda _self, _run: None)
    cost = planted()
    assert over(f"reads of the log for {CROWD} processes", len(cost.reads))


def row_by_row(run_many: Callable[[Any, sa.Connection, Sequence[Row]], Any]) -> Any:
    return lambda self, connection, rows: sum(run_many(self, connection, [row]) for row in rows)


def test_a_statement_for_each_row_is_seen_on_sqlite(
    planted: Callable[..., Measured], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Statement, "run_many", row_by_row(Statement.run_many))
    cost = planted()
    assert over(f"statements for {CROWD} creates, sqlite", creates(cost.together))
    assert over(f"statements for {CROWD} appends, sqlite", appends(cost.together))


def test_a_statement_for_each_row_is_seen_on_postgresql(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class RowByRow(LogFlight):
        def run(
            self,
            connection: sa.Connection,
            creates: Sequence[tuple[Row, Sequence[Row]]],
            appends: Sequence[Append],
            events: Along,
        ) -> Flown:
            flown = [super(RowByRow, self).run(connection, [it], (), ()) for it in creates] + [
                super(RowByRow, self).run(connection, (), [it], [(0, rows)])
                for it, (_, rows) in zip(appends, events, strict=True)
            ]
            return Flown(
                created=frozenset().union(*(it.created for it in flown)),
                retired=frozenset(),
                hits=[hit for it in flown for hit in it.hits],
            )

    monkeypatch.setattr("orchestrator.saga_log.sql_writes.LogFlight", RowByRow)
    cost = measured(postgres_url, tmp_path)
    assert over(f"statements for {CROWD} creates, postgresql", creates(cost.together))
    assert over(f"statements for {CROWD} appends, postgresql", appends(cost.together))


def test_statements_that_are_sent_one_after_the_other_are_seen(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_after_the_other(connection: sa.Connection, boarding: Boarding) -> Sequence[Landed]:
        return [fly(connection, [it])[0] for it in boarding]

    monkeypatch.setattr("orchestrator.saga_log.sql_flight.fly", one_after_the_other)
    cost = measured(postgres_url, tmp_path)
    assert over(f"messages to a server for {CROWD} processes at once, postgresql", cost.messages)


@of_this_python
def test_a_needless_copy_at_each_step_is_seen_in_the_whole(
    planted: Callable[..., Measured], monkeypatch: pytest.MonkeyPatch
) -> None:
    # That of dataclasses looks at each field.
    monkeypatch.setattr(evolving, "replace", replace)
    cost = planted()
    assert over("function calls: a process in the loop's thread", cost.loop_calls)
