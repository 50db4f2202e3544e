"""The tables of the saga log, and their story.

A process is one row of `processes` and a growing list of rows of `events`.

`events` is the truth: what happened, in order, never changed, and deleted only with its process.
Its key is (process, sequence), and every append names the event that it follows, so two writers
cannot both write event 7. The first event holds the input of the process and names the definition
that it runs on. Where a step goes well, what is appended is one row: see `event_rows.py`.

`processes` is what must be found without reading histories:

- who it is: `process_id`; `business_key`, which the caller chose and which is unique, so that the
  same request is the same process; `fingerprint` of what was asked, to tell the same request from
  another one under the same key; `subject`, whom it is about;
- where it is: `phase`, and `revision`, the sequence of its last event;
- who runs it: `owner`, the orchestrator that holds it in memory (nobody: it waits, or it is over),
  and `epoch`, which grows by one whenever somebody takes it over. An owner's append proves the
  epoch: that is the fence which keeps out one that was taken for dead;
- when it must be looked at again: `due_time_us`. It is set on every process that is neither settled
  nor parked, so that none is forgotten. A partial index holds only those: the finished millions
  cost the search for work nothing. While a process is run from one step to the next it stays as it
  was: the steps then change nothing that is in an index.

`replicas` says who is alive, where many orchestrators share the log: one row each, renewed well
before `expire_time_us`. Its times are the database's own, so the clocks of the replicas do not
matter. It only decides when to claim; the epoch keeps things right. On a database that one
orchestrator holds for itself it stays empty.

`retired` is what is left of processes that were settled long ago: one row each, which moves here
from `processes` in the transaction that deletes the history. `purge_due_us` says when what others
keep for it is to be purged, and is empty once it is; then the row waits until it is forgotten.

Times are microseconds since the Unix epoch, UTC. Bodies are JSON texts, written and read by the
codec alone. Nothing here knows what a process is about. This module must never execute anything.
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, MetaData, Table, Text, text

METADATA = MetaData()

PROCESSES = Table(
    "processes",
    METADATA,
    Column("process_id", Text, primary_key=True),
    Column("business_key", Text, nullable=False, unique=True),
    Column("fingerprint", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("definition", Text, nullable=False),
    Column("definition_version", BigInteger, nullable=False),
    Column("phase", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("owner", Text),
    Column("due_time_us", BigInteger),
    Column("create_time_us", BigInteger, nullable=False),
    Column("update_time_us", BigInteger, nullable=False),
    Column("end_time_us", BigInteger),
    sqlite_with_rowid=False,
)

EVENTS = Table(
    "events",
    METADATA,
    Column("process_id", Text, ForeignKey("processes.process_id"), primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("time_us", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    # SQLite keeps them as they come: in the order of their key an append would go to many pages.
)

REPLICAS = Table(
    "replicas",
    METADATA,
    Column("owner", Text, primary_key=True),
    Column("begin_time_us", BigInteger, nullable=False),
    Column("expire_time_us", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

RETIRED = Table(
    "retired",
    METADATA,
    Column("process_id", Text, primary_key=True),
    Column("business_key", Text, nullable=False, unique=True),
    Column("fingerprint", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    # The undos that a person had done, one beside the other.
    Column("by_hand", Text, nullable=False),
    Column("create_time_us", BigInteger, nullable=False),
    Column("end_time_us", BigInteger, nullable=False),
    Column("retire_time_us", BigInteger, nullable=False),
    Column("purge_due_us", BigInteger),
    sqlite_with_rowid=False,
)

# Newest first: all of them, those of one phase, those of one subject.
Index("processes_by_time", PROCESSES.c.create_time_us, PROCESSES.c.process_id)
Index("processes_by_phase", PROCESSES.c.phase, PROCESSES.c.create_time_us, PROCESSES.c.process_id)
Index(
    "processes_by_subject", PROCESSES.c.subject, PROCESSES.c.create_time_us, PROCESSES.c.process_id
)
# What is to be done: by whose it is, then by when.
_UNSETTLED = text("due_time_us IS NOT NULL")
Index(
    "processes_due",
    PROCESSES.c.owner,
    PROCESSES.c.due_time_us,
    sqlite_where=_UNSETTLED,
    postgresql_where=_UNSETTLED,
)
# What may be retired, what is to be purged, what may be forgotten: each the oldest first.
_SETTLED = text("end_time_us IS NOT NULL")
Index(
    "processes_settled",
    PROCESSES.c.end_time_us,
    PROCESSES.c.process_id,
    sqlite_where=_SETTLED,
    postgresql_where=_SETTLED,
)
_TO_BE_PURGED = text("purge_due_us IS NOT NULL")
Index(
    "retired_due",
    RETIRED.c.purge_due_us,
    RETIRED.c.process_id,
    sqlite_where=_TO_BE_PURGED,
    postgresql_where=_TO_BE_PURGED,
)
_PURGED = text("purge_due_us IS NULL")
Index(
    "retired_purged",
    RETIRED.c.end_time_us,
    RETIRED.c.process_id,
    sqlite_where=_PURGED,
    postgresql_where=_PURGED,
)
