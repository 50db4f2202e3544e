"""What the SQL log writes: a batch of commands in, one answer for each out, inside one transaction.

Invariant: a process row moves from one revision to the next only in a statement that itself names
the revision it follows and, for an owner, the epoch it owns; and the events of that step are
written in the same transaction or not at all. So whoever was overtaken finds out here and nowhere
else, and nobody overwrites.

Every command may come twice: when the answer to a commit was lost, it is offered again. What is
there already, word for word, is then a success.

This module must never begin, commit or roll back a transaction: its caller owns it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    bindparam,
    delete,
    exists,
    select,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Dialect

from chassis.group_commit import Missed
from chassis.guarded_update import ANYWAY, Along
from chassis.record import record
from chassis.statements import Row, Statement
from orchestrator.saga_log import sql_reads
from orchestrator.saga_log.event_rows import EventRow
from orchestrator.saga_log.protocol import (
    FIRST_EPOCH,
    Append,
    Fenced,
    NewProcess,
    ProcessRow,
    Stale,
)
from orchestrator.saga_log.sql_appends import APPEND_GUARDS, AppendUpdate
from orchestrator.saga_log.sql_claims import (
    ClaimCommand,
    ClaimWriter,
    HeartbeatCommand,
    ReleaseCommand,
)
from orchestrator.saga_log.sql_flight import LogFlight
from orchestrator.saga_log.sql_retirement import (
    LEAVE_GUARDS,
    RetirementCommand,
    RetirementReply,
    RetirementWriter,
    retired_rows_by_key,
)
from orchestrator.saga_log.sql_work import Work
from orchestrator.saga_log.tables import EVENTS, PROCESSES, RETIRED


@record
class CreateCommand:
    """Answered with the row of this business key, and whether this command created it."""

    new: NewProcess
    definition: str
    definition_version: int
    event_rows: Sequence[EventRow]


@record
class AppendCommand:
    """Answered with the new revision."""

    append: Append
    event_rows: Sequence[EventRow]


LogCommand = (
    CreateCommand
    | AppendCommand
    | ReleaseCommand
    | ClaimCommand
    | HeartbeatCommand
    | RetirementCommand
)
C = TypeVar("C", CreateCommand, AppendCommand, ReleaseCommand, ClaimCommand, HeartbeatCommand)
LogReply = tuple[ProcessRow, bool] | int | tuple[ProcessRow, ...] | RetirementReply


CREATE_GUARDS: tuple[ColumnElement[bool], ...] = (
    ~exists().where(
        RETIRED.c.business_key == bindparam("business_key", type_=PROCESSES.c.business_key.type)
    ),
)
"""What holds of a process that is created in a file: its key is not that of a retired one. Part of
the statement that writes. A server is asked when it has written; see `sql_flight`."""

_TAKE_BACK = tuple(
    delete(table).where(table.c.process_id == bindparam("process_id_is"))
    for table in (EVENTS, PROCESSES)
)


class LogWriter:
    """Applies commands to the log's tables."""

    def __init__(
        self,
        dialect: Dialect,
        *,
        work: Work | None = None,
        append_guards: Sequence[ColumnElement[bool]] = APPEND_GUARDS,
        create_guards: Sequence[ColumnElement[bool]] = CREATE_GUARDS,
        leave_guards: Sequence[ColumnElement[bool]] = LEAVE_GUARDS,
    ) -> None:
        """`work` finds what nobody runs; without it, all that others own is that."""
        self._append = AppendUpdate(dialect, append_guards)
        self._flight: LogFlight | None = None
        self._create: Statement | None = None
        if dialect.name == "postgresql":
            self._flight = LogFlight(self._append)
        else:
            self._create = Statement(_creation(create_guards), dialect, PROCESSES.c.keys())
        self._claims = ClaimWriter(dialect, work or Work(shared=False))
        self._retirement = RetirementWriter(dialect, leave_guards=leave_guards)

    def apply(
        self, connection: Connection, commands: Sequence[LogCommand]
    ) -> list[LogReply | Exception]:
        """Writes a batch; answers each command in its place, by an exception where it failed.

        Kind by kind, and within a kind in the order given. Between kinds there is no order to keep:
        whoever sends two commands about one process waits for the answer to the first.
        """
        replies: dict[int, LogReply | Exception] = {}
        by_kind: dict[type, dict[int, Any]] = {}
        for index, command in enumerate(commands):
            by_kind.setdefault(type(command), {})[index] = command
        creates = by_kind.pop(CreateCommand, {})
        appends = by_kind.pop(AppendCommand, {})
        if self._create is not None:
            replies |= self._one_after_the_other(connection, self._create, creates, appends)
        elif self._flight is not None and (creates or appends):
            replies |= self._at_once(connection, self._flight, creates, appends)
        if releases := by_kind.pop(ReleaseCommand, None):
            self._claims.release(connection, list(releases.values()))
            replies |= dict.fromkeys(releases)
        for index, claim in by_kind.pop(ClaimCommand, {}).items():
            replies[index] = self._claims.claim(connection, claim)
        for index, heartbeat in by_kind.pop(HeartbeatCommand, {}).items():
            self._claims.beat(connection, heartbeat)
            replies[index] = None
        for index, command in sorted(it for kind in by_kind.values() for it in kind.items()):
            try:
                replies[index] = self._retirement.apply(connection, command)
            except Missed:
                raise Missed([index]) from None
        return [replies[index] for index in range(len(commands))]

    def _one_after_the_other(
        self,
        connection: Connection,
        create: Statement,
        creates: Mapping[int, CreateCommand],
        appends: Mapping[int, AppendCommand],
    ) -> Mapping[int, LogReply | Exception]:
        """Answers each, where a statement costs little: in a file."""
        replies: dict[int, LogReply | Exception] = {}
        begun: Sequence[EventRow] = ()
        if creates:
            created, begun = _create_all(connection, create, creates)
            replies |= created
        if appends or begun:
            in_order, events = _in_order(appends)
            steps = [it.append for _, it in in_order]
            hits = self._append.hits(connection, steps, [(ANYWAY, begun), *events])
            replies |= _appended(connection, in_order, hits)
        return replies

    def _at_once(
        self,
        connection: Connection,
        flight: LogFlight,
        creates: Mapping[int, CreateCommand],
        appends: Mapping[int, AppendCommand],
    ) -> Mapping[int, LogReply | Exception]:
        """Answers each, where a message costs more than a statement: of a server."""
        fresh = _one_of_each_key(creates)
        in_order, events = _in_order(appends)
        flown = flight.run(
            connection,
            [(_process_values(it), it.event_rows) for it in fresh],
            [it.append for _, it in in_order],
            events,
        )
        rows = {it.new.business_key: _first_row(it.new) for it in fresh}
        if others := [key for key, row in rows.items() if row.process_id not in flown.created]:
            # They were there before: another's, or this very one, whose answer was lost.
            found = sql_reads.rows_by_key(connection, others)
            if len(found) != len(others):
                # Retired since: look again, alone.
                raise Missed(creates)
            rows |= found
        created = _created(creates, rows)
        if keys := flown.retired.difference(others):
            # Maybe forgotten meanwhile: then they are free.
            retired = retired_rows_by_key(connection, sorted(keys))
            if retired:
                self._give_way(connection, creates, retired, created)
        return {**created, **_appended(connection, in_order, flown.hits)}

    def _give_way(
        self,
        connection: Connection,
        commands: Mapping[int, CreateCommand],
        retired: Mapping[str, ProcessRow],
        replies: dict[int, tuple[ProcessRow, bool]],
    ) -> None:
        """Takes back what was inserted under the key of a retired process: that is the answer."""
        inserted = {
            replies[index][0].process_id
            for index, command in commands.items()
            if command.new.business_key in retired
        }
        for take_back in _TAKE_BACK:
            connection.execute(take_back, [{"process_id_is": it} for it in sorted(inserted)])
        replies |= _gone(commands, retired)


