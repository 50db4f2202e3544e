"""How the storage under a database is: what went wrong with it last, and whether that is over.

Invariant: what was found lost stays lost for as long as the process lives. A database is well while
its last write and its last read went well. It must never call a commit made that may not be in the
file which the next process will open.

Writers and readers report here what they meet, from whatever thread they run in. Whoever commits
through an engine finds the health that goes with it by `health_of`, so that nobody can forget to
pass it on.

Trouble heals in place: the same commands are offered again, and while nobody asks for anything a
probe tries. A loss does not: the file that is open is damaged, or is no longer the one at its path,
so what is committed to it would be gone with the process. Then the process ends, loudly.
"""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import sqlalchemy
import structlog

from chassis.storage_files import StorageFiles
from chassis.storage_trouble import Kind, kind_of

_OPTION: Final = "storage_health"
_TOLD_MAX: Final = 300

_log = structlog.get_logger(__name__)


class Side(StrEnum):
    """Which of the two does not work."""

    WRITING = "writing"
    READING = "reading"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that may pass."""

    kind: Kind
    told: str
    """What the driver said, bounded; for the log, never for a caller."""


class StorageLost(Exception):  # noqa: N818 - named by what happened
    """The open database cannot be gone on with. The text says why in one line."""


class StorageHealth:
    """How one database is. All of it may be called from any thread."""

    def __init__(self, name: str, files: StorageFiles | None = None) -> None:
        """`files` are those of a SQLite database; without them nothing can be moved away."""
        self._name = name
        self._files = files
        self._lock = threading.Lock()
        self._troubles: dict[Side, Trouble] = {}
        self._lost: StorageLost | None = None
        self._listeners: list[Callable[[], None]] = []

    @property
    def well(self) -> bool:
        """Whether it can be written and read, as far as is known."""
        return not self._troubles and self._lost is None

    @property
    def troubles(self) -> dict[Side, Trouble]:
        """What is wrong just now."""
        with self._lock:
            return dict(self._troubles)

    @property
    def lost(self) -> StorageLost | None:
        """Why it cannot be gone on with, if that is so."""
        return self._lost

    def listen(self, changed: Callable[[], None]) -> None:
        """Has `changed` called, in whatever thread, each time `well` or `lost` has changed."""
        self._listeners.append(changed)

    def committed(self) -> None:
        """To be called after each commit, before anybody is told of it.

        Raises:
            StorageLost: What was committed will not be there for the next process.
            sqlalchemy.exc.OperationalError: Whether it will be is not known.
        """
        try:
            self.look_at_files(thorough=False)
        except OSError as error:
            raise sqlalchemy.exc.OperationalError("stat", None, error) from error
        self.raise_if_lost()
        self.went_well(Side.WRITING)

    def went_well(self, side: Side) -> None:
        """A write was committed, or a read was answered."""
        if side not in self._troubles:
            return
        with self._lock:
            if self._troubles.pop(side, None) is None:
                return
        _log.info("storage_well_again", store=self._name, side=side.value)
        self._tell()

    def troubled(self, side: Side, error: BaseException) -> None:
        """A write or a read met with trouble."""
        kind = kind_of(error)
        cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
        told = str(cause)[:_TOLD_MAX]
        # A file that was taken away shows in many ways: that comes first.
        with contextlib.suppress(OSError):
            self.look_at_files(thorough=True)
        if kind is Kind.DAMAGED:
            self._lose(f"{self._where()} is damaged: {told}")
        with self._lock:
            before = self._troubles.get(side)
            self._troubles[side] = Trouble(kind=kind, told=told)
        if before is None or before.kind is not kind:
            _log.error(
                "storage_in_trouble",
                store=self._name,
                side=side.value,
                kind=kind.value,
                error=told,
            )
            self._tell()

    def look_at_files(self, *, thorough: bool) -> None:
        """Finds out whether the files at their paths are still the ones that are open."""
        if self._files is None or self._lost is not None:
            return
        if missing := self._files.missing(thorough=thorough):
            self._lose(f"{missing} was deleted, moved or replaced while in use")

    def raise_if_lost(self) -> None:
        """Raises StorageLost, if it is."""
        if self._lost is not None:
            raise StorageLost(str(self._lost))

    def _where(self) -> str:
        return str(self._files.path) if self._files is not None else "the database"

    def _lose(self, why: str) -> None:
        with self._lock:
            if self._lost is not None:
                return
            self._lost = StorageLost(f"{self._name} database: {why}")
        _log.critical("storage_lost", store=self._name, why=why)
        self._tell()

    def _tell(self) -> None:
        for changed in self._listeners:
            changed()


def with_health(engine: sqlalchemy.Engine, health: StorageHealth) -> None:
    """Has whoever writes through `engine` report to `health`."""
    engine.update_execution_options(**{_OPTION: health})


def health_of(engine: sqlalchemy.Engine) -> StorageHealth:
    """The health that goes with `engine`; one of its own where nobody gave it one."""
    found = engine.get_execution_options().get(_OPTION)
    return found if isinstance(found, StorageHealth) else StorageHealth("unnamed")
