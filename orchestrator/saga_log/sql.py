"""The saga log on a SQL database.

Invariant: what `create`, `append`, `claim` and `release` answer is committed. Writes go through one
group commit, so that everything that waits shares one transaction; reads never wait for them. Loads
are grouped in the same way.

On SQLite one orchestrator holds the file (chassis opens it exclusively), so whoever else is named
as an owner is dead. A server is shared: there every orchestrator says again and again that it is
alive, and is dead once it has not done so for a lease.

What a command came to is sometimes not known: the database stayed away, or the caller left before
the answer. A process that was being created or claimed then may be owned by this orchestrator
without anybody running it. Its id is kept, and the next claim looks: such a process is claimed like
one that the dead left. This module must never forget one.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Self, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from chassis import faults
from chassis.database import Database
from chassis.group_commit import GroupCommit
from orchestrator.saga.events import Started
from orchestrator.saga_log import sql_reads
from orchestrator.saga_log.event_rows import rows_of
from orchestrator.saga_log.group_read import GroupRead
from orchestrator.saga_log.protocol import (
    FIRST_EPOCH,
    Append,
    ListQuery,
    NewProcess,
    ProcessRow,
    StoredProcess,
)
from orchestrator.saga_log.pulse import Pulse
from orchestrator.saga_log.sql_claims import ClaimCommand, HeartbeatCommand, ReleaseCommand
from orchestrator.saga_log.sql_retirement import SqlRetirement, retired_rows_by_key
from orchestrator.saga_log.sql_work import Work
from orchestrator.saga_log.sql_writes import (
    AppendCommand,
    CreateCommand,
    LogCommand,
    LogReply,
    LogWriter,
)

T = TypeVar("T")

GATHERING_SECONDS = 0.03
"""For so long are business keys gathered that are looked for, where they are many: that is when
callers are turned away, and then little may be spent on each."""
IN_DOUBT_MAX = 50_000
"""With more processes in doubt than this, no more are created: each is to be looked for later."""


class SqlSagaLog:
    """The saga log (see `protocol.SagaLog`) on one database."""

    def __init__(
        self,
        database: Database,
        commits: GroupCommit[LogCommand, LogReply],
        work: Work | None = None,
    ) -> None:
        """Without `work` the database is this orchestrator's alone."""
        self._database = database
        self._commits = commits
        self._work = work or Work(shared=False)
        self._loads: GroupRead[tuple[str, int], StoredProcess | None] = GroupRead(self._load_all)
        self._finds: GroupRead[str, ProcessRow | None] = GroupRead(
            self._find_all, gathering_seconds=GATHERING_SECONDS
        )
        self._pulse = Pulse()
        self._in_doubt: dict[tuple[str, int], None] = {}

    @classmethod
    async def open(cls, url: str, *, newest: Mapping[str, int] | None = None) -> Self:
        """Opens the log at a database URL, migrates it where needed, and starts its writer.

        `newest` are the newest versions of the definitions that can be run here, by name: on a
        shared log, what runs on newer ones is left to those who can. Without it all is claimed.

        Raises:
            CannotStart: It cannot be opened: in use by another orchestrator, newer than this
            release, not writable.
        """
        database = Database.open(
            url, name="orchestrator", migrations="orchestrator.migrations", exclusive=True
        )
        work = Work(shared=is_shared(url), newest=newest)
        return await cls.over(database, LogWriter(database.engine.dialect, work=work), work)

    @classmethod
    async def over(cls, database: Database, writer: LogWriter, work: Work) -> Self:
        """A log over a database that is open, and now belongs to it."""
        commits: GroupCommit[LogCommand, LogReply] = GroupCommit(
            database.engine, writer.apply, name="orchestrator"
        )
        await commits.start()
        return cls(database, commits, work)

    async def create(self, new: NewProcess) -> tuple[ProcessRow, bool]:
        """Stores a process that begins, unless one of the same business key is there."""
        if len(self._in_doubt) >= IN_DOUBT_MAX:
            raise _unavailable()
        started = new.events[0]
        assert isinstance(started, Started), "a history begins with Started"
        command = CreateCommand(
            new=new,
            definition=started.definition,
            definition_version=started.version,
            event_rows=rows_of(new.process_id, new.events, follows=0),
        )
        try:
            return cast("tuple[ProcessRow, bool]", await self._submit(command))
        except (faults.Unavailable, asyncio.CancelledError):
            self._in_doubt[new.process_id, FIRST_EPOCH] = None
            raise

    async def append(self, append: Append) -> int:
        """Moves a process on; answers its new revision."""
        rows = rows_of(append.process_id, append.events, follows=append.follows)
        command = AppendCommand(append=append, event_rows=rows)
        try:
            revision: Any = await self._commits.submit(command)
        except (faults.Unavailable, faults.Overloaded) as fault:
            raise _unavailable() from fault
        assert type(revision) is int, "an append is answered with a revision"
        return revision

    async def load(self, process_id: str, *, after: int = 0) -> StoredProcess | None:
        """Reads one process, with its events after a revision."""
        return await self._loads.get((process_id, after))

    async def find(self, business_key: str) -> ProcessRow | None:
        """Reads the row of one business key; of a retired process, as it stood."""
        return await self._finds.get(business_key)

    async def claim(self, *, owner: str, now_us: int, limit: int) -> tuple[StoredProcess, ...]:
        """Takes over what nobody runs: what the dead left, what is due, and what was in doubt."""
        looked_for = tuple(islice(self._in_doubt, limit))
        command = ClaimCommand(
            owner=owner,
            now_us=now_us,
            limit=limit,
            orphans=self._pulse.steady,
            maybe_mine=set(looked_for),
        )
        try:
            rows = cast("Sequence[ProcessRow]", await self._submit(command))
            claimed = await self._read(lambda connection: sql_reads.with_events(connection, rows))
        except BaseException:
            # Whatever it was, what was taken before it must not be forgotten.
            self._in_doubt.update(dict.fromkeys(command.maybe_mine))
            raise
        for settled in looked_for:
            self._in_doubt.pop(settled, None)
        return claimed

    async def next_due_us(self, owner: str) -> int | None:
        """When the first process that nobody runs falls due; long ago, if it is in doubt."""
        if self._in_doubt:
            return 0
        orphans = self._pulse.steady
        return await self._read(partial(self._work.next_due_us, owner=owner, orphans=orphans))

    async def release(self, *, process_id: str, epoch: int, due_time_us: int) -> None:
        """Gives a waiting process back, to be claimed when it is due."""
        await self._submit(
            ReleaseCommand(process_id=process_id, epoch=epoch, due_time_us=due_time_us)
        )

    async def beat(self, owner: str, *, lease_seconds: float) -> None:
        """Says that an owner is alive for so long from now on. Zero: that it is not, any more."""
        sent = self._pulse.now()
        lease_us = round(lease_seconds * 1_000_000)
        await self._submit(HeartbeatCommand(owner=owner, lease_us=lease_us))
        self._pulse.noted(sent=sent, lease_seconds=lease_seconds)

    async def owned(self, owner: str) -> Collection[tuple[str, int]]:
        """All that is not at rest and belongs to an owner, each with its epoch."""
        return await self._read(partial(sql_reads.owned, owner=owner))

    async def revisions(self, owner: str) -> Mapping[str, int]:
        """How far the histories are of what an owner has that is not at rest."""
        return await self._read(partial(sql_reads.revisions, owner=owner))

    def doubt(self, owned: Collection[tuple[str, int]]) -> None:
        """The owner does not know that it owns these: the next claim looks."""
        self._in_doubt.update(dict.fromkeys(owned))

    async def list(self, query: ListQuery) -> tuple[StoredProcess, ...]:
        """Reads a page of processes with their events, newest first."""
        return await self._read(partial(sql_reads.page, query=query))

    @property
    def retirement(self) -> SqlRetirement:
        """What became of those that were settled long ago."""
        return SqlRetirement(self._submit, self._read)

    @property
    def stores(self) -> tuple[Database, ...]:
        """What it is kept in, to be looked after."""
        return (self._database,)

    async def close(self) -> None:
        """Writes what was submitted, then closes the database and lets go of its lock."""
        await self._commits.close()
        await self._database.close()

    async def failed(self) -> None:
        """Returns if the writer has died: then the process should end, and recover."""
        await self._commits.failed()

    async def _load_all(self, wanted: Sequence[tuple[str, int]]) -> Sequence[StoredProcess | None]:
        return await self._read(partial(sql_reads.processes, wanted=wanted))

    async def _find_all(self, keys: Sequence[str]) -> Sequence[ProcessRow | None]:
        found = await self._read(partial(_rows_by_key, keys=keys))
        return [found.get(key) for key in keys]

    async def _submit(self, command: LogCommand) -> LogReply:
        try:
            return await self._commits.submit(command)
        except (faults.Unavailable, faults.Overloaded) as fault:
            raise _unavailable() from fault

    async def _read(self, query: Callable[[Connection], T]) -> T:
        try:
            return await self._database.read(query)
        except faults.Unavailable as fault:
            raise _unavailable() from fault


def _rows_by_key(connection: Connection, keys: Sequence[str]) -> Mapping[str, ProcessRow]:
    """The rows of these keys; of retired processes, as they stood."""
    found = sql_reads.rows_by_key(connection, keys)
    gone = [key for key in keys if key not in found]
    return {**retired_rows_by_key(connection, gone), **found} if gone else found


def is_shared(url: str) -> bool:
    """Whether several orchestrators may use the log at a URL at the same time."""
    return make_url(url).get_backend_name() != "sqlite"


def _unavailable() -> faults.Unavailable:
    return faults.Unavailable(
        "LOG_UNAVAILABLE", "the saga log does not answer; whether anything was stored is not known"
    )