def _create_all(
    connection: Connection, create: Statement, commands: Mapping[int, CreateCommand]
) -> tuple[Mapping[int, tuple[ProcessRow, bool]], Sequence[EventRow]]:
    """Answers each; and the events that are still to be written, of those that are new."""
    fresh = _one_of_each_key(commands)
    rows = {it.new.business_key: _first_row(it.new) for it in fresh}
    created = create.run_many(connection, [_process_values(it) for it in fresh])
    if created == len(fresh):
        return _created(commands, rows), [row for it in fresh for row in it.event_rows]
    # Some were there before: another's, a retired one, or this very one, whose answer was lost.
    there = sql_reads.rows_by_key(connection, list(rows))
    retired = retired_rows_by_key(connection, [key for key in rows if key not in there])
    assert there.keys() | retired.keys() == rows.keys(), "a key that is not free is somebody's"
    ours = {row.process_id for row in there.values()}
    ours -= sql_reads.begun(connection, [it.new.process_id for it in fresh])
    replies = _created(commands, {**there, **retired}) | _gone(commands, retired)
    return replies, [row for it in fresh if it.new.process_id in ours for row in it.event_rows]


def _creation(guards: Sequence[ColumnElement[bool]]) -> Insert:
    """A row of processes, unless its key is taken: then nothing, and nobody's batch fails for it.

    For a file, which one transaction at a time writes to: what it looks at stays as it is.
    """
    row = select(*(bindparam(it.name, type_=it.type) for it in PROCESSES.c)).where(*guards)
    created = sqlite.insert(PROCESSES).from_select(PROCESSES.c.keys(), row)
    return created.on_conflict_do_nothing(index_elements=[PROCESSES.c.business_key])


