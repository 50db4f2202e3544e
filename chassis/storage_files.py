"""The files of one SQLite database: whether they are still the ones that are open.

Invariant: from when it was opened until it is closed the files at the database's paths are the ones
that SQLite has open, or `missing` says which is not. SQLite itself does not look: it goes on
writing to a file that was deleted, and all of that is gone when the process ends. This module must
never open a database file by other means than SQLite: closing it would drop SQLite's own locks.

One connection, the anchor, is kept for life. While it is open SQLite neither deletes the
write-ahead log nor makes another, so that one look at the inodes tells; and through it what a
deleted file holds can still be reached: see `rescue`.

A note beside the file (`<file>.lost`) keeps the next process from beginning anew, with an empty
file in the place of the one that is gone. Where the very same file is back, the note is dropped.
"""

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import Final, Self

from chassis.server import CannotStart, CannotStartYet
from chassis.storage_trouble import Kind, kind_of

_WAL: Final = "-wal"
_SHM: Final = "-shm"
_NOTE: Final = ".lost"
_RESCUED: Final = ".rescued"
# How long a start may take over reading through the file. What is not reached by then is found
# when it is read.
_CHECK_SECONDS_MAX: Final = 1.0
_CHECK_STEPS: Final = 10_000

# How long others that open the same new file may be in the way.
_LOCKED_SECONDS_MAX: Final = 5.0
_LOCKED_PAUSE_SECONDS: Final = 0.01

Identity = tuple[int, int]
"""The device and the inode of a file."""


class StorageFiles:
    """The files under one open database, and the connection that keeps them in place."""

    def __init__(self, path: Path, anchor: sqlite3.Connection) -> None:
        self.path: Final = path
        self._anchor = anchor
        self._identities = {suffix: _identity(_beside(path, suffix)) for suffix in ("", _WAL, _SHM)}
        # As the operating system takes them: they are looked at after each commit.
        self._places = {suffix: str(_beside(path, suffix)) for suffix in self._identities}

    @classmethod
    def open(cls, path: Path, *, name: str) -> Self:
        """Looks whether the file may be used, opens it and keeps it open.

        Raises:
            CannotStartYet: It is gone, and was not meant to be.
            CannotStart: It is damaged.
            sqlite3.Error: It cannot be opened.
        """
        _look_for_loss(path, name)
        anchor = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            _look_for_damage(anchor, path, name)
            keep_a_log(anchor)
            # The first read is what opens the write-ahead log.
            anchor.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return cls(path, anchor)
        except BaseException:
            anchor.close()
            raise

    def missing(self, *, thorough: bool) -> Path | None:
        """The first of the files that is not at its path any more.

        Raises:
            OSError: The operating system does not say.

        What a commit rests on is the database and its log; `thorough` looks at the index of the
        log, too, without which another process would corrupt both.
        """
        for suffix in ("", _WAL, _SHM) if thorough else ("", _WAL):
            if _identity(self._places[suffix]) != self._identities[suffix]:
                return _beside(self.path, suffix)
        return None

    def rescue(self) -> str:
        """Saves what was committed to files that are gone, and leaves a note for the next start.

        Returns:
            What was done, and what is to be done, in one line.
        """
        if self.missing(thorough=True) is None:
            return "start it again: what is damaged is looked for then"
        if _identity(self.path) == self._identities[""]:
            # Only the log is gone from its path: what it holds still fits the file.
            try:
                self._anchor.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
            except sqlite3.Error as error:
                self._leave_note(f"its write-ahead log could not be saved: {error}", excused=None)
                return f"what its log held could not be saved ({error}); restore a backup"
            return "what its log held was saved into it; starting again is safe"
        rescued = self.path.with_name(f"{self.path.name}{_RESCUED}-{time.time_ns() // 1_000_000}")
        note = _beside(self.path, _NOTE)
        # First the note: should the copy take long and be cut off, no empty file is begun.
        was = self._identities[""]
        self._leave_note("it was deleted, moved or replaced while it was in use", excused=was)
        try:
            self._anchor.execute("VACUUM INTO ?", (str(rescued),))
        except sqlite3.Error as error:
            return f"put it back, or restore a backup and delete {note} (no copy was made: {error})"
        self._leave_note(f"what it held is in {rescued}", excused=was)
        return (
            f"put it back; or put {rescued}, which is all it held, in its place and delete {note}"
        )

    def close(self) -> None:
        """Lets go of the files."""
        self._anchor.close()

    def _leave_note(self, text: str, *, excused: Identity | None) -> None:
        """`excused`: the file that may be started with, whatever the note says."""
        device, inode = excused or (0, 0)
        note = _beside(self.path, _NOTE)
        # Without a note the next start cannot know. The message has been logged all the same.
        with contextlib.suppress(OSError):
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(f"{device} {inode}\n{self.path}: {text}\n", encoding="utf-8")


def keep_a_log(connection: sqlite3.Connection) -> None:
    """Has a file write ahead from now on.

    Where several do so at once SQLite tells some of them at once that it is locked, and waits for
    nobody: each holds what the other one waits for.
    """
    deadline = time.monotonic() + _LOCKED_SECONDS_MAX
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if kind_of(error) is not Kind.LOCKED or time.monotonic() >= deadline:
                raise
        else:
            return
        time.sleep(_LOCKED_PAUSE_SECONDS)


def _look_for_loss(path: Path, name: str) -> None:
    """Refuses to begin anew where a database has been, and nobody said that it may go."""
    note, wal = _beside(path, _NOTE), _beside(path, _WAL)
    identity = _identity(path)
    if note.exists():
        noted, _, why = note.read_text(encoding="utf-8", errors="replace").partition("\n")
        if identity is None or noted.split() != [str(part) for part in identity]:
            raise CannotStartYet(
                f"{name} database: {why.strip()}; put it back, or put another in its place "
                f"and delete {note}"
            )
        note.unlink()
    if identity is None and _size(wal) > 0:
        raise CannotStartYet(
            f"{name} database: {path} is missing, though its log {wal} is there; put it back, "
            "or, to begin with an empty one, delete the log"
        )


def _look_for_damage(anchor: sqlite3.Connection, path: Path, name: str) -> None:
    deadline = time.monotonic() + _CHECK_SECONDS_MAX
    anchor.set_progress_handler(lambda: int(time.monotonic() > deadline), _CHECK_STEPS)
    try:
        (told,) = anchor.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return
        raise
    finally:
        anchor.set_progress_handler(None, 0)
    if told != "ok":
        raise CannotStart(damaged(path, name, " ".join(str(told).split())[:200]))


def damaged(path: Path, name: str, told: str) -> str:
    """What a person is told of a file that is damaged."""
    return (
        f"{name} database {path} cannot be used: {told}; it is damaged: keep a copy, then restore "
        "a backup (without its old -wal and -shm files), or see docs/storage_faults.md"
    )


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix) if suffix else path


def _identity(path: Path | str) -> Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - it is on the way of each commit
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
