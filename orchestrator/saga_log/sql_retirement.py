"""Retired processes in the SQL log: how a process leaves it, and what is read of those that did.

Invariant: a process moves from `processes` to `retired` in one transaction, together with the end
of its history, and only in statements that themselves name the phase and the revision that it was
chosen at. So whoever takes it up again meanwhile wins, and nobody loses it on the way.

Everything goes along a partial index, the oldest first, and stops after its limit: what is kept
costs nothing. Of several who look at the same time each gets others (SQLite has one writer at a
time: its dialect leaves the locks out). A command may come twice, when the answer to a commit was
lost: it then goes on with what is left. This module must never begin, commit or roll back a
transaction: its caller owns it.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Final, TypeVar, cast

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Text,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Dialect

from chassis.group_commit import Missed
from chassis.key_select import KeySelect
from orchestrator.saga.state import Phase
from orchestrator.saga_log.driver_statement import DriverStatement
from orchestrator.saga_log.protocol import ProcessRow
from orchestrator.saga_log.retirement import BY_HAND, RetiredProcess, by_hand
from orchestrator.saga_log.sql_work import locking
from orchestrator.saga_log.tables import EVENTS, PROCESSES, RETIRED

T = TypeVar("T")

_IDS_MAX: Final = 500
"""How many ids one statement names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireCommand:
    """Answered with how many were retired."""

    ended_before_us: int
    now_us: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeDueCommand:
    """Answered with the retired processes whose purge is due."""

    now_us: int
    again_us: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeDueCommand:
    """Answered with None: the purge of these is due then. None: there is nothing left to purge."""

    process_ids: tuple[str, ...]
    due_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetCommand:
    """Answered with how many were forgotten."""

    ended_before_us: int
    limit: int


RetirementCommand = RetireCommand | TakeDueCommand | PurgeDueCommand | ForgetCommand
RetirementReply = int | tuple[RetiredProcess, ...] | None

LEAVE_GUARDS: tuple[ColumnElement[bool], ...] = (
    PROCESSES.c.process_id == bindparam("process_id_is"),
    PROCESSES.c.revision == bindparam("revision_is"),
    PROCESSES.c.phase == bindparam("phase_is"),
    PROCESSES.c.end_time_us.is_not(None),
)
"""What holds of a row that leaves the log. Part of both statements that move it."""

_KEPT: Final = (
    "process_id",
    "business_key",
    "fingerprint",
    "subject",
    "phase",
    "revision",
    "epoch",
    "create_time_us",
    "end_time_us",
)
"""What a retired process has of its row."""


def _number(name: str) -> ColumnElement[int]:
    return bindparam(name, type_=BigInteger)


_TO_BE_RETIRED = locking(
    select(PROCESSES.c.process_id, PROCESSES.c.revision, PROCESSES.c.phase)
    .where(PROCESSES.c.end_time_us.is_not(None), PROCESSES.c.end_time_us < _number("before_us"))
    .order_by(PROCESSES.c.end_time_us, PROCESSES.c.process_id)
    .limit(_number("limit"))
)
_RESOLUTIONS = select(EVENTS.c.process_id, EVENTS.c.kind, EVENTS.c.time_us, EVENTS.c.body).where(
    EVENTS.c.process_id.in_(bindparam("ids", expanding=True)), EVENTS.c.kind == BY_HAND
)
_DUE = locking(
    select(RETIRED)
    .where(RETIRED.c.purge_due_us.is_not(None), RETIRED.c.purge_due_us <= _number("now_us"))
    .order_by(RETIRED.c.purge_due_us, RETIRED.c.process_id)
    .limit(_number("limit"))
)
_TO_BE_FORGOTTEN = locking(
    select(RETIRED.c.process_id)
    .where(RETIRED.c.purge_due_us.is_(None), RETIRED.c.end_time_us < _number("before_us"))
    .order_by(RETIRED.c.end_time_us, RETIRED.c.process_id)
    .limit(_number("limit"))
)
_BY_ID = select(RETIRED).where(RETIRED.c.process_id.in_(bindparam("ids", expanding=True)))
_KEYS = KeySelect(select(RETIRED.c.process_id, RETIRED.c.business_key), RETIRED.c.business_key)