def _one_of_each_key(commands: Mapping[int, CreateCommand]) -> list[CreateCommand]:
    """The first of each business key.

    In one order everywhere: so replicas that were sent the same do not lock in a circle.
    """
    first = {it.new.business_key: it for it in reversed(list(commands.values()))}
    return sorted(first.values(), key=lambda it: it.new.business_key)


def _in_order(
    commands: Mapping[int, AppendCommand],
) -> tuple[Sequence[tuple[int, AppendCommand]], Along]:
    """By id, everywhere: so replicas never wait in a circle. And the events, with their places."""
    ids = sorted([(it.append.process_id, index) for index, it in commands.items()])
    in_order = [(index, commands[index]) for _, index in ids]
    return in_order, [(at, command.event_rows) for at, (_, command) in enumerate(in_order)]


def _created(
    commands: Mapping[int, CreateCommand], rows: Mapping[str, ProcessRow]
) -> dict[int, tuple[ProcessRow, bool]]:
    """The answer to each, from the rows that are there, by key."""
    return {
        index: (row := rows[it.new.business_key], row.process_id == it.new.process_id)
        for index, it in commands.items()
    }


def _gone(
    commands: Mapping[int, CreateCommand], retired: Mapping[str, ProcessRow]
) -> dict[int, tuple[ProcessRow, bool]]:
    """The answer to those whose key is that of a retired process: it as it stood."""
    return {
        index: (retired[it.new.business_key], False)
        for index, it in commands.items()
        if it.new.business_key in retired
    }


def _appended(
    connection: Connection, in_order: Sequence[tuple[int, AppendCommand]], hits: Sequence[bool]
) -> Mapping[int, int | Exception]:
    """The answer to each, from whether it hit."""
    return {
        index: _revision(it.append) if is_hit else _why_missed(connection, it)
        for (index, it), is_hit in zip(in_order, hits, strict=True)
    }


def _first_row(new: NewProcess) -> ProcessRow:
    return ProcessRow(
        process_id=new.process_id,
        business_key=new.business_key,
        fingerprint=new.fingerprint,
        subject=new.subject,
        phase=new.phase,
        revision=len(new.events),
        epoch=FIRST_EPOCH,
        owner=new.owner,
        due_time_us=new.due_time_us,
        create_time_us=new.create_time_us,
        update_time_us=new.create_time_us,
        end_time_us=None,
    )


def _process_values(command: CreateCommand) -> Row:
    """In the order of the table's columns."""
    new = command.new
    assert not new.phase.at_rest, "a process begins with something to do"
    return (
        new.process_id,
        new.business_key,
        new.fingerprint,
        new.subject,
        command.definition,
        command.definition_version,
        str(new.phase),
        len(new.events),
        FIRST_EPOCH,
        new.owner,
        new.due_time_us,
        new.create_time_us,
        new.create_time_us,
        None,
    )


def _revision(append: Append) -> int:
    return append.follows + len(append.events)


def _why_missed(connection: Connection, command: AppendCommand) -> int | Exception:
    """Why an append hit no row; its revision where it is there already, word for word."""
    append = command.append
    row = sql_reads.rows_by_id(connection, [append.process_id]).get(append.process_id)
    if row is None:
        return Stale(append.process_id)
    if append.epoch is not None and append.epoch != row.epoch:
        return Fenced(append.process_id)
    there = sql_reads.texts_between(
        connection, append.process_id, begin=append.follows + 1, end=_revision(append)
    )
    offered = [it[1:] for it in command.event_rows]
    # Nothing is nowhere: where no events were offered, the history has gone on.
    return _revision(append) if offered and there == offered else Stale(append.process_id)
