"""SQLite: the file behind a URL, its lock, and engines over it.

Invariant: every transaction of the engine that writes takes the write lock as it begins, and is on
the disk when it has committed; the engine that reads cannot write. It must never create a file in
a folder that it could not make.
"""

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Final

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection

from chassis.server import CannotStart
from chassis.statements import run

# How long a statement waits for another process's write before it gives up.
BUSY_SECONDS: Final = 2.0
_PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")


def path_of(url: URL, name: str) -> Path:
    """The file that a URL names, in a folder that is there.

    Raises:
        CannotStart: There can be no such file.
    """
    if url.database is None or url.database in {"", ":memory:"}:
        raise CannotStart(f"{name} database: SQLite needs a file, as in sqlite:///var/{name}.db")
    path = Path(url.database)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStart(
            f"{name} database: the folder {path.parent} cannot be made: {error.strerror}"
        ) from error
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise CannotStart(f"{name} database: the folder {path.parent} is not writable")
    if path.is_dir():
        raise CannotStart(f"{name} database: {path} is a folder, not a file")
    return path


def take_lock(path: Path, name: str) -> IO[str]:
    """Takes the lock that one process at a time holds on a SQLite file.

    The kernel lets go of it when the process ends, however it ends; the file itself stays.
    """
    beside = path.with_name(path.name + ".lock")
    try:
        lock = beside.open("a+", encoding="ascii")
    except OSError as error:
        raise CannotStart(
            f"{name} database: {beside} cannot be opened: {error.strerror}"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        holder = lock.read(20).strip() or "unknown"
        lock.close()
        raise CannotStart(
            f"{name} database {path} is in use by another {name} (pid {holder}); "
            "stop that one first, or give this one a database of its own"
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def open_engines(url: URL) -> tuple[sqlalchemy.Engine, sqlalchemy.Engine]:
    """An engine that takes the write lock as each transaction begins, and one that cannot write."""
    writing = _engine(url, begin="BEGIN IMMEDIATE")
    reading = _engine(url, begin="BEGIN", more_pragmas=("query_only=ON",))
    return writing, reading


def take_back_in_memory(engine: sqlalchemy.Engine) -> None:
    """From now on keeps in memory what a statement of many rows may have to take back.

    It is a copy of each page that it writes to. From the sixteenth on they would go into a file
    that is made and unlinked for that statement, which takes longer than writing them. Not for
    migrations: what is sorted for a new index would be kept in memory as well, all of it.
    """

    def prepare(connection: DBAPIConnection, _record: object) -> None:
        _set(connection, ("temp_store=MEMORY",))

    # The pragma is a connection's: those that there are do without it.
    engine.dispose()
    event.listen(engine, "connect", prepare)
    # One is open from the start: were the file deleted before the first write, opening it then
    # would make an empty one in its place.
    engine.connect().close()


def _engine(url: URL, *, begin: str, more_pragmas: tuple[str, ...] = ()) -> sqlalchemy.Engine:
    engine = sqlalchemy.create_engine(
        url,
        pool_timeout=BUSY_SECONDS,
        hide_parameters=True,
        connect_args={
            "timeout": BUSY_SECONDS,
            # The driver begins nothing by itself: the listener below says when, and how.
            "isolation_level": None,
            # A pooled connection wanders between threads, one at a time.
            "check_same_thread": False,
        },
    )

    def prepare(connection: DBAPIConnection, _record: object) -> None:
        _set(connection, (*_PRAGMAS, *more_pragmas))

    def begun(connection: sqlalchemy.Connection) -> None:
        run(connection, begin)

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begun)
    return engine


def _set(connection: DBAPIConnection, pragmas: Iterable[str]) -> None:
    cursor = connection.cursor()
    try:
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
    finally:
        cursor.close()