class RetirementWriter:
    """Applies these commands to the log's tables."""

    def __init__(
        self, dialect: Dialect, *, leave_guards: Sequence[ColumnElement[bool]] = LEAVE_GUARDS
    ) -> None:
        leaving = select(
            *(PROCESSES.c[name] for name in _KEPT),
            bindparam("by_hand_is", type_=Text),
            _number("retire_time_is"),
            _number("purge_due_is"),
        ).where(*leave_guards)
        columns = [*_KEPT, "by_hand", "retire_time_us", "purge_due_us"]
        self._insert = DriverStatement(insert(RETIRED).from_select(columns, leaving), dialect)
        self._end_history = DriverStatement(
            delete(EVENTS).where(EVENTS.c.process_id == bindparam("process_id_is")), dialect
        )
        self._leave = DriverStatement(delete(PROCESSES).where(*leave_guards), dialect)
        at_id = RETIRED.c.process_id == bindparam("process_id_is")
        self._set_due = DriverStatement(
            update(RETIRED)
            .where(at_id, RETIRED.c.purge_due_us.is_not(None))
            .values(purge_due_us=bindparam("to_due_us", type_=BigInteger)),
            dialect,
        )
        self._forget = DriverStatement(
            delete(RETIRED).where(at_id, RETIRED.c.purge_due_us.is_(None)), dialect
        )

    def apply(self, connection: Connection, command: RetirementCommand) -> RetirementReply:
        """Writes one of them.

        Raises:
            Missed: Somebody took up meanwhile what was to be retired: look again.
        """
        match command:
            case RetireCommand():
                return self._retire(connection, command)
            case TakeDueCommand():
                return self._take_due(connection, command)
            case PurgeDueCommand():
                self._due(connection, command.process_ids, command.due_us)
                return None
            case ForgetCommand():
                found = connection.execute(
                    _TO_BE_FORGOTTEN,
                    {"before_us": command.ended_before_us, "limit": command.limit},
                )
                values = [{"process_id_is": it} for it in sorted(found.scalars())]
                return self._forget.run(connection, values) if values else 0

    def _retire(self, connection: Connection, command: RetireCommand) -> int:
        found = connection.execute(
            _TO_BE_RETIRED, {"before_us": command.ended_before_us, "limit": command.limit}
        ).all()
        if not found:
            return 0
        resolved = _resolved(connection, [row.process_id for row in found])
        values = [
            {
                "process_id_is": row.process_id,
                "revision_is": row.revision,
                "phase_is": row.phase,
                "by_hand_is": " ".join(sorted(by_hand(resolved.get(row.process_id, ())))),
                "retire_time_is": command.now_us,
                "purge_due_is": command.now_us,
            }
            for row in sorted(found, key=lambda row: row.process_id)
        ]
        moved = self._insert.run(connection, values)
        self._end_history.run(connection, values)
        if not moved == self._leave.run(connection, values) == len(values):
            raise Missed([0])
        return moved

    def _take_due(
        self, connection: Connection, command: TakeDueCommand
    ) -> tuple[RetiredProcess, ...]:
        rows = connection.execute(_DUE, {"now_us": command.now_us, "limit": command.limit})
        due = tuple(_retired(row) for row in rows)
        self._due(connection, [it.process_id for it in due], command.again_us)
        return due

    def _due(
        self, connection: Connection, process_ids: Collection[str], due_us: int | None
    ) -> None:
        values = [{"process_id_is": it, "to_due_us": due_us} for it in sorted(process_ids)]
        if values:
            self._set_due.run(connection, values)


class SqlRetirement:
    """The retired processes of a SQL log (see `retirement.Retirement`)."""

    def __init__(
        self,
        submit: Callable[[RetirementCommand], Awaitable[object]],
        read: Callable[[Callable[[Connection], Any]], Awaitable[Any]],
    ) -> None:
        """Both are the log's own, and raise `faults.Unavailable` where it does not answer."""
        self._submit = submit
        self._read = read

    async def retire(self, *, ended_before_us: int, now_us: int, limit: int) -> int:
        """Retires processes that were settled before then."""
        command = RetireCommand(ended_before_us=ended_before_us, now_us=now_us, limit=limit)
        return cast("int", await self._submit(command))

    async def take_due(
        self, *, now_us: int, again_us: int, limit: int
    ) -> tuple[RetiredProcess, ...]:
        """Retired processes whose purge is due."""
        command = TakeDueCommand(now_us=now_us, again_us=again_us, limit=limit)
        return cast("tuple[RetiredProcess, ...]", await self._submit(command))

    async def purged(self, process_ids: Collection[str]) -> None:
        """Nobody keeps anything for these any more."""
        await self._submit(PurgeDueCommand(process_ids=tuple(process_ids), due_us=None))

    async def put_off(self, process_ids: Collection[str], *, due_us: int) -> None:
        """Something is still kept for these."""
        await self._submit(PurgeDueCommand(process_ids=tuple(process_ids), due_us=due_us))

    async def forget(self, *, ended_before_us: int, limit: int) -> int:
        """Forgets retired processes."""
        command = ForgetCommand(ended_before_us=ended_before_us, limit=limit)
        return cast("int", await self._submit(command))

    async def find(self, process_ids: Sequence[str]) -> Mapping[str, RetiredProcess]:
        """Those of these processes that are retired."""
        found = await self._read(partial(retired_by_id, process_ids=process_ids))
        return cast("Mapping[str, RetiredProcess]", found)


def retired_by_id(connection: Connection, process_ids: Sequence[str]) -> dict[str, RetiredProcess]:
    """The retired processes of these ids, by id."""
    found: dict[str, RetiredProcess] = {}
    left = iter(process_ids)
    while ids := list(islice(left, _IDS_MAX)):
        for row in connection.execute(_BY_ID, {"ids": ids}):
            found[row.process_id] = _retired(row)
    return found


def retired_rows_by_key(connection: Connection, keys: Sequence[str]) -> dict[str, ProcessRow]:
    """The rows, as they stood in the log, of the retired processes of these keys, by key."""
    # Nearly always none.
    ids = [process_id for process_id, _ in _KEYS.rows(connection, keys)]
    found = map(_retired, connection.execute(_BY_ID, {"ids": ids})) if ids else ()
    return {retired.row.business_key: retired.row for retired in found}


def _resolved(
    connection: Connection, process_ids: Sequence[str]
) -> dict[str, list[tuple[str, int, str]]]:
    """By process, the events that say what a person has done."""
    found: dict[str, list[tuple[str, int, str]]] = {}
    left = iter(process_ids)
    while ids := list(islice(left, _IDS_MAX)):
        for process_id, kind, time_us, body in connection.execute(_RESOLUTIONS, {"ids": ids}):
            found.setdefault(process_id, []).append((kind, time_us, body))
    return found


def _retired(row: Row[Any]) -> RetiredProcess:
    named = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    return RetiredProcess(
        **{
            **named,
            "phase": Phase(named["phase"]),
            "by_hand": frozenset(named["by_hand"].split()),
        }
    )
