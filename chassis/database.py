"""One service's database: opened, checked, migrated, read from, looked after.

Invariant: a `Database` that was opened is at this release's schema and was writable a moment ago;
its `health` says how it is now. It must never block the event loop once it is open: reads run in a
small pool of threads, writes in the thread of the group commit that owns them.

On SQLite every transaction of `engine` takes the write lock as it begins (`BEGIN IMMEDIATE`), so
that what it reads is still true when it writes. On PostgreSQL others write at the same time: what
is written has to be guarded, by a version, a key or a lock. On both, reads go through connections
of their own, which cannot write; they neither wait for a writer nor hold one up.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Final, Self, TypeVar

import sqlalchemy
from sqlalchemy.engine import URL, make_url

from chassis import faults, postgres_engine, sqlite_engine
from chassis.migrations import DatabaseNewer, migrate
from chassis.server import CannotStart, CannotStartYet
from chassis.settings import redacted
from chassis.statements import primary_message
from chassis.storage_files import StorageFiles, damaged
from chassis.storage_health import Side, StorageHealth, with_health
from chassis.storage_probe import probe
from chassis.storage_trouble import Kind, is_trouble, kind_of

__all__ = ["Database", "DatabaseNewer", "open_to_look"]

T = TypeVar("T")

READERS: Final = 4
# What may pass by itself: the next start may find it well.
_PASSING: Final = frozenset(
    {Kind.FULL, Kind.LOCKED, Kind.SLOW, Kind.READ_ONLY, Kind.INPUT_OUTPUT, Kind.UNREACHABLE}
)
# What a server says, and what helps.
_TO_DO: Final = (
    ("permission denied", "; have its schema made and granted, as deploy/postgres/init.sql does"),
    ("pg_hba.conf", "; have the server let this user in from here"),
    ("password", "; check the user and the password in the URL"),
    ("not permitted to log in", "; check the user in the URL"),
    ("does not exist", "; create it, or name another one in the URL"),
    ("connection option", "; check what the URL has behind its ?"),
)
# Processes that start together may both find that something has to be created first.
_MIGRATIONS_MAX: Final = 5


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
            url: As SQLAlchemy writes it: `sqlite:///var/order.db`, `postgresql://…`, the latter
                with `?schema=NAME` for a schema of its own.
            name: What messages call it, for example "order".
            migrations: The package whose `versions` hold the schema's revisions.
            exclusive: Hold a lock on a SQLite file for life, so that no second process opens it so.
                A server is shared.

        Raises:
            CannotStart: It cannot be used as it is; the text says why and what to do.
            DatabaseNewer: A newer release wrote it.
        """
        parsed = _parse(url, name)
        lock: IO[str] | None = None
        files: StorageFiles | None = None
        with contextlib.ExitStack() as undo:
            if parsed.get_backend_name() == "sqlite":
                path = sqlite_engine.path_of(parsed, name)
                if exclusive:
                    lock = undo.enter_context(sqlite_engine.take_lock(path, name))
                files = _files(path, name)
                undo.callback(files.close)
                engine, read_engine = sqlite_engine.open_engines(parsed)
            else:
                engine, read_engine = postgres_engine.open_engines(parsed, name, readers=READERS)
            undo.callback(engine.dispose)
            undo.callback(read_engine.dispose)
            try:
                _migrate(engine, parsed, name=name, package=migrations)
            except sqlalchemy.exc.DBAPIError as error:
                raise _cannot_start(f"{name} database {_shown(parsed)}", error) from error
            if files is not None:
                sqlite_engine.take_back_in_memory(engine)
            undo.pop_all()
        return cls(name=name, engine=engine, read_engine=read_engine, lock=lock, files=files)

    def set_up(self, first: Callable[[sqlalchemy.Connection], T]) -> T:
        """Runs `first` in a transaction that writes: for what has to be there before one serves.

        Raises:
            CannotStart: The database could not be written; the text says why.
        """
        try:
            with self.engine.begin() as connection:
                return first(connection)
        except sqlalchemy.exc.DBAPIError as error:
            raise _cannot_start(f"{self.name} database", error) from error

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
            found = self._read_once(query)
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

    def _read_once(self, query: Callable[[sqlalchemy.Connection], T]) -> T:
        try:
            with self._read_engine.begin() as connection:
                return query(connection)
        except sqlalchemy.exc.DBAPIError as error:
            if not error.connection_invalidated:
                raise
        # The server ended this connection, maybe long ago. Another one may be well.
        with self._read_engine.begin() as connection:
            return query(connection)

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


def open_to_look(url: str, *, name: str) -> sqlalchemy.Engine:
    """An engine over a database that somebody else keeps. It cannot write, and migrates nothing.

    Raises:
        CannotStart: The URL is none.
    """
    parsed = _parse(url, name)
    if parsed.get_backend_name() == "sqlite":
        _, reading = sqlite_engine.open_engines(parsed)
    else:
        _, reading = postgres_engine.open_engines(parsed, name, readers=1)
    return reading


def _migrate(engine: sqlalchemy.Engine, url: URL, *, name: str, package: str) -> None:
    for left in reversed(range(_MIGRATIONS_MAX)):
        try:
            with engine.begin() as connection:
                if engine.dialect.name != "sqlite":
                    postgres_engine.prepare(connection, url, name)
                migrate(connection, name=name, package=package)
        except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError):
            # Somebody else created it between the look and the deed.
            if left == 0 or engine.dialect.name == "sqlite":
                raise
        else:
            return


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
    cause = (error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else None) or error
    why = " ".join((primary_message(cause) or str(cause)).split())
    to_do = next((told for part, told in _TO_DO if part in why), "")
    told = f"{database} cannot be used: {why}{to_do}"
    return CannotStartYet(told) if kind_of(error) in _PASSING else CannotStart(told)


def _shown(url: URL) -> str:
    return redacted(url.render_as_string(hide_password=True))
