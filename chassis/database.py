"""One service's database: opened, checked, migrated, read from, looked after.

Invariant: a `Database` that was opened is at this release's schema and was writable a moment ago;
its `health` says how it is now. It must never block the event loop once it is open: reads run in a
small pool of threads, writes in the thread of the group commit that owns them.

On SQLite every transaction of `engine` takes the write lock as it begins (`BEGIN IMMEDIATE`), so
that what it reads is still true when it writes. Reads go through connections of their own, which
cannot write, and with the write-ahead log they neither wait for a writer nor hold one up.
"""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Final, Self, TypeVar

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection

from chassis import faults
from chassis.migrations import DatabaseNewer, migrate
from chassis.server import CannotStart, CannotStartYet
from chassis.settings import redacted
from chassis.statements import run
from chassis.storage_files import StorageFiles, damaged
from chassis.storage_health import Kind, Side, StorageHealth, kind_of, with_health
from chassis.storage_probe import probe

__all__ = ["Database", "DatabaseNewer", "is_trouble"]

T = TypeVar("T")

READERS: Final = 4
# How long a statement waits for another process's write before it gives up.
BUSY_SECONDS: Final = 2.0
_SQLITE_STATEMENT_WRONG: Final = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_RANGE)
# What may pass by itself: the next start may find it well.
_PASSING: Final = frozenset({Kind.FULL, Kind.LOCKED, Kind.INPUT_OUTPUT})
_PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")


class Database:
    """An open database.

    `engine` is for writing. Readers use `read`. `health` is how it is just now.
    """

    def __init__(
        self,
        *,
        name: str,
        engine: sqlalchemy.Engine,
        read_engine: sqlalchemy.Engine,
        lock: IO[str] | None,
        files: StorageFiles | None,
    ) -> None:
        self.name = name
        self.engine = engine
        self.health = StorageHealth(name, files)
        with_health(engine, self.health)
        self._read_engine = read_engine
        self._lock = lock
        self._files = files
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix=f"{name}-read")

    @classmethod
    def open(cls, url: str, *, name: str, migrations: str, exclusive: bool = False) -> Self:
        """Opens the database at `url`, creates it where there is none, and migrates it.

        Args:
            url: As SQLAlchemy writes it: `sqlite:///var/order.db`, `postgresql://…`.
            name: What messages call it, for example "order".
            migrations: The package whose `versions` hold the schema's revisions.
            exclusive: Hold a lock on a SQLite file for life, so that no second process opens it so.

        Raises:
            CannotStart: It cannot be used as it is; the text says why and what to do.
            DatabaseNewer: A newer release wrote it.
        """
        parsed = _parse(url, name)
        lock: IO[str] | None = None
        files: StorageFiles | None = None
        with contextlib.ExitStack() as undo:
            if parsed.get_backend_name() == "sqlite":
                path = _sqlite_path(parsed, name)
                if exclusive:
                    lock = undo.enter_context(_lock(path, name))
                files = _files(path, name)
                undo.callback(files.close)
                engine, read_engine = _sqlite_engines(parsed)
            else:
                engine = read_engine = _server_engine(parsed, name)
            undo.callback(engine.dispose)
            undo.callback(read_engine.dispose)
            try:
                with engine.begin() as connection:
                    migrate(connection, name=name, package=migrations)
            except sqlalchemy.exc.DBAPIError as error:
                raise _cannot_start(f"{name} database {_shown(parsed)}", error) from error
            undo.pop_all()
        return cls(name=name, engine=engine, read_engine=read_engine, lock=lock, files=files)

    async def read(self, query: Callable[[sqlalchemy.Connection], T]) -> T:
        """Runs `query` in a reader thread, on one consistent state of the database.

        Raises:
            faults.Unavailable: The database could not be asked.
        """
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, query)

    async def look(self) -> None:
        """Looks whether its files are in place and, while it is in trouble, whether that is over.

        What it finds is in `health`. To be called now and then: nobody else looks while nothing is
        written.
        """
        await asyncio.get_running_loop().run_in_executor(self._readers, self._look)

    async def rescue(self) -> str:
        """Saves what can be saved of a database that is lost, and keeps a new one from being begun.

        Returns:
            What is to be done, in one line.
        """
        if self._files is None:
            return "look at the database server's own log"
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._files.rescue)

    async def close(self) -> None:
        """Waits for the reads under way and closes every connection. Writers are closed before."""
        await asyncio.to_thread(self._close)

    def _read(self, query: Callable[[sqlalchemy.Connection], T]) -> T:
        try:
            with self._read_engine.begin() as connection:
                found = query(connection)
        except sqlalchemy.exc.SQLAlchemyError as error:
            if not is_trouble(error):
                raise
            # That no connection came free says how much is read, not how the storage is.
            if not isinstance(error, sqlalchemy.exc.TimeoutError):
                self.health.troubled(Side.READING, error)
            raise faults.Unavailable(
                "STORE_UNAVAILABLE", "the database cannot be read just now; ask again"
            ) from error
        self.health.went_well(Side.READING)
        return found

    def _look(self) -> None:
        # Where the operating system does not say, a commit will not be told of either.
        with contextlib.suppress(OSError):
            self.health.look_at_files(thorough=True)
        if self.health.well or self.health.lost is not None:
            return
        try:
            probe(self.engine, self._read_engine)
        except sqlalchemy.exc.SQLAlchemyError as error:
            self.health.troubled(Side.WRITING, error)
        else:
            for side in Side:
                self.health.went_well(side)

    def _close(self) -> None:
        self._readers.shutdown()
        if self.health.lost is not None:
            # SQLite deletes the log beside the path when it closes its last connection to a
            # database. What lies there now may belong to the file that took this one's place.
            return
        self._read_engine.dispose()
        self.engine.dispose()
        if self._files is not None:
            self._files.close()
        if self._lock is not None:
            self._lock.close()


