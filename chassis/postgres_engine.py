"""PostgreSQL: engines over a server, and a schema of one's own in its database.

Invariant: no statement waits for ever: for a lock, for a result, or for a server that is gone; and
a session that falls silent in the midst of a transaction is ended by the server, so that what it
locked is free again. What reads cannot write, and sees one state of the database from its first
statement to its last. It must never take a server that only reads for one to write to.

A commit alone takes as long as it takes: a server stops the clock of a statement before it commits.
Where a standby has to have it too, it would else answer that it is committed when it is so on one
machine only.

Plain SQL and settings of the session are all that is used. What a URL says of the connection
(`connect_timeout`, `sslmode`, several `host`s, …) stands; `schema` is ours: it names the schema
in which a service keeps its tables, so that several can share one database.
"""

import re
from collections.abc import Mapping
from typing import Final

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection

from chassis.server import CannotStart
from chassis.settings import redacted

WRITERS: Final = 2
"""Connections that write: one for the writer, one for whoever looks whether it could."""
SPARE: Final = 2
"""More of either, for a moment."""
LOCK_SECONDS: Final = 2.0
WRITE_SECONDS: Final = 10.0
READ_SECONDS: Final = 30.0
SILENT_SECONDS: Final = 5.0
"""How long a transaction may stand still between two of its statements. A stopped process holds
what it locked for no longer than that."""
POOL_SECONDS: Final = 2.0

# Who writes touches rows by their keys, and a plan that walks a table is never right for it. But a
# plan made while the table was all but empty would walk it, and be kept for as long as nobody tells
# the server how large it has grown.
_BY_KEY: Final = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
# Noticing a server that is gone without a word takes about ten seconds.
_CONNECTION: Final[Mapping[str, str]] = {
    "connect_timeout": "5",
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "target_session_attrs": "read-write",
}
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_SCHEMA_THERE: Final = sqlalchemy.text(
    "SELECT 1 FROM information_schema.schemata WHERE schema_name = :schema"
)


def schema_of(url: URL, name: str) -> str | None:
    """The schema that a URL names.

    Raises:
        CannotStart: It is no name for one.
    """
    schema = url.query.get("schema")
    if schema is None:
        return None
    if not isinstance(schema, str) or not _SCHEMA.fullmatch(schema):
        raise CannotStart(
            f"{name} database: schema={schema!r} is not a name for a schema; "
            "use small letters, digits and underscores"
        )
    return schema


def open_engines(
    url: URL, name: str, *, readers: int
) -> tuple[sqlalchemy.Engine, sqlalchemy.Engine]:
    """An engine that writes, and one that reads with up to `readers` connections."""
    shared = (
        f"SET lock_timeout = {_ms(LOCK_SECONDS)}; "
        f"SET idle_in_transaction_session_timeout = {_ms(SILENT_SECONDS)}"
    )
    if (schema := schema_of(url, name)) is not None:
        shared += f'; SET search_path TO "{schema}"'
    writing = _engine(
        url,
        name,
        connections=WRITERS,
        session=(
            f"{shared}; SET statement_timeout = {_ms(WRITE_SECONDS)}; "
            f"SET default_transaction_isolation = 'read committed'; {_BY_KEY}"
        ),
    )
    reading = _engine(
        url,
        name,
        connections=readers,
        session=(
            f"{shared}; SET statement_timeout = {_ms(READ_SECONDS)}; "
            "SET default_transaction_isolation = 'repeatable read'; "
            "SET default_transaction_read_only = on"
        ),
    )
    return writing, reading


def prepare(connection: sqlalchemy.Connection, url: URL, name: str) -> None:
    """Has nothing time out in the transaction begun, and sees to its schema: for migrations."""
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    # Between two of its statements much is imported and compared: on a machine that is busy it may
    # take long, and nobody waits for its locks but others that start.
    connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
    # A migration, however, may have to walk a table.
    for way in ("seqscan", "hashjoin", "mergejoin"):
        connection.exec_driver_sql(f"SET LOCAL enable_{way} = on")
    if (schema := schema_of(url, name)) is None:
        return
    # Who may not create one may use one that is there.
    if connection.execute(_SCHEMA_THERE, {"schema": schema}).first() is None:
        connection.exec_driver_sql(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')


def _engine(url: URL, name: str, *, connections: int, session: str) -> sqlalchemy.Engine:
    wanted = {**_CONNECTION, "application_name": f"oms-{name}"}
    arguments = {key: value for key, value in wanted.items() if key not in url.query}
    try:
        engine = sqlalchemy.create_engine(
            url.difference_update_query(("schema",)),
            connect_args=arguments,
            pool_size=connections,
            max_overflow=SPARE,
            hide_parameters=True,
            pool_timeout=POOL_SECONDS,
        )
    except ModuleNotFoundError as error:
        raise CannotStart(
            f"{name} database {redacted(str(url))}: the driver {error.name} is not installed; "
            "install it, or take a SQLite file"
        ) from error

    def set_up(connection: DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        try:
            cursor.execute(session)
            cursor.execute("SHOW synchronous_commit")
            if cursor.fetchall() == [("off",)]:
                # What was acknowledged would be lost in a crash of the server.
                cursor.execute("SET synchronous_commit = on")
        finally:
            cursor.close()
        connection.commit()

    event.listen(engine, "connect", set_up)
    return engine


def _ms(seconds: float) -> int:
    return round(seconds * 1_000)
