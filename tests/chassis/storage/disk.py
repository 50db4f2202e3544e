"""What can go wrong under a database, done to it as really as a test can.

Invariant: what is done holds for whoever writes through the engine, whichever connection that is,
until `heal`. Must never: depend on who runs the tests; root may write to a read-only file.
"""

import asyncio
import sqlite3
import threading
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from chassis.storage_health import Side, health_of

PAGES_MAX = 4_294_967_294


class Fault(StrEnum):
    """A way for a disk to fail, named by the kind that it is found to be."""

    FULL = "full"
    LOCKED = "locked"
    READ_ONLY = "read_only"
    INPUT_OUTPUT = "input_output"
    CANNOT_OPEN = "cannot_open"


class Disk:
    """The disk under the database at `path`, as whoever writes through `engine` finds it."""

    def __init__(self, engine: sa.Engine, path: Path) -> None:
        self.fault: Fault | None = None
        self.refused = 0
        """How many writes met with the fault."""
        self._path = path
        self._engine = engine
        self._locker: sqlite3.Connection | None = None
        self._changed = threading.Condition()
        # New connections do not wait for a lock, and the pool has no old ones.
        engine.dispose()
        event.listen(engine, "begin", self._on_begin)
        event.listen(engine, "rollback", self._on_rollback)
        event.listen(engine, "do_connect", self._on_connect)
        event.listen(engine, "commit", self._on_commit)
        health = health_of(engine)
        self._report = health.troubled
        # Whoever meets with trouble says so there.
        vars(health)["troubled"] = self._on_trouble

    def fail(self, fault: Fault) -> None:
        """Has every write fail from now on."""
        self.fault = fault
        self.refused = 0
        if fault is Fault.LOCKED:
            self._locker = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False
            )
            self._locker.execute("BEGIN IMMEDIATE")
        if fault is Fault.CANNOT_OPEN:
            # Whoever has a connection loses it, or nobody would have to open one.
            self._engine.dispose()

    def heal(self) -> None:
        """Makes the disk well again."""
        self.fault = None
        if self._locker is not None:
            self._locker.execute("ROLLBACK")
            self._locker.close()
            self._locker = None

    async def has_refused(self, times: int, *, within_seconds: float = 20.0) -> None:
        """Waits until so many writes have met with the fault."""

        def wait() -> bool:
            with self._changed:
                return self._changed.wait_for(lambda: self.refused >= times, within_seconds)

        assert await asyncio.to_thread(wait), f"{self.refused} writes were refused, not {times}"

    def _on_begin(self, connection: sa.Connection) -> None:
        if self.fault is Fault.CANNOT_OPEN:
            # The connection that it was begun on is of the time before.
            self._raise("unable to open database file")
        driver: Any = connection.connection.driver_connection
        driver.execute(f"PRAGMA query_only={int(self.fault is Fault.READ_ONLY)}")
        # It is never less than what is in use already.
        driver.execute(f"PRAGMA max_page_count={1 if self.fault is Fault.FULL else PAGES_MAX}")

    def _on_rollback(self, connection: sa.Connection) -> None:
        # A transaction that is to write cannot even begin on a connection that may not.
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA query_only=0")

    def _on_connect(
        self, _dialect: object, _record: object, _args: object, options: dict[str, Any]
    ) -> None:
        options["timeout"] = 0
        if self.fault is Fault.CANNOT_OPEN:
            raise sqlite3.OperationalError("unable to open database file")

    def _on_commit(self, _connection: sa.Connection) -> None:
        if self.fault is Fault.INPUT_OUTPUT:
            self._raise("disk I/O error")

    def _raise(self, told: str) -> None:
        raise sa.exc.OperationalError("", None, sqlite3.OperationalError(told))

    def _on_trouble(self, side: Side, error: BaseException) -> None:
        self._report(side, error)
        with self._changed:
            self.refused += 1
            self._changed.notify_all()


class HurriedTime:
    """What a writer waits for passes at once."""

    def __init__(self) -> None:
        self.now = 0.0

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def monotonic(self) -> float:
        return self.now