def is_trouble(error: BaseException) -> bool:
    """Whether `error` is about the database or the way to it, not about what it was asked to do."""
    match error:
        case sqlalchemy.exc.OperationalError(orig=sqlite3.OperationalError() as told):
            # SQLite says "operational" of a table or a function that is not there, too.
            return getattr(told, "sqlite_errorcode", None) not in _SQLITE_STATEMENT_WRONG
        case sqlalchemy.exc.OperationalError() | sqlalchemy.exc.InterfaceError():
            return True
        case sqlalchemy.exc.TimeoutError():  # no connection came free
            return True
        case sqlalchemy.exc.DBAPIError():
            # A bare DatabaseError is what drivers make of a damaged file or a broken connection.
            return error.connection_invalidated or type(error) is sqlalchemy.exc.DatabaseError
        case _:
            return False


def _parse(url: str, name: str) -> URL:
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except sqlalchemy.exc.ArgumentError as error:
        raise CannotStart(
            f"{name} database: {redacted(url)!r} is not a database URL; "
            "write sqlite:///var/file.db or postgresql://host/database"
        ) from error
    return parsed


def _files(path: Path, name: str) -> StorageFiles:
    try:
        return StorageFiles.open(path, name=name)
    except sqlite3.Error as error:
        if kind_of(error) is Kind.DAMAGED:
            raise CannotStart(damaged(path, name, str(error))) from error
        raise _cannot_start(f"{name} database {path}", error) from error


def _cannot_start(database: str, error: Exception) -> CannotStart:
    cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    told = f"{database} cannot be used: {cause}"
    return CannotStartYet(told) if kind_of(error) in _PASSING else CannotStart(told)


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def _sqlite_path(url: URL, name: str) -> Path:
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


def _lock(path: Path, name: str) -> IO[str]:
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


def _sqlite_engines(url: URL) -> tuple[sqlalchemy.Engine, sqlalchemy.Engine]:
    """An engine that takes the write lock as each transaction begins, and one that cannot write."""
    writing = _sqlite_engine(url, begin="BEGIN IMMEDIATE")
    reading = _sqlite_engine(url, begin="BEGIN", more_pragmas=("query_only=ON",))
    return writing, reading


def _server_engine(url: URL, name: str) -> sqlalchemy.Engine:
    try:
        return sqlalchemy.create_engine(url, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise CannotStart(
            f"{name} database {_shown(url)}: the driver {error.name} is not installed; "
            "install it, or take a SQLite file"
        ) from error


def _sqlite_engine(
    url: URL, *, begin: str, more_pragmas: tuple[str, ...] = ()
) -> sqlalchemy.Engine:
    engine = sqlalchemy.create_engine(
        url,
        pool_timeout=BUSY_SECONDS,
        connect_args={
            "timeout": BUSY_SECONDS,
            # The driver begins nothing by itself: the listener below says when, and how.
            "isolation_level": None,
            # A pooled connection wanders between threads, one at a time.
            "check_same_thread": False,
        },
    )

    def prepare(connection: DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        try:
            for pragma in (*_PRAGMAS, *more_pragmas):
                cursor.execute(f"PRAGMA {pragma}")
        finally:
            cursor.close()

    def begun(connection: sqlalchemy.Connection) -> None:
        run(connection, begin)

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begun)
    return engine
