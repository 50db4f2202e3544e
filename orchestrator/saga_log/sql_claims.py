"""Who runs what in the SQL log: claims, releases and heartbeats.

Invariant: a process changes hands only in a statement that itself names the epoch it had, and
under a new one; so of several who reach for it one gets it, and its former owner can write no more.

A command may come twice: when the answer to a commit was lost, it is offered again. What a claim
takes it notes before the commit, and then finds it to be its own. This module must never begin,
commit or roll back a transaction: its caller owns it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import BigInteger, Connection, bindparam, delete, insert, update
from sqlalchemy.engine import Dialect

from orchestrator.saga_log import sql_reads
from orchestrator.saga_log.driver_statement import DriverStatement
from orchestrator.saga_log.protocol import ProcessRow
from orchestrator.saga_log.sql_work import DATABASE_NOW_US, Work
from orchestrator.saga_log.tables import PROCESSES, REPLICAS

FORGOTTEN_US = 24 * 3_600 * 1_000_000
"""How long after it lapsed a heartbeat is kept, for whoever wants to know who was there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseCommand:
    """Answered with None."""

    process_id: str
    epoch: int
    due_time_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimCommand:
    """Answered with the rows that were claimed, as they are now.

    `maybe_mine` are processes that this owner may own without knowing it, each with the epoch at
    which it would. What is claimed is added before the commit: if the answer to that is lost, it
    can be looked for.
    """

    owner: str
    now_us: int
    limit: int
    orphans: bool
    """Whether to take over what the dead left."""
    maybe_mine: set[tuple[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatCommand:
    """Answered with None: the owner is alive for so long from now on. Zero: it is not, any more."""

    owner: str
    lease_us: int


class ClaimWriter:
    """Applies these commands to the log's tables."""

    def __init__(self, dialect: Dialect, work: Work) -> None:
        self._work = work
        at_epoch = (
            PROCESSES.c.process_id == bindparam("process_id_is"),
            PROCESSES.c.epoch == bindparam("epoch_is"),
        )
        self._release = DriverStatement(
            update(PROCESSES)
            .where(*at_epoch, PROCESSES.c.due_time_us.is_not(None))
            .values(owner=bindparam("to_owner"), due_time_us=bindparam("to_due_time_us")),
            dialect,
        )
        self._claim = DriverStatement(
            update(PROCESSES)
            .where(*at_epoch)
            .values(owner=bindparam("to_owner"), epoch=bindparam("to_epoch")),
            dialect,
        )

    def release(self, connection: Connection, commands: Sequence[ReleaseCommand]) -> None:
        """Hits nothing where a process is another's by now, or at rest: nothing to give."""
        in_order = sorted(commands, key=lambda it: it.process_id)
        values = [
            {
                "process_id_is": it.process_id,
                "epoch_is": it.epoch,
                "to_owner": None,
                "to_due_time_us": it.due_time_us,
            }
            for it in in_order
        ]
        self._release.run(connection, values)

    def claim(self, connection: Connection, command: ClaimCommand) -> tuple[ProcessRow, ...]:
        """What this owner owns without knowing it, then what the dead left, then what is due."""
        ids = sorted({process_id for process_id, _ in command.maybe_mine})
        rows = [
            row
            for row in sql_reads.rows_by_id(connection, ids, lock=True).values()
            if row.owner == command.owner and (row.process_id, row.epoch) in command.maybe_mine
        ]
        # What is this owner's already may be more than it wanted: then it takes no others.
        if command.orphans:
            rows += self._work.orphaned(
                connection, owner=command.owner, limit=command.limit - len(rows), lock=True
            )
        rows += self._work.released_due(
            connection, now_us=command.now_us, limit=command.limit - len(rows), lock=True
        )
        claimed = tuple(replace(row, owner=command.owner, epoch=row.epoch + 1) for row in rows)
        command.maybe_mine.update((row.process_id, row.epoch) for row in claimed)
        values = [
            {
                "process_id_is": row.process_id,
                "epoch_is": row.epoch,
                "to_owner": command.owner,
                "to_epoch": row.epoch + 1,
            }
            for row in rows
        ]
        hit = self._claim.run(connection, values) if values else 0
        assert hit == len(values), "a row changed under the lock that its reader held"
        return claimed

    def beat(self, connection: Connection, command: HeartbeatCommand) -> None:
        """Renews a heartbeat, or takes it back. Those that lapsed long ago are forgotten."""
        if command.lease_us <= 0:
            connection.execute(_LEAVE, {"owner_is": command.owner})
            return
        parameters = {"owner_is": command.owner, "lease_us": command.lease_us}
        if connection.execute(_RENEW, parameters).rowcount == 0:
            connection.execute(_BEGIN, parameters)
            connection.execute(_FORGET)


_EXPIRES = DATABASE_NOW_US + bindparam("lease_us", type_=BigInteger)
_RENEW = (
    update(REPLICAS)
    .where(REPLICAS.c.owner == bindparam("owner_is"))
    .values(expire_time_us=_EXPIRES)
)
_BEGIN = insert(REPLICAS).values(
    owner=bindparam("owner_is"), expire_time_us=_EXPIRES, begin_time_us=DATABASE_NOW_US
)
_LEAVE = delete(REPLICAS).where(REPLICAS.c.owner == bindparam("owner_is"))
_FORGET = delete(REPLICAS).where(REPLICAS.c.expire_time_us < DATABASE_NOW_US - FORGOTTEN_US)
